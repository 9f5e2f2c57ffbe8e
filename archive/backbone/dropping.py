"""Files and spare copies leave, come back, and are deleted: what ``retention`` finds is done here.

Facts are read, judged and acted upon in one transaction that holds the ledger's write lock; so the copies and rules by
which a file may go are still there when it is noted that it goes. Nothing is deleted then: its bytes lie where they
lay until its grace has passed, and ``sweep`` deletes them. It takes them in the ledger first, so whatever happens
meanwhile, a copy either comes back whole or goes for good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.policies import policies
from archive.backbone.retention import Finding, Rule, Terms, domains_needed, fresh, judge, judge_copy
from archive.backbone.returning import returned
from archive.backbone.steps import step
from archive.faults import FatalFault, Fault, NotFound, UsageFault
from archive.ledger import events, files, incidents, replicas, retention
from archive.ledger.files import Known
from archive.ledger.replicas import MAIN, Has, Replica
from archive.ledger.retention import Facts, Leaving
from archive.products import product_types

_PAGE = 256  # files of one transaction
_SIDE_BY_SIDE = 8
_SHOWN = 5  # files in one message
_FRESH = timedelta(days=1)  # a check of a copy that others are dropped for

Progress = Callable[[str, int], None]
"""Told as work goes on: "files" and how many more are done, "read" and how many more bytes were."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep deleted, or would delete: copies and their bytes; and those it left, with the reason."""

    copies: int
    size: int
    held: tuple[tuple[Leaving, str], ...]


# --- files leave --------------------------------------------------------------------------------------


def drop(
    endpoint: Endpoint,
    uris: Sequence[str],
    *,
    reason: str,
    by: str | None = None,
    forced: bool = False,
    dry: bool = False,
) -> list[Finding]:
    """Drop these files, all of them or none; those that were dropped before are left out.

    ``forced`` drops those too whose days are not over. Nothing drops files that are kept for ever.

    Raises:
        NotFound: one of them is not registered.
        UsageFault: no reason is given, or one of them stays; tells what keeps it.
    """
    _check_reason(reason)
    terms = _terms(endpoint)
    with _transaction(endpoint, by, reason, dry=dry) as transaction:
        known = _found(transaction, uris)
        asked = retention.facts(transaction, [each.id for each in known.values()])
        findings = [judge(file, terms, forced=forced) for file in asked if file.dropped is None]
        stay = [finding for finding in findings if finding.rule is None]
        if stay:
            raise _refusal([(each.file.uri, each.why) for each in stay], "dropped")
        if not dry:
            _note(endpoint, transaction, findings)
    step("drop.noted")
    return findings


def drop_by_rule(
    endpoint: Endpoint,
    rules: Collection[Rule],
    *,
    reason: str,
    by: str | None = None,
    limit: int | None = None,
    dry: bool = False,
    told: Callable[[Finding], None] = lambda finding: None,
    progress: Progress = lambda step, done: None,
) -> Counter[Rule]:
    """Drop all files, or the first ``limit`` of them, that ``rules`` let go; ``told`` hears of each."""
    _check_reason(reason)
    terms, counts = _terms(endpoint), Counter[Rule]()
    for source in _sources(terms, rules):
        after, page = 0, [0]
        while page and counts.total() < (limit or counts.total() + 1):
            with _transaction(endpoint, by, reason, dry=dry) as transaction:
                page = source(transaction, after)
                findings = [judge(file, terms) for file in retention.facts(transaction, page)]
                going = [each for each in findings if each.rule in rules]
                going = going[: limit - counts.total()] if limit else going
                if not dry:
                    _note(endpoint, transaction, going)
            step("drop.noted")
            counts.update(each.rule for each in going if each.rule is not None)
            for finding in going:
                told(finding)
            progress("files", len(page))
            after = max(page, default=after)
    return counts


Source = Callable[[Connection, int], list[int]]
"""Gives the next page of numbers of files that may go, after a number."""


