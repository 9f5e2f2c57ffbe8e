"""Facts: what a store has where a copy should be. Nothing here judges or changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from archive.backbone.stores import Lying, Store
from archive.backbone.verification.judging import Listed, Nothing, Read, Seen, Unread
from archive.faults import Fault, NotFound, TransientFault
from archive.ledger import Ledger, rounds
from archive.ledger.rounds import Copy

_PAGE = 5000  # copies that are asked for at once


def read(store: Store, copy: Copy, progress: Callable[[int], None] = lambda size: None) -> Seen | None:
    """All bytes of a copy, unless its size tells already; None if the store cannot say now."""
    place = copy.replica.place
    first = place.offset or 0
    last = None if place.offset is None else first + copy.size - 1

    def reading() -> Seen:
        with store.open(place.path, first, last) as opened:
            if place.offset is None and opened.size != copy.size:
                return Listed(opened.size)
            sha256, size = opened.digest(progress)
            return Read(sha256, size, opened.fingerprint)

    return _seen(reading)


def glance(store: Store, copy: Copy) -> Seen | None:
    """Whether there is a file, and its size; None if the store cannot say now."""

    def looking() -> Seen:
        size = store.size(copy.path)
        return Nothing() if size is None else Listed(size)

    return _seen(looking)


def _seen(look: Callable[[], Seen]) -> Seen | None:
    try:
        return look()
    except NotFound:
        return Nothing()
    except TransientFault:
        return None
    except Fault as fault:
        return Unread(fault.message)


def copies_by_path(ledger: Ledger, store: str, after: str) -> Iterator[Copy]:
    """The copies that should lie in a store by themselves, as the ledger says when they are asked for."""
    while True:
        with ledger.read() as transaction:
            page = rounds.by_path(transaction, store, after, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].path


def side_by_side(copies: Iterator[Copy], lying: Iterator[Lying]) -> Iterator[tuple[Copy | None, Lying | None]]:
    """What should lie in a store beside what does, both in the order of their paths."""
    copy, there = next(copies, None), next(lying, None)
    while copy is not None or there is not None:
        if there is None or (copy is not None and copy.path < there.path):
            yield copy, None
            copy = next(copies, None)
        elif copy is None or there.path < copy.path:
            yield None, there
            there = next(lying, None)
        else:
            yield copy, there
            copy, there = next(copies, None), next(lying, None)
