"""YAML read with positions: everything wrong in a document is collected with its line, nothing is guessed.

A ``Block`` is one mapping of a document. Asking it for a key says what form the value must have; what is not of
that form, and every key nobody asked for, becomes a ``Problem``. So a reader of a document is a list of the keys
it knows, and its faults come out all at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import yaml

_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"
_WHOLE = "tag:yaml.org,2002:int"
_REAL = "tag:yaml.org,2002:float"
_FLAG = "tag:yaml.org,2002:bool"

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a document something stands; ``line`` counts from 1, ``table`` and ``column`` are names."""

    file: str
    line: int = 1
    table: str | None = None
    column: str | None = None

    def __str__(self) -> str:
        names = ".".join(name for name in (self.table, self.column) if name is not None)
        return f"{self.file} line {self.line}" + (f", {names}" if names else "")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, where it is and what to do about it."""

    place: Place
    message: str
    remedy: str = ""
    grave: bool = True  # False: a document with it can still be used

    def __str__(self) -> str:
        return f"{self.place}: {self.message} {self.remedy}".rstrip()


class Problems:
    """What was found wrong so far, in the order found."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, place: Place, message: str, remedy: str = "", *, grave: bool = True) -> None:
        self._found.append(Problem(place, message, remedy, grave))

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def near(name: str, known: Iterable[str]) -> str:
    """``Did you mean 'x'?`` for the best match of ``name`` among ``known``, or an empty text."""
    by_folded = {candidate.lower(): candidate for candidate in known}
    best = difflib.get_close_matches(name.lower(), by_folded, n=1)
    return f"Did you mean '{by_folded[best[0]]}'?" if best else ""


