"""Reads a Python package as text and tells where it breaks the rules of the house (docs/architecture.md).

Kept apart from ``test_floors.py`` so that the rules can be tried on a package made to break them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

MODULE_LINES = 450
PARSER_LINES = 650
FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 12


@dataclass(frozen=True)
class Place:
    """Where a room stands. ``floor`` orders rooms from the words (0) to the roof (5); the heart is 3.0 and 3.5."""

    room: str
    floor: float


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name below the package (``adql.parser``; the package itself is ``""``)."""

    name: str
    path: Path

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def lines(self) -> int:
        return len(self.source.splitlines())

    def functions(self) -> Iterator[tuple[str, int]]:
        """Name and length in lines of each function, without its decorators and docstring."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if ast.get_docstring(node):
                    doc = node.body[0]
                    length -= (doc.end_lineno or doc.lineno) - doc.lineno + 1
                yield node.name, length

    def imports(self) -> Iterator[tuple[int, str, str | None]]:
        """Line, absolute module and imported name (None for ``import x``) of each import, wherever it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name, None
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield node.lineno, self._absolute(node), alias.name

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        here = ["archive", *filter(None, self.name.split("."))]
        climbed = here[: len(here) - node.level + self.is_package]
        return ".".join([*climbed, *filter(None, [node.module])])


class House:
    """A package folder held against a table that maps each of its modules and rooms to a floor.

    ``floors`` maps a dotted name below the package to its floor. A name covers what stands below it, the
    longest one wins: ``adql`` covers ``adql.parser``. ``roof`` modules (floor 5) may import one another.
    """

    def __init__(self, folder: Path, floors: Mapping[str, float], parsers: tuple[str, ...] = ()) -> None:
        self.floors = floors
        self.parsers = parsers
        self.modules = {module.name: module for module in _modules(folder)}

    def place(self, name: str) -> Place | None:
        """The room and floor of a module, or None when the table does not know it."""
        if name == "":
            return Place("", 0)
        for known in (name, *_parents(name)):
            if known in self.floors:
                return Place(known, self.floors[known])
        return None

    def problems(self) -> list[str]:
        """Everything that is wrong, one line each; empty when the house stands."""
        return [*self._unmapped(), *self._upward(), *self._frameworks(), *self._circles(), *self._budgets()]

    def targets(self, module: Module) -> Iterator[tuple[int, str]]:
        """Line and name of each module of this package that ``module`` imports."""
        for line, target, name in module.imports():
            if target != "archive" and not target.startswith("archive."):
                continue
            below = target.removeprefix("archive").removeprefix(".")
            inner = f"{below}.{name}".removeprefix(".") if name else below
            yield line, inner if inner in self.modules else below

    def _unmapped(self) -> Iterator[str]:
        for name in self.modules:
            if self.place(name) is None:
                yield f"{name}: stands on no floor; give it one in the table of tests/test_floors.py"

    def _upward(self) -> Iterator[str]:
        for module in self.modules.values():
            here = self.place(module.name)
            for line, target in self.targets(module):
                there = self.place(target)
                if here is None or there is None or there.room in (here.room, ""):
                    continue
                if there.floor > here.floor:
                    yield f"{module.name}:{line}: imports {target} from a floor above"
                elif there.floor == here.floor and 4 <= here.floor < 5:
                    yield f"{module.name}:{line}: a face imports another face, {target}"
                elif there.floor == here.floor and 1 <= here.floor < 5:
                    yield f"{module.name}:{line}: imports {target} from another room on its own floor"

    def _frameworks(self) -> Iterator[str]:
        for module in self.modules.values():
            here = self.place(module.name)
            for line, target, _ in module.imports():
                if target.split(".")[0] in ("flask", "werkzeug", "gunicorn") and here and here.floor < 4:
                    yield f"{module.name}:{line}: {target} belongs on floors 4 and 5"

    def _circles(self) -> Iterator[str]:
        graph = {name: {target for _, target in self.targets(module)} for name, module in self.modules.items()}
        done: set[str] = set()
        for start in graph:
            circle = _circle(graph, start, (), done)
            if circle:
                yield "import circle: " + " -> ".join(circle)
                return

    def _budgets(self) -> Iterator[str]:
        lengths = []
        for module in self.modules.values():
            budget = PARSER_LINES if module.name in self.parsers else MODULE_LINES
            if module.lines > budget:
                yield f"{module.name}: {module.lines} lines, more than {budget}"
            for name, length in module.functions():
                lengths.append(length)
                if length > FUNCTION_LINES:
                    yield f"{module.name}.{name}: {length} lines, more than {FUNCTION_LINES}"
        if lengths and median(lengths) > MEDIAN_FUNCTION_LINES:
            yield f"the median function has {median(lengths)} lines, more than {MEDIAN_FUNCTION_LINES}"


def _modules(folder: Path) -> Iterator[Module]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        yield Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path)


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _circle(graph: Mapping[str, set[str]], name: str, path: tuple[str, ...], done: set[str]) -> tuple[str, ...]:
    """The first circle reached from ``name``, or nothing; ``done`` collects modules known to lead into none."""
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done:
        return ()
    for target in sorted(graph.get(name, set()) - {name}):
        circle = _circle(graph, target, (*path, name), done)
        if circle:
            return circle
    done.add(name)
    return ()
