"""Datasets as people and pipelines make them: begun, filled, sealed or failed, looked at, and fetched whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from archive.backbone.endpoint import Endpoint
from archive.backbone.rowgroups import count_rows
from archive.faults import NotFound, UsageFault
from archive.ledger import collections, contents, datasets, files, members
from archive.ledger.collections import Kind
from archive.ledger.dataids import DataId
from archive.ledger.datasets import LEASE, Dataset, Sealed, State
from archive.ledger.members import Member, Missing, RowGroup
from archive.ledger.site import read_site

_TYPE = re.compile(r"[a-z][a-z0-9_]*")
_SHOWN = 5  # names in one message


@dataclass(frozen=True, slots=True)
class Added:
    """What came into a dataset: how many files and rows are new to it."""

    dataset: Dataset
    files: int
    rows: int


@dataclass(frozen=True, slots=True)
class Shown:
    """All that is known of a dataset here.

    It is *complete* if nothing is ``missing`` and it is what was sealed (``intact``); ``held_by`` are the tagged and
    calibration collections that it is in, ``attempts`` all that were made at it.
    """

    dataset: Dataset
    files: tuple[Member, ...]
    rows: tuple[RowGroup, ...]
    missing: tuple[Missing, ...]
    intact: bool
    held_by: tuple[str, ...]
    attempts: tuple[Dataset, ...]

    @property
    def complete(self) -> bool:
        return self.dataset.state.is_sealed and self.intact and not self.missing


def begin(
    endpoint: Endpoint,
    collection: str,
    kind: str,
    data_id: Mapping[str, str],
    *,
    lease: timedelta = LEASE,
    again: bool = False,
    by: str | None = None,
) -> Dataset:
    """Begin a dataset of type ``kind`` in a run, which is made if there is none of that name.

    Raises:
        UsageFault: a name is wrong, the collection is no run, its release is closed, or it was given up.
    """
    if not _TYPE.fullmatch(kind):
        raise UsageFault(f"'{kind}' is no type of datasets.", "Write it in small letters, digits and '_'.")
    wanted = DataId.of(data_id)
    with endpoint.ledger.write(by) as transaction:
        run = collections.create(transaction, collection, Kind.RUN)
        contents.check_open(transaction, [run.release])
        return datasets.begin(transaction, run, kind, wanted, lease=lease, again=again)


def add(endpoint: Endpoint, name: str, uris: Sequence[str], *, role: str | None = None, by: str | None = None) -> Added:
    """Add registered files to an open dataset, all or none of them.

    Raises:
        NotFound: one is not registered, or there is no such dataset.
        UsageFault: one was retracted, or the dataset is not open.
    """
    with endpoint.ledger.write(by) as transaction:
        dataset = _changing(transaction, name)
        count = datasets.add_files(transaction, dataset, dict.fromkeys(_registered(transaction, uris), role))
        return Added(datasets.named(transaction, dataset.uri), count, 0)


def add_rows(endpoint: Endpoint, name: str, table: str, condition: str = "", *, by: str | None = None) -> Added:
    """Add the rows of a published table that fulfil ``condition``, an ADQL condition; empty: all.

    Raises:
        NotFound: there is no such dataset.
        UsageFault: there is no such table, the condition is wrong, or the dataset is not open.
        TransientFault: something else is published meanwhile.
    """
    group = count_rows(endpoint, table, condition)
    with endpoint.ledger.write(by) as transaction:
        dataset = _changing(transaction, name)
        new = datasets.add_rows(transaction, dataset, group)
        return Added(datasets.named(transaction, dataset.uri), 0, group.rows if new else 0)


def seal(endpoint: Endpoint, name: str, *, expected: int | None = None, by: str | None = None) -> Sealed:
    """Seal a dataset that is whole: the first of its name is found from then on. Again changes nothing.

    Raises:
        NotFound: there is no such dataset.
        UsageFault: it is empty, lacks something, has failed, or has not the ``expected`` number of files.
    """
    with endpoint.ledger.write(by) as transaction:
        dataset = _changing(transaction, name)
        return datasets.seal(transaction, dataset, expected=expected)


def fail(endpoint: Endpoint, name: str, *, reason: str, for_good: bool = False, by: str | None = None) -> Dataset:
    """An attempt had no result; ``for_good``: nor will any other.

    Raises:
        NotFound: there is no such dataset.
        UsageFault: it is sealed, or no reason is given.
    """
    _check_reason(reason)
    with endpoint.ledger.write(by, reason) as transaction:
        return datasets.fail(transaction, named(transaction, name), reason, for_good=for_good)


def withdraw(endpoint: Endpoint, name: str, *, reason: str, by: str | None = None) -> Dataset:
    """A sealed dataset was a mistake: it is found no more, and another may be made.

    Raises:
        NotFound: there is no such dataset.
        UsageFault: it is not sealed, a collection holds it, its release is closed, or no reason is given.
    """
    _check_reason(reason)
    with endpoint.ledger.write(by, reason) as transaction:
        return datasets.withdraw(transaction, _changing(transaction, name), reason)


def show(endpoint: Endpoint, name: str) -> Shown:
    """All that is known of a dataset.

    Raises:
        NotFound: there is none.
    """
    with endpoint.ledger.read() as transaction:
        return shown(transaction, named(transaction, name))


def shown(transaction: Connection, dataset: Dataset) -> Shown:
    """As ``show``, in a transaction."""
    held, rows = members.contents(transaction, dataset.id)
    return Shown(
        dataset,
        tuple(held),
        tuple(rows),
        datasets.missing(transaction, [dataset])[dataset.uri],
        dataset.digest is None or datasets.digest_of(transaction, dataset) == dataset.digest,
        tuple(collections.holding(transaction, dataset.id)),
        tuple(datasets.attempts(transaction, dataset.collection, *dataset.key)),
    )


# --- names ------------------------------------------------------------------------------------------


def named(transaction: Connection, name: str) -> Dataset:
    """The dataset that people call ``name``: its URI, or what follows ``datasets/`` there. Without a number at its end
    it is the one that is found, in a run or in a tagged collection.

    Raises:
        NotFound: there is none.
    """
    prefix = read_site(transaction).uri("datasets/")
    path = name.removeprefix(prefix)
    if path.startswith("archive://"):
        return datasets.named(transaction, name)
    if path.rpartition("/")[2].isdigit():
        return datasets.named(transaction, prefix + path)
    place, _, data_id = path.rpartition("/")
    collection, _, kind = place.rpartition("/")
    known = None
    if collection and "=" in data_id:
        known = datasets.found(transaction, collection, kind, str(DataId.read(data_id)))
    if known is None:
        raise NotFound(
            f"No dataset '{path}' is found.", "Write COLLECTION/TYPE/KEY=VALUE,..., with /1 for the first attempt."
        )
    return known


def sealed(transaction: Connection, name: str) -> Dataset:
    """As ``named``, of a dataset that is sealed and not withdrawn.

    Raises:
        UsageFault: it is not.
    """
    dataset = named(transaction, name)
    if dataset.state not in (State.FOUND, State.SPARE):
        raise UsageFault(f"{dataset.uri} is {dataset.state}.", "Only what is sealed and stands can be in a collection.")
    return dataset


def _changing(transaction: Connection, name: str) -> Dataset:
    """As ``named``, of a dataset whose release may be changed."""
    dataset = named(transaction, name)
    contents.check_open(transaction, [dataset.collection.partition("/")[0]])
    return dataset


def _registered(transaction: Connection, uris: Sequence[str]) -> list[int]:
    known = files.find(transaction, uris)
    missing = [uri for uri in uris if uri not in known]
    if missing:
        raise NotFound(f"{_several(missing)}: no such file is registered.", "Ingest it first; write its whole URI.")
    gone = [uri for uri in uris if known[uri].retracted is not None]
    if gone:
        raise UsageFault(f"{_several(gone)} was retracted.", "It counts as never delivered.", http=410)
    return [known[uri].id for uri in uris]


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why: --reason "...".')


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
