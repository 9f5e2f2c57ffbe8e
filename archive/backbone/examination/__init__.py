"""What a file is to astronomers: the metadata its product type asks for, found in its headers or told beside them."""

from archive.backbone.examination.examining import amended, examine
from archive.backbone.examination.facts import Fact, facts_of
from archive.backbone.examination.kernels import Kernel, kernel_of

__all__ = ["Fact", "Kernel", "amended", "examine", "facts_of", "kernel_of"]
