"""Matching kernels of difference images: kept as a basis and coefficients that vary over the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archive.ledger.events import Json


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that can be rebuilt at any pixel."""


def kernel_of(metadata: Mapping[str, Json]) -> Kernel | None:
    """The matching kernel among the metadata of a difference image."""
    return None
