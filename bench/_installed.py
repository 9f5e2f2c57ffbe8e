"""Import this first to measure what is installed: pandas is here for tests alone, and Arrow would load it (35 MB)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _Without(PathFinder):
    """Finds what Python finds on its path, but no pandas."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if fullname == "pandas" else super().find_spec(fullname, path, target)


sys.meta_path = [_Without if each is PathFinder else each for each in sys.meta_path]