def _sources(terms: Terms, rules: Collection[Rule]) -> Iterator[Source]:
    passing = terms.policies.passing(terms.types)
    days = min((each for each in passing.values() if each is not None), default=0)
    before = terms.moment - timedelta(days=0 if Rule.WITHDRAWN in rules else days)
    if Rule.RETRACTED in rules:
        yield lambda transaction, after: retention.retracted(transaction, after, _PAGE)
    if set(rules) - {Rule.RETRACTED} and passing:
        yield lambda transaction, after: retention.candidates(transaction, passing, before, after, _PAGE)


def _note(endpoint: Endpoint, transaction: Connection, findings: Iterable[Finding]) -> None:
    going = {each.file.id: (each.file.uri, str(each.rule)) for each in findings}
    if going:
        retention.drop(transaction, going, _until(endpoint))
        for uri, _ in going.values():
            incidents.close_incident(transaction, "bad-copy", uri)
            incidents.close_incident(transaction, "missing-copy", uri)
        step("drop.noting")


# --- spare copies leave -------------------------------------------------------------------------------


def drop_copies(
    endpoint: Endpoint,
    store: str,
    uris: Sequence[str],
    *,
    reason: str,
    by: str | None = None,
    dry: bool = False,
    progress: Progress = lambda step, done: None,
) -> list[Facts]:
    """Drop the copies of these files in one store, all of them or none, because enough others stay.

    The others are read first, where that was not done within a day. Enough are as many as new files get (the setting
    copies), in as many failure domains.

    Raises:
        UsageFault: one of them is not to spare.
    """
    _check_reason(reason)
    _check_store(endpoint, store)
    with endpoint.ledger.read() as transaction:
        known = _found(transaction, uris)
        numbers = [each.id for each in known.values()]
        before = retention.facts(transaction, numbers)
    if not dry:
        for file in before:
            _refresh(endpoint, known[file.uri], [copy for copy in file.copies if copy.place.store != store], progress)
    with _transaction(endpoint, by, reason, dry=dry) as transaction:
        asked = retention.facts(transaction, numbers)
        found = [(file, *_judged(endpoint, file, store, dry=dry)) for file in asked]
        stay = [(file.uri, why) for file, copy, why in found if copy is None]
        if stay:
            raise _refusal(stay, f"spared in the store {store}")
        for file in () if dry else asked:
            retention.drop_copy(transaction, file.id, file.uri, store, _until(endpoint))
        step("drop.noting")
    step("drop.noted")
    return asked


def _judged(endpoint: Endpoint, file: Facts, store: str, *, dry: bool) -> tuple[Replica | None, str]:
    """A dry run takes the other copies to be as good as they are said to be."""
    domains = {name: each.domain for name, each in endpoint.stores.items()}
    needed = domains_needed(domains, (MAIN, *endpoint.config.copies))
    since = datetime.min.replace(tzinfo=UTC) if dry else datetime.now(UTC) - _FRESH
    return judge_copy(file, store, domains, needed, since)


def _refresh(endpoint: Endpoint, known: Known, copies: Iterable[Replica], progress: Progress) -> None:
    """Read the copies that are present and were not read for long; say what was found."""
    present = [copy for copy in copies if copy.has is Has.PRESENT]
    since = datetime.now(UTC) - _FRESH
    for copy in present:
        if copy in fresh(present, since):
            continue
        right, found = _whole(endpoint, copy, known.artifact.sha256, known.artifact.size, progress)
        with endpoint.ledger.write() as transaction:
            if right:
                replicas.mark_checked(transaction, copy.artifact, copy.place.store, found)
            else:
                replicas.mark_bad(transaction, copy.artifact, copy.place.store, found)


def _whole(endpoint: Endpoint, copy: Replica, sha256: str, size: int, progress: Progress) -> tuple[bool, str]:
    """Whether a copy, read whole, is right; with its fingerprint, or what is wrong."""
    place = copy.place
    store, offset = endpoint.stores.get(place.store), place.offset or 0
    if store is None:
        raise FatalFault(f"There is no store '{place.store}'.", "See the setting stores.")
    try:
        with store.open(place.path, offset, offset + size - 1) as opened:
            found = opened.digest(lambda more: progress("read", more))
            long = place.bundle is None and opened.size != size
            right = found == (sha256, size) and not long
            return right, opened.fingerprint if right else f"sha256 {found[0]}, {opened.size} bytes"
    except NotFound:
        return False, "it is not there"


