"""Tables over the ledger that astronomers query (``ivoa.obscore``, ``backbone.*``): their rows, and what changed.

Each is one SELECT over the ledger's tables, so that what it shows is what the ledger holds at that moment: files with a
present copy that are not retracted and whose release is not withdrawn, whole datasets. Files that are proprietary
still are told of, but not given away: that there is such an observation is public (ObsCore 1.1 section 4.1 has
``obs_release_date`` and ``data_rights`` for it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Select, exists, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from archive.ledger import schema
from archive.ledger.bulk import portions
from archive.ledger.database import now
from archive.ledger.replicas import Has

Key = tuple[str, str]

LINKS = "_links"
"""The column of what follows the service's own address in ``access_url``."""
KEY = "_key"
"""The column that tells which thing of the ledger a row is of; a thing may have several rows."""

MOST = 10_000
"""Changed things that are read beside an edition; with more a new one is due."""
_UNCOUNTED = 10_000  # rows, of a table that was never counted
_LINKS = "/datalink/links?ID="
_MEANT = {"%": "%25", "&": "%26", "+": "%2B", "#": "%23"}  # signs that mean something else in a query, % first


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A table over the ledger: ``rows`` has the described columns by name, ``KEY`` and internal ones.

    ``subject`` is what the keys are numbers of, see the ledger table ``changed``; ``of`` is the key of a row. Texts in
    the columns ``folded`` are looked up without regard to case. ``intervals`` are columns of least and greatest values.
    """

    key: Key
    subject: str
    rows: Select[Any]
    of: ColumnElement[int]
    folded: tuple[str, ...] = ()
    intervals: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Compacted:
    """An edition of a table over the ledger in the form ``form``; all that changed up to ``upto`` is in it."""

    number: int
    place: str
    form: str
    rows: int
    upto: int


# --- what they show -------------------------------------------------------------------------------


class _Before(GenericFunction[int]):
    """Where a text is found first in another, from 1."""

    name = "strpos"
    type = sa.Integer()
    inherit_cache = True


@compiles(_Before, "sqlite")
def _instr(element: _Before, compiler: SQLCompiler, **kw: Any) -> str:
    return f"instr({compiler.process(element.clauses, **kw)})"


def _did(uri: ColumnElement[str]) -> ColumnElement[str]:
    """As ``site.publisher_did``: ``archive://<authority>/<path>`` is ``ivo://<authority>/files?<path>``."""
    rest = func.substr(uri, len("archive://") + 1)
    slash = _Before(rest, "/")
    return (
        literal("ivo://").concat(func.substr(rest, 1, slash - 1)).concat("/files?").concat(func.substr(rest, slash + 1))
    )


def _links(did: ColumnElement[str]) -> ColumnElement[str]:
    for sign, code in _MEANT.items():
        did = func.replace(did, sign, code)
    return literal(_LINKS).concat(did)


def _time(column: ColumnElement[str]) -> ColumnElement[str]:
    """A time of the ledger without the letter at its end: as a time without zone is written."""
    return func.substr(column, 1, 26)


_file, _product, _copy = schema.artifact, schema.product, schema.replica


def _here(file: sa.FromClause) -> ColumnElement[bool]:
    """Whether the file counts, and can be had here.

    Told by what a copy is not: by an equality SQLite would look for it among all copies that are present.
    """
    lost = (_copy.c.has != has.value for has in Has if has is not Has.PRESENT)
    present = exists().where(_copy.c.artifact == file.c.id, *lost)
    return file.c.retracted.is_(None) & present


def _not_withdrawn(release: ColumnElement[str]) -> ColumnElement[bool]:
    gone = schema.release.alias()
    return ~exists().where(gone.c.name == release, gone.c.state == "withdrawn")


_UNKNOWN = (  # columns of ObsCore of which this archive knows nothing
    "target_class",
    "obs_creator_name",
    "obs_creator_did",
    "bib_reference",
    "s_resolution_min",
    "s_resolution_max",
    "s_stat_error",
    "t_stat_error",
    "em_res_power_min",
    "em_res_power_max",
    "em_stat_error",
    "o_stat_error",
)


def _obscore() -> Listing:
    seen = schema.observation
    given = [column for column in seen.c if column.name != "artifact"]
    authority = select(schema.site.c.authority).limit(1).scalar_subquery()
    rows = (
        select(
            seen.c.artifact.label(KEY),
            *given,
            _links(seen.c.obs_publisher_did).label(LINKS),
            literal("ivo://").concat(authority).label("publisher_id"),
            literal("pos").label("s_ucd"),
            literal("deg").label("s_unit"),
            literal("m").label("em_unit"),
            *(sa.null().label(name) for name in _UNKNOWN),
        )
        .join_from(seen, _file, _file.c.id == seen.c.artifact)
        .outerjoin(_product, _product.c.artifact == seen.c.artifact)
        .where(_here(_file), _not_withdrawn(_product.c.release))
    )
    intervals = (("t_min", "t_max"), ("em_min", "em_max"))
    return Listing(("ivoa", "obscore"), "file", rows, seen.c.artifact, ("obs_publisher_did",), intervals)


