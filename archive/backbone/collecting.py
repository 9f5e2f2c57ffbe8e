"""What collections hold: datasets tagged by people, and calibrations certified for a time.

A product that is one file becomes a dataset of that one file when it is first put into a collection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from archive.backbone import datasets as verbs
from archive.backbone.endpoint import Endpoint
from archive.backbone.examination import Fact, facts_of
from archive.backbone.examination.times import mjd_utc
from archive.faults import UsageFault
from archive.ledger import certified, collections, contents, datasets, files, members, products
from archive.ledger.certified import Certified, Scope
from archive.ledger.collections import Collection, Kind
from archive.ledger.dataids import DataId
from archive.ledger.datasets import Dataset
from archive.ledger.products import Product
from archive.products import ProductTypes, Scale, product_types
from archive.sky import Interval

_KIND = "calib_type"  # the item of metadata that tells what kind of calibration a file is


def create(endpoint: Endpoint, name: str, kind: Kind, about: str | None = None, *, by: str | None = None) -> Collection:
    """Make a collection; the same again changes nothing.

    Raises:
        UsageFault: the name is wrong, or that of a collection of another kind, or its release is closed.
    """
    with endpoint.ledger.write(by) as transaction:
        known = collections.find(transaction, [name]).get(name)
        if known is None:
            contents.check_open(transaction, [name.partition("/")[0]])
        return collections.create(transaction, name, kind, about)


def tag(
    endpoint: Endpoint, collection: str, names: Sequence[str], *, replace: bool = False, by: str | None = None
) -> int:
    """Put sealed datasets, or files by their URIs, into a tagged collection, all or none; returns how many are new.

    Raises:
        NotFound: there is no such collection, dataset or file.
        UsageFault: one is not sealed, or has the type and data id of one that is there and is not to be replaced.
    """
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.write(by) as transaction:
        place = collections.named(transaction, collection, Kind.TAGGED)
        contents.check_open(transaction, [place.release])
        known = [member(transaction, types, name) for name in names]
        return sum(collections.tag(transaction, place, each.id, each.uri, each.key, replace=replace) for each in known)


def untag(endpoint: Endpoint, collection: str, names: Sequence[str], *, by: str | None = None) -> int:
    """Take datasets out of a tagged collection; returns how many were in it.

    Raises:
        NotFound: there is no such collection, dataset or file.
    """
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.write(by) as transaction:
        place = collections.named(transaction, collection, Kind.TAGGED)
        contents.check_open(transaction, [place.release])
        known = [member(transaction, types, name) for name in names]
        return sum(collections.untag(transaction, place, each.id, each.uri) for each in known)


def certify(
    endpoint: Endpoint,
    collection: str,
    name: str,
    valid_from: float | None = None,
    valid_to: float | None = None,
    *,
    replace: bool = False,
    by: str | None = None,
) -> tuple[Certified, bool]:
    """Say that a calibration, a dataset or a file by its URI, is valid from a time to another (MJD, UTC).

    Times that are not given are those that the file tells. Returns what is certified and whether that is new. With
    ``replace`` whatever was valid for the same at that time is valid no more.

    Raises:
        NotFound: there is no such collection, dataset or file.
        UsageFault: what it is for or since when it is valid is not known, or something else is valid then.
    """
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.write(by) as transaction:
        place = collections.named(transaction, collection, Kind.CALIBRATION)
        contents.check_open(transaction, [place.release])
        dataset = member(transaction, types, name)
        scope, told = _scope(transaction, types, dataset)
        start = told.low if valid_from is None else valid_from
        stop = told.high if valid_to is None else valid_to
        if start == float("-inf") and valid_from is None:
            raise UsageFault(f"Since when {dataset.uri} is valid is not known.", "Say so: --from DATE.")
        valid = Interval(start, stop)
        new = certified.certify(transaction, place, dataset.id, dataset.uri, scope, valid, replace=replace)
        at = [each for each in certified.of(transaction, place) if each.dataset == dataset.id and each.scope == scope]
        return next(each for each in at if each.valid.low <= start < each.valid.high), new


def decertify(
    endpoint: Endpoint,
    collection: str,
    name: str,
    during: Interval = certified.ALWAYS,
    *,
    by: str | None = None,
) -> int:
    """A calibration is not valid ``during`` a time; returns how many statements in the collection that changed.

    Raises:
        NotFound: there is no such collection or dataset.
    """
    types = product_types(endpoint.config.description_folders)
    with endpoint.ledger.write(by) as transaction:
        place = collections.named(transaction, collection, Kind.CALIBRATION)
        contents.check_open(transaction, [place.release])
        dataset = member(transaction, types, name)
        return certified.decertify(transaction, place, dataset.id, dataset.uri, during)


def member(transaction: Connection, types: ProductTypes, name: str) -> Dataset:
    """A sealed dataset by its name, or that of one file by its URI, which is made if there is none.

    Raises:
        NotFound: there is neither.
        UsageFault: it is not sealed.
    """
    known = files.find(transaction, [name]).get(name)
    if known is None:
        return verbs.sealed(transaction, name)
    if known.retracted is not None:
        raise UsageFault(f"{name} was retracted.", "It counts as never delivered.", http=410)
    found = products.find(transaction, [known.id]).get(known.id)
    if found is None:
        raise UsageFault(f"{name} is no product.", "Only what came in by 'archive ingest' is found by what it is.")
    product = found.product
    kind, data_id = _alone(types, product, name)
    for dataset in datasets.of_files(transaction, [known.id])[known.id]:
        if (dataset.files, dataset.rows, dataset.type, dataset.data_id) == (1, 0, kind, data_id):
            return dataset
    run = collections.named(transaction, f"{product.release}/{product.collection}", Kind.RUN)
    contents.check_open(transaction, [product.release])
    dataset = datasets.begin(transaction, run, kind, data_id, again=True)
    datasets.add_files(transaction, dataset, {known.id: None})
    return datasets.seal(transaction, datasets.named(transaction, dataset.uri)).dataset


# --- what a file is, as a dataset ---------------------------------------------------------------------


def _alone(types: ProductTypes, product: Product, uri: str) -> tuple[str, DataId]:
    """Type and data id of the dataset of one file: by what it was taken with, of what, or by its name."""
    facts = facts_of(product.metadata)
    if product.type in types and _KIND in types[product.type].by_name:
        names = ("instrument", "detector", "physical_filter", "band", "obs_start")
        return _text(facts, _KIND) or product.type, DataId.of(_told(facts, names))
    if product.exposure is not None:
        told = {"exposure": product.exposure, "instrument": product.instrument, "detector": product.detector}
        return product.type, DataId.of({key: value for key, value in told.items() if value})
    tile = _told(facts, ("tract", "patch", "band", "coadd_kind"))
    if "tract" in tile:
        return product.type, DataId.of(tile)
    path = uri.partition(f"/{product.release}/{product.collection}/")[2]
    return product.type, DataId.of({"file": path})


def _scope(transaction: Connection, types: ProductTypes, dataset: Dataset) -> tuple[Scope, Interval]:
    """What a dataset is a calibration for, and the time for which it says that it is valid."""
    holds, _ = members.contents(transaction, dataset.id)
    product = None
    if len(holds) == 1:
        known = files.find(transaction, [holds[0].uri])[holds[0].uri]
        found = products.find(transaction, [known.id]).get(known.id)
        product = None if found is None else found.product
    facts = {} if product is None else facts_of(product.metadata)
    told = dict(dataset.data_id.values)

    def of(*names: str) -> str | None:
        return next(filter(None, (_text(facts, name) or told.get(name) for name in names)), None)

    instrument = of("instrument")
    if instrument is None:
        raise UsageFault(
            f"For which instrument {dataset.uri} is, is not known.",
            "Give it as a part of the data id: instrument=NAME.",
        )
    valid = Interval() if product is None else _valid(types, product, facts)
    return Scope(dataset.type, instrument, of("detector"), of("physical_filter", "filter", "band")), valid


def _valid(types: ProductTypes, product: Product, facts: Mapping[str, Fact]) -> Interval:
    ends = []
    for name, open_end in (("valid_from", float("-inf")), ("valid_to", float("inf"))):
        text = _text(facts, name)
        item = types[product.type].by_name.get(name) if product.type in types else None
        ends.append(open_end if text is None or item is None else mjd_utc(text, item.scale or Scale.TAI))
    return Interval(*ends)


def _told(facts: Mapping[str, Fact], names: Sequence[str]) -> dict[str, str]:
    return {name: text for name in names if (text := _text(facts, name)) is not None}


def _text(facts: Mapping[str, Fact], name: str) -> str | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, str) else None
