"""Descriptions: what Felis documents and our facts beside them become."""

from __future__ import annotations

from pathlib import Path

import pytest

from archive.columns import Column, Datatype
from archive.faults import NotFound
from archive.releases import DescriptionFault, Kind, Release, examine, find, from_documents, read_release, shipped
from archive.tables import ForeignKey, Index, Position, Table


@pytest.fixture(scope="module")
def everything(data: Path) -> Release:
    release, problems = examine(data / "everything.yaml")
    assert release is not None
    assert [str(problem) for problem in problems] == []
    return release


@pytest.fixture(scope="module")
def thing(everything: Release) -> Table:
    return everything.table("Object")


def test_the_schema(everything: Release) -> None:
    schema = everything.schema
    assert (schema.name, schema.utype) == ("sp_everything", "test:everything")
    assert schema.description == "Alles auf einmal – every construct, ∀."
    assert everything.version == "2.1"


def test_tables_and_columns_stand_in_the_order_of_their_indexes(everything: Release, thing: Table) -> None:
    assert [table.name for table in everything.schema.tables] == ["Visit", "Object"]
    assert [column.name for column in thing.columns[:5]] == ["objectId", "select", "flux", "ra", "Order"]


def test_names_keep_their_case_and_reserved_words_are_names(thing: Table) -> None:
    assert {"select", "Order", "order", "déclinaison"} <= set(thing.by_name)
    assert [column.name for column in thing.by_folded["order"]] == ["Order", "order"]


@pytest.mark.parametrize(
    ("name", "datatype", "arraysize", "xtype"),
    [
        ("objectId", Datatype.LONG, None, None),
        ("select", Datatype.SHORT, None, None),
        ("Order", Datatype.INT, None, None),
        ("order", Datatype.BYTE, None, None),
        ("déclinaison", Datatype.DOUBLE, None, None),
        ("good", Datatype.BOOLEAN, None, None),
        ("magnitudes", Datatype.FLOAT, "6", None),
        ("moments", Datatype.DOUBLE, "2x3", None),
        ("place", Datatype.DOUBLE, "2", "point"),
        ("band", Datatype.CHAR, "1", None),
        ("flags", Datatype.CHAR, "8", None),
        ("label", Datatype.CHAR, "40*", None),
        ("note", Datatype.UNICODE, "100*", None),
        ("history", Datatype.CHAR, "*", None),
        ("translation", Datatype.UNICODE, "*", None),
        ("thumbnail", Datatype.BYTE, "64*", None),
        ("made", Datatype.CHAR, "*", "timestamp"),
        ("elongation", Datatype.FLOAT, None, None),
    ],
)
def test_types(thing: Table, name: str, datatype: Datatype, arraysize: str | None, xtype: str | None) -> None:
    column = thing.by_name[name]
    assert (column.datatype, column.arraysize, column.xtype) == (datatype, arraysize, xtype)


def test_words_of_a_column(thing: Table) -> None:
    assert thing.by_name["objectId"] == Column(
        "objectId",
        Datatype.LONG,
        ucd="meta.id;meta.main",
        description="Number of the object.",
        nullable=False,
        principal=True,
        indexed=True,
    )
    assert thing.by_name["select"].std
    assert not thing.by_name["select"].nullable, "it belongs to the primary key"
    assert thing.by_name["déclinaison"].description == "Déclinaison ICRS, en degrés. 赤緯"


def test_units_by_the_rules_of_fits_are_units_too(thing: Table) -> None:
    assert thing.by_name["déclinaison"].unit == "deg"


def test_columns_of_another_document(thing: Table) -> None:
    assert thing.by_name["flux"] == Column(
        "flux",
        Datatype.DOUBLE,
        unit="nJy",
        ucd="phot.flux",
        description="Flux, under another name and finer.",
        nullable=False,
        principal=True,
    )
    assert thing.by_name["remark"].arraysize == "30*"
    assert thing.by_name["ra"].unit == "deg"


