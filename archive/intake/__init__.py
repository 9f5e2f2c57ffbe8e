"""Intake: tables that come from outside (uploads, deliveries) to described Arrow, whatever form they come in.

The mirror image of ``results``. Nothing that arrives is trusted: sizes, depths and lengths are checked before
memory is given for them.
"""

from archive.intake.delivered import Delivered, Measure
from archive.intake.flat import fits_pieces
from archive.intake.sniff import read

__all__ = ["Delivered", "Measure", "fits_pieces", "read"]
