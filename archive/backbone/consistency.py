"""Do these files belong together? So a user's own work can be sure of its inputs (DMS-DBB-REQ-0008).

First the facts of all files, and of all that they were made from, are read; then the rules below are held against them.
Where many agree and few differ, the few are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from archive.backbone import datasets
from archive.backbone.endpoint import Endpoint
from archive.backbone.examination import Fact, facts_of
from archive.backbone.examination.times import mjd_utc
from archive.ledger import certified, files, products, provenance
from archive.ledger.activities import Activity
from archive.ledger.products import Product
from archive.ledger.provenance import Derivation, Entity, Lineage, Presence
from archive.products import Scale
from archive.sky import Interval

CALIBRATION = "calibration"
"""The type of calibrations, and the role of those in what was corrected with them."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a file. ``time`` is MJD in UTC; ``valid`` are the times at which a calibration may be used, none
    if nobody said so; ``software`` is the one that made it, with its version.
    """

    uri: str
    presence: Presence
    type: str | None = None
    release: str | None = None
    instrument: str | None = None
    detector: str | None = None
    band: str | None = None
    exposure: str | None = None
    time: Interval | None = None
    valid: tuple[Interval, ...] = ()
    software: str | None = None
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Odds:
    """``uris`` are at odds with the others by the ``rule``; ``message`` says how."""

    rule: str
    uris: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What was looked at: the files that were named, all that they were made from, and those at odds."""

    listed: tuple[str, ...]
    origins: int
    odds: tuple[Odds, ...]

    @property
    def is_consistent(self) -> bool:
        return not self.odds


def judge(endpoint: Endpoint, names: Sequence[str]) -> Judged:
    """Whether the files and datasets of these names belong together; a dataset stands for its files.

    Raises:
        NotFound: no dataset is called so.
    """
    with endpoint.ledger.read() as transaction:
        listed, lacks = _expanded(transaction, names)
        lineage = provenance.lineage(transaction, listed)
        about = _about(transaction, lineage)
    odds = (*lacks, *judged([about[uri] for uri in listed], about, lineage.derivations))
    return Judged(listed, len(about) - len(listed), odds)


def _expanded(transaction: Connection, names: Sequence[str]) -> tuple[tuple[str, ...], list[Odds]]:
    found: dict[str, None] = {}
    lacks = []
    registered = files.find(transaction, names)
    for name in names:
        if name in registered or "/datasets/" not in name:
            found[name] = None
            continue
        shown = datasets.shown(transaction, datasets.named(transaction, name))
        found |= dict.fromkeys(member.uri for member in shown.files)
        if shown.missing:
            first = shown.missing[0]
            lacks.append(Odds("presence", (name,), f"is not complete here: {first.what} {first.why}"))
    return tuple(found), lacks


# --- facts ----------------------------------------------------------------------------------------


def _about(transaction: Connection, lineage: Lineage) -> dict[str, About]:
    numbers = {uri: known.id for uri, known in files.find(transaction, lineage.entities).items()}
    described = products.find(transaction, numbers.values())
    valid = certified.of_files(transaction, list(numbers.values()))
    found = {}
    for uri, entity in lineage.entities.items():
        number = numbers.get(uri, 0)
        product = described[number].product if number in described else None
        times = tuple(each.valid for each in valid.get(number, ()))
        found[uri] = _of(entity, product, lineage.activities.get(lineage.made_by.get(uri, "")), times)
    return found


def _of(entity: Entity, product: Product | None, activity: Activity | None, valid: tuple[Interval, ...]) -> About:
    software = " ".join(filter(None, (activity.software, activity.version))) if activity is not None else ""
    if product is None:
        return About(entity.uri, entity.presence, entity.type, entity.release, software=software or None)
    facts, time = facts_of(product.metadata), None
    if product.t_min is not None:
        time = Interval(product.t_min, product.t_min if product.t_max is None else product.t_max)
    return About(
        entity.uri,
        entity.presence,
        product.type,
        product.release,
        product.instrument,
        product.detector,
        product.band,
        product.exposure,
        time,
        valid or _told_valid(facts),
        software or None,
        _text(facts, "physical_filter"),
    )


def _told_valid(facts: Mapping[str, Fact]) -> tuple[Interval, ...]:
    """When a calibration says that it is valid itself; open at an end of which it says nothing."""
    low, high = _text(facts, "valid_from"), _text(facts, "valid_to")
    if low is None and high is None:
        return ()
    always = Interval()
    begin = always.low if low is None else mjd_utc(low, Scale.TAI)
    return (Interval(begin, always.high if high is None else mjd_utc(high, Scale.TAI)),)


def _text(facts: Mapping[str, Fact], name: str) -> str | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, str) else None


# --- rules ----------------------------------------------------------------------------------------


