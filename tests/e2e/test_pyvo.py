"""What an astronomer does with pyvo: look at the tables, search cones, make a mistake."""

from __future__ import annotations

import io
import urllib.request

import numpy as np
import pytest
import pyvo
from astropy.io.votable import parse
from astropy.table import vstack

from tests.e2e.conftest import Site
from tests.e2e.sky import CONES, Stars

pytestmark = pytest.mark.service

ALL = 1_000_000


@pytest.fixture(scope="module")
def service(site: Site) -> pyvo.dal.TAPService:
    return pyvo.dal.TAPService(site.tap)


def test_the_tables_are_listed_with_their_columns(service: pyvo.dal.TAPService) -> None:
    assert "ext_tycho2.star" in set(service.tables.keys())
    columns = {column.name: column for column in service.tables["ext_tycho2.star"].columns}
    assert {"star_id", "ra", "dec", "vt_mag"} <= columns.keys()
    assert (columns["ra"].unit, columns["dec"].unit, columns["vt_mag"].unit) == ("deg", "deg", "mag")
    assert "pos.eq.ra" in columns["ra"].ucd
    assert all(column.description for column in columns.values())


def test_tap_schema_tells_the_same_as_tables(service: pyvo.dal.TAPService) -> None:
    rows = service.search("SELECT table_name, column_name FROM tap_schema.columns", maxrec=ALL)
    by_table: dict[str, set[str]] = {}
    for table, column in zip(rows["table_name"], rows["column_name"], strict=True):
        by_table.setdefault(str(table), set()).add(str(column).strip('"'))
    listed = {name: {column.name.strip('"') for column in table.columns} for name, table in service.tables.items()}
    assert by_table == listed


@pytest.mark.parametrize("form", ["contains", "distance"])
@pytest.mark.parametrize("name", CONES)
def test_a_cone_holds_the_stars_numpy_finds(name: str, form: str, service: pyvo.dal.TAPService, stars: Stars) -> None:
    where = getattr(CONES[name], form)()
    rows = service.search(f"SELECT star_id FROM ext_tycho2.star WHERE {where}", maxrec=ALL)
    assert len(rows) == len(stars.within(CONES[name]))
    assert set(rows["star_id"].tolist()) == stars.within(CONES[name])


def test_counting_in_the_archive_gives_the_same(service: pyvo.dal.TAPService, stars: Stars) -> None:
    cone = CONES["more than a hemisphere"]
    rows = service.search(f"SELECT COUNT(*) AS n FROM ext_tycho2.star WHERE {cone.contains()}")
    assert rows["n"].tolist() == [len(stars.within(cone))]


def test_an_answer_that_is_cut_leads_to_the_rest(site: Site, service: pyvo.dal.TAPService, stars: Stars) -> None:
    query = "SELECT star_id, vt_mag FROM ext_tycho2.star WHERE vt_mag < 8 ORDER BY vt_mag DESC, star_id"
    pieces = [service.search(query, maxrec=700)]
    while pieces[-1].status[0] == "OVERFLOW":
        address = pieces[-1].status[1].rpartition("The next rows: ")[2]
        assert address.startswith(f"{site.tap}/sync?")
        with urllib.request.urlopen(address) as answer:
            pieces.append(pyvo.dal.TAPResults(parse(io.BytesIO(answer.read()))))
    found = [piece.to_table() for piece in pieces]
    everything = vstack(found, metadata_conflicts="silent")
    assert len(found) > 2
    assert sorted(everything["star_id"]) == sorted(stars.star_id[stars.vt_mag < 8])
    assert (np.diff(everything["vt_mag"]) <= 0).all()


def test_values_come_back_as_they_were_loaded(service: pyvo.dal.TAPService, stars: Stars) -> None:
    rows = service.search("SELECT star_id, ra, dec, vt_mag FROM ext_tycho2.star ORDER BY star_id", maxrec=ALL)
    for name in ("star_id", "ra", "dec", "vt_mag"):
        assert np.array_equal(np.asarray(rows[name]), getattr(stars, name)), name


def test_the_answer_describes_its_columns(service: pyvo.dal.TAPService) -> None:
    rows = service.search("SELECT TOP 3 ra, vt_mag + 1 AS fainter FROM ext_tycho2.star")
    assert [rows.getdesc(name).unit.to_string() for name in ("ra", "fainter")] == ["deg", "mag"]
    assert len(rows) == 3


def test_too_many_rows_are_cut_and_the_client_is_told(service: pyvo.dal.TAPService) -> None:
    rows = service.search("SELECT star_id FROM ext_tycho2.star", maxrec=7)
    assert (len(rows), rows.query_status) == (7, "OVERFLOW")


def test_a_misspelt_column_is_met_with_the_near_one(service: pyvo.dal.TAPService) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match=r"line 1, column 8.*vt_mga.*vt_mag\b"):
        service.search("SELECT vt_mga FROM ext_tycho2.star")


def test_limit_is_met_with_top(service: pyvo.dal.TAPService) -> None:
    with pytest.raises(pyvo.dal.DALQueryError, match=r"line 1, column \d+: .*SELECT TOP 10"):
        service.search("SELECT ra FROM ext_tycho2.star LIMIT 5")