class Block:
    """One mapping of a document, read key by key; ``close`` reports the keys that were never asked for."""

    def __init__(self, node: yaml.MappingNode, place: Place, problems: Problems) -> None:
        self.place = replace(place, line=node.start_mark.line + 1)
        self._problems = problems
        self._values: dict[str, yaml.Node] = {}
        self._asked: set[str] = set()
        for key, value in node.value:
            self._keep(key, value)

    def _keep(self, key: yaml.Node, value: yaml.Node) -> None:
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            self._problems.add(self._at(key), f"the key {_shown(key)} is not text.", "Put it in quotes.")
        elif key.value in self._values:
            self._problems.add(self._at(key), f"the key '{key.value}' is given twice.", "Remove one of the two.")
        else:
            self._values[key.value] = value

    def _at(self, node: yaml.Node) -> Place:
        return replace(self.place, line=node.start_mark.line + 1)

    def about(self, *, table: str | None = None, column: str | None = None) -> None:
        """From now on problems of this block are told as being about this table or column."""
        self.place = replace(self.place, table=table or self.place.table, column=column or self.place.column)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @property
    def problems(self) -> Problems:
        """Where this block reports to."""
        return self._problems

    def is_mapping(self, key: str) -> bool:
        return isinstance(self._values.get(key), yaml.MappingNode)

    def wrong(self, key: str | None, message: str, remedy: str = "") -> None:
        """Report a problem at ``key``'s line, or at the block's own."""
        node = self._values.get(key) if key is not None else None
        self._problems.add(self._at(node) if node is not None else self.place, message, remedy)

    def close(self) -> None:
        """Report every key that no reader asked for."""
        for key in self._values:
            if key not in self._asked:
                remedy = near(key, self._asked) or f"Known keys here: {', '.join(sorted(self._asked))}."
                self.wrong(key, f"the key '{key}' is unknown.", remedy)

    # --- values -------------------------------------------------------------------------------------

    def text(self, key: str, *, required: bool = False) -> str | None:
        """A text without blanks around it; an empty one counts as none."""
        node = self._take(key, required=required)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TEXT:
            self.wrong(key, f"'{key}' must be text, not {_shown(node)}.", "Put it in quotes.")
            return None
        if required and not node.value.strip():
            self.wrong(key, f"'{key}' is empty.", "Give it a value.")
        return node.value.strip() or None

    def whole(self, key: str) -> int | None:
        value = self._scalar(key, (_WHOLE,), "a whole number")
        return value if isinstance(value, int) else None

    def flag(self, key: str) -> bool | None:
        value = self._scalar(key, (_FLAG,), "true or false")
        return value if isinstance(value, bool) else None

    def scalar(self, key: str) -> Scalar:
        """Any single value, typed as YAML types it."""
        return self._scalar(key, (_TEXT, _WHOLE, _REAL, _FLAG), "one value")

    def choice(self, key: str, known: Iterable[str], *, required: bool = False) -> str | None:
        """One of a few words."""
        value = self.text(key, required=required)
        if value is None:
            return None
        known = tuple(known)
        if value in known:
            return value
        self.wrong(key, f"'{key}: {value}' is not known.", near(value, known) or f"One of: {', '.join(known)}.")
        return None

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        node = self._take(key, required=required)
        if node is None:
            return ()
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        bad = [item for item in items if not isinstance(item, yaml.ScalarNode) or item.tag != _TEXT]
        for item in bad:
            self._problems.add(self._at(item), f"'{key}' must be a list of texts, not {_shown(item)}.", "Use quotes.")
        if required and not items:
            self.wrong(key, f"'{key}' is an empty list.", "Name at least one.")
        return tuple(item.value.strip() for item in items if item not in bad)

    def block(self, key: str) -> Block | None:
        """A mapping."""
        node = self._take(key, required=False)
        if node is None:
            return None
        if isinstance(node, yaml.MappingNode):
            return Block(node, self.place, self._problems)
        self.wrong(key, f"'{key}' must be a mapping of keys to values, not {_shown(node)}.")
        return None

    def blocks(self, key: str, *, required: bool = False) -> tuple[Block, ...]:
        """A list of mappings."""
        return tuple(item for item in self.items(key, required=required) if isinstance(item, Block))

    def items(self, key: str, *, required: bool = False, texts: bool = False) -> tuple[Block | str, ...]:
        """A list of mappings and, where ``texts`` allows it, of texts among them."""
        node = self._take(key, required=required)
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(key, f"'{key}' must be a list, not {_shown(node)}.", "Begin each item with '- '.")
            return ()
        found: list[Block | str] = []
        for item in node.value:
            if isinstance(item, yaml.MappingNode):
                found.append(Block(item, self.place, self._problems))
            elif texts and isinstance(item, yaml.ScalarNode) and item.tag == _TEXT:
                found.append(item.value.strip())
            else:
                self._problems.add(self._at(item), f"an item of '{key}' must be a mapping, not {_shown(item)}.")
        return tuple(found)

    def _take(self, key: str, *, required: bool) -> yaml.Node | None:
        self._asked.add(key)
        node = self._values.get(key)
        if node is not None and node.tag != _NULL:
            return node
        if required:
            self.wrong(key, f"'{key}' is missing.", f"Add '{key}: ...'.")
        return None

    def _scalar(self, key: str, tags: tuple[str, ...], what: str) -> Scalar:
        node = self._take(key, required=False)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag not in tags:
            self.wrong(key, f"'{key}' must be {what}, not {_shown(node)}.")
            return None
        try:
            return _typed(node)
        except ValueError:
            self.wrong(key, f"'{key}' must be {what}, not {_shown(node)}.")
            return None


def _typed(node: yaml.ScalarNode) -> Scalar:
    value: Scalar = yaml.constructor.SafeConstructor().construct_object(node)
    return value


def _shown(node: yaml.Node) -> str:
    match node:
        case yaml.ScalarNode():
            return f"'{node.value[:60]}'"
        case yaml.SequenceNode():
            return "a list"
        case _:
            return "a mapping"


def read(text: str, file: str, problems: Problems) -> Block | None:
    """The one mapping that a document consists of; None, with the problem noted, if it is not one."""
    try:
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        problems.add(Place(file, line), f"not YAML: {error.problem or error.context}.", "Check indentation and quotes.")
        return None
    except yaml.YAMLError:
        problems.add(Place(file), "not YAML: it holds characters that YAML does not allow.")
        return None
    if isinstance(node, yaml.MappingNode):
        return Block(node, Place(file), problems)
    problems.add(Place(file), "must be a mapping of keys to values.", "Begin with 'name: ...'.")
    return None
