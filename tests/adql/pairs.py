"""Reads the example queries: files of ADQL with their meaning in comments.

Examples are separated by lines that hold only ``;``. The comment lines at the head of an example describe it; those
of the form ``-- key: value`` or ``-- = value`` tell what is expected, the others are its title:

``-- language: ADQL-2.0``   the value of LANG (default ADQL-2.1)
``-- = [1, "x", null]``     one expected row as JSON; in this order where the query sorts, else in any
``-- = none``               no rows are expected
``-- error: text``          the fault holds this text (several: all of them)
``-- at: 1:8``              the fault's line and column, counted from the first line of the query

``valid/`` holds queries that run over the tables of ``tests.adql.tables``; ``invalid/`` those the parser refuses;
``refused/`` those that are well formed but mean nothing, which ``resolve`` or the engine refuses.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_DIRECTIVE = re.compile(r"--\s*(language|error|at|=):?\s(.*)")


@dataclass(frozen=True, slots=True)
class Example:
    """One example; ``name`` is file and line. ``rows`` is None where the file does not tell them."""

    name: str
    text: str
    title: str = ""
    language: str = "ADQL-2.1"
    rows: tuple[tuple[Any, ...], ...] | None = None
    errors: tuple[str, ...] = ()
    at: tuple[int, int] | None = None

    def __str__(self) -> str:
        return self.name


def examples(folder: str) -> list[Example]:
    """All examples of ``valid``, ``invalid`` or ``refused``, in order of files and lines."""
    return [example for path in sorted((HERE / folder).glob("*.adql")) for example in _read(path)]


def _read(path: Path) -> list[Example]:
    lines = path.read_text(encoding="utf-8").split("\n")
    start, found = 0, []
    for i, line in enumerate([*lines, ";"]):
        if line == ";":
            found.append(_example(path.stem, start, lines[start:i]))
            start = i + 1
    return found


def _example(stem: str, start: int, lines: list[str]) -> Example:
    head = next(i for i, line in enumerate(lines) if line.strip() and not line.startswith("--"))
    directives: dict[str, list[str]] = {}
    titles = []
    for line in lines[:head]:
        if match := _DIRECTIVE.match(line):
            directives.setdefault(match[1], []).append(match[2].strip())
        elif line:
            titles.append(line.removeprefix("--").strip())
    at = directives.get("at")
    return Example(
        name=f"{stem}:{start + head + 1}",
        text="\n".join(lines[head:]).rstrip("\n"),
        title=titles[-1] if titles else "",
        language=directives.get("language", ["ADQL-2.1"])[0],
        rows=_rows(directives.get("=")),
        errors=tuple(directives.get("error", ())),
        at=tuple(map(int, at[0].split(":"))) if at else None,  # type: ignore[arg-type]
    )


def _rows(written: list[str] | None) -> tuple[tuple[Any, ...], ...] | None:
    if written is None:
        return None
    return () if written == ["none"] else tuple(tuple(json.loads(row)) for row in written)