def _files() -> Listing:
    did = _did(_file.c.uri)
    told = (column for column in _product.c if column.name not in ("artifact", "metadata"))
    rows = (
        select(
            _file.c.id.label(KEY),
            _file.c.uri,
            did.label("obs_publisher_did"),
            _links(did).label(LINKS),
            _file.c.sha256,
            _file.c.size,
            _file.c.media_type,
            _time(_file.c.registered).label("registered"),
            _time(_file.c.public_from).label("public_from"),
            *told,
        )
        .outerjoin_from(_file, _product, _product.c.artifact == _file.c.id)
        .where(_here(_file), _not_withdrawn(_product.c.release))
    )
    return Listing(("backbone", "files"), "file", rows, _file.c.id, intervals=(("t_min", "t_max"),))


def _whole(dataset: sa.FromClause) -> ColumnElement[bool]:
    """Whether a dataset is the one that is found, and everything in it can be had."""
    member, file = schema.dataset_file, schema.artifact.alias()
    lacking = exists().where(member.c.dataset == dataset.c.id, member.c.artifact == file.c.id, ~_here(file))
    return (dataset.c.state == "found") & ~lacking


def _datasets() -> Listing:
    made, run = schema.dataset, schema.collection
    told = (made.c[name] for name in ("uri", "type", "data_id", "attempt", "digest", "files", "bytes", "rows"))
    rows = (
        select(made.c.id.label(KEY), *told, run.c.name.label("collection"), _time(made.c.ended).label("sealed"))
        .join_from(made, run, run.c.id == made.c.collection)
        .where(_whole(made))
    )
    return Listing(("backbone", "datasets"), "dataset", rows, made.c.id)


def _members() -> Listing:
    made, member = schema.dataset, schema.dataset_file
    rows = (
        select(made.c.id.label(KEY), made.c.uri.label("dataset"), _file.c.uri.label("file"), member.c.role)
        .join_from(made, member, member.c.dataset == made.c.id)
        .join(_file, _file.c.id == member.c.artifact)
        .where(_whole(made))
    )
    return Listing(("backbone", "members"), "dataset", rows, made.c.id)


def _collections() -> Listing:
    run = schema.collection
    rows = select(run.c.id.label(KEY), run.c.name, run.c.kind, _time(run.c.created).label("created"), run.c.about)
    return Listing(("backbone", "collections"), "collection", rows, run.c.id)


def _provenance() -> Listing:
    """What deliverers and headers said of inputs, what our own work made of deliveries, what activities used."""
    told, parts, made, used = schema.product_input, schema.derived_from, schema.was_generated_by, schema.used
    source, doing = schema.artifact.alias(), schema.activity
    file = _file.c.uri.label("entity")
    pairs = sa.union_all(
        select(_file.c.id.label(KEY), file, told.c.role, told.c.uri.label("source"), sa.null().label("activity"))
        .join_from(_file, told, told.c.artifact == _file.c.id)
        .where(_here(_file), ~_is_used(_file.c.id, told.c.uri)),
        select(_file.c.id.label(KEY), file, literal("delivery").label("role"), source.c.uri, sa.null())
        .join_from(_file, parts, parts.c.artifact == _file.c.id)
        .join(source, source.c.id == parts.c.source)
        .where(_here(_file), ~_is_used(_file.c.id, source.c.uri)),
        select(_file.c.id.label(KEY), file, used.c.role, used.c.entity, doing.c.uri)
        .join_from(_file, made, made.c.entity == _file.c.id)
        .join(used, used.c.activity == made.c.activity)
        .join(doing, doing.c.id == made.c.activity)
        .where(_here(_file)),
    ).subquery()
    return Listing(("backbone", "provenance"), "file", select(pairs), pairs.c[KEY])


