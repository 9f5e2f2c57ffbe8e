"""What datasets hold: registered files, and rows of tables as they were in one state; and what of it is lacking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, select

from archive.faults import UsageFault
from archive.ledger import schema
from archive.ledger.bulk import insert_all, portions
from archive.ledger.database import now
from archive.ledger.events import Json, canonical
from archive.ledger.files import State
from archive.ledger.replicas import is_present


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a dataset, and the part it has in it."""

    uri: str
    sha256: str
    size: int
    role: str | None


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of a table: those that fulfil ``condition`` (what follows WHERE in ADQL; empty: all) in ``state``, whose
    parts have the digest ``parts``.
    """

    schema: str
    table: str
    condition: str
    state: int
    parts: str
    rows: int

    @property
    def name(self) -> str:
        """What it is, in words."""
        of = f"{self.schema}.{self.table}"
        return f"{of} where {self.condition}" if self.condition else of

    def facts(self) -> dict[str, Json]:
        """All of it, for an event."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a dataset holds and that cannot be had here, and why."""

    what: str
    why: str


def parts_digest(state: State) -> str:
    """The digest over the parts of a state of a table, in order; equal at every endpoint."""
    told = [[part.artifact.uri, part.artifact.sha256] for part in state.parts]
    return hashlib.sha256(canonical({"parts": told}).encode()).hexdigest()


def add_files(transaction: Connection, dataset: int, files: Mapping[int, str | None]) -> dict[int, str]:
    """Add files (number and role) to a dataset; returns the number and URI of those that were not in it."""
    table, file = schema.dataset_file, schema.artifact
    known = set(transaction.execute(select(table.c.artifact).where(table.c.dataset == dataset)).scalars())
    new = [number for number in files if number not in known]
    insert_all(transaction, table, [{"dataset": dataset, "artifact": each, "role": files[each]} for each in new])
    names: dict[int, str] = {}
    for numbers in portions(new):
        rows = transaction.execute(select(file.c.id, file.c.uri).where(file.c.id.in_(numbers)))
        names |= {row.id: row.uri for row in rows}
    return {number: names[number] for number in new}


def size_of(transaction: Connection, artifacts: Iterable[int]) -> int:
    """Bytes of these files together."""
    table, total = schema.artifact, 0
    for numbers in portions(list(artifacts)):
        total += int(transaction.execute(select(func.sum(table.c.size)).where(table.c.id.in_(numbers))).scalar_one())
    return total


def add_rows(transaction: Connection, dataset: int, group: RowGroup) -> bool:
    """Add rows to a dataset; returns whether they are new.

    Raises:
        UsageFault: it has them as they were in another state.
    """
    table = schema.dataset_rows
    here = (
        (table.c.dataset == dataset)
        & (table.c.schema == group.schema)
        & (table.c.table == group.table)
        & (table.c.condition == group.condition)
    )
    known = transaction.execute(select(table.c.state).where(here)).scalar_one_or_none()
    if known == group.state:
        return False
    if known is not None:
        raise UsageFault(
            f"{group.name} changed since it was added: state {known} then, {group.state} now.",
            "Let this dataset fail and begin another.",
        )
    transaction.execute(table.insert().values(dataset=dataset, **asdict(group)))
    return True


def contents(transaction: Connection, dataset: int) -> tuple[list[Member], list[RowGroup]]:
    """All members of a dataset: files by their URIs, rows by their tables and conditions (compared by code point)."""
    table, file, group = schema.dataset_file, schema.artifact, schema.dataset_rows
    files = transaction.execute(
        select(file.c.uri, file.c.sha256, file.c.size, table.c.role)
        .join(table, table.c.artifact == file.c.id)
        .where(table.c.dataset == dataset)
    )
    rows = transaction.execute(select(group).where(group.c.dataset == dataset))
    groups = [RowGroup(row.schema, row.table, row.condition, row.state, row.parts, row.rows) for row in rows]
    return (
        sorted((Member(*row) for row in files), key=lambda each: each.uri),
        sorted(groups, key=lambda each: (each.schema, each.table, each.condition)),
    )


def holders(transaction: Connection, artifacts: Sequence[int]) -> dict[int, list[int]]:
    """Numbers of the datasets that hold each of these files."""
    table = schema.dataset_file
    found: dict[int, list[int]] = {number: [] for number in artifacts}
    for numbers in portions(list(found)):
        rows = transaction.execute(select(table).where(table.c.artifact.in_(numbers)).order_by(table.c.dataset))
        for row in rows:
            found[row.artifact].append(row.dataset)
    return found


def proprietary(transaction: Connection, datasets: Sequence[int]) -> set[int]:
    """Which of these datasets hold a file that not everybody may see yet."""
    table, file, time = schema.dataset_file, schema.artifact, now()
    found: set[int] = set()
    for numbers in portions(datasets):
        found |= set(
            transaction.execute(
                select(table.c.dataset)
                .join(file, file.c.id == table.c.artifact)
                .where(table.c.dataset.in_(numbers), file.c.public_from > time)
                .distinct()
            ).scalars()
        )
    return found


def missing(transaction: Connection, datasets: Sequence[int]) -> dict[int, tuple[Missing, ...]]:
    """What each of these datasets lacks at this endpoint: files without a good copy or taken back, rows whose parts
    lie nowhere or whose table is not served. Nothing where it is whole.
    """
    found: dict[int, list[Missing]] = {number: [] for number in datasets}
    for numbers in portions(list(found)):
        _missing_files(transaction, numbers, found)
        _missing_rows(transaction, numbers, found)
    return {number: tuple(lacks) for number, lacks in found.items()}


def _missing_files(transaction: Connection, datasets: Sequence[int], found: dict[int, list[Missing]]) -> None:
    table, file = schema.dataset_file, schema.artifact
    rows = transaction.execute(
        select(table.c.dataset, file.c.uri, file.c.retracted)
        .join(file, file.c.id == table.c.artifact)
        .where(table.c.dataset.in_(datasets), file.c.retracted.is_not(None) | ~is_present(file.c.id))
        .order_by(table.c.dataset, table.c.artifact)
    )
    for row in rows:
        why = "has no good copy here" if row.retracted is None else f"was retracted on {row.retracted[:10]}"
        found[row.dataset].append(Missing(row.uri, why))


def _missing_rows(transaction: Connection, datasets: Sequence[int], found: dict[int, list[Missing]]) -> None:
    table, place, file = schema.dataset_rows, schema.state_part, schema.artifact
    groups = transaction.execute(select(table).where(table.c.dataset.in_(datasets)).order_by(table.c.dataset)).all()
    for each in groups:
        group = RowGroup(each.schema, each.table, each.condition, each.state, each.parts, each.rows)
        here = (place.c.schema == each.schema) & (place.c.table == each.table) & (place.c.state == each.state)
        parts = transaction.execute(
            select(file.c.uri)
            .join(place, place.c.part == file.c.id)
            .where(here, ~is_present(file.c.id))
            .order_by(place.c.position)
        ).scalars()
        found[each.dataset] += [Missing(group.name, f"lacks its part {uri} here") for uri in parts]
