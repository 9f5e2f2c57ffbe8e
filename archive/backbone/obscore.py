"""``Observation``: what a registered image is in the terms of ObsCore 1.1, made from its metadata and its WCS.

Times are MJD in UTC, wavelengths metres in vacuum, positions ICRS degrees; what is not known is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archive.backbone.examination import Coverage, Fact, facts_of
from archive.ledger.products import Product
from archive.products import Band, ProductType, ProductTypes
from archive.sky import Polygon

DATALINK = "application/x-votable+xml;content=datalink"
"""Media type of what ``access_url`` leads to (DataLink 1.1 section 3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A row of ``ivoa.obscore`` (ObsCore 1.1 tables 5 and 6), but for ``access_url``, which is the service's to say."""

    dataproduct_type: str | None
    calib_level: int
    obs_collection: str
    obs_id: str
    obs_publisher_did: str
    access_format: str
    access_estsize: int  # kbyte of 1000
    target_name: str | None
    s_ra: float | None
    s_dec: float | None
    s_fov: float | None
    s_region: Polygon | None
    s_resolution: float | None
    s_xel1: int | None
    s_xel2: int | None
    s_pixel_scale: float | None
    t_min: float | None
    t_max: float | None
    t_exptime: float | None
    t_resolution: float | None
    t_xel: int | None
    em_min: float | None
    em_max: float | None
    em_res_power: float | None
    em_xel: int | None
    o_ucd: str | None
    o_unit: str | None
    pol_states: str | None
    pol_xel: int
    facility_name: str | None
    instrument_name: str | None
    proposal_id: str | None
    obs_creation_date: str | None


def observation(
    product: Product, covered: Coverage, types: ProductTypes, *, did: str, name: str, size: int
) -> Observation | None:
    """The row of a product, or None if its type is no observation.

    ``did`` is the publisher's identifier of the file, ``name`` what an observation without exposure is called by,
    ``size`` is in bytes.
    """
    kind: ProductType = types.named(product.type)
    if kind.calib_level is None or covered.kind is None:
        return None
    facts = facts_of(product.metadata)
    low, high, power = _spectrum(covered, types.band(product.band, _text(facts, "physical_filter")))
    length = _number(facts, "exp_time")
    return Observation(
        dataproduct_type=covered.kind,
        calib_level=kind.calib_level,
        obs_collection=product.collection,
        obs_id=product.exposure or name,
        obs_publisher_did=did,
        access_format=DATALINK,
        access_estsize=-(-size // 1000),
        target_name=_text(facts, "target_name"),
        s_ra=covered.ra if covered.ra is not None else product.ra,
        s_dec=covered.dec if covered.dec is not None else product.dec,
        s_fov=covered.fov,
        s_region=covered.outline,
        s_resolution=covered.resolution or _number(facts, "psf_fwhm", "psf_fwhm_science", "dimm_seeing"),
        s_xel1=covered.shape[0] if covered.shape else None,
        s_xel2=covered.shape[1] if covered.shape else None,
        s_pixel_scale=covered.pixel,
        t_min=product.t_min,
        t_max=product.t_max,
        t_exptime=length,
        t_resolution=length if product.exposure else None,  # a single exposure has no finer one
        t_xel=covered.t_xel or (1 if product.t_min is not None else None),
        em_min=low,
        em_max=high,
        em_res_power=power,
        em_xel=covered.em_xel or (1 if low is not None else None),
        o_ucd=_quantity(covered.unit),
        o_unit=covered.unit,
        pol_states=f"/{'/'.join(covered.states)}/" if covered.states else None,
        pol_xel=len(covered.states),
        facility_name=_text(facts, "telescope"),
        instrument_name=product.instrument,
        proposal_id=_text(facts, "science_program"),
        obs_creation_date=_text(facts, "created_at"),
    )


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
    (("adu", "dn", "count", "electron", "ct", "e-"), "phot.count"),
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
