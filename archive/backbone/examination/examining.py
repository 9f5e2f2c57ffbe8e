"""``examine``: the metadata that a product type asks for, from headers and from what who delivers the file says.

Everything that is missing or wrong is told at once, with the place and with how to give it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from astropy.io.fits.verify import VerifyError

from archive.backbone.examination import kernels, positions, times
from archive.backbone.examination.facts import GIVEN, Fact, Value, facts_of
from archive.backbone.examination.headers import Headers, Misread, Told
from archive.backbone.examination.reading import Unfit, value_of
from archive.backbone.inspection import Format, Inspected
from archive.documents import near
from archive.faults import UsageFault
from archive.ledger.products import Product
from archive.products import Form, Item, Keyword, Need, ProductType, Role, Scale

_POSITION = ("s_ra", "s_dec")
_ALL = "*"
_WRONG = "wrong"


def examine(
    kind: ProductType,
    inspected: Inspected,
    given: Mapping[str, str] | None = None,
    nulls: Mapping[str, str] | None = None,
    *,
    release: str,
    collection: str,
) -> Product:
    """What ``inspected`` is as a product of ``kind``.

    ``given`` maps items to values and roles of inputs to URIs (several with blanks between them); it overrules
    headers. ``nulls`` maps items, groups of items or ``*`` to the reason why they are null; an item that is named
    itself is null whatever the header says. Every item of the type is in the product's metadata.

    Raises:
        UsageFault: the file is of another format, or something is missing or wrong; all of it is told.
    """
    if inspected.format not in kind.formats and "any" not in kind.formats:
        formats = " or ".join(form.upper() for form in kind.formats)
        raise UsageFault(f"{inspected.name}: a {kind.name} comes as {formats}, not as {inspected.format}.")
    examination = _Examination(kind, inspected, given or {}, nulls or {})
    try:
        facts = examination.facts()
        inputs = tuple(examination.inputs())
    except VerifyError as error:
        raise UsageFault(f"{inspected.name}: a card of a header cannot be read: {error}.", "Write it anew.") from None
    examination.check()
    return _product(kind, facts, inputs, release=release, collection=collection)


def amended(
    kind: ProductType,
    product: Product,
    given: Mapping[str, str] | None = None,
    nulls: Mapping[str, str] | None = None,
) -> Product:
    """``product`` with some of its metadata corrected, as ``examine`` takes them.

    Raises:
        UsageFault: what is given does not fit the type; all of it is told.
    """
    examination = _Examination(kind, None, given or {}, nulls or {})
    old = facts_of(product.metadata)
    said = {item.name: examination.said(item) for item in kind.items}
    facts = {name: fact or old.get(name, Fact.null("not told")) for name, fact in said.items()}
    roles = {role.name for role in kind.inputs if role.name in (given or {})}
    inputs = tuple(pair for pair in product.inputs if pair[0] not in roles) + tuple(examination.given_inputs())
    examination.check()
    renewed = _product(kind, facts, inputs, release=product.release, collection=product.collection)
    kept = {name: told for name, told in product.metadata.items() if name not in renewed.metadata}
    return replace(renewed, metadata={**renewed.metadata, **kept})


class _Examination:
    """One file held against its type; problems are collected."""

    def __init__(
        self, kind: ProductType, inspected: Inspected | None, given: Mapping[str, str], nulls: Mapping[str, str]
    ) -> None:
        self._type = kind
        self._inspected = inspected
        self._given = given
        self._nulls = nulls
        self._problems: list[str] = []
        self._headers = Headers(inspected.hdus if inspected else ())
        self._check_names()

    def _check_names(self) -> None:
        groups = [group.name for group in self._type.groups]
        known = [*self._type.by_name, *(role.name for role in self._type.inputs)]
        for name in self._given:
            if name not in known:
                self._problems.append(f"--set {name}: there is no such item. {near(name, known)}".rstrip())
        for name, reason in self._nulls.items():
            if name not in (*self._type.by_name, *groups, _ALL):
                known = [*self._type.by_name, *groups]
                self._problems.append(f"--null {name}: there is no such item or group. {near(name, known)}".rstrip())
            elif not reason.strip():
                self._problems.append(f"--null {name}: the reason is missing.")
            elif name in self._type.by_name and self._type.by_name[name].need is Need.REQUIRED:
                self._problems.append(f"--null {name}: a {self._type.name} cannot do without it.")

    def check(self) -> None:
        """Raise a fault if there were problems."""
        if not self._problems:
            return
        name = self._inspected.name if self._inspected else "The amendment"
        count = "one thing is" if len(self._problems) == 1 else f"{len(self._problems)} things are"
        raise UsageFault(
            "\n".join(
                (f"{name}: {count} missing or wrong in a {self._type.name}:", *map("  {}".format, self._problems))
            ),
            "Give values with --set ITEM=VALUE, or say why there are none with --null ITEM=REASON (or GROUP=REASON).",
        )

    # --- items --------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Fact]:
        """What is known of each item of the type."""
        facts = {item.name: self.said(item) or self._found(item) for item in self._type.items}
        facts |= self._position(facts)
        facts |= _end_of_exposure(facts, self._type)
        return {item.name: self._judged(item, facts[item.name]) for item in self._type.items}

    def said(self, item: Item) -> Fact | None:
        """What was said beside the file of just this item."""
        if item.name in self._nulls:
            return Fact.null(_WRONG if item.need is Need.REQUIRED else self._nulls[item.name], GIVEN)
        if item.name not in self._given:
            return None
        try:
            value = value_of(item, self._given[item.name])
            if item.name == kernels.ITEM and isinstance(value, Mapping):
                kernels.from_json(value)
            return Fact(value, GIVEN)
        except (Unfit, kernels.NoKernel) as error:
            self._problems.append(f"--set {item.name}={self._given[item.name]}: {error}.")
            return Fact.null(_WRONG)

    def _found(self, item: Item) -> Fact:
        if item.name in _POSITION:
            return Fact(None)  # found with its partner, see _position
        if item.name == kernels.ITEM:
            return self._kernel()
        try:
            if item.form is Form.RECORD:
                return self._record(item)
            content = self._told_by_content(item)
            return Fact(content, "content") if content is not None else self._told_by_header(item)
        except Misread as error:
            self._problems.append(f"{item.name}: {error.source} {error.message}.")
            return Fact.null(_WRONG)

    def _told_by_header(self, item: Item) -> Fact:
        blank = Fact(None)
        for told in self._headers.find(item.keywords):
            if told.value is not None:
                return Fact(self._value(item, told), told.source)
            blank = blank if blank.reason else Fact.null(f"{told.source} {told.silence}", told.source)
        return blank

    def _value(self, item: Item, told: Told) -> Value:
        assert self._inspected is not None
        assert told.value is not None
        keyword = next(each for each in item.keywords if each.matches(told.keyword))
        try:
            return value_of(item, told.value, told.unit or keyword.unit, told, self._inspected.headers[0])
        except Unfit as error:
            raise Misread(told.source, f"is '{told.value}': {error}") from None

    def _record(self, item: Item) -> Fact:
        found, sources = self._headers.record(item.keywords)
        return Fact(found, ", ".join(sources)) if found else Fact(None)

    def _kernel(self) -> Fact:
        try:
            found = kernels.read_kernel(self._inspected.hdus if self._inspected else ())
        except kernels.NoKernel as error:
            self._problems.append(f"{kernels.ITEM}: {error}.")
            return Fact.null(_WRONG)
        return Fact(found[0].json, found[1]) if found else Fact(None)

    def _told_by_content(self, item: Item) -> Value | None:
        inspected = self._inspected
        if inspected is None or inspected.format is not Format.AVRO:
            return None
        try:
            schema = json.loads(inspected.contents.schema or "{}")
        except ValueError:
            schema = {}
        schema = schema if isinstance(schema, dict) else {}
        told = {
            "n_alerts": inspected.rows,
            "schema_name": ".".join(str(schema[key]) for key in ("namespace", "name") if key in schema) or None,
            "schema_version": schema.get("version"),
        }
        value = told.get(item.name)
        return value if isinstance(value, str | int) else None

    def _position(self, facts: Mapping[str, Fact]) -> dict[str, Fact]:
        """Centre or pointing, ICRS: as given, else by WCS, else by the cards of the pointing."""
        if not set(_POSITION) <= set(facts) or any(facts[name].source == GIVEN for name in _POSITION):
            return {}
        assert self._inspected is not None
        place = positions.centre(self._inspected.hdus)
        if place is not None:
            return dict(zip(_POSITION, (Fact(place.ra, place.source), Fact(place.dec, place.source)), strict=True))
        ra, dec = (self._pointing(name) for name in _POSITION)
        if ra is None or dec is None:
            return {}
        try:
            header = (
                ra.hdu.header
                if "RADESYS" in ra.hdu.header or "EQUINOX" in ra.hdu.header
                else self._inspected.headers[0]
            )
            values = positions.pointing(_plain(ra), _plain(dec), ra.unit, header)
        except positions.NoPosition as error:
            self._problems.append(f"s_ra, s_dec: {ra.source} is '{ra.value}', {dec.source} is '{dec.value}': {error}.")
            return {name: Fact.null(_WRONG) for name in _POSITION}
        return {"s_ra": Fact(values[0], ra.source), "s_dec": Fact(values[1], dec.source)}

    def _pointing(self, name: str) -> Told | None:
        try:
            return next(
                (told for told in self._headers.find(self._type.by_name[name].keywords) if told.value is not None), None
            )
        except Misread as error:
            self._problems.append(f"{name}: {error.source} {error.message}.")
            return None

    def _judged(self, item: Item, fact: Fact) -> Fact:
        """A fact that may stand: null only where the type allows it, and then with a reason."""
        if fact.value is not None or fact.reason == _WRONG:
            return fact
        reason = fact.reason or self._nulls.get(item.group) or self._nulls.get(_ALL) or ""
        if item.need is Need.REQUIRED or (item.need is Need.REASON and not reason):
            why = f" ({fact.reason})" if fact.reason else ""
            self._problems.append(f"{item.name} is missing{why}. {_meant(item.description, item.keywords)}")
        return Fact.null(reason or "not told", fact.source)

    # --- inputs -------------------------------------------------------------------------------------

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Roles and URIs of what the file was made from."""
        yield from self.given_inputs()
        for role in self._type.inputs:
            if role.name not in self._given:
                yield from self._found_inputs(role)

    def given_inputs(self) -> Iterator[tuple[str, str]]:
        for role in self._type.inputs:
            names = self._given.get(role.name, "").split()
            if role.name in self._given and (not names or (len(names) > 1 and not role.many)):
                self._problems.append(f"--set {role.name}: expected {'names' if role.many else 'one name'}.")
            yield from ((role.name, name) for name in dict.fromkeys(names))

    def _found_inputs(self, role: Role) -> Iterator[tuple[str, str]]:
        try:
            told = [str(each.value) for each in self._headers.find(role.keywords) if each.value is not None]
        except Misread as error:
            self._problems.append(f"{role.name}: {error.source} {error.message}.")
            return
        names = list(dict.fromkeys(told))[: None if role.many else 1]
        if role.required and not names:
            self._problems.append(f"{role.name} is missing. {_meant(role.description, role.keywords)}")
        yield from ((role.name, name) for name in names)


