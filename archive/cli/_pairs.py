"""Options of the form ``KEY=VALUE``."""

from __future__ import annotations

from collections.abc import Sequence

from archive.faults import UsageFault


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` as a mapping.

    Raises:
        UsageFault: there is no ``=``, or a key comes twice.
    """
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageFault(f"{option} {text}: there is no '='.", f"Write {option} KEY=VALUE.")
        if key.strip() in found:
            raise UsageFault(f"{option} {text}: {key.strip()} is given twice.", "Give it once.")
        found[key.strip()] = value.strip()
    return found
