"""What is in a file, found while its bytes pass by once: its format, whether it is whole, its headers, its rows."""

from archive.backbone.inspection.found import Format, Hdu, HduKind, Inspected, said
from archive.backbone.inspection.inspecting import Inspection, inspect
from archive.backbone.inspection.skimming import skim

__all__ = ["Format", "Hdu", "HduKind", "Inspected", "Inspection", "inspect", "said", "skim"]
