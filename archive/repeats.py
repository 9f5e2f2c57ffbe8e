"""Tokens: what an answer was made from, so that it can be had again (design section 6, DMS-DBB-REQ-0030).

A token names the query by its hash, and for each schema the version shown and the state of each table read:
``1~4f0c2b9ad1e07755~dr1.2~.star.3``. Rows are only ever added to a table, with its next state, and schema versions only
ever added to a release; so with its token a query gives the same rows at any later time and at any endpoint.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from archive import onward
from archive.adql import bound, tree
from archive.adql.functions import RANDOM
from archive.adql.walk import every
from archive.engine.contract import SINCE
from archive.faults import TransientFault, UsageFault
from archive.tables import Catalog, Schema, Table
from archive.versions import pinned_name

if TYPE_CHECKING:
    from archive.ledger import Published

_FORM = "1"
_HASH = 16  # hexadecimal digits
_MEANINGLESS = re.compile(r"""('[^']*'|"[^"]*")|(?:\s|--[^\r\n]*)+""")  # but what stands in quotes, which is the group
_SOON = 60  # seconds after which an endpoint that is behind may have come up
_LATER = 3600

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A schema as an answer saw it: its version, and the state of each of its tables that was read."""

    schema: str
    version: int
    states: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Token:
    """What an answer was made from. ``query`` is the hash of the text."""

    query: str
    shown: tuple[Shown, ...]

    @classmethod
    def read(cls, text: str) -> Token:
        """The token that ``text`` spells.

        Raises:
            UsageFault: it spells none.
        """
        form, *steps = text.strip().split("~")
        try:
            if form != _FORM or not steps or len(steps[0]) != _HASH:
                raise ValueError
            shown: list[Shown] = []
            for name, number in map(_counted, steps[1:]):
                if name.startswith("."):
                    last = shown.pop()
                    shown.append(replace(last, states=(*last.states, (unquote(name[1:]), number))))
                else:
                    shown.append(Shown(unquote(name), number, ()))
        except (ValueError, IndexError):
            raise UsageFault("The token is not understood.", "Take it whole from the head of an answer.") from None
        return cls(steps[0], tuple(shown))

    def __str__(self) -> str:
        return "~".join((_FORM, self.query, *self._spelled()))

    def _spelled(self) -> Iterator[str]:
        for shown in self.shown:
            yield f"{_quoted(shown.schema)}.{shown.version}"
            for table, state in shown.states:
                yield f".{_quoted(table)}.{state}"

    def states(self) -> Mapping[Key, int]:
        """Table -> its state."""
        return {(shown.schema, table): state for shown in self.shown for table, state in shown.states}

    def catalog(self, catalog: Catalog) -> Catalog:
        """``catalog`` with its schemas at the versions that the token names.

        Raises:
            TransientFault: there is no such version here yet.
        """
        versions = {shown.schema: shown.version for shown in self.shown}
        if all(versions.get(schema.name, schema.version) == schema.version for schema in catalog.schemas):
            return catalog
        by_name = {schema.name: schema for schema in catalog.schemas}
        return Catalog(
            schema
            if (version := versions.get(schema.name, schema.version)) == schema.version
            else _at(schema, by_name.get(pinned_name(schema.name, version)), version)
            for schema in catalog.schemas
        )


def _counted(step: str) -> tuple[str, int]:
    name, _, number = step.rpartition(".")
    if not name.strip("."):
        raise ValueError
    return name, int(number)


def _quoted(name: str) -> str:
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def _at(schema: Schema, pinned: Schema | None, version: int) -> Schema:
    """``schema`` as its pinned version shows it, by its own name."""
    if pinned is None:
        raise TransientFault(f"Version {version} of {schema.name} is not here yet.", "Ask again later.", after=_SOON)
    tables = tuple(replace(table, schema=schema.name, rows_of=None) for table in pinned.tables)
    return replace(schema, tables=tables, version=version)


def hash_of(text: str, language: str) -> str:
    """What a token calls a query by; comments and how much white space there is do not count, but in quotes."""
    told = _MEANINGLESS.sub(lambda found: found[1] or " ", text).strip()
    return hashlib.sha256(f"{language} {told}".encode()).hexdigest()[:_HASH]


def token_of(query: bound.Bound, of: str, catalog: Catalog, published: Published) -> Token:
    """The token of an answer to ``query`` as things are; its text has the hash ``of``."""
    states: dict[str, dict[str, int]] = {}
    for table in sorted(query.tables.values(), key=lambda table: table.key):
        if (state := published.states.get(_rows_of(table))) is not None:
            states.setdefault(table.schema, {})[table.name] = state
    versions = {schema.name: schema.version for schema in catalog.schemas}
    return Token(of, tuple(Shown(name, versions[name], tuple(each.items())) for name, each in states.items()))


def states_asked(query: bound.Bound, published: Published, at: Token) -> dict[Key, int]:
    """The tables of ``query`` that have moved on since ``at``, and the state to go back to.

    Raises:
        UsageFault: the token does not speak of just those tables: a part of it is missing, or it was made up.
        TransientFault: this endpoint has not come so far yet, or an edition was made before states could be told apart.
    """
    if at.states().keys() != {key for key, table in query.tables.items() if _rows_of(table) in published.states}:
        raise UsageFault("The token does not fit the tables of its query.", "Take it whole from the head of an answer.")
    found = {}
    for key, state in at.states().items():
        table = query.tables[key]
        now = published.states[_rows_of(table)]
        if now < state:
            raise TransientFault(
                f"{table.qualified} is at state {now} here, the token says {state}.", "Ask again later.", after=_SOON
            )
        if now > state:
            if SINCE not in published.editions[_rows_of(table)].physical:
                raise TransientFault(
                    f"The rows of {table.qualified} at state {state} cannot be told from newer ones here.",
                    f"Its operators can mend that: archive publish --rebuild {_rows_of(table)[0]}",
                    after=_LATER,
                )
            found[key] = state
    return found


def obstacle(parsed: tree.Query, query: bound.Bound, *, uploads: bool, kept: Collection[Key]) -> str:
    """Why the answer to a query cannot be had again at will; empty if it can. ``kept`` are the tables with states."""
    if uploads:
        return "it reads an upload"
    if any(_rows_of(table) not in kept for table in query.tables.values()):
        return "it reads tables that tell how things are now"
    found: list[object] = list(every(parsed, _TELLING))
    random = [each.name.text for each in found if isinstance(each, tree.Call) and each.name.text.lower() in RANDOM]
    if random:
        return f"it uses {random[0]}"
    cut = [each for each in found if isinstance(each, tree.Select | tree.SetOperation) and _is_cut(each)]
    if cut and (cut != [parsed.body] or not onward.is_ordered(query.body)):
        return "which rows it takes is left open: TOP or OFFSET without an ORDER BY in which no two rows are alike"
    return ""


_TELLING = (tree.Call, tree.Select, tree.SetOperation)


def computed(query: bound.Bound) -> tuple[int, ...]:
    """The positions of outputs that are not stored values as they are."""
    outputs: Sequence[bound.Output] = query.body.outputs if isinstance(query.body, bound.Select) else ()
    plain = {at for at, output in enumerate(outputs) if isinstance(output.value, bound.Field)}
    return tuple(at for at in range(len(query.columns)) if at not in plain)


def _is_cut(body: tree.Body) -> bool:
    return body.offset is not None or (isinstance(body, tree.Select) and body.top is not None)


def _rows_of(table: Table) -> Key:
    return table.rows_of or table.key
