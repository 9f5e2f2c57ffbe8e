"""An archive full of small files for tests, ways to damage them behind everybody's back, and what the ledger says."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select

from archive.backbone import gathering
from archive.backbone.endpoint import Endpoint
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Status, Terms
from archive.ledger import incidents, schema

TERMS = Terms("other", "sp_test", "notes")
PREFIX = "archive://archive.test/sp_test/notes/night/"


def fill(endpoint: Endpoint, folder: Path, count: int, chance: random.Random) -> dict[str, bytes]:
    """Ingest so many files of random bytes; what each should hold, by URI."""
    night = folder / "night"
    night.mkdir(parents=True)
    sent: dict[str, bytes] = {}
    for number in range(count):
        data = chance.randbytes(chance.randrange(1, 600))
        (night / f"{number:04d}").write_bytes(data)
        sent[f"{PREFIX}{number:04d}"] = data
    assert ingest(endpoint, gathering.copied([night], TERMS)).counts == {Status.NEW: count}
    return sent


def places(endpoint: Endpoint, store: str = "main") -> dict[str, str]:
    """Where each file should lie in a store, by URI."""
    copy, file = schema.replica, schema.artifact
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(
            select(file.c.uri, copy.c.path).join(copy, copy.c.artifact == file.c.id).where(copy.c.store == store)
        )
        return {row.uri: row.path for row in rows}


def states(endpoint: Endpoint, store: str = "main") -> dict[str, str]:
    """What the ledger says of each copy in a store, by URI."""
    copy, file = schema.replica, schema.artifact
    with endpoint.ledger.read() as transaction:
        rows = transaction.execute(
            select(file.c.uri, copy.c.has).join(copy, copy.c.artifact == file.c.id).where(copy.c.store == store)
        )
        return {row.uri: row.has for row in rows}


def incidents_of(endpoint: Endpoint) -> list[tuple[str, str]]:
    """Kind and subject of all that is wrong now."""
    with endpoint.ledger.read() as transaction:
        return [(each.kind, each.subject) for each in incidents.open_incidents(transaction)]


def damage(lying: Mapping[str, Path], share: float, chance: random.Random) -> dict[str, str]:
    """Damage some files, each in one of many ways; how each damaged one was, by URI."""
    uris = chance.sample(sorted(lying), int(share * len(lying)))
    done: dict[str, str] = {}
    while uris:
        how = chance.choice(["flip", "truncate", "extend", "empty", "delete", "swap"])
        uri = uris.pop()
        if how == "swap" and uris:
            other = uris.pop()
            _swap(lying[uri], lying[other])
            done[other] = how
        else:
            how = "flip" if how == "swap" else how
            _harm(lying[uri], how, chance)
        done[uri] = how
    return done


def _harm(path: Path, how: str, chance: random.Random) -> None:
    """The time of change is kept every other time: then nothing but the bytes tells."""
    data, about = bytearray(path.read_bytes()), path.stat()
    match how:
        case "flip":
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case "truncate":
            del data[chance.randrange(len(data)) :]
        case "extend":
            data += b"!"
        case "empty":
            data.clear()
        case _:
            path.unlink()
            return
    path.write_bytes(bytes(data))
    if chance.random() < 0.5:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def _swap(one: Path, other: Path) -> None:
    """The bytes of two files change places; each keeps its times."""
    first, second = one.read_bytes(), other.read_bytes()
    times = [(path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in (one, other)]
    one.write_bytes(second)
    other.write_bytes(first)
    for path, (read, changed) in zip((one, other), times, strict=True):
        os.utime(path, ns=(read, changed))
