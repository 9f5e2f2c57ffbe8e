"""Pins, files that were dropped, and copies on their way out; and all that has to be known to decide who goes.

A file that is dropped stays registered, with all that is said of it; only its copies leave. A copy that leaves is seen
by nobody from then on, while its bytes stay where they are until its grace has passed. Then it is *taken*: its bytes
are deleted, and it can come back no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select

from archive.ledger import events, observations, products, replicas, schema
from archive.ledger.bulk import among, insert_all, portions
from archive.ledger.database import now, stamp
from archive.ledger.products import Product
from archive.ledger.replicas import Has, Replica, Want

_USES = 3  # files named that were made from one


@dataclass(frozen=True, slots=True)
class Pin:
    """``actor`` wants the file kept until then, or until they say otherwise (None)."""

    uri: str
    actor: str
    since: datetime
    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Use:
    """How many files were made from one, and the name of one of these."""

    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether a file stays.

    ``arrived`` is when it was registered or last came back; ``region`` the vertices of what it covers (lon, lat,
    lon, ... in ICRS degrees). ``copies`` are those that lie here and do not leave yet. ``bundles`` tells that other
    files lie inside it; ``lost`` are files it was made from that nobody can read here any more, though nobody dropped
    them; ``release`` is the content state of the release it belongs to.
    """

    id: int
    uri: str
    size: int
    arrived: datetime
    retracted: bool
    product: Product | None
    region: tuple[float, ...] | None
    release: str | None
    copies: tuple[Replica, ...]
    pins: tuple[Pin, ...]
    bundles: bool
    lost: tuple[str, ...]
    use: Use | None
    dropped: datetime | None


@dataclass(frozen=True, slots=True)
class Leaving:
    """A copy on its way out: ``since`` when, ``until`` when its bytes stay.

    ``spare`` if the file itself is not dropped: others of its copies stay.
    """

    uri: str
    size: int
    sha256: str
    copy: Replica
    since: datetime
    until: datetime
    taken: bool
    spare: bool


# --- pins ---------------------------------------------------------------------------------------------


def pin(transaction: Connection, files: Mapping[int, str], until: datetime | None, reason: str) -> None:
    """Who acts here wants these files kept (numbers and URIs), whatever they said of them before."""
    table, actor = schema.pin, events.actor_of(transaction)
    end = None if until is None else stamp(until)
    transaction.execute(table.delete().where(table.c.artifact.in_(list(files)), table.c.actor == actor))
    rows = [
        {"artifact": number, "actor": actor, "since": now(), "until": end, "reason": reason.strip()} for number in files
    ]
    insert_all(transaction, table, rows)
    events.append_all(transaction, [("pin", {"uri": uri, "until": end}) for uri in files.values()])


def unpin(transaction: Connection, files: Mapping[int, str], actor: str) -> tuple[str, ...]:
    """Remove the pins of ``actor`` from these files; returns the URIs of those that had one."""
    table = schema.pin
    theirs = table.c.artifact.in_(list(files)) & (table.c.actor == actor)
    found = sorted(files[number] for number in transaction.execute(select(table.c.artifact).where(theirs)).scalars())
    transaction.execute(table.delete().where(theirs))
    events.append_all(transaction, [("unpin", {"uri": uri, "of": actor}) for uri in found])
    return tuple(found)


def pins(transaction: Connection, artifacts: Collection[int] | None = None) -> dict[int, list[Pin]]:
    """The pins that hold at this moment, of all files or of those with these numbers."""
    table, file = schema.pin, schema.artifact
    asked = select(table, file.c.uri).join(file, file.c.id == table.c.artifact).where(_holds())
    if artifacts is not None:
        asked = asked.where(table.c.artifact.in_(artifacts))
    found: dict[int, list[Pin]] = {}
    for row in transaction.execute(asked.order_by(file.c.uri, table.c.since)):
        told = Pin(row.uri, row.actor, datetime.fromisoformat(row.since), _time(row.until), row.reason)
        found.setdefault(row.artifact, []).append(told)
    return found


