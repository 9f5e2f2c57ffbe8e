"""From facts to findings, and from findings to what is to be done. Nothing here looks at or changes anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from archive.backbone.stores import Lying
from archive.ledger.replicas import Has, Want
from archive.ledger.rounds import Copy

ORPHAN_AGE = timedelta(days=1)
"""A file that nobody names is an orphan after so long: before, it may be on its way in."""

# --- facts: what was seen of a copy ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nothing:
    """The store, which is there, has no such file."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The store lists a file of so many bytes; none of them was read."""

    size: int


@dataclass(frozen=True, slots=True)
class Read:
    """All bytes of the copy were read: their sha256 and number. ``fingerprint`` is that of the file they lie in."""

    sha256: str
    size: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Unread:
    """The store is there and did not give the bytes."""

    why: str


Seen = Nothing | Listed | Read | Unread

# --- findings --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Right:
    """The copy is as it should be; ``fingerprint`` is None if only its size was looked at."""

    copy: Copy
    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Returned:
    """The copy was known as bad or absent, and all its bytes are right."""

    copy: Copy
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Doubtful:
    """The copy was known as bad or absent, and there is a file of the right size: all of it has to be read."""

    copy: Copy


@dataclass(frozen=True, slots=True)
class Damaged:
    """The copy has other bytes than were registered."""

    copy: Copy
    found: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The copy is not where it should be."""

    copy: Copy


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Nobody knows: the copy cannot be read."""

    copy: Copy
    why: str


@dataclass(frozen=True, slots=True)
class Known:
    """The copy is still as bad or as absent as it is known to be; or it is to be dropped, and nobody minds."""

    copy: Copy


@dataclass(frozen=True, slots=True)
class Orphan:
    """A file that no copy is said to be and that nobody brings in."""

    store: str
    lying: Lying


Finding = Right | Returned | Doubtful | Damaged | Missing | Unreadable | Known | Orphan
Failure = Damaged | Missing | Unreadable


def judge(copy: Copy, seen: Seen) -> Finding:
    """What it means that of a copy this was seen."""
    if copy.replica.want is Want.DROP:
        return Known(copy)
    expected = copy.replica.has is Has.PRESENT
    match seen:
        case Nothing():
            return Missing(copy) if expected else Known(copy)
        case Unread(why):
            return Unreadable(copy, why) if expected else Known(copy)
        case Listed(size) if size != copy.size:
            return Damaged(copy, _sizes(size, copy)) if expected else Known(copy)
        case Listed():
            return Right(copy, None) if expected else Doubtful(copy)
        case Read(sha256, size, fingerprint) if (sha256, size) == (copy.sha256, copy.size):
            return Right(copy, fingerprint) if expected else Returned(copy, fingerprint)
        case Read(sha256, size):
            found = f"sha256 {sha256}" if size == copy.size else _sizes(size, copy)
            return Known(copy) if copy.replica.has is Has.BAD else Damaged(copy, found)


def _sizes(size: int, copy: Copy) -> str:
    return f"{size} bytes instead of {copy.size}"


def is_orphan(lying: Lying, now: datetime, arriving: frozenset[str]) -> bool:
    """Whether a file that no copy is said to be belongs to nobody; ``arriving`` are marks of what is on its way in:
    folders, and names of steps of paths.
    """
    underway = any(lying.path.startswith(f"{mark}/") or f"/{mark}/" in lying.path for mark in arriving)
    return not underway and now - lying.changed > ORPHAN_AGE


# --- actions ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acquit:
    """Note that the copy is right; ``back`` if it counted as bad or absent."""

    copy: Copy
    fingerprint: str
    back: bool


@dataclass(frozen=True, slots=True)
class Condemn:
    """Note that the copy is bad: nobody is given it again."""

    copy: Copy
    found: str


@dataclass(frozen=True, slots=True)
class Miss:
    """Note that the copy is absent."""

    copy: Copy


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell people, and change nothing: a copy that cannot be read may be read tomorrow."""

    copy: Copy
    why: str


Action = Acquit | Condemn | Miss | Tell


def decide(finding: Finding) -> Action | None:
    """What is to be done about a finding; None if nothing is. Bytes are never touched: that is for mending."""
    match finding:
        case Right(copy, str(fingerprint)):
            return Acquit(copy, fingerprint, back=False)
        case Returned(copy, fingerprint):
            return Acquit(copy, fingerprint, back=True)
        case Damaged(copy, found):
            return Condemn(copy, found)
        case Missing(copy):
            return Miss(copy)
        case Unreadable(copy, why):
            return Tell(copy, why)
        case _:
            return None
