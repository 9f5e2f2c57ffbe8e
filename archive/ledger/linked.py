"""What belongs to a file: what it was made from, what was made from it, and the same or its like elsewhere.

Asked for many files at once, it takes as many statements as for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, exists, func, literal, select, tuple_, union_all

from archive.ledger import schema
from archive.ledger.bulk import among, portions
from archive.ledger.replicas import Has

MOST = 200
"""Files of one kind of relation that are told; what is made from a calibration may be a million."""

_PARTS = "delivery"  # role of what the parts of a table were made from


@dataclass(frozen=True, slots=True)
class Member:
    """A registered file; ``here`` if this endpoint has a good copy, ``dropped`` since it keeps none on purpose.

    What is no product has no ``type``; ``shows`` is the dataproduct_type of an observation (image,
    cube, ...), ``calibration`` the kind of a calibration.
    """

    id: int
    uri: str
    size: int
    media_type: str
    here: bool
    public_from: datetime | None
    retracted: datetime | None
    dropped: datetime | None
    type: str | None
    shows: str | None
    release: str | None
    collection: str | None
    instrument: str | None
    detector: str | None
    band: str | None
    exposure: str | None
    cell: int | None
    calibration: str | None


@dataclass(frozen=True, slots=True)
class Input:
    """What a file was made from: its role, its name, and what is known of it; None as long as it is not here."""

    role: str
    name: str
    member: Member | None


@dataclass(slots=True)
class Linked:
    """A file and what belongs to it, in the order in which it came in, at most ``MOST`` of each.

    ``derived`` are (role that it had, file made from it). ``alike`` are files of the same exposure and detector of
    another type or release, and those of the same place, type and collection in another band.
    """

    member: Member
    inputs: list[Input] = field(default_factory=list)
    derived: list[tuple[str, Member]] = field(default_factory=list)
    alike: list[Member] = field(default_factory=list)


def linked(transaction: Connection, uris: Sequence[str]) -> dict[str, Linked]:
    """What belongs to each of these files; names that were never registered are left out."""
    found = {each.uri: Linked(each) for each in _members_with(transaction, schema.artifact.c.uri, uris)}
    by_number = {each.member.id: each for each in found.values()}
    if by_number:
        _add_inputs(transaction, by_number)
        _add_derived(transaction, by_number)
        _add_alike(transaction, by_number)
    return found


# --- members --------------------------------------------------------------------------------------

_CALIBRATION = schema.product.c.metadata["calib_type"]["value"].as_string()


def _members(transaction: Connection, condition: ColumnElement[bool]) -> list[Member]:
    """The files of which ``condition`` (on artifact and product) holds, in the order in which they came in."""
    artifact, product, seen, copy = schema.artifact, schema.product, schema.observation, schema.replica
    gone = schema.dropping
    here = exists().where(copy.c.artifact == artifact.c.id, copy.c.has == Has.PRESENT)
    told = (
        select(artifact, product, seen.c.dataproduct_type, gone.c.since.label("dropped"))
        .add_columns(here.label("here"), _CALIBRATION.label("calibration"))
        .select_from(artifact)
        .outerjoin(product, product.c.artifact == artifact.c.id)
        .outerjoin(seen, seen.c.artifact == artifact.c.id)
        .outerjoin(gone, (gone.c.artifact == artifact.c.id) & gone.c.returned.is_(None))
        .where(condition)
        .order_by(artifact.c.id)
    )
    return [_member(row) for row in transaction.execute(told)]


def _members_with(transaction: Connection, column: Column[Any], values: Iterable[Any]) -> list[Member]:
    """Those whose ``column`` has one of ``values``."""
    found: list[Member] = []
    for some in portions(list(dict.fromkeys(values))):
        found += _members(transaction, among(transaction, column, some))
    return found


def _member(row: Row[Any]) -> Member:
    return Member(
        row.id,
        row.uri,
        row.size,
        row.media_type,
        bool(row.here),
        _time(row.public_from),
        _time(row.retracted),
        _time(row.dropped),
        row.type,
        row.dataproduct_type,
        row.release,
        row.collection,
        row.instrument,
        row.detector,
        row.band,
        row.exposure,
        row._mapping["_healpix_29"],
        row.calibration if row.type == "calibration" else None,
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


# --- what it was made from, and what from it ------------------------------------------------------


def _add_inputs(transaction: Connection, known: Mapping[int, Linked]) -> None:
    inputs, derived, artifact = schema.product_input, schema.derived_from, schema.artifact
    told = select(inputs.c.artifact, inputs.c.role, inputs.c.uri)
    parts = select(derived.c.artifact, literal(_PARTS).label("role"), artifact.c.uri).join_from(
        derived, artifact, artifact.c.id == derived.c.source
    )
    rows: list[Row[Any]] = []
    for some in portions(list(known)):
        of_these = union_all(
            told.where(among(transaction, inputs.c.artifact, some)),
            parts.where(among(transaction, derived.c.artifact, some)),
        )
        rows += transaction.execute(of_these.order_by("artifact", "role", "uri")).all()
    members = {each.uri: each for each in _members_with(transaction, artifact.c.uri, (row.uri for row in rows))}
    for row in rows:
        inputs_of = known[row.artifact].inputs
        if len(inputs_of) < MOST:
            inputs_of.append(Input(row.role, row.uri, members.get(row.uri)))


def _add_derived(transaction: Connection, known: Mapping[int, Linked]) -> None:
    inputs, derived, artifact = schema.product_input, schema.derived_from, schema.artifact
    sources = artifact.alias("source")
    told = select(sources.c.id.label("source"), inputs.c.role, inputs.c.artifact).join_from(
        sources, inputs, inputs.c.uri == sources.c.uri
    )
    parts = select(derived.c.source, literal(_PARTS).label("role"), derived.c.artifact)
    pairs: list[Row[Any]] = []
    for some in portions(list(known)):
        both = union_all(
            told.where(among(transaction, sources.c.id, some)), parts.where(among(transaction, derived.c.source, some))
        ).subquery()
        place = func.row_number().over(partition_by=both.c.source, order_by=both.c.artifact)
        first = select(both, place.label("place")).subquery()
        pairs += transaction.execute(select(first).where(first.c.place <= MOST)).all()
    members = {each.id: each for each in _members_with(transaction, artifact.c.id, (row.artifact for row in pairs))}
    for row in sorted(pairs, key=lambda row: row.artifact):
        if members[row.artifact].retracted is None:
            known[row.source].derived.append((row.role, members[row.artifact]))


# --- its like -------------------------------------------------------------------------------------


def _add_alike(transaction: Connection, known: Mapping[int, Linked]) -> None:
    groups: dict[object, list[Member]] = {}
    for other in _candidates(transaction, [each.member for each in known.values()]):
        if other.retracted is None:
            groups.setdefault(_likeness(other), []).append(other)
    for each in known.values():
        told = {each.member.id}
        told |= {given.member.id for given in each.inputs if given.member} | {made.id for _, made in each.derived}
        others = (other for other in groups.get(_likeness(each.member), ()) if other.id not in told)
        each.alike = [other for other in others if _is_other(each.member, other)][:MOST]


def _candidates(transaction: Connection, members: Sequence[Member]) -> list[Member]:
    """All files that may be like one of ``members``."""
    product = schema.product
    single = sorted({(each.exposure, each.detector) for each in members if each.exposure and each.detector})
    whole = sorted({each.exposure for each in members if each.exposure and each.detector is None})
    cells = sorted({each.cell for each in members if each.exposure is None and each.cell is not None})
    conditions = [
        *(
            among(transaction, product.c.exposure, [exposure for exposure, _ in pairs])
            & tuple_(product.c.exposure, product.c.detector).in_(pairs)
            for pairs in portions(single)
        ),
        *(among(transaction, product.c.exposure, some) & product.c.detector.is_(None) for some in portions(whole)),
        *(
            among(transaction, product.c["_healpix_29"], some) & product.c.exposure.is_(None)
            for some in portions(cells)
        ),
    ]
    # First the numbers, by the product's own indexes, which a join beginning with all files would not use.
    found = [
        each for one in conditions for each in transaction.execute(select(product.c.artifact).where(one)).scalars()
    ]
    return _members_with(transaction, schema.artifact.c.id, found)


def _likeness(member: Member) -> object:
    """What two files share that are like each other."""
    if member.exposure is not None:
        return member.instrument, member.exposure, member.detector
    return None if member.cell is None else (member.type, member.release, member.collection, member.cell)


def _is_other(member: Member, other: Member) -> bool:
    if member.exposure is not None:
        return (member.type, member.release) != (other.type, other.release)
    return member.band != other.band