def _holds() -> ColumnElement[bool]:
    return or_(schema.pin.c.until.is_(None), schema.pin.c.until > now())


# --- facts --------------------------------------------------------------------------------------------


def candidates(transaction: Connection, types: Collection[str], before: datetime, after: int, most: int) -> list[int]:
    """The numbers, above ``after``, of files of these types that came before that moment and have copies that stay."""
    file, product, copy = schema.artifact, schema.product, schema.replica
    here = select(copy.c.artifact).where(copy.c.artifact == file.c.id, copy.c.want == Want.KEEP).exists()
    asked = (
        select(file.c.id)
        .join(product, product.c.artifact == file.c.id)
        .where(product.c.type.in_(types), file.c.registered < stamp(before), file.c.retracted.is_(None), here)
    )
    return _page(transaction, asked, after, most)


def retracted(transaction: Connection, after: int, most: int) -> list[int]:
    """The numbers, above ``after``, of files that were taken back and still have copies."""
    file, copy, gone = schema.artifact, schema.replica, schema.leaving
    leaves = select(gone.c.artifact).where(gone.c.artifact == copy.c.artifact, gone.c.store == copy.c.store).exists()
    here = select(copy.c.artifact).where(copy.c.artifact == file.c.id, ~leaves).exists()
    return _page(transaction, select(file.c.id).where(file.c.retracted.is_not(None), here), after, most)


def _page(transaction: Connection, asked: Select[Any], after: int, most: int) -> list[int]:
    number = schema.artifact.c.id
    return list(transaction.execute(asked.where(number > after).order_by(number).limit(most)).scalars())


def facts(transaction: Connection, artifacts: Sequence[int]) -> list[Facts]:
    """What decides about these files, in the order of their numbers."""
    found: list[Facts] = []
    for some in portions(sorted(artifacts)):
        found += _facts(transaction, some)
    return found


def _facts(transaction: Connection, numbers: Sequence[int]) -> list[Facts]:
    file, gone = schema.artifact, schema.dropping
    rows = transaction.execute(
        select(file, gone.c.since, gone.c.returned)
        .outerjoin(gone, gone.c.artifact == file.c.id)
        .where(file.c.id.in_(numbers))
        .order_by(file.c.id)
    ).all()
    copies = _staying(transaction, numbers)
    told, regions, pinned = (
        products.find(transaction, numbers),
        _regions(transaction, numbers),
        pins(transaction, numbers),
    )
    states = _states(transaction)
    member = schema.replica.c.bundle
    bundles = set(transaction.execute(select(member).where(member.in_(numbers))).scalars())
    uses = _uses(transaction, [row.uri for row in rows])
    lost = _lost(transaction, {uri for each in told.values() for _, uri in each.product.inputs})
    found = []
    for row in rows:
        product = told[row.id].product if row.id in told else None
        found.append(
            Facts(
                row.id,
                row.uri,
                row.size,
                datetime.fromisoformat(row.returned or row.registered),
                row.retracted is not None,
                product,
                regions.get(row.id),
                states.get(product.release) if product is not None else None,
                copies[row.id],
                tuple(pinned.get(row.id, ())),
                row.id in bundles,
                tuple(sorted({uri for _, uri in product.inputs} & lost)) if product is not None else (),
                uses.get(row.uri),
                None if row.since is None or row.returned is not None else datetime.fromisoformat(row.since),
            )
        )
    return found


def _states(transaction: Connection) -> dict[str, str]:
    """The content state of each release; one that is being frozen counts as frozen."""
    table = schema.release
    rows = transaction.execute(select(table.c.name, table.c.state, table.c.freezing))
    return {row.name: "frozen" if row.freezing is not None else row.state for row in rows}


def _staying(transaction: Connection, numbers: Sequence[int]) -> dict[int, tuple[Replica, ...]]:
    table = schema.leaving
    rows = transaction.execute(select(table.c.artifact, table.c.store).where(table.c.artifact.in_(numbers)))
    leaves = {(row.artifact, row.store) for row in rows}
    copies = replicas.of(transaction, numbers)
    return {
        number: tuple(copy for copy in those if (number, copy.place.store) not in leaves)
        for number, those in copies.items()
    }


