"""TAP_SCHEMA as rows: it describes itself, and says the same as the documents."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lxml import etree

from archive import vosi
from archive.adql import resolve
from archive.adql.parser import parse
from archive.columns import arrow_type
from archive.standing import Shelf, column_name, is_standing, spelled, table_name
from tests.faces import STARS, Scripted

Row = dict[str, object]


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Scripted().shelf


def rows(shelf: Shelf, name: str) -> list[Row]:
    return shelf.rows["TAP_SCHEMA", name].to_pylist()


def test_rows_have_the_described_types(shelf: Shelf) -> None:
    for key, table in shelf.rows.items():
        described = next(each for each in shelf.catalog.tables() if each.key == key)
        assert table.schema.types == [arrow_type(column) for column in described.columns]
        assert described.rows == table.num_rows
        for column, values in zip(described.columns, table.columns, strict=True):
            assert column.nullable or values.null_count == 0


def test_it_describes_itself(shelf: Shelf) -> None:
    own = [row["table_name"] for row in rows(shelf, "tables") if row["schema_name"] == "TAP_SCHEMA"]
    assert own == [f"TAP_SCHEMA.{name}" for name in ("schemas", "tables", "columns", "keys", "key_columns")]
    described = [row for row in rows(shelf, "columns") if row["table_name"] in own]
    assert len(described) == 4 + 6 + 14 + 5 + 3
    assert {row["std"] for row in described} == {1}
    assert {row["datatype"] for row in described} <= {"char", "unicodeChar", "int"}
    assert '"size"' in [row["column_name"] for row in described]


def test_the_five_keys_are_declared(shelf: Shelf) -> None:
    ends = {row["key_id"]: (row["from_table"], row["target_table"]) for row in rows(shelf, "keys")}
    pairs = {
        (*ends[row["key_id"]], row["from_column"], row["target_column"])
        for row in rows(shelf, "key_columns")
        if str(row["key_id"]).startswith("TAP_SCHEMA")
    }
    t = "TAP_SCHEMA."
    assert pairs == {
        (f"{t}tables", f"{t}schemas", "schema_name", "schema_name"),
        (f"{t}columns", f"{t}tables", "table_name", "table_name"),
        (f"{t}keys", f"{t}tables", "from_table", "table_name"),
        (f"{t}keys", f"{t}tables", "target_table", "table_name"),
        (f"{t}key_columns", f"{t}keys", "key_id", "key_id"),
    }


def test_nothing_is_an_orphan(shelf: Shelf) -> None:
    schemas = {row["schema_name"] for row in rows(shelf, "schemas")}
    tables = {row["table_name"] for row in rows(shelf, "tables")}
    keys = {row["key_id"] for row in rows(shelf, "keys")}
    assert {row["schema_name"] for row in rows(shelf, "tables")} == schemas == {"dr1", "TAP_SCHEMA"}
    assert {row["table_name"] for row in rows(shelf, "columns")} == tables
    assert {row[end] for row in rows(shelf, "keys") for end in ("from_table", "target_table")} <= tables
    assert {row["key_id"] for row in rows(shelf, "key_columns")} == keys
    assert len(keys) == len(rows(shelf, "keys"))


def test_sizes_follow_from_arraysizes(shelf: Shelf) -> None:
    sizes = {row["column_name"]: row["size"] for row in rows(shelf, "columns") if row["table_name"] == "dr1.star"}
    assert sizes == {
        "id": None, "ra": None, "dec": None, "mag": None, '"size"': None,
        '"Näme"': None, '"flux"': None, '"Flux"': 3, "seen": None,
    }  # fmt: skip


def test_names_can_be_pasted_into_a_query(shelf: Shelf) -> None:
    """Each table with all its columns, by the names in TAP_SCHEMA, is a query that resolves to just those."""
    for table in shelf.shown.tables():
        names = [row["column_name"] for row in rows(shelf, "columns") if row["table_name"] == table_name(table)]
        text = f"SELECT {', '.join(map(str, names))} FROM {table_name(table)}"
        bound = resolve(parse(text), shelf.catalog)
        assert [column.description for column in bound.columns] == [column.description for column in table.columns]


def test_the_documents_say_the_same(shelf: Shelf) -> None:
    root = etree.fromstring(vosi.tableset(shelf.shown, columns=True))
    told = [
        tuple(row[name] for name in ("table_name", "column_name", "datatype", "arraysize", "xtype", "unit", "ucd"))
        for row in rows(shelf, "columns")
    ]
    assert list(_in_document(root)) == told


def _in_document(root: etree._Element) -> Iterator[tuple[object, ...]]:
    for column in root.iter("column"):
        kind = column.find("dataType")
        yield (
            column.getparent().findtext("name"),
            column.findtext("name"),
            kind.text,
            kind.get("arraysize"),
            kind.get("extendedType"),
            column.findtext("unit"),
            column.findtext("ucd"),
        )


def test_pinned_versions_are_there_but_not_listed(shelf: Shelf) -> None:
    assert shelf.catalog.tables_named("dr1_v1", "star")
    assert not shelf.shown.tables_named("dr1_v1", "star")
    assert not any(str(row["table_name"]).startswith("dr1_v1") for row in rows(shelf, "columns"))


def test_names_are_quoted_where_they_must_be() -> None:
    assert [spelled(name) for name in ("ra", "Ra", "size", "SELECT", "a b", "1a", 'a"b', "offset")] == [
        "ra", "Ra", '"size"', '"SELECT"', '"a b"', '"1a"', '"a""b"', '"offset"',
    ]  # fmt: skip
    assert (column_name(STARS, "flux"), column_name(STARS, "ra")) == ('"flux"', "ra")


def test_only_tap_schema_stands_by_itself() -> None:
    assert is_standing(("TAP_SCHEMA", "columns"))
    assert not is_standing(("dr1", "columns"))
