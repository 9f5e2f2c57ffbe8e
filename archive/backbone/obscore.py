"""What a registered image is in the terms of ObsCore 1.1: its ``Observation``, from its metadata and its WCS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote

from sqlalchemy import Connection

from archive.backbone.examination import Coverage, Fact, facts_of
from archive.ledger import observations
from archive.ledger.files import Artifact, Known
from archive.ledger.observations import Observation, Observed
from archive.ledger.products import Product
from archive.ledger.site import publisher_did
from archive.products import Band, ProductType, ProductTypes

DATALINK = "application/x-votable+xml;content=datalink"
"""Media type of what ``access_url`` leads to (DataLink 1.1 section 3.3)."""

_CALIBRATED = 2  # calib_level from which positions are measured, not just aimed at
_COUNTS = "phot.count"


def observed_types(types: ProductTypes) -> tuple[str, ...]:
    """The names of the types whose products are observations."""
    return tuple(name for name, kind in types.items() if kind.calib_level is not None)


def observed(
    product: Product, covered: Coverage, types: ProductTypes, artifact: Artifact, received: datetime
) -> Observed:
    """What a product shows that was ``received`` at that time."""
    return Observed(covered.json, observation(product, covered, types, artifact, received))


def observation(
    product: Product, covered: Coverage, types: ProductTypes, artifact: Artifact, received: datetime
) -> Observation | None:
    """The row of a product, or None if its type is no observation or it holds no image.

    It is released when it is received, or later if it is proprietary until then.
    """
    kind: ProductType = types.named(product.type)
    if kind.calib_level is None or covered.kind is None:
        return None
    facts = facts_of(product.metadata)
    low, high, power = _spectrum(covered, types.band(product.band, _text(facts, "physical_filter")))
    length = _number(facts, "exp_time")
    quantity = _quantity(covered.unit)
    return Observation(
        dataproduct_type=covered.kind,
        dataproduct_subtype=product.type,
        calib_level=kind.calib_level,
        obs_collection=product.collection,
        obs_id=product.exposure or unquote(artifact.uri.rpartition("/")[2]),
        obs_title=_title(product),
        obs_publisher_did=publisher_did(artifact.uri),
        obs_creation_date=_moment(_text(facts, "created_at")),
        obs_release_date=_released(artifact, received),
        data_rights="public" if artifact.public_from is None else "proprietary",
        access_format=DATALINK,
        access_estsize=-(-artifact.size // 1000),
        target_name=_text(facts, "target_name"),
        s_ra=covered.ra if covered.ra is not None else product.ra,
        s_dec=covered.dec if covered.dec is not None else product.dec,
        s_fov=covered.fov,
        s_region=covered.outline,
        s_resolution=covered.resolution or _number(facts, "psf_fwhm", "psf_fwhm_science", "dimm_seeing"),
        s_xel1=covered.shape[0] if covered.shape else None,
        s_xel2=covered.shape[1] if covered.shape else None,
        s_pixel_scale=covered.pixel,
        s_calib_status=None if covered.ra is None else "raw" if kind.calib_level < _CALIBRATED else "calibrated",
        t_min=product.t_min,
        t_max=product.t_max,
        t_exptime=length,
        t_resolution=length if product.exposure else None,  # a single exposure has no finer one
        t_xel=covered.t_xel or (1 if product.t_min is not None else None),
        t_calib_status="calibrated" if product.t_min is not None else None,
        em_min=low,
        em_max=high,
        em_res_power=power,
        em_resolution=(low + high) / 2 / power if low is not None and high is not None and power else None,
        em_xel=covered.em_xel or (1 if low is not None else None),
        em_ucd="em.wl" if low is not None else None,
        em_calib_status="calibrated" if covered.em_min is not None else None,
        o_ucd=quantity,
        o_unit=covered.unit,
        o_calib_status="absolute" if quantity is not None and quantity != _COUNTS else None,
        pol_states=f"/{'/'.join(covered.states)}/" if covered.states else None,
        pol_xel=len(covered.states),
        facility_name=_text(facts, "telescope"),
        instrument_name=product.instrument,
        proposal_id=_text(facts, "science_program"),
    )


def renew(
    transaction: Connection, known: Known, product: Product, types: ProductTypes, came: datetime | None = None
) -> None:
    """Make the row of a file anew: its ``product`` is described otherwise, or it is back; it first ``came`` then."""
    facts = observations.covered(transaction, [known.id]).get(known.id)
    if facts is None:
        return
    before = observations.find(transaction, [known.id]).get(known.id)
    told = before.obs_release_date if before is not None else None
    received = (told.replace(tzinfo=UTC) if told is not None else came) or datetime.now(UTC)
    row = observation(product, Coverage.from_json(facts), types, known.artifact, received)
    observations.replace(transaction, {known.id: row})


def _title(product: Product) -> str:
    """A line for people."""
    parts = {
        "": product.instrument,
        "exposure ": product.exposure,
        "detector ": product.detector,
        "band ": product.band,
    }
    told = ", ".join(f"{word}{part}" for word, part in parts.items() if part)
    kind = product.type.replace("_", " ")
    return f"{kind}: {told}" if told else kind


def _released(artifact: Artifact, received: datetime) -> datetime:
    """Since when everybody may have the file, in UTC."""
    moment = received if artifact.public_from is None else datetime.fromisoformat(artifact.public_from)
    return moment.astimezone(UTC).replace(tzinfo=None)


def _moment(text: str | None) -> datetime | None:
    """A time as items keep it; None where Python's calendar has none such (a leap second, the year 10000)."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


def _spectrum(covered: Coverage, band: Band | None) -> tuple[float | None, float | None, float | None]:
    """Shortest and longest wavelength by the image's own axis, else by its band; and the power of one channel."""
    if covered.em_min is not None and covered.em_max is not None:
        width = (covered.em_max - covered.em_min) / (covered.em_xel or 1)
        middle = (covered.em_max + covered.em_min) / 2
        return covered.em_min, covered.em_max, middle / width if width > 0 else None
    if band is not None:
        return band.low, band.high, (band.low + band.high) / 2 / (band.high - band.low)
    return None, None, None


_QUANTITIES = (
    (("adu", "dn", "count", "electron", "ct", "e-"), _COUNTS),
    (("jy/sr", "mjy/sr"), "phot.flux.density.sb"),
    (("jy", "mjy", "ujy", "njy"), "phot.flux.density"),
    (("mag",), "phot.mag"),
    (("k",), "phot.antennaTemp"),
)


def _quantity(unit: str | None) -> str | None:
    """The UCD of what pixels measure, by their unit."""
    folded = (unit or "").lower()
    for units, ucd in _QUANTITIES:
        if folded in units or (ucd == "phot.flux.density" and folded.partition("/")[0] in units):
            return ucd
    return None


def _text(facts: Mapping[str, Fact], name: str) -> str | None:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, str) else None


def _number(facts: Mapping[str, Fact], *names: str) -> float | None:
    """The first of these items that is a number."""
    values = (facts[name].value for name in names if name in facts)
    return next((value for value in values if isinstance(value, float)), None)
