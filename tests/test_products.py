"""What kinds of files there are, and what is wrong in a description of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.columns import Datatype
from archive.faults import NotFound, UsageFault
from archive.products import Form, Keyword, Need, ProductTypes, product_types, read_types
from archive.releases import DescriptionFault, shipped

SIX_GROUPS = {
    "times": ["obs_start", "obs_end", "exp_time", "dut1"],
    "site": ["dimm_seeing", "transparency", "air_temp", "pressure", "humidity", "wind_speed", "obs_lon", "obs_lat"],
    "telescope": ["s_ra", "s_dec", "aos_state", "dome_azimuth", "dome_status", "telescope_status", "airmass"],
    "camera": ["shutter_profile", "wavefront", "camera_env", "electronics"],
    "program": ["science_program"],
    "scheduler": ["visit_id", "n_exp_in_visit"],
}


@pytest.fixture(scope="module")
def types() -> ProductTypes:
    return product_types([shipped()])


def test_the_types_that_are_shipped(types: ProductTypes) -> None:
    assert set(types) == {
        "raw_image",
        "processed_image",
        "difference_image",
        "calibration",
        "coadd",
        "catalog_delivery",
        "alert_bundle",
        "engineering_data",
        "intermediate",
        "other",
    }
    assert {name for name, each in types.items() if each.is_image} == {
        "raw_image",
        "processed_image",
        "difference_image",
        "coadd",
    }
    assert types["difference_image"].retention.days == 30
    assert types["raw_image"].retention.days is None


@pytest.mark.requirement("DMS-DBB-REQ-0002")
@pytest.mark.parametrize("group", SIX_GROUPS)
def test_a_raw_image_has_the_six_groups(types: ProductTypes, group: str) -> None:
    raw = types["raw_image"]
    assert group in [each.name for each in raw.groups]
    for name in SIX_GROUPS[group]:
        assert raw.item(name).group == group
        assert raw.item(name).need is not Need.OPTIONAL
    assert "DMS-REQ-0068" in next(each.source for each in raw.groups if each.name == group)


@pytest.mark.requirement("DMS-DBB-REQ-0003")
def test_a_difference_image_tells_inputs_provenance_and_kernel(types: ProductTypes) -> None:
    difference = types["difference_image"]
    assert [(role.name, role.required) for role in difference.inputs] == [("science", True), ("template", True)]
    assert difference.item("kernel").need is Need.REASON
    assert difference.item("software_version").need is Need.REQUIRED


def test_calibrations_are_of_the_six_kinds_and_more(types: ProductTypes) -> None:
    kinds = list(types["calibration"].item("calib_type").words)
    assert kinds[:6] == ["crosstalk", "bias", "dark", "flat_mono", "flat_broadband", "illumination"]


def test_items_are_columns(types: ProductTypes) -> None:
    column = types["raw_image"].item("exp_time").column
    assert (column.datatype, column.unit, column.nullable) == (Datatype.DOUBLE, "s", False)
    assert types["raw_image"].item("obs_start").column.is_timestamp


def test_names_that_are_not_known(types: ProductTypes) -> None:
    with pytest.raises(UsageFault, match="no product type 'raw'") as fault:
        types.named("raw")
    assert "raw_image" in str(fault.value)
    with pytest.raises(NotFound, match=r"no item 'exptime'\. Did you mean 'exp_time'"):
        types["raw_image"].item("exptime")


@pytest.mark.parametrize(
    ("written", "keyword", "matches"),
    [
        ("IMCMB#", "IMCMB001", True),
        ("IMCMB#", "IMCMB", False),
        ("ESO PRO REC# RAW# NAME", "ESO PRO REC1 RAW12 NAME", True),
        ("SHUT*", "SHUTTIME", True),
        ("EXPTIME", "EXPTIME2", False),
        ("M1*", "m1temp", True),
    ],
)
def test_keywords_that_stand_for_several(written: str, keyword: str, matches: bool) -> None:
    assert Keyword(written).matches(keyword) is matches


GOOD = """
retention: [{name: permanent, description: For ever.}]
groups:
  - name: g
    title: G
    items:
      - {name: a, form: text, description: A, need: required, keywords: [A, "B [s]"]}
      - {name: b, form: double, unit: Pa, description: B, keywords: ["P [hPa]"]}
types:
  - {name: t, title: T, description: T, formats: [fits], retention: permanent, groups: [g], needs: {g: optional}}
"""


def test_what_a_type_needs_overrules_its_groups() -> None:
    types = read_types(GOOD.replace('"B [s]"', "B"), "products.yaml")
    assert [item.need for item in types["t"].items] == [Need.OPTIONAL, Need.OPTIONAL]
    assert types["t"].item("b").keywords == (Keyword("P", "hPa"),)
    assert types["t"].item("b").form is Form.DOUBLE


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = GOOD.replace("unit: Pa", "unit: Pascals").replace("retention: permanent", "retention: ever")
    text = text.replace("groups: [g]", "groups: [g, h]").replace("[fits]", "[fitz]").replace("name: b", "name: B-b")
    text = text.replace("{g: optional}", "{x: optional}").replace("keywords: [A,", "keywords: [a!,") + "more: 1\n"
    with pytest.raises(DescriptionFault) as fault:
        read_types(text, "products.yaml")
    told = fault.value.message
    for wrong in (
        "Pascals",
        "retention: ever",
        "no group 'h'",
        "'fitz'",
        "'B-b'",
        "names 'x'",
        "'a!'",
        "'more'",
        "has no unit",
    ):
        assert wrong in told, wrong
    assert len(fault.value.problems) == 9


def test_names_are_distinct() -> None:
    text = GOOD.replace('"B [s]"', "B").replace("name: b,", "name: a,")
    with pytest.raises(DescriptionFault, match="'a' is told twice"):
        read_types(text, "products.yaml")


def test_a_folder_without_types(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"There is no products\.yaml"):
        product_types([tmp_path])
    (tmp_path / "products.yaml").write_text(GOOD.replace('"B [s]"', "B"))
    assert list(product_types([tmp_path, shipped()])) == ["t"]
