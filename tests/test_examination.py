"""Headers to metadata: every item with its value and place, or null with a reason; all that is wrong at once."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import FK4, FK5, Galactic, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from archive.backbone.examination import Fact, amended, examine, facts_of
from archive.backbone.inspection import Inspection
from archive.faults import UsageFault
from archive.ledger.products import Product
from archive.products import Need, ProductTypes, product_types
from archive.releases import shipped
from tests import observations
from tests.observations import BIAS, DIFFERENCE, ESO, LSST, TAN

IMAGES = Path(__file__).parent / "data" / "images"
TYPES: ProductTypes = product_types([shipped()])
WHY = {"*": "the test does not tell"}


def examined(
    kind: str,
    content: bytes,
    given: Mapping[str, str] | None = None,
    nulls: Mapping[str, str] | None = None,
    name: str = "file.fits",
) -> Product:
    inspection = Inspection(name)
    inspection.feed(content)
    return examine(TYPES[kind], inspection.finish(), given, nulls, release="dr1", collection="nightly")


def raw(cards: Mapping[str, Any], nulls: Mapping[str, str] | None = WHY, **given: str) -> dict[str, Fact]:
    """The facts of a raw image with these cards."""
    return facts_of(examined("raw_image", observations.image(cards), given, nulls).metadata)


def refused(
    kind: str, content: bytes, given: Mapping[str, str] | None = None, nulls: Mapping[str, str] | None = None
) -> str:
    with pytest.raises(UsageFault) as fault:
        examined(kind, content, given, nulls)
    return str(fault.value)


# --- raw images -----------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0002")
@pytest.mark.parametrize(("cards", "nulls"), [(LSST, None), (ESO, WHY)], ids=["LSST", "ESO"])
def test_every_item_of_a_raw_image_is_there_or_null_for_a_reason(
    cards: Mapping[str, Any], nulls: Mapping[str, str] | None
) -> None:
    facts = raw(cards, nulls)
    items = TYPES["raw_image"].items
    assert list(facts) == [item.name for item in items]
    for item in items:
        fact = facts[item.name]
        assert (fact.value is not None and fact.source) or fact.reason
        if nulls is None and item.need is not Need.OPTIONAL:
            assert fact.value is not None, item.name


@pytest.mark.requirement("DMS-DBB-REQ-0002")
def test_the_words_of_lsst() -> None:
    product = examined("raw_image", observations.image(LSST))
    facts = facts_of(product.metadata)
    assert (product.type, product.release, product.collection) == ("raw_image", "dr1", "nightly")
    assert (product.instrument, product.detector, product.band) == ("LSSTCam", "R22_S11", "r")
    assert product.exposure == "MC_O_20260228_000123"
    assert facts["obs_start"] == Fact("2026-03-01T04:05:06.789000", "HDU 0 (PRIMARY) DATE-BEG")
    assert product.t_min == pytest.approx(Time("2026-03-01T04:04:29.789", scale="utc").mjd, abs=1e-9)
    assert product.t_max == pytest.approx(Time("2026-03-01T04:04:59.911", scale="utc").mjd, abs=1e-9)
    assert facts["air_temp"].value == pytest.approx(284.65)
    assert facts["humidity"].value == pytest.approx(0.21)
    assert facts["img_type"].value == "science"
    assert facts["aos_state"].value == {"AOSDOF1": 0.01, "AOSDOF2": -0.02}
    assert (product.ra, product.dec) == (53.125, -28.1)


@pytest.mark.requirement("DMS-DBB-REQ-0002")
def test_the_words_of_eso() -> None:
    facts = raw(ESO)
    assert facts["pressure"] == Fact(74313.0, "HDU 0 (PRIMARY) ESO TEL AMBI PRES START")
    assert facts["physical_filter"].value == "R_SPECIAL"
    assert facts["n_exp_in_visit"].value == 5
    assert facts["visit_id"].value == "2780001"
    assert facts["obs_start"].value == "2020-05-31T06:00:37.000000"
    assert facts["obs_end"] == Fact("2020-05-31T06:02:36.998900", "obs_start + exp_time")
    assert facts["camera_env"].value == {"ESO INS TEMP1 VAL": 280.2}
    assert facts["dut1"] == Fact(None, "", "the test does not tell")


@pytest.mark.parametrize("compressed", [True, False])
def test_a_mosaic_is_told_by_its_first_header_and_placed_by_its_images(compressed: bool) -> None:
    product = examined("raw_image", observations.mosaic(compressed=compressed))
    assert (product.ra, product.dec) == pytest.approx((53.0, -28.0))
    assert facts_of(product.metadata)["s_ra"].source == "WCS of HDU 1 (SEGMENT00) and 1 more"


def test_what_extensions_tell_differently() -> None:
    parts = [fits.ImageHDU(observations.pixels(4, 4), name=f"CCD{n}") for n in (1, 2)]
    for number, part in enumerate(parts):
        part.header.update({"CCDNUM": number, "GAIN": 1.5 + number, "OBSERVER": "A"})
    cards = {key: value for key, value in LSST.items() if key != "DETECTOR"}
    facts = facts_of(examined("raw_image", observations.image(cards, extensions=parts)).metadata)
    assert facts["detector"].reason == "HDU 1 (CCD1) CCDNUM differs between HDUs"
    assert facts["electronics"].value == {
        "SEQFILE": "FP_E2V_2s_l3cp_v30.seq",
        "GAIN": {"HDU 1 (CCD1)": 1.5, "HDU 2 (CCD2)": 2.5},
    }


def test_a_real_raw_exposure_tells_little() -> None:
    content = (IMAGES / "M13_blue_0001.fits").read_bytes()
    told = refused("raw_image", content)
    for missing in ("exposure_id is missing", "telescope is missing", "dut1 is missing", "Looked for EXPID"):
        assert missing in told
    assert "--set ITEM=VALUE" in told
    groups = dict.fromkeys(("site", "telescope", "camera", "program", "scheduler", "identity"), "an amateur's camera")
    product = examined("raw_image", content, {"exposure_id": "m13-1"}, groups | {"times": "not recorded"})
    facts = facts_of(product.metadata)
    assert facts["img_type"].value == "science"
    assert facts["exp_time"].value == 5.0
    assert facts["pressure"].reason == "an amateur's camera"
    assert product.t_min == pytest.approx(Time("2013-05-05T04:09:39", scale="utc").mjd, abs=1e-9)


def test_a_keyword_that_is_blank_is_reason_enough() -> None:
    facts = raw({**LSST, "DUT1": None, "SEEING": "N/A"}, None)
    assert facts["dut1"] == Fact(None, "HDU 0 (PRIMARY) DUT1", "HDU 0 (PRIMARY) DUT1 is blank")
    assert facts["dimm_seeing"].reason == "HDU 0 (PRIMARY) SEEING is blank"


# --- all that is wrong ----------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_everything_missing_or_wrong_is_told_at_once() -> None:
    wrong = {
        **{key: value for key, value in LSST.items() if key not in ("OBSID", "DUT1")},
        "EXPTIME": "long",
        "IMGTYPE": "NOISE",
        "DATE-END": "yesterday",
        "WINDSPD": (3.0, "[deg] speed"),
        "MAXINDEX": 2.5,
    }
    told = refused("raw_image", observations.image(wrong), {"bnad": "r", "band": "g"}, {"obs_start": "x", "sight": "y"})
    assert "10 things are missing or wrong in a raw_image" in told
    for part in (
        "--set bnad: there is no such item. Did you mean 'band'?",
        "--null obs_start: a raw_image cannot do without it",
        "--null sight: there is no such item or group. Did you mean 'site'?",
        "exposure_id is missing",
        "dut1 is missing",
        "exp_time: HDU 0 (PRIMARY) EXPTIME is 'long': expected a number in s",
        "img_type: HDU 0 (PRIMARY) IMGTYPE is 'NOISE': expected one of science, bias",
        "obs_end: HDU 0 (PRIMARY) DATE-END is 'yesterday': expected a date and time like",
        "n_exp_in_visit: HDU 0 (PRIMARY) MAXINDEX is '2.5': expected a whole number",
    ):
        assert part in told, part
    assert "wind_speed" in refused("raw_image", observations.image({**LSST, "WINDSPD": (3.0, "[deg] speed")}))


def test_keywords_that_contradict_themselves() -> None:
    content = observations.image({**LSST, "OBSERVER": "A"}, checksum=False)
    start = content.index(b"OBSERVER=")
    twice = content[:start] + b"EXPTIME =                300.0".ljust(80) + content[start + 80 :]
    assert "EXPTIME is given 2 times, with different values: 30.0, 300.0" in refused("raw_image", twice)
    same = content[:start] + b"EXPTIME =                 30.0".ljust(80) + content[start + 80 :]
    assert facts_of(examined("raw_image", same).metadata)["exp_time"].value == 30.0


def test_a_card_that_cannot_be_read() -> None:
    content = observations.image(LSST, checksum=False)
    start = content.index(b"EXPTIME =")
    broken = content[:start] + b"EXPTIME = 'no end of the text".ljust(80) + content[start + 80 :]
    assert "EXPTIME is a card that cannot be read" in refused("raw_image", broken)


def test_another_format_is_refused() -> None:
    told = refused("alert_bundle", observations.image(LSST))
    assert "alert_bundle comes as AVRO, not as fits" in told


def test_what_is_given_overrules_and_is_checked() -> None:
    facts = raw(
        LSST, {"dut1": "lost"}, band="z", exp_time="31.5", obs_start="2026-03-01T00:00:00", aos_state='{"a": 1}'
    )
    assert facts["band"] == Fact("z", "given")
    assert facts["exp_time"].value == 31.5
    assert facts["obs_start"].value == "2026-03-01T00:00:00.000000"
    assert facts["dut1"] == Fact(None, "given", "lost")
    assert facts["aos_state"].value == {"a": 1}
    told = refused(
        "raw_image", observations.image(LSST), {"exp_time": "x", "obs_end": "x", "aos_state": "x"}, {"band": " "}
    )
    assert "4 things" in told


@given(
    cards=st.dictionaries(
        st.sampled_from(
            ["EXPTIME", "DATE-BEG", "RASTART", "TIMESYS", "MAXINDEX", "SEEING", "EQUINOX", "CTYPE1", "A_ORDER"]
        ),
        st.one_of(
            st.text("0123456789:-+TeE.abc ", max_size=20), st.integers(), st.floats(allow_nan=False), st.booleans()
        ),
    )
)
def test_any_header_ends_in_a_product_or_a_fault(cards: dict[str, Any]) -> None:
    sane = {key: value for key, value in cards.items() if not isinstance(value, float) or abs(value) < 1e300}
    content = observations.image({**LSST, **TAN, **sane}, checksum=False)
    with contextlib.suppress(UsageFault):
        product = examined("raw_image", content)
        assert set(product.metadata) == set(TYPES["raw_image"].by_name)
        json.dumps(product.metadata)


@given(
    junk=st.lists(
        st.tuples(st.integers(0, 60), st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=70))
    )
)
def test_any_cards_end_in_a_product_or_a_fault(junk: list[tuple[int, str]]) -> None:
    """Cards that cannot be read, HIERARCH cut short, quotes that do not close: a fault for people, or no harm."""
    content = bytearray(observations.image({**LSST, **TAN}, checksum=False))
    for number, text in junk:
        start = (10 + number) * 80
        content[start + 8 : start + 80] = b"= " + text[:70].encode("ascii")
    with contextlib.suppress(UsageFault):
        examined("raw_image", bytes(content), {}, WHY)


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "tai"),
    [
        ({"DATE-OBS": "2016-12-31T23:59:60.5"}, "2017-01-01T00:00:36.500000"),  # within a leap second
        ({"DATE-OBS": "2017-01-01T00:00:00"}, "2017-01-01T00:00:37.000000"),
        ({"DATE-OBS": "1999-12-31T23:59:28", "TIMESYS": "UTC"}, "2000-01-01T00:00:00.000000"),
        ({"DATE-OBS": "2000-01-01T00:00:00", "TIMESYS": "TAI"}, "2000-01-01T00:00:00.000000"),
        ({"DATE-OBS": "2000-01-01T00:00:32.184", "TIMESYS": "TT"}, "2000-01-01T00:00:00.000000"),
        ({"DATE-OBS": "2000-01-01T00:00:32.184", "TIMESYS": "TT(TAI)"}, "2000-01-01T00:00:00.000000"),
        ({"DATE-OBS": "2000-01-01T00:00:00", "TIMESYS": "GPS"}, "2000-01-01T00:00:19.000000"),
        ({"DATE-OBS": "2000-01-01T00:00:00Z", "TIMESYS": "TAI"}, "2000-01-01T00:00:32.000000"),
        ({"MJD-OBS": 51544.0}, "2000-01-01T00:00:32.000000"),
        ({"MJD-OBS": "51544.5", "TIMESYS": "TAI"}, "2000-01-01T12:00:00.000000"),
        ({"JD-OBS": 2451544.5, "TIMESYS": "TAI"}, "2000-01-01T00:00:00.000000"),
        ({"DATE-OBS": "2000-01-01", "TIME-OBS": "03:04:05.25"}, "2000-01-01T03:04:37.250000"),
        ({"DATE-OBS": "01/02/98", "UT": "3:04:05"}, "1998-02-01T03:04:36.000000"),
    ],
)
def test_time_scales(cards: dict[str, Any], tai: str) -> None:
    facts = raw({"EXPTIME": 1.0, "INSTRUME": "X", "IMAGETYP": "zero", "OBSID": "1", **cards})
    assert facts["obs_start"].value == tai


@pytest.mark.parametrize(
    ("cards", "why"),
    [
        ({"DATE-OBS": "2000-01-01"}, "is a date without a time of day"),
        ({"DATE-OBS": "2000-13-01T00:00:00"}, "is no date and time of the calendar"),
        ({"DATE-OBS": "2000-01-01T00:00:00", "TIMESYS": "LOCAL"}, "the time scale TIMESYS 'LOCAL' is not known"),
        ({"DATE-OBS": "1492-01-01T00:00:00", "TIMESYS": "TAI"}, "lies in the year 1492"),
        ({"DATE-OBS": 20000101}, "expected a date and time"),
        ({"MJD-OBS": 1e12}, "is no date and time of the calendar"),
    ],
)
def test_times_that_are_none(cards: dict[str, Any], why: str) -> None:
    content = observations.image({"EXPTIME": 1.0, "INSTRUME": "X", "IMAGETYP": "zero", "OBSID": "1", **cards})
    assert why in refused("raw_image", content, nulls=WHY)


@given(mjd=st.floats(41500.0, 61600.0))
def test_times_are_those_of_astropy(mjd: float) -> None:
    product = examined("raw_image", observations.image({**LSST, "MJD-BEG": mjd, "DATE-BEG": None}))
    time = Time(mjd, format="mjd", scale="tai")
    assert product.t_min == pytest.approx(time.utc.mjd, abs=1e-10)


def test_leap_seconds_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    Time("2026-01-01", scale="utc").tai  # noqa: B018
    assert raw(LSST)["obs_start"].value == "2026-03-01T04:05:06.789000"


# --- positions ------------------------------------------------------------------------------------


def test_positions_of_real_images() -> None:
    for path in sorted(IMAGES.glob("*.fits")):
        product = examined("coadd", path.read_bytes(), {}, WHY)
        header = fits.getheader(path)
        if "CTYPE1" not in header:
            assert (product.ra, product.dec) == (None, None)
            continue
        middle = WCS(header).celestial.pixel_to_world((header["NAXIS1"] - 1) / 2, (header["NAXIS2"] - 1) / 2).icrs
        assert product.ra is not None
        assert product.dec is not None
        assert middle.separation(SkyCoord(product.ra, product.dec, unit="deg")).deg < 1e-9, path.name


POINTINGS = {
    "degrees": ({"RA": 10.5, "DEC": -20.25}, SkyCoord(10.5, -20.25, unit="deg")),
    "sexagesimal": ({"RA": "00:42:44.3", "DEC": "+41:16:09"}, SkyCoord("00:42:44.3 +41:16:09", unit=("hour", "deg"))),
    "hours by the comment": ({"RA": (1.5, "[h] RA"), "DEC": 3.0}, SkyCoord(22.5, 3.0, unit="deg")),
    "FK5 of another equinox": (
        {"RA": 10.0, "DEC": 20.0, "RADESYS": "FK5", "EQUINOX": 2026.2},
        SkyCoord(10.0 * u.deg, 20.0 * u.deg, frame=FK5(equinox="J2026.2")),
    ),
    "FK4 by the equinox": (
        {"RA": 10.0, "DEC": 20.0, "EQUINOX": 1950.0},
        SkyCoord(10.0 * u.deg, 20.0 * u.deg, frame=FK4(equinox="B1950")),
    ),
    "the frame in the first header": (
        {"OBJCTRA": "01 02 03", "OBJCTDEC": "-04 05 06"},
        SkyCoord("01 02 03 -04 05 06", unit=("hour", "deg")),
    ),
}


@pytest.mark.parametrize("name", POINTINGS)
def test_pointings_in_any_frame(name: str) -> None:
    cards, place = POINTINGS[name]
    without = {key: value for key, value in LSST.items() if key not in ("RASTART", "DECSTART", "RADESYS")}
    facts = raw({**without, **cards}, None)
    found = SkyCoord(facts["s_ra"].value, facts["s_dec"].value, unit="deg")
    assert place.icrs.separation(found).arcsec < 1e-6


@pytest.mark.parametrize(
    ("cards", "why"),
    [
        ({"RASTART": "ten", "DECSTART": 3.0}, "expected degrees, or hours and degrees"),
        ({"RASTART": 10.0, "DECSTART": 93.0}, "a declination of -90 to 90"),
        ({"RASTART": 10.0, "DECSTART": 3.0, "RADESYS": "SUPERGAL"}, "the frame RADESYS 'SUPERGAL' is not known"),
        ({"RASTART": 10.0, "DECSTART": 3.0, "RADESYS": "FK5", "EQUINOX": "now"}, "the EQUINOX 'now' is no year"),
    ],
)
def test_pointings_that_are_none(cards: dict[str, Any], why: str) -> None:
    assert why in refused("raw_image", observations.image({**LSST, **cards}))


def test_galactic_images_and_swapped_axes() -> None:
    swapped = {**TAN, "CTYPE1": "GLAT-TAN", "CTYPE2": "GLON-TAN", "CRVAL1": 5.0, "CRVAL2": 120.0}
    product = examined("coadd", observations.image(swapped), {}, WHY)
    place = SkyCoord(120.0 * u.deg, 5.0 * u.deg, frame=Galactic()).icrs
    assert (product.ra, product.dec) == pytest.approx((place.ra.deg, place.dec.deg), abs=1e-9)


def test_one_half_of_a_position_is_not_enough() -> None:
    told = refused("raw_image", observations.image(LSST), {"s_ra": "12.5"})
    assert "s_dec is missing" in told


# --- other types ----------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0012")
@pytest.mark.parametrize("kind", ["crosstalk", "bias", "dark", "flat_mono", "flat_broadband", "illumination"])
def test_a_calibration_of_each_kind(kind: str) -> None:
    product = examined("calibration", observations.image({**BIAS, "CALTYPE": kind, "WAVELENG": 550.0}))
    facts = facts_of(product.metadata)
    assert facts["calib_type"].value == kind
    assert facts["wavelength"].value == pytest.approx(5.5e-7)
    assert facts["processing_params"].value == {"PARAM1": "clip 5 sigma"}
    assert facts["created_at"].value == "2026-03-02T00:00:00.000000"
    assert facts["valid_to"].value == "2026-04-01T00:00:00.000000"
    inputs = [f"archive://rubin.example/raw/bias{number}.fits" for number in (1, 2, 3)]
    used = "archive://rubin.example/calib/crosstalk.fits"
    assert product.inputs == (*(("exposure", each) for each in inputs), ("calibration", used))


def test_inputs_can_be_given() -> None:
    product = examined("calibration", observations.image(BIAS), {"exposure": "archive://a/1 archive://a/2"})
    assert [uri for role, uri in product.inputs if role == "exposure"] == ["archive://a/1", "archive://a/2"]
    told = refused("difference_image", observations.image(DIFFERENCE), {"science": "a b"}, {"kernel": "none"})
    assert "--set science: expected one name" in told


def test_inputs_that_are_required() -> None:
    cards = {key: value for key, value in DIFFERENCE.items() if key != "TEMPLATE"}
    assert "template is missing" in refused("difference_image", observations.image(cards), nulls={"kernel": "none"})


def test_alerts_tell_their_schema() -> None:
    product = examined("alert_bundle", observations.alerts(7), name="alerts.avro")
    facts = facts_of(product.metadata)
    assert facts["n_alerts"] == Fact(7, "content")
    assert (facts["schema_name"].value, facts["schema_version"].value) == ("lsst.v7_1.alert", "7.1")


def test_a_catalog_needs_nothing() -> None:
    product = examined("catalog_delivery", b"ra,dec\n1,2\n", name="stars.csv")
    assert set(facts_of(product.metadata)) == {"catalog", "created_at"}
    assert examined("other", b"%PDF-1.7", name="manual.pdf").metadata == {}


# --- amending -------------------------------------------------------------------------------------


def test_amending_changes_what_is_said_and_nothing_else() -> None:
    product = examined("raw_image", observations.image(LSST))
    better = amended(TYPES["raw_image"], product, {"band": "i", "obs_end": "2026-03-01T04:06:00"}, {"dut1": "wrong"})
    old, new = facts_of(product.metadata), facts_of(better.metadata)
    assert {name for name in old if old[name] != new[name]} == {"band", "obs_end", "dut1"}
    assert better.band == "i"
    assert (better.t_min, better.ra, better.exposure) == (product.t_min, product.ra, product.exposure)
    assert better.t_max != product.t_max
    with pytest.raises(UsageFault, match="The amendment: 2 things are missing or wrong"):
        amended(TYPES["raw_image"], product, {"exp_time": "x"}, {"exposure_id": "y"})


def test_amending_inputs() -> None:
    product = examined("calibration", observations.image(BIAS))
    better = amended(TYPES["calibration"], product, {"calibration": "archive://a/b"})
    assert [uri for role, uri in better.inputs if role == "calibration"] == ["archive://a/b"]
    assert [pair for pair in better.inputs if pair[0] == "exposure"] == [
        p for p in product.inputs if p[0] == "exposure"
    ]


def test_numbers_keep_their_digits() -> None:
    exact = np.nextafter(53.0, 54.0)
    assert raw({**LSST, "EXPTIME": float(exact)})["exp_time"].value == float(exact)