def _regions(transaction: Connection, numbers: Sequence[int]) -> dict[int, tuple[float, ...]]:
    table = schema.observation
    asked = select(table.c.artifact, table.c.s_region).where(
        table.c.artifact.in_(numbers), table.c.s_region.is_not(None)
    )
    return {row.artifact: tuple(row.s_region) for row in transaction.execute(asked)}


def _uses(transaction: Connection, uris: Sequence[str]) -> dict[str, Use]:
    """What was made from these files directly and is not taken back."""
    inputs, file = schema.product_input, schema.artifact
    rows = transaction.execute(
        select(inputs.c.uri, func.count(), func.min(file.c.uri))
        .join(file, file.c.id == inputs.c.artifact)
        .where(among(transaction, inputs.c.uri, uris), file.c.retracted.is_(None))
        .group_by(inputs.c.uri)
    )
    return {row[0]: Use(row[1], row[2]) for row in rows}


def _lost(transaction: Connection, uris: Collection[str]) -> set[str]:
    """Those of these files that are registered, were not dropped on purpose, and have no copy that can be read."""
    file, copy, gone = schema.artifact, schema.replica, schema.dropping
    here = select(copy.c.artifact).where(copy.c.artifact == file.c.id, copy.c.has == Has.PRESENT).exists()
    meant = select(gone.c.artifact).where(gone.c.artifact == file.c.id, gone.c.returned.is_(None)).exists()
    found: set[str] = set()
    for some in portions(sorted(uris)):
        these = among(transaction, file.c.uri, some)
        found |= set(transaction.execute(select(file.c.uri).where(these, ~here, ~meant)).scalars())
    return found


def dropped(transaction: Connection, artifact: int) -> datetime | None:
    """Since when no copy of the file is kept here on purpose; None if it is kept."""
    table = schema.dropping
    asked = select(table.c.since).where(table.c.artifact == artifact, table.c.returned.is_(None))
    return _time(transaction.execute(asked).scalar_one_or_none())


# --- out, and back ------------------------------------------------------------------------------------


def drop(transaction: Connection, dropped: Mapping[int, tuple[str, str]], until: datetime) -> None:
    """Keep these files no more (numbers to URI and rule): none of their copies is seen from now on."""
    table, time = schema.dropping, now()
    for numbers in portions(list(dropped)):
        transaction.execute(table.delete().where(table.c.artifact.in_(numbers)))
        for number, copies in _staying(transaction, numbers).items():
            for copy in copies:
                _leave(transaction, number, copy.place.store, time, stamp(until))
    observations.remove(transaction, dropped)
    rows = [
        {"artifact": number, "rule": rule, "since": time, "returned": None} for number, (_, rule) in dropped.items()
    ]
    insert_all(transaction, table, rows)
    told = [("drop", {"uri": uri, "rule": rule, "until": stamp(until)}) for uri, rule in dropped.values()]
    events.append_all(transaction, told)


def drop_copy(transaction: Connection, artifact: int, uri: str, store: str, until: datetime) -> None:
    """Keep one copy of a file no more; others stay."""
    _leave(transaction, artifact, store, now(), stamp(until))
    events.append(transaction, "drop", {"uri": uri, "rule": "spare", "store": store, "until": stamp(until)})


def _leave(transaction: Connection, artifact: int, store: str, since: str, until: str) -> None:
    copy = schema.replica
    here = (copy.c.artifact == artifact) & (copy.c.store == store)
    transaction.execute(copy.update().where(here).values(has=Has.ABSENT, want=Want.DROP))
    transaction.execute(schema.leaving.insert().values(artifact=artifact, store=store, since=since, until=until))