def _plain(told: Told) -> str | float:
    return told.value if isinstance(told.value, str) else float(told.value or 0)


def _meant(description: str, keywords: Sequence[Keyword]) -> str:
    """What something is and where it was looked for."""
    looked = f" Looked for {', '.join(keyword.name for keyword in keywords)}." if keywords else ""
    return f"{description}.{looked}"


def _end_of_exposure(facts: Mapping[str, Fact], kind: ProductType) -> dict[str, Fact]:
    """The end of a single exposure from its start and length, where nothing tells it."""
    if "exposure_id" not in kind.by_name or kind.by_name["exposure_id"].need is Need.OPTIONAL:
        return {}
    start, end, length = (facts.get(name) for name in ("obs_start", "obs_end", "exp_time"))
    if start is None or end is None or length is None or end.value is not None or end.source == GIVEN:
        return {}
    if not isinstance(start.value, str) or not isinstance(length.value, float):
        return {}
    scale = kind.by_name["obs_start"].scale or Scale.TAI
    return {"obs_end": Fact(times.later(start.value, scale, length.value), "obs_start + exp_time")}


def _product(
    kind: ProductType, facts: Mapping[str, Fact], inputs: tuple[tuple[str, str], ...], *, release: str, collection: str
) -> Product:
    return Product(
        type=kind.name,
        release=release,
        collection=collection,
        instrument=_text(facts, "instrument"),
        detector=_text(facts, "detector"),
        band=_text(facts, "band"),
        exposure=_text(facts, "exposure_id"),
        t_min=_mjd(facts, kind, "obs_start"),
        t_max=_mjd(facts, kind, "obs_end"),
        ra=_number(facts, "s_ra"),
        dec=_number(facts, "s_dec"),
        metadata={name: fact.json for name, fact in facts.items()},
        inputs=inputs,
    )


def _text(facts: Mapping[str, Fact], name: str) -> str | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, str) else None


def _number(facts: Mapping[str, Fact], name: str) -> float | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, float) else None


def _mjd(facts: Mapping[str, Fact], kind: ProductType, name: str) -> float | None:
    text = _text(facts, name)
    return times.mjd_utc(text, kind.by_name[name].scale or Scale.TAI) if text else None
