"""What is to become of a file, decided from facts alone: which rule lets it go, or what keeps it.

Nothing is done here and nothing is asked: the same facts always lead to the same finding. Rules, the strongest first:

1. What was taken back may go.
2. What belongs to a table or to a frozen release stays, and so do files of the class that is kept for ever.
3. What is pinned, or touches an area where its type is kept, stays.
4. What was made from files that are lost stays: it could not be made again.
5. Class by class: after its days (an area may shorten them), or when its release was withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from archive.backbone.policies import PERMANENT, Policies, region
from archive.ledger.replicas import Has, Replica
from archive.ledger.retention import Facts
from archive.products import ProductTypes, Retention

_DAY = "%Y-%m-%d"


class Rule(StrEnum):
    """Why a file may go."""

    EXPIRED = "expired"  # its days are over
    AREA = "area"  # an area of the sky lets it go earlier
    WITHDRAWN = "withdrawn"  # it was kept as long as its release
    RETRACTED = "retracted"
    ASKED = "asked"  # by a person, before its days are over


@dataclass(frozen=True, slots=True)
class Terms:
    """What findings are made by: the descriptions in force, and the moment."""

    types: ProductTypes
    policies: Policies
    moment: datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """A file may go by ``rule``, or stays (None); ``why`` is a sentence for people."""

    file: Facts
    rule: Rule | None
    why: str


def judge(file: Facts, terms: Terms, *, forced: bool = False) -> Finding:
    """What is to become of one file. ``forced`` lets those go whose days are not over, and nothing else."""
    if file.dropped is not None:
        return _stays(file, f"it was dropped on {file.dropped:{_DAY}}")
    if file.bundles:
        return _stays(file, "other files lie inside it")
    if file.retracted:
        return Finding(file, Rule.RETRACTED, "it was taken back")
    if file.product is None or file.product.type not in terms.types:
        return _stays(file, "it belongs to a table, or to the archive itself")
    if file.release == "frozen":
        return _stays(file, f"its release {file.product.release} is frozen")
    kept = terms.policies.retention(terms.types, file.product)
    if kept.name == PERMANENT:
        return _stays(file, f"files of its kind are kept for ever{_made(file)}")
    return _held(file, terms) or _passing(file, kept, terms, forced=forced)


def _stays(file: Facts, why: str) -> Finding:
    return Finding(file, None, why)


def _made(file: Facts) -> str:
    if file.use is None:
        return ""
    more = f" and {file.use.count - 1:,} more were" if file.use.count > 1 else " was"
    return f", and {file.use.example}{more} made from it"


def _held(file: Facts, terms: Terms) -> Finding | None:
    """Why it stays whatever its age; None if nothing holds it."""
    if file.pins:
        pin = max(file.pins, key=lambda each: (each.until is None, each.until or each.since))
        end = f" until {pin.until:{_DAY}}" if pin.until is not None else ""
        return _stays(file, f"{pin.actor} has pinned it{end}: {pin.reason}")
    if file.lost:
        return _stays(file, f"{file.lost[0]} is lost, so it could not be made again")
    product = file.product
    if product is not None and any(product.type in area.keep for area in terms.policies.areas):
        cells, _ = region(product, file.region)
        for area in terms.policies.areas:
            if product.type in area.keep and area.touches(cells):
                return _stays(file, f"it touches the area {area.name}")
    return None


def _passing(file: Facts, kept: Retention, terms: Terms, *, forced: bool) -> Finding:
    """What its age, its place or the end of its release make of it."""
    if kept.days is not None and _age(file, terms) >= timedelta(days=kept.days):
        return Finding(file, Rule.EXPIRED, f"its {kept.days} days ended on {_end(file, kept.days):{_DAY}}")
    area = _dropping(file, terms)
    if area is not None:
        return Finding(file, Rule.AREA, f"it lies in the area {area}")
    if kept.days is None and file.release == "withdrawn":
        return Finding(file, Rule.WITHDRAWN, "its release was withdrawn")
    if forced:
        return Finding(file, Rule.ASKED, "somebody asks for it before its time")
    if kept.days is None:
        return _stays(file, "it is kept as long as its release")
    return _stays(file, f"it is kept until {_end(file, kept.days):{_DAY}}")


def _dropping(file: Facts, terms: Terms) -> str | None:
    """The area that lets it go; only one that surely holds all of it."""
    product, age = file.product, _age(file, terms)
    areas = [
        area
        for area in terms.policies.areas
        if product is not None and product.type in area.drop and area.days is not None and age.days >= area.days
    ]
    if not areas or product is None:
        return None
    cells, whole = region(product, file.region)
    return next((area.name for area in areas if whole and area.contains(cells)), None)


def _age(file: Facts, terms: Terms) -> timedelta:
    return terms.moment - file.arrived


def _end(file: Facts, days: int) -> datetime:
    return file.arrived + timedelta(days=days)


# --- spare copies -------------------------------------------------------------------------------------


def judge_copy(
    file: Facts, store: str, domains: Mapping[str, str], needed: int, since: datetime
) -> tuple[Replica | None, str]:
    """The copy of a file in ``store`` if it may go, because ``needed`` others are enough; else None and why it stays.

    Others count if they are present, stay, and were read whole and found right after ``since``; of several in one
    failure domain (``domains`` tells that of each store) only one counts.
    """
    copy = next((each for each in file.copies if each.place.store == store), None)
    if copy is None:
        return None, f"there is no copy of it in the store {store}"
    if file.bundles:
        return None, "other files lie inside it"
    others = [each for each in file.copies if each is not copy and each.has is Has.PRESENT]
    good = {domains.get(each.place.store) for each in fresh(others, since)} - {None}
    if len(good) < needed:
        return None, f"{len(good)} good copies would be left on distinct media, and {needed} are asked for"
    return copy, f"{len(good)} good copies are left"


def fresh(copies: Sequence[Replica], since: datetime) -> list[Replica]:
    """Those of the copies that were read whole and found right after that moment."""
    return [copy for copy in copies if copy.checked is not None and datetime.fromisoformat(copy.checked) > since]


def domains_needed(domains: Mapping[str, str], stores: Collection[str]) -> int:
    """In how many failure domains these stores lie."""
    return len({domains[store] for store in stores})
