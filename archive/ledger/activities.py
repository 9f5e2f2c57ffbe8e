"""Activities: who made which files with what software, when and from what (IVOA Provenance Data Model 1.0).

An activity is told by who delivers its files, or by their headers, or it is the archive's own work. It has a name for
ever, ``activity://<authority>/<key>``, and never changes: the same name with other facts is refused. Files may come to
it in any number of batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from archive.faults import UsageFault
from archive.ledger import events, schema
from archive.ledger.bulk import among, insert_all, numbers, portions
from archive.ledger.events import Json

SCHEME = "activity://"


class Told(StrEnum):
    """By whom an activity is told."""

    DELIVERER = "deliverer"
    HEADER = "header"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Something that was done: ``software`` in a ``version`` ran for an ``agent`` with ``parameters``.

    Times are as the ledger writes them. ``used`` are roles and URIs of what it was done with.
    """

    uri: str
    name: str
    told: Told
    start_time: str | None = None
    stop_time: str | None = None
    software: str | None = None
    version: str | None = None
    agent: str | None = None
    comment: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    used: tuple[tuple[str, str], ...] = ()

    def facts(self) -> dict[str, Json]:
        """All of it but what is None, as an event tells it."""
        plain: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN if getattr(self, name) is not None}
        used = [list(pair) for pair in sorted(set(self.used))]
        return {**plain, "parameters": dict(self.parameters), "used": used}


_PLAIN = ("uri", "name", "start_time", "stop_time", "software", "version", "agent", "comment", "told")

Made = Mapping[int, str | None]
"""Files that an activity made, by their numbers, and what each is of it."""


def key_of(facts: Mapping[str, Json]) -> str:
    """A key for an activity that has none: the same for the same facts."""
    return hashlib.sha256(events.canonical(facts).encode()).hexdigest()[:24]


def check(transaction: Connection, asked: Mapping[str, Activity]) -> dict[str, int]:
    """The numbers of those of these activities (by their names) that are known.

    Raises:
        UsageFault: one of them is known with other facts.
    """
    known = find(transaction, asked)
    for uri, (_, activity) in known.items():
        if activity.facts() != asked[uri].facts():
            raise UsageFault(
                f"The activity {uri} is known with other facts.",
                "What was done never changes: give it another id.",
                http=409,
            )
    return {uri: number for uri, (number, _) in known.items()}


def record(transaction: Connection, done: Sequence[tuple[Activity, Made]]) -> None:
    """Say by which activities files (by their numbers, with their roles) were made; the same again changes nothing.

    Raises:
        UsageFault: an activity is known with other facts, or a file was made by another one.
    """
    if not done:
        return
    asked = {activity.uri: activity for activity, _ in done}
    ids = check(transaction, asked)
    ids |= _add(transaction, [activity for uri, activity in asked.items() if uri not in ids])
    made: dict[int, tuple[str, str | None]] = {}
    for activity, files in done:
        made |= {number: (activity.uri, role) for number, role in files.items()}
    _add_made(transaction, made, ids)


def _add(transaction: Connection, new: Sequence[Activity]) -> dict[str, int]:
    given = numbers(transaction, schema.activity.c.id, len(new)) if new else []
    rows = [
        {"id": number, **{name: getattr(activity, name) for name in _PLAIN}}
        for number, activity in zip(given, new, strict=True)
    ]
    insert_all(transaction, schema.activity, rows)
    pairs = list(zip(given, new, strict=True))
    insert_all(
        transaction,
        schema.activity_parameter,
        [
            {"activity": number, "name": name, "value": value}
            for number, activity in pairs
            for name, value in activity.parameters.items()
        ],
    )
    insert_all(
        transaction,
        schema.used,
        [
            {"activity": number, "role": role, "entity": uri}
            for number, activity in pairs
            for role, uri in dict.fromkeys(activity.used)
        ],
    )
    if new:
        events.append_all(transaction, [("activity", activity.facts()) for activity in new])
    return {activity.uri: number for number, activity in pairs}


