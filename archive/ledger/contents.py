"""Contents of releases: open, then frozen under a sealed manifest, at last perhaps withdrawn; an event each.

What is frozen never changes: whatever would change it asks here, in its own transaction, and is refused. All writers
hold the ledger's one write lock, so nothing slips by between the question and the change. Losing copies of files is no
change: the release is incomplete then, and ``docs/releases.md`` tells how that is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, select, union

from archive.faults import Fault, NotFound, TransientFault, UsageFault
from archive.ledger import events, schema
from archive.ledger.bulk import portions
from archive.ledger.database import now
from archive.ledger.editions import current_revision
from archive.ledger.events import Body
from archive.ledger.processes import forget_silent, living


class State(StrEnum):
    """May the content of a release change? Only while it is open."""

    OPEN = "open"
    FROZEN = "frozen"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of the release ``name``, and when what became of it (as the ledger writes times).

    ``manifest`` is the URI of the sealed list of ``files`` files with ``bytes`` bytes, ``digest`` its sha256.
    ``freezing`` is the process that is about to seal it.
    """

    name: str
    state: State
    created: str
    freezing: str | None = None
    frozen: str | None = None
    manifest: str | None = None
    digest: str | None = None
    files: int | None = None
    bytes: int | None = None
    published: str | None = None
    withdrawn: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """The manifest of a release, by its number in the ledger, with its sha256, and how much it lists."""

    manifest: int
    digest: str
    files: int
    bytes: int


# --- what is known --------------------------------------------------------------------------------


def find(transaction: Connection, name: str) -> Content | None:
    """What is said of the release; None if it was never created: then it is open."""
    found = transaction.execute(_all().where(schema.release.c.name == name)).one_or_none()
    return None if found is None else _content(found)


def named(transaction: Connection, name: str) -> Content:
    """As ``find``.

    Raises:
        NotFound: it was never created.
    """
    found = find(transaction, name)
    if found is None:
        raise NotFound(f"There is no release '{name}'.", f"Make it: archive release create {name}")
    return found


def everything(transaction: Connection) -> list[Content]:
    """All releases, in the order in which they were created."""
    return [_content(row) for row in transaction.execute(_all().order_by(schema.release.c.created))]


def withdrawn(transaction: Connection) -> dict[str, Content]:
    """Those that the public is not shown any more, by name."""
    rows = transaction.execute(_all().where(schema.release.c.state == State.WITHDRAWN))
    return {row.name: _content(row) for row in rows}


def of_files(transaction: Connection, artifacts: Iterable[int]) -> dict[int, Content]:
    """For each of these files the created release that it belongs to: as product, table or manifest of it."""
    found: dict[int, Content] = {}
    for numbers in portions(list(artifacts)):
        belongs = _belonging(numbers).subquery()
        rows = transaction.execute(
            _all().add_columns(belongs.c.artifact).join(belongs, belongs.c.release == schema.release.c.name)
        )
        found |= {row.artifact: _content(row) for row in rows}
    return found


def hidden(transaction: Connection, artifacts: Iterable[int]) -> dict[int, Content]:
    """Those of these files that the public is not shown any more, with the withdrawn release they belong to."""
    if not withdrawn(transaction):
        return {}
    found = of_files(transaction, artifacts)
    return {number: content for number, content in found.items() if content.state is State.WITHDRAWN}


def _belonging(numbers: Iterable[int]) -> Select[Any]:
    product, part, delivery, release = schema.product, schema.part, schema.delivery, schema.release
    wanted = list(numbers)
    return select(
        union(
            select(product.c.artifact, product.c.release.label("release")).where(product.c.artifact.in_(wanted)),
            select(part.c.artifact, part.c.schema).where(part.c.artifact.in_(wanted)),
            select(delivery.c.artifact, delivery.c.schema).where(delivery.c.artifact.in_(wanted)),
            select(release.c.manifest, release.c.name).where(release.c.manifest.in_(wanted)),
        ).subquery()
    )


# --- may it change? -------------------------------------------------------------------------------


def closed(transaction: Connection, names: Iterable[str]) -> dict[str, Fault]:
    """Why nothing may be put into those of these releases that are not open."""
    table, wanted = schema.release, sorted(set(names))
    rows = transaction.execute(_all().where(table.c.name.in_(wanted))).all() if wanted else []
    faults = {row.name: _fault(transaction, _content(row)) for row in rows}
    return {name: fault for name, fault in faults.items() if fault is not None}


def check_open(transaction: Connection, names: Iterable[str]) -> None:
    """Make sure, in the transaction of a change, that these releases may be changed.

    Raises:
        UsageFault: one of them is frozen or withdrawn.
        TransientFault: one of them is being frozen.
    """
    wanted = set(names)
    for fault in closed(transaction, wanted).values():
        raise fault
    abandoned = schema.release.c.freezing.is_not(None) & schema.release.c.name.in_(sorted(wanted))
    transaction.execute(schema.release.update().where(abandoned).values(freezing=None))  # whoever comes back, sees it


def check_open_files(transaction: Connection, artifacts: Iterable[int]) -> None:
    """As ``check_open``, for the releases that these files belong to."""
    check_open(transaction, {content.name for content in of_files(transaction, artifacts).values()})