# --- files come back ----------------------------------------------------------------------------------


def undrop(
    endpoint: Endpoint,
    uris: Sequence[str],
    *,
    reason: str,
    by: str | None = None,
    dry: bool = False,
    progress: Progress = lambda step, done: None,
) -> list[str]:
    """Bring dropped files and copies back whose bytes are still there; returns those that came. Each is read first.

    Raises:
        NotFound: one of them is not registered.
        UsageFault: one was taken back, or its bytes are deleted already.
        FatalFault: the bytes of one are damaged.
    """
    _check_reason(reason)
    with endpoint.ledger.read() as transaction:
        known = _found(transaction, uris)
        rows = retention.leaving(transaction, of=[each.id for each in known.values()])
        facts = retention.facts(transaction, [each.id for each in known.values()])
    by_uri: dict[str, list[Leaving]] = {uri: [row for row in rows if row.uri == uri] for uri in known}
    gone = [(file.uri, "its bytes are deleted; ingest it again") for file in facts if _is_gone(file, by_uri[file.uri])]
    gone += [(file.uri, "it was taken back, and stays so") for file in facts if file.retracted]
    if gone:
        raise _refusal(gone, "brought back")
    due = [uri for uri, leaving in by_uri.items() if leaving]
    for uri in () if dry else due:
        _bring_back(endpoint, by_uri[uri], by, reason, progress)
    return due


def _is_gone(file: Facts, leaving: Sequence[Leaving]) -> bool:
    return file.dropped is not None and all(each.taken for each in leaving)


def _bring_back(endpoint: Endpoint, rows: Sequence[Leaving], by: str | None, reason: str, progress: Progress) -> None:
    uri, number = rows[0].uri, rows[0].copy.artifact
    looked = [(row, *_whole(endpoint, row.copy, row.sha256, row.size, progress)) for row in rows if not row.taken]
    right = [(row.copy, fingerprint) for row, is_right, fingerprint in looked if is_right]
    if not right:
        raise FatalFault(f"The bytes of {uri} are damaged.", "Ingest it again: the same bytes bring it back.")
    step("undrop.read")
    with endpoint.ledger.write(by, reason) as transaction:
        came = [copy.place.store for copy, found in right if retention.come_back(transaction, copy, found)]
        if not came:
            raise UsageFault(f"The bytes of {uri} were deleted just now.", "Ingest it again.")
        returned(endpoint, transaction, {number: files.find(transaction, [uri])[uri].artifact})
        events.append(transaction, "undrop", {"uri": uri, "stores": came})
    step("undrop.noted")


# --- bytes go -----------------------------------------------------------------------------------------


def sweep(
    endpoint: Endpoint,
    *,
    by: str | None = None,
    limit: int | None = None,
    dry: bool = False,
    progress: Progress = lambda step, done: None,
) -> Swept:
    """Delete the bytes of copies whose grace is over. A sweep that was broken off is completed by the next.

    A spare copy stays if the others are not good any more.
    """
    copies = size = 0
    held: list[tuple[Leaving, str]] = []
    while limit is None or copies + len(held) < limit:
        most = _PAGE if limit is None else min(_PAGE, limit - copies - len(held))
        with endpoint.ledger.read() as transaction:
            page = retention.leaving(transaction, due=True, skip=len(held) + (copies if dry else 0), most=most)
        reasons = [(each, _held(endpoint, each, progress, dry=dry)) for each in page]
        held += [(each, why) for each, why in reasons if why is not None]
        going = [each for each, why in reasons if why is None]
        for each in going if dry else _delete(endpoint, going, by):
            copies += 1
            size += each.size if each.copy.place.bundle is None and not each.copy.place.adopted else 0
        progress("files", len(page))
        if len(page) < most:
            break
    return Swept(copies, size, tuple(held))


