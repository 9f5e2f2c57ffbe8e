"""Table Access Protocol 1.1: the face by which tools such as TOPCAT and pyvo ask in ADQL."""

from archive.tap.face import TapFace
from archive.tap.jobs import TapLane, TapTask, asked_by

__all__ = ["TapFace", "TapLane", "TapTask", "asked_by"]