def check_sealed(transaction: Connection, name: str) -> Content:
    """Make sure that a release is frozen.

    Raises:
        NotFound: there is no such release, or it was withdrawn.
        UsageFault: it is open.
    """
    content = named(transaction, name)
    if content.state is State.WITHDRAWN:
        raise gone(content)
    if content.state is not State.FROZEN:
        raise UsageFault(
            f"Release '{name}' is not frozen.",
            f"The public gets what changes no more: archive release freeze {name}",
            http=409,
        )
    return content


def _fault(transaction: Connection, content: Content) -> Fault | None:
    if content.state is State.WITHDRAWN:
        return gone(content)
    if content.state is State.FROZEN:
        return UsageFault(
            f"Release '{content.name}' was frozen on {str(content.frozen)[:10]}.",
            "Nothing in it changes any more: what is new belongs to another release.",
            http=409,
        )
    if content.freezing is not None:
        forget = select(schema.process.c.lease).where(schema.process.c.id == content.freezing)
        lease = transaction.execute(forget).scalar_one_or_none()
        if lease is not None and lease >= now():
            return TransientFault(f"Release '{content.name}' is being frozen.", "Look in a moment whether it is.")
    return None


def gone(content: Content) -> NotFound:
    """What the public is told of a release that was withdrawn."""
    return NotFound(
        f"Release '{content.name}' was withdrawn on {str(content.withdrawn)[:10]}: {content.reason}",
        "Ask the archive's operators what takes its place.",
        http=410,
    )


# --- what becomes of it ---------------------------------------------------------------------------


def create(transaction: Connection, name: str) -> bool:
    """Begin a release; whether it is new."""
    if find(transaction, name) is not None:
        return False
    transaction.execute(schema.release.insert().values(name=name, state=State.OPEN, created=now()))
    events.append(transaction, "release-created", {"release": name})
    return True


def begin_freezing(transaction: Connection, name: str, process: str) -> None:
    """From now on nothing changes in the release, as long as ``process`` lives and does not give up.

    Raises:
        NotFound: there is no such release.
        UsageFault: it is frozen or withdrawn already.
        TransientFault: another process is about to freeze it.
    """
    forget_silent(transaction)
    named(transaction, name)
    check_open(transaction, [name])
    transaction.execute(schema.release.update().where(schema.release.c.name == name).values(freezing=process))


def stop_freezing(transaction: Connection, name: str, process: str) -> None:
    """Give up: the release is open again."""
    table = schema.release
    here = (table.c.name == name) & (table.c.freezing == process)
    transaction.execute(table.update().where(here).values(freezing=None))


def freeze(transaction: Connection, name: str, process: str, seal: Seal) -> None:
    """Seal what ``process`` has listed since it began to freeze the release.

    Raises:
        TransientFault: the process was taken for dead meanwhile, so the list may be out of date.
    """
    table = schema.release
    values: dict[str, Any] = {"state": State.FROZEN, "freezing": None, "frozen": now()}
    values |= {"manifest": seal.manifest, "files": seal.files, "bytes": seal.bytes}
    here = (table.c.name == name) & (table.c.freezing == process)
    if (
        process not in living(transaction)
        or not transaction.execute(table.update().where(here).values(**values)).rowcount
    ):
        raise TransientFault("This process was silent for so long that it was taken for dead.", "Freeze it again.")
    told: Body = {"release": name, "sha256": seal.digest, "files": seal.files, "bytes": seal.bytes}
    events.append(transaction, "release-frozen", told)


def publish(transaction: Connection, name: str, public_from: str) -> int:
    """Let the public have a frozen release from ``public_from`` on; what it may have earlier it keeps.

    Returns how many files become public by that. The same again changes nothing.

    Raises:
        NotFound: there is no such release, or it was withdrawn.
        UsageFault: it is not frozen.
    """
    content = check_sealed(transaction, name)
    file, product, table = schema.artifact, schema.product, schema.release
    theirs = select(product.c.artifact).where(product.c.release == name)
    later = file.c.id.in_(theirs) & (file.c.public_from > public_from)
    opened = transaction.execute(file.update().where(later).values(public_from=public_from)).rowcount
    first = content.published is None or public_from < content.published
    if first:
        transaction.execute(table.update().where(table.c.name == name).values(published=public_from))
    if first or opened:
        told: Body = {"release": name, "public_from": public_from, "files": opened}
        events.append(transaction, "release-published", told)
    return opened


def withdraw(transaction: Connection, name: str, reason: str) -> bool:
    """Take a release from the public, which is told the ``reason``; whether that is new.

    Raises:
        NotFound: there is no such release.
        TransientFault: it is being frozen.
    """
    content = named(transaction, name)
    if content.state is State.WITHDRAWN:
        return False
    if content.state is State.OPEN:
        check_open(transaction, [name])
    table = schema.release
    values = {"state": State.WITHDRAWN, "withdrawn": now(), "reason": reason}
    transaction.execute(table.update().where(table.c.name == name).values(**values))
    revision = current_revision(transaction) + 1  # those who answer queries look at once what is shown
    transaction.execute(schema.revision.update().values(number=revision))
    events.append(transaction, "release-withdrawn", {"release": name})
    return True


def _all() -> Select[Any]:
    table, file = schema.release, schema.artifact
    return select(table, file.c.uri, file.c.sha256).outerjoin(file, file.c.id == table.c.manifest)


def _content(row: Row[Any]) -> Content:
    plain = ("created", "freezing", "frozen", "files", "bytes", "published", "withdrawn", "reason")
    return Content(
        row.name, State(row.state), manifest=row.uri, digest=row.sha256, **{name: getattr(row, name) for name in plain}
    )
