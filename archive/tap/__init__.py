"""Table Access Protocol 1.1: the face by which tools such as TOPCAT and pyvo ask in ADQL."""

from archive.tap.face import TapFace
from archive.tap.jobs import TapLane, TapTask, asked_by
from archive.tap.saved import SavedFace

__all__ = ["SavedFace", "TapFace", "TapLane", "TapTask", "asked_by"]