def judged(listed: Sequence[About], all_: Mapping[str, About], derivations: Iterable[Derivation]) -> list[Odds]:
    """What is at odds among the ``listed`` and with what they were made from; ``all_`` is about both, by URI."""
    pairs = [(all_[each.product], each.role, all_[each.source]) for each in derivations]
    rules: tuple[Iterator[Odds], ...] = (
        _present(all_.values(), {each.uri for each in listed}),
        _alike("release", listed, lambda each: each.release),
        _alike("instrument", listed, lambda each: each.instrument),
        _software(listed),
        _calibrations(listed),
        _made_of(pairs),
    )
    return [odds for rule in rules for odds in rule]


def _present(everything: Iterable[About], listed: set[str]) -> Iterator[Odds]:
    for each in everything:
        if each.presence is Presence.RETRACTED:
            yield Odds("retracted", (each.uri,), "was retracted: it counts as never delivered")
        elif each.presence is Presence.AWAY:
            yield Odds("presence", (each.uri,), "has no good copy here")
        elif each.presence is Presence.UNKNOWN:
            what = "is not registered here" if each.uri in listed else "was used, and is not registered here"
            yield Odds("presence", (each.uri,), what)


def _alike(rule: str, listed: Iterable[About], value: Callable[[About], str | None]) -> Iterator[Odds]:
    """All of which it is known have the same value; else those who differ from the most."""
    known = [(each.uri, found) for each in listed if (found := value(each)) is not None]
    usual = _usual(found for _, found in known)
    others: dict[str, list[str]] = {}
    for uri, found in known:
        if found != usual:
            others.setdefault(found, []).append(uri)
    for found, uris in sorted(others.items()):
        yield Odds(rule, tuple(uris), f"{rule} {found}, where others have {usual}")


def _software(listed: Iterable[About]) -> Iterator[Odds]:
    """Products of one type come from one generation of software."""
    by_type: dict[str, list[About]] = {}
    for each in listed:
        by_type.setdefault(each.type or "", []).append(each)
    for _, alike in sorted(by_type.items()):
        yield from _alike("software", alike, lambda each: each.software)


def _calibrations(listed: Sequence[About]) -> Iterator[Odds]:
    """Each calibration is for some of the exposures that are listed with it, and valid when these were taken."""
    exposures = [each for each in listed if each.type != CALIBRATION and each.time is not None]
    for calibration in listed:
        if calibration.type != CALIBRATION or not exposures:
            continue
        fitting = [each for each in exposures if not list(_unfit(calibration, each))]
        if not fitting:
            reasons = next(iter(_unfit(calibration, exposures[0])))
            yield Odds("calibration", (calibration.uri,), f"fits none of the exposures listed: {reasons}")
            continue
        for each in fitting:
            yield from _in_time(calibration, each)


def _unfit(calibration: About, exposure: About) -> Iterator[str]:
    """Why a calibration is not for an exposure; what is not told is for all."""
    for name in ("instrument", "detector", "band", "filter"):
        meant, has = getattr(calibration, name), getattr(exposure, name)
        if meant is not None and has is not None and meant != has:
            yield f"it is for {name} {meant}, not {has}"


def _in_time(calibration: About, exposure: About) -> Iterator[Odds]:
    time = exposure.time
    if time is None or not calibration.valid:
        return
    if not any(valid.low <= time.low and time.high <= valid.high for valid in calibration.valid):
        pair = (calibration.uri, exposure.uri)
        yield Odds("validity", pair, f"the calibration is not valid at MJD {time.low:.5f}, when the exposure was taken")


def _made_of(pairs: Iterable[tuple[About, str, About]]) -> Iterator[Odds]:
    """What was made from something has its instrument and band, and of one exposure its time; calibrations fit."""
    for product, role, source in pairs:
        both = (product.uri, source.uri)
        if CALIBRATION in (source.type, role) and product.type != CALIBRATION:
            for reason in _unfit(source, product):
                yield Odds("calibration", both, f"was corrected with a calibration that does not fit: {reason}")
            yield from _in_time(source, product)
            continue
        names = ["instrument"] + (["band"] if product.type != CALIBRATION else [])
        for name in names:
            made, of = getattr(product, name), getattr(source, name)
            if made is not None and of is not None and made != of:
                yield Odds(name, both, f"{name} {made}, and was made from one with {name} {of}")
        yield from _same_time(product, source)


def _same_time(product: About, source: About) -> Iterator[Odds]:
    """Two images of one exposure were taken at the same time."""
    if product.exposure is None or product.exposure != source.exposure or not (product.time and source.time):
        return
    if product.time.low > source.time.high or source.time.low > product.time.high:
        both = (product.uri, source.uri)
        yield Odds("exposure", both, f"both are of exposure {product.exposure}, and their times do not meet")


def _usual(values: Iterable[str]) -> str | None:
    """The most frequent value; of several the first in order."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value), default=None)
