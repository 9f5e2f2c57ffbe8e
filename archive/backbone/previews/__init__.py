"""Previews: pictures of images, small enough to be looked at, with north up where that is known."""

from __future__ import annotations

from archive.backbone.previews.making import VERSION, Previews, Size

__all__ = ["VERSION", "Previews", "Size"]