def _add_made(transaction: Connection, made: Mapping[int, tuple[str, str | None]], ids: Mapping[str, int]) -> None:
    table, file = schema.was_generated_by, schema.artifact
    before: dict[int, int] = {}
    names: dict[int, str] = {}
    for some in portions(list(made)):
        known = transaction.execute(select(table.c.entity, table.c.activity).where(table.c.entity.in_(some)))
        before |= {row.entity: row.activity for row in known}
        called = transaction.execute(select(file.c.id, file.c.uri).where(file.c.id.in_(some)))
        names |= {row.id: row.uri for row in called}
    for number, activity in before.items():
        if ids[made[number][0]] != activity:
            raise UsageFault(f"{names[number]} was made by another activity.", "A file is made once.", http=409)
    new = {number: pair for number, pair in made.items() if number not in before}
    rows = [{"entity": number, "activity": ids[uri], "role": role} for number, (uri, role) in new.items()]
    insert_all(transaction, table, rows)
    by_activity: dict[str, list[str]] = {}
    for number, (uri, _) in new.items():
        by_activity.setdefault(uri, []).append(names[number])
    if by_activity:
        told = [("generated", {"activity": uri, "entities": files}) for uri, files in by_activity.items()]
        events.append_all(transaction, told)


def renew(transaction: Connection, artifact: int, activity: Activity | None) -> None:
    """What was told by a file's header of how it was made is told anew, since that was corrected.

    What the deliverer told, or the archive did itself, stays.
    """
    table, doing = schema.was_generated_by, schema.activity
    before = transaction.execute(
        select(doing.c.id, doing.c.uri, doing.c.told)
        .join(table, table.c.activity == doing.c.id)
        .where(table.c.entity == artifact)
    ).one_or_none()
    if before is not None and (before.told != Told.HEADER or (activity is not None and before.uri == activity.uri)):
        return
    if before is not None:
        transaction.execute(table.delete().where(table.c.entity == artifact))
        if transaction.execute(select(table.c.entity).where(table.c.activity == before.id)).first() is None:
            _forget(transaction, before.id)
    if activity is not None:
        role = transaction.execute(
            select(schema.product.c.type).where(schema.product.c.artifact == artifact)
        ).scalar_one_or_none()
        record(transaction, [(activity, {artifact: role})])


def _forget(transaction: Connection, number: int) -> None:
    for table in (schema.used, schema.activity_parameter):
        transaction.execute(table.delete().where(table.c.activity == number))
    transaction.execute(schema.activity.delete().where(schema.activity.c.id == number))


def find(transaction: Connection, uris: Iterable[str]) -> dict[str, tuple[int, Activity]]:
    """The activities of these names, with their numbers; those that are not known are left out."""
    table, wanted = schema.activity, list(uris)
    rows: list[Row[Any]] = []
    for some in portions(wanted):
        rows += transaction.execute(select(table).where(among(transaction, table.c.uri, some))).all()
    parameters = _parameters(transaction, [row.id for row in rows])
    used = _used(transaction, [row.id for row in rows])
    return {row.uri: (row.id, _activity(row, parameters.get(row.id, {}), used.get(row.id, []))) for row in rows}


def _parameters(transaction: Connection, ids: Sequence[int]) -> dict[int, dict[str, str]]:
    table = schema.activity_parameter
    found: dict[int, dict[str, str]] = {}
    for some in portions(ids):
        for row in transaction.execute(select(table).where(table.c.activity.in_(some)).order_by(table.c.name)):
            found.setdefault(row.activity, {})[row.name] = row.value
    return found


def _used(transaction: Connection, ids: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    table = schema.used
    found: dict[int, list[tuple[str, str]]] = {}
    for some in portions(ids):
        ordered = select(table).where(table.c.activity.in_(some)).order_by(table.c.role, table.c.entity)
        for row in transaction.execute(ordered):
            found.setdefault(row.activity, []).append((row.role, row.entity))
    return found


def _activity(row: Row[Any], parameters: Mapping[str, str], used: Sequence[tuple[str, str]]) -> Activity:
    plain = {name: getattr(row, name) for name in _PLAIN if name != "told"}
    return Activity(told=Told(row.told), parameters=parameters, used=tuple(used), **plain)
