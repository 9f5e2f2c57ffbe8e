#!/usr/bin/env python3
"""Writes docs/requirements.md: each requirement of LDM-635 and the tests marked as showing it.

Reads the marks from the text of the tests, so it needs nothing but Python. With ``--check`` it writes
nothing and fails if the page is out of date.
"""

from __future__ import annotations

import argparse
import ast
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "requirements.md"
HEAD = """\
# Requirements and the tests that show them

Made by `make requirements` from the marks on tests (`@pytest.mark.requirement("DMS-DBB-REQ-0034")`); do not edit.
The requirements are those of LDM-635, *Data Backbone Services Requirements*; the second column names their parents in
LSE-61. A requirement without a test is not shown yet.
"""


def requirements() -> list[dict[str, str]]:
    """The rows of docs/requirements.csv: id, title, derived_from."""
    with (ROOT / "docs" / "requirements.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def marks(folder: Path) -> dict[str, list[str]]:
    """Requirement id -> the tests that carry its mark, as ``path::name``, in order."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        place = path.relative_to(folder.parent).as_posix()
        for name, requirement in _marked(ast.parse(path.read_text(encoding="utf-8")).body, ""):
            found.setdefault(requirement, []).append(f"{place}::{name}" if name else place)
    return found


def _marked(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    """Name and requirement of each mark: on functions, on classes, and in ``pytestmark``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}"
            for decorator in node.decorator_list:
                for requirement in _ids(decorator):
                    yield name, requirement
            if isinstance(node, ast.ClassDef):
                yield from _marked(node.body, f"{name}::")
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            for requirement in _ids(node.value):
                yield prefix.removesuffix("::"), requirement


def _ids(node: ast.AST) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.requirement":
            yield from (str(ast.literal_eval(argument)) for argument in call.args)


def page(found: dict[str, list[str]]) -> str:
    """The text of docs/requirements.md."""
    rows = requirements()
    shown = sum(row["id"] in found for row in rows)
    lines = [HEAD, f"Shown: {shown} of {len(rows)}.", "", "| requirement | from | shown by |", "|---|---|---|"]
    for row in rows:
        tests = "<br>".join(f"`{test}`" for test in found.get(row["id"], []))
        lines.append(f"| **{row['id']}** {row['title']} | {row['derived_from']} | {tests} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the page; the exit status says whether it is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the page is out of date, write nothing")
    check = parser.parse_args().check
    found = marks(ROOT / "tests")
    unknown = sorted(set(found) - {row["id"] for row in requirements()})
    if unknown:
        print(f"tests are marked with requirements that do not exist: {', '.join(unknown)}", file=sys.stderr)
        return 1
    text = page(found)
    if not check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("docs/requirements.md is out of date; run: make requirements", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