def _is_used(file: ColumnElement[int], source: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether the activity that made a file says itself that it used ``source``."""
    made, used = schema.was_generated_by.alias(), schema.used.alias()
    return exists().where(made.c.entity == file, used.c.activity == made.c.activity, used.c.entity == source)


def _activities() -> Iterator[Listing]:
    doing, used, made = schema.activity, schema.used, schema.was_generated_by
    plain = (doing.c[name] for name in ("name", "software", "version", "agent", "comment", "told"))
    times = (_time(doing.c[name]).label(name) for name in ("start_time", "stop_time"))
    rows = select(doing.c.id.label(KEY), doing.c.uri.label("id"), *plain, *times)
    yield Listing(("backbone", "activity"), "activity", rows, doing.c.id)
    rows = select(doing.c.id.label(KEY), doing.c.uri.label("activity"), used.c.role, used.c.entity).join_from(
        doing, used, used.c.activity == doing.c.id
    )
    yield Listing(("backbone", "used"), "activity", rows, doing.c.id)
    rows = (
        select(_file.c.id.label(KEY), _file.c.uri.label("entity"), doing.c.uri.label("activity"), made.c.role)
        .join_from(_file, made, made.c.entity == _file.c.id)
        .join(doing, doing.c.id == made.c.activity)
        .where(_here(_file))
    )
    yield Listing(("backbone", "generated"), "file", rows, _file.c.id)


_ALL = (_obscore(), _files(), _datasets(), _members(), _collections(), _provenance(), *_activities())

LISTINGS: Mapping[Key, Listing] = {listing.key: listing for listing in _ALL}
"""All tables over the ledger, by schema and name."""


# --- their rows -----------------------------------------------------------------------------------


def rows(
    transaction: Connection,
    listing: Listing,
    names: Sequence[str],
    keys: Sequence[int] | None = None,
    batch: int = 20_000,
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The columns ``names`` of all rows, or of those of ``keys``, as SQLite keeps the values, in batches."""
    inner = listing.rows
    for some in [None] if keys is None else portions(keys):
        wanted = inner if some is None else inner.where(listing.of.in_(some))
        of = wanted.subquery()
        statement = select(*(of.c[name] for name in names)).compile(
            dialect=transaction.dialect, compile_kwargs={"literal_binds": True}
        )
        cursor = transaction.exec_driver_sql(str(statement)).cursor
        while found := cursor.fetchmany(batch):
            yield found


# --- what changed ---------------------------------------------------------------------------------


def changes(transaction: Connection, subject: str, after: int) -> list[int]:
    """The keys of what changed since number ``after``."""
    table = schema.changed
    wanted = select(table.c.key).where(table.c.number > after, table.c.subject == subject)
    return list(transaction.execute(wanted).scalars())


def count_changes(transaction: Connection) -> int:
    """How many things changed since editions were made."""
    return int(transaction.execute(select(func.count()).select_from(schema.changed)).scalar_one())


def estimate(transaction: Connection, listing: Listing) -> int:
    """About how many rows a table has in a database that counts them by and by (PostgreSQL)."""
    table = listing.of.table if isinstance(listing.of, sa.Column) and isinstance(listing.of.table, sa.Table) else _file
    counted = func.coalesce(func.nullif(sa.literal_column("reltuples"), -1), _UNCOUNTED)
    found = select(counted).select_from(sa.text("pg_class")).where(sa.text("oid = to_regclass(:name)"))
    return int(transaction.execute(found, {"name": table.name}).scalar_one())


def last_change(transaction: Connection) -> int:
    """The highest number there is or was; numbers only grow."""
    table = schema.changed
    highest = transaction.execute(select(func.max(table.c.number))).scalar_one()
    upto = transaction.execute(select(func.max(schema.inventory.c.upto))).scalar_one()
    return max(highest or 0, upto or 0)


def compacted(transaction: Connection) -> dict[Key, Compacted]:
    """The editions in force."""
    table = schema.inventory
    found = transaction.execute(select(table).where(table.c.replaced.is_(None)).order_by(table.c.number))
    return {(row.schema, row.table): Compacted(row.number, row.place, row.form, row.rows, row.upto) for row in found}


def replace(transaction: Connection, made: Mapping[Key, Compacted]) -> None:
    """Put these editions in force, all at once. What changed up to then is noted no more.

    One that is in force already is from now on known to hold more.
    """
    table = schema.inventory
    time = now()
    for key, each in made.items():
        here = (table.c.schema == key[0]) & (table.c.table == key[1]) & table.c.replaced.is_(None)
        renewed = transaction.execute(table.update().where(here, table.c.place == each.place).values(upto=each.upto))
        if renewed.rowcount:
            continue
        transaction.execute(table.update().where(here).values(replaced=time))
        values = {"place": each.place, "form": each.form, "rows": each.rows, "upto": each.upto, "made": time}
        transaction.execute(table.insert().values(schema=key[0], table=key[1], **values))
    upto = min(each.upto for each in made.values())
    transaction.execute(schema.changed.delete().where(schema.changed.c.number <= upto))


def replaced(transaction: Connection, before: str) -> list[tuple[int, str]]:
    """Numbers and places of the editions that were replaced before a time."""
    table = schema.inventory
    found = transaction.execute(select(table.c.number, table.c.place).where(table.c.replaced < before))
    return [(row.number, row.place) for row in found]


def places(transaction: Connection) -> set[str]:
    """The places of all editions that are not forgotten."""
    return set(transaction.execute(select(schema.inventory.c.place)).scalars())


def forget(transaction: Connection, numbers: Sequence[int]) -> None:
    """Editions whose bytes are gone."""
    for some in portions(numbers):
        transaction.execute(schema.inventory.delete().where(schema.inventory.c.number.in_(some)))
