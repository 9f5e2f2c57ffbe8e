"""What a file is to astronomers: the metadata its product type asks for, found in its headers or told beside them."""

from archive.backbone.examination.coverage import Coverage, coverage
from archive.backbone.examination.examining import amended, examine
from archive.backbone.examination.facts import Fact, facts_of
from archive.backbone.examination.kernels import Kernel, kernel_of

__all__ = ["Coverage", "Fact", "Kernel", "amended", "coverage", "examine", "facts_of", "kernel_of"]