def _held(endpoint: Endpoint, row: Leaving, progress: Progress, *, dry: bool) -> str | None:
    """Why a copy whose grace is over is not deleted; None if nothing speaks against it."""
    place = row.copy.place
    store = endpoint.stores.get(place.store)
    if store is None:
        return f"there is no store {place.store}"
    if not store.writable and not place.adopted:
        return f"the store {place.store} is read-only"
    if not row.spare or row.taken:
        return None
    with endpoint.ledger.read() as transaction:
        known = files.find(transaction, [row.uri])[row.uri]
        (file,) = retention.facts(transaction, [row.copy.artifact])
    if not dry:
        _refresh(endpoint, known, file.copies, progress)
        with endpoint.ledger.read() as transaction:
            (file,) = retention.facts(transaction, [row.copy.artifact])
    return _short_of(endpoint, file, dry=dry)


def _short_of(endpoint: Endpoint, file: Facts, *, dry: bool) -> str | None:
    domains = {name: each.domain for name, each in endpoint.stores.items()}
    needed = domains_needed(domains, (MAIN, *endpoint.config.copies))
    since = datetime.min.replace(tzinfo=UTC) if dry else datetime.now(UTC) - _FRESH
    good = {
        domains[copy.place.store]
        for copy in fresh(file.copies, since)
        if copy.has is Has.PRESENT and copy.place.store in domains
    }
    if len(good) < needed:
        return f"only {len(good)} other good copies are left: bring it back with 'archive undrop'"
    return None


def _delete(endpoint: Endpoint, rows: Sequence[Leaving], by: str | None) -> list[Leaving]:
    """Delete copies; those that came back in the meantime stay. Returns those deleted."""
    with endpoint.ledger.write(by) as transaction:
        numbers = {row.copy.artifact for row in rows}
        still = set(map(_key, retention.leaving(transaction, of=numbers)))
        going = [row for row in rows if _key(row) in still]
        retention.take(transaction, [row.copy for row in going])
    step("sweep.taken")
    ours = [row.copy.place for row in going if not row.copy.place.adopted and row.copy.place.bundle is None]
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        list(threads.map(lambda place: endpoint.stores[place.store].delete(place.path), ours))
    step("sweep.deleted")
    with endpoint.ledger.write(by) as transaction:
        retention.forget(transaction, going)
    step("sweep.noted")
    return going


def _key(row: Leaving) -> tuple[int, str, datetime]:
    return row.copy.artifact, row.copy.place.store, row.since


# --- all of these -------------------------------------------------------------------------------------


def _terms(endpoint: Endpoint) -> Terms:
    folders = endpoint.config.description_folders
    types = product_types(folders)
    return Terms(types, policies(folders, types), datetime.now(UTC))


def _transaction(endpoint: Endpoint, by: str | None, reason: str, *, dry: bool) -> AbstractContextManager[Connection]:
    return endpoint.ledger.read() if dry else endpoint.ledger.write(by, reason)


def _until(endpoint: Endpoint) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=endpoint.config.drop_grace)


def _found(transaction: Connection, uris: Sequence[str]) -> Mapping[str, Known]:
    found = files.find(transaction, uris)
    missing = [uri for uri in uris if uri not in found]
    if missing:
        raise NotFound(f"{missing[0]}: no such file is registered.", "Write its whole URI: archive://...")
    return found


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why: --reason "...".')


def _check_store(endpoint: Endpoint, store: str) -> None:
    if store not in endpoint.stores:
        raise UsageFault(f"There is no store '{store}'.", f"Stores: {', '.join(endpoint.stores)}.")


def _refusal(stay: Sequence[tuple[str, str]], what: str) -> Fault:
    lines = [f"{uri} cannot be {what}: {why}." for uri, why in stay[:_SHOWN]]
    if len(stay) > _SHOWN:
        lines.append(f"{len(stay) - _SHOWN:,} others cannot either.")
    return UsageFault("\n".join(lines), "Nothing was changed.", http=409)