def test_keys_indexes_groups_and_checks(everything: Release, thing: Table) -> None:
    assert thing.primary_key == ("objectId", "select")
    assert thing.unique == (("select", "label"),)
    assert thing.foreign_keys == (
        ForeignKey(
            "object_visit",
            ("Order", "order"),
            "sp_everything.Visit",
            ("visit", "detector"),
            "The visit in which it was seen first.",
            "test:visit",
        ),
    )
    assert thing.indexes == (Index("object_made", ("made", "label")),)
    assert [name for name, column in thing.by_name.items() if column.indexed] == [
        "objectId",
        "ra",
        "déclinaison",
        "made",
    ]
    assert {group.name: group.columns for group in everything.groups} == {
        "brightness": ("magnitudes", "good"),
        "shape": ("moments", "elongation"),
    }
    assert [(check.name, check.expression) for check in everything.checks] == [("object_order", "order >= 0")]


@pytest.mark.requirement("DMS-DBB-REQ-0031")
def test_our_own_facts(everything: Release, thing: Table) -> None:
    assert everything.kind is Kind.PROGRAM
    assert everything.ids == range(100 << 56, 101 << 56)
    assert thing.title == "Tout"
    assert thing.position == Position("ra", "déclinaison")
    assert dict(thing.id_scopes) == {"objectId": "release", "Order": "exposure"}


def test_all_blocks_hand_out_positive_64_bit_numbers_that_no_other_block_does() -> None:
    from archive.tables import Schema

    blocks = [Release(Schema("x", ()), Kind.RELEASE, "1", number).ids for number in range(1, 128)]
    edges = [edge for block in blocks if block is not None for edge in (block.start, block.stop - 1)]
    assert edges == sorted(set(edges))
    assert edges[0] > 0
    assert edges[-1] == 2**63 - 1


def test_a_copy_of_the_documents_says_the_same(everything: Release) -> None:
    assert set(everything.documents) == {"everything.yaml", "everything_base.yaml", "everything.archive.yaml"}
    again = from_documents(dict(everything.documents))
    assert again.schema == everything.schema
    assert again.digest == everything.digest


def test_what_is_shipped_is_right() -> None:
    names = {path.stem for path in shipped().glob("*.yaml") if not path.stem.endswith(".archive")}
    assert {"dr1", "ext_tycho2", "tap_schema"} <= names
    for name in names - {"products", "retention"}:  # which are no schemas: see test_products.py, test_retention.py
        release, problems = examine(shipped() / f"{name}.yaml")
        assert release is not None
        assert [str(problem) for problem in problems] == []
        assert release.name.lower() == name


def test_the_sample_release() -> None:
    release = read_release(shipped() / "dr1.yaml")
    assert release.kind is Kind.RELEASE
    assert [table.name for table in release.schema.tables] == ["star", "field"]
    assert [key.target for table in release.schema.tables for key in table.foreign_keys] == ["dr1.field", "dr1.star"]
    assert release.table("star").position == Position("ra", "dec")


def test_the_standing_tables() -> None:
    release = read_release(shipped() / "tap_schema.yaml")
    assert release.kind is Kind.STANDING
    assert [table.name for table in release.schema.tables] == ["schemas", "tables", "columns", "keys", "key_columns"]
    assert all(column.std for table in release.schema.tables for column in table.columns)
    assert len([key for table in release.schema.tables for key in table.foreign_keys]) == 5


def test_finding(tmp_path: Path) -> None:
    assert find("dr1", [tmp_path, shipped()]) == shipped() / "dr1.yaml"
    (tmp_path / "dr1.yaml").write_text("name: dr1")
    assert find("dr1", [tmp_path, shipped()]) == tmp_path / "dr1.yaml"
    assert find("dr99", [tmp_path, shipped()]) is None


def test_positions_are_found_by_their_ucds_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "dr1.yaml").write_text((shipped() / "dr1.yaml").read_text())
    release = read_release(tmp_path / "dr1.yaml")
    assert release.table("star").position == Position("ra", "dec")
    assert release.id_block is None
    assert not release.has_facts


def test_what_is_not_there() -> None:
    with pytest.raises(NotFound, match=r"There is no description 'nowhere\.yaml'"):
        read_release(Path("nowhere.yaml"))
    with pytest.raises(NotFound, match=r"dr1 has no table 'stra'\. Did you mean 'star'\?"):
        read_release(shipped() / "dr1.yaml").table("stra")


def test_the_fault_tells_everything(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\ntables:\n- name: t\n  columns:\n  - name: a\n    datatype: nt\n    unit: m\n")
    with pytest.raises(DescriptionFault) as caught:
        read_release(path)
    assert caught.value.message.startswith("The description has 3 problems:\n")
    assert len(caught.value.problems) == 3
