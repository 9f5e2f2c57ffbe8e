"""Second thoughts: what is said of a file is corrected, or a mistaken ingest is taken back. Its bytes never change."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from archive.backbone.activities import of_product
from archive.backbone.endpoint import Endpoint
from archive.backbone.examination import amended
from archive.backbone.obscore import renew
from archive.faults import NotFound, UsageFault
from archive.ledger import activities, contents, datasets, files, products, provenance
from archive.ledger.files import Known
from archive.ledger.products import Product
from archive.ledger.site import read_site
from archive.products import product_types

_SHOWN = 5  # names in one message


@dataclass(frozen=True, slots=True)
class Amended:
    """What an amendment did: the product as it is described now and how often it was; ``changed`` are the items."""

    uri: str
    product: Product
    revision: int
    changed: tuple[str, ...]


def amend(
    endpoint: Endpoint,
    uri: str,
    given: Mapping[str, str],
    nulls: Mapping[str, str] | None = None,
    *,
    reason: str,
    by: str | None = None,
    dry_run: bool = False,
) -> Amended:
    """Correct the metadata of a product; what was said before stays in the log. The same again changes nothing.

    Raises:
        NotFound: there is no such product.
        UsageFault: no reason is given, what is given does not fit the product's type, or its release is frozen.
    """
    _check_reason(reason)
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.write(by, reason) as transaction:
        known = _found(transaction, [uri])[uri]
        before = products.find(transaction, [known.id]).get(known.id)
        if before is None:
            raise NotFound(f"{uri} is no product.", "Only what came in by 'archive ingest' has metadata.")
        after = amended(types.named(before.product.type), before.product, given, nulls)
        changed = _changed(before.product, after)
        revision = before.revision
        if changed:
            contents.check_open(transaction, [after.release])
        if changed and not dry_run:
            revision = products.amend(transaction, known.id, after)
            activities.renew(transaction, known.id, of_product(after, read_site(transaction).authority))
            renew(transaction, known, after, types)
    return Amended(uri, after, revision, changed)


def retract(
    endpoint: Endpoint, uris: Sequence[str], *, reason: str, by: str | None = None, dry_run: bool = False
) -> tuple[str, ...]:
    """Take files back that were ingested by mistake; returns those that were not retracted before.

    From then on nobody is shown them, and their names are never used again. Files that others were made from can only
    be taken back together with all of these.

    Raises:
        NotFound: one of them is not registered; nothing is retracted.
        UsageFault: no reason is given, something is made from them that is not named, or their release is frozen.
    """
    _check_reason(reason)
    with endpoint.ledger.write(by, reason) as transaction:
        found = _found(transaction, uris, also_retracted=True)
        due = {found[uri].id: uri for uri in uris if found[uri].retracted is None}
        contents.check_open_files(transaction, due)
        _check_unused(transaction, due)
        if not dry_run:
            files.retract(transaction, due)
    return tuple(due.values())


def _check_unused(transaction: Connection, due: Mapping[int, str]) -> None:
    tables = provenance.tables_of(transaction, due)
    if tables:
        raise UsageFault(
            f"Rows of {_several(tables)} were made from these files.", "Rows are not taken back file by file."
        )
    made = [uri for uri in provenance.made_from(transaction, due) if uri not in due.values()]
    if made:
        raise UsageFault(
            f"{_several(made)} {'was' if len(made) == 1 else 'were'} made from these files.",
            "Name all of them too, or keep what they were made from.",
        )
    holding = {each.uri for found in datasets.of_files(transaction, list(due)).values() for each in found}
    if holding:
        raise UsageFault(
            f"{_several(holding)} {'holds' if len(holding) == 1 else 'hold'} these files.",
            "Withdraw what was sealed with them first: 'archive dataset withdraw'.",
        )


def _found(transaction: Connection, uris: Sequence[str], *, also_retracted: bool = False) -> dict[str, Known]:
    found = files.find(transaction, uris)
    missing = [uri for uri in uris if uri not in found]
    if missing:
        raise NotFound(f"{_several(missing)}: no such file is registered.", "Write its whole URI: archive://...")
    gone = [uri for uri, known in found.items() if known.retracted is not None and not also_retracted]
    if gone:
        raise UsageFault(f"{_several(gone)} was retracted.", "It is described no more.", http=410)
    return found


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise UsageFault("No reason is given.", 'Say why: --reason "...".')


def _changed(before: Product, after: Product) -> tuple[str, ...]:
    names = [
        name
        for name in sorted({*before.metadata, *after.metadata})
        if before.metadata.get(name) != after.metadata.get(name)
    ]
    return tuple(names + (["inputs"] if sorted(before.inputs) != sorted(after.inputs) else []))


def _several(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