def returned(transaction: Connection, artifacts: Iterable[int]) -> dict[int, datetime]:
    """These files have good copies again: the time of those that were dropped counts anew from now.

    Returns when each of those was registered, by its number.
    """
    table, file = schema.dropping, schema.artifact
    found: dict[int, datetime] = {}
    for numbers in portions(list(artifacts)):
        gone = table.c.artifact.in_(numbers) & table.c.returned.is_(None)
        asked = select(file.c.id, file.c.registered).join(table, table.c.artifact == file.c.id).where(gone)
        found |= {row.id: datetime.fromisoformat(row.registered) for row in transaction.execute(asked)}
        transaction.execute(table.update().where(gone).values(returned=now()))
    return found


def come_back(transaction: Connection, copy: Replica, fingerprint: str) -> bool:
    """A copy on its way out is seen again, after it was read whole and found right; False if it was taken already."""
    table, here = schema.leaving, _of(schema.leaving, copy)
    if not transaction.execute(table.delete().where(here, table.c.taken.is_(None))).rowcount:
        return False
    values = {"has": Has.PRESENT, "want": Want.KEEP, "checked": now(), "fingerprint": fingerprint}
    transaction.execute(schema.replica.update().where(_of(schema.replica, copy)).values(**values))
    return True


def leaving(
    transaction: Connection,
    *,
    of: Collection[int] | None = None,
    due: bool = False,
    skip: int = 0,
    most: int | None = None,
) -> list[Leaving]:
    """Copies on their way out, the first to go first: all, those ``of`` some files, or those whose grace is over."""
    table, file = schema.leaving, schema.artifact
    asked = select(table.c.artifact, table.c.store).order_by(table.c.until, table.c.artifact, table.c.store)
    asked = asked.offset(skip).limit(most) if most is not None else asked
    if of is not None:
        asked = asked.where(table.c.artifact.in_(of))
    if due:
        asked = asked.where(or_(table.c.until <= now(), table.c.taken.is_not(None)))
    gone = select(schema.dropping.c.artifact).where(
        schema.dropping.c.artifact == file.c.id, schema.dropping.c.returned.is_(None)
    )
    chosen = asked.subquery()
    rows = transaction.execute(
        select(file.c.uri, file.c.size, file.c.sha256, table, gone.exists().label("gone"))
        .join(chosen, (chosen.c.artifact == table.c.artifact) & (chosen.c.store == table.c.store))
        .join(file, file.c.id == table.c.artifact)
        .order_by(table.c.until, table.c.artifact, table.c.store)
    ).all()
    copies = replicas.of(transaction, {row.artifact for row in rows})
    return [_leaving(row, copies[row.artifact]) for row in rows]


def _leaving(row: Any, copies: Sequence[Replica]) -> Leaving:
    copy = next(copy for copy in copies if copy.place.store == row.store)
    since, until = datetime.fromisoformat(row.since), datetime.fromisoformat(row.until)
    return Leaving(row.uri, row.size, row.sha256, copy, since, until, row.taken is not None, not row.gone)


def take(transaction: Connection, copies: Iterable[Replica]) -> None:
    """From now on these copies cannot come back: their bytes are about to be deleted."""
    for copy in copies:
        transaction.execute(schema.leaving.update().where(_of(schema.leaving, copy)).values(taken=now()))


def forget(transaction: Connection, gone: Iterable[Leaving]) -> int:
    """The bytes of these copies are deleted. Returns how many were not forgotten before."""
    told = []
    for each in gone:
        copy = schema.replica
        ours = _of(schema.leaving, each.copy) & schema.leaving.c.taken.is_not(None)
        if transaction.execute(schema.leaving.delete().where(ours)).rowcount:
            here = _of(copy, each.copy)
            transaction.execute(copy.delete().where(here, copy.c.want == Want.DROP))
            told.append(("delete", {"uri": each.uri, "store": each.copy.place.store, "path": each.copy.place.path}))
    if told:
        events.append_all(transaction, told)
    return len(told)


def _of(table: Any, copy: Replica) -> ColumnElement[bool]:
    found: ColumnElement[bool] = (table.c.artifact == copy.artifact) & (table.c.store == copy.place.store)
    return found


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
