"""Loading: delivered files become registered files, sorted parts and a table's next state."""

from __future__ import annotations

import gzip
import hashlib
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from archive import sky
from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.faults import NotFound, TransientFault, UsageFault
from archive.ledger import files
from archive.ledger.files import State
from archive.releases import DescriptionFault
from tests.archives import FIRST, SOURCE, make, parquet, snapshot, source

SAMPLE = "sample/ext_tycho2.star.parquet"


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    return make(tmp_path / "home", data)


def state(endpoint: Endpoint, schema: str, table: str) -> State:
    with endpoint.ledger.read() as transaction:
        return files.newest_state(transaction, (schema, table))


def parts(endpoint: Endpoint, schema: str, table: str) -> pa.Table:
    paths = [endpoint.config.store / part.artifact.path for part in state(endpoint, schema, table).parts]
    return pa.concat_tables([pq.read_table(path) for path in paths])


# --- what stands afterwards -----------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_the_delivered_file_is_kept_byte_for_byte(endpoint: Endpoint, data: Path) -> None:
    loaded = catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    assert loaded.rows == {"ext_tycho2.star.parquet": 10_000}
    (kept,) = [path for path in endpoint.store.paths() if path.startswith("deliveries/")]
    assert (endpoint.config.store / kept).read_bytes() == (data / SAMPLE).read_bytes()


def test_every_file_of_the_store_is_registered_as_it_is(endpoint: Endpoint, data: Path) -> None:
    catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    from sqlalchemy import select

    from archive.ledger import schema

    with endpoint.ledger.read() as transaction:
        registered = {
            row.path: row
            for row in transaction.execute(
                select(schema.artifact, schema.replica.c.path).where(schema.replica.c.artifact == schema.artifact.c.id)
            )
        }
    assert set(registered) == set(endpoint.store.paths())
    for path, row in registered.items():
        content = (endpoint.config.store / path).read_bytes()
        assert (row.sha256, row.size) == (hashlib.sha256(content).hexdigest(), len(content))
        assert row.uri == f"archive://archive.test/{path}"


def test_parts_hold_the_same_rows_sorted_by_their_place(endpoint: Endpoint, data: Path) -> None:
    catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    stored = parts(endpoint, "ext_tycho2", "star")
    assert stored.column_names == ["star_id", "ra", "dec", "vt_mag", "_healpix_29"]
    cells = stored["_healpix_29"].to_numpy()
    assert (np.diff(cells) >= 0).all()
    assert (cells == sky.healpix_29(stored["ra"].to_numpy(), stored["dec"].to_numpy())).all()
    original = pq.read_table(data / SAMPLE)
    assert stored.drop(["_healpix_29"]).sort_by("star_id").to_pylist() == original.sort_by("star_id").to_pylist()


def test_parts_say_what_they_are(endpoint: Endpoint, data: Path) -> None:
    catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    (part,) = state(endpoint, "ext_tycho2", "star").parts
    file = pq.ParquetFile(endpoint.config.store / part.artifact.path)
    assert file.schema_arrow.metadata[b"archive.schema"] == b"ext_tycho2"
    assert file.schema_arrow.field("ra").metadata[b"unit"] == b"deg"
    assert not file.schema_arrow.field("ra").nullable
    cells = file.read(columns=["_healpix_29"])["_healpix_29"].to_numpy()
    assert (part.first_cell, part.last_cell, part.rows) == (cells[0], cells[-1], len(cells))
    assert file.metadata.row_group(0).column(4).statistics.min == cells[0]


def test_parts_know_what_they_were_made_from(endpoint: Endpoint, data: Path) -> None:
    catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    from sqlalchemy import select

    from archive.ledger import schema

    with endpoint.ledger.read() as transaction:
        derived = transaction.execute(select(schema.derived_from)).all()
        delivery = transaction.execute(select(schema.delivery)).one()
    assert [row.source for row in derived] == [delivery.artifact]
    assert (delivery.file, delivery.rows) == ("ext_tycho2.star.parquet", 10_000)


def test_every_type_comes_through(endpoint: Endpoint, tmp_path: Path) -> None:
    seen = datetime(2026, 11, 23, 4, 5, 6, 789012)
    rows = [
        source(1, seen=seen, note="Ångström", mags=[1.5, None], moments=[1.0, 2.0, 3.0, 4.0]),
        source(2, flux=math.inf, Band=None, note=None, good=None, n=-(2**15), mags=None, moments=None),
        source(3, flux=-0.0, ra=360.0, dec=-90.0, moments=[]),
        source(4, ra=None, dec=None),
    ]
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "a.parquet", rows)])
    stored = parts(endpoint, "sp_test", "source").sort_by("id")
    assert stored.drop(["_healpix_29"]).to_pylist() == rows
    assert stored.schema.types[:-1] == SOURCE.types
    assert stored["_healpix_29"].null_count == 1


def test_rows_without_a_place_come_last(endpoint: Endpoint, tmp_path: Path) -> None:
    rows = [source(1, ra=None), source(2), source(3, dec=math.nan), source(4)]
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "a.parquet", rows)])
    assert parts(endpoint, "sp_test", "source")["_healpix_29"].is_null().to_pylist() == [False, False, True, True]


def test_columns_may_come_in_any_order_and_in_narrower_types(endpoint: Endpoint, tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([source(1)], schema=SOURCE)
    rows = rows.set_column(8, "n", pa.array([7], pa.uint8())).set_column(3, "flux", pa.array([2], pa.int8()))
    rows = rows.set_column(4, "Band", pa.array(["g"]).dictionary_encode())
    rows = rows.set_column(5, "note", pa.array(["x"], pa.large_string()))
    rows = rows.set_column(7, "seen", pa.array([datetime(2026, 1, 1)], pa.timestamp("s")))
    pq.write_table(rows.select(sorted(rows.column_names)), tmp_path / "a.parquet")
    catalogs.load(endpoint, "sp_test", "source", [tmp_path / "a.parquet"])
    (row,) = parts(endpoint, "sp_test", "source").to_pylist()
    assert (row["n"], row["flux"], row["Band"], row["note"]) == (7, 2.0, "g", "x")
    assert row["seen"] == datetime(2026, 1, 1)


# --- CSV and TSV ----------------------------------------------------------------------------------

HEADER = "id,ra,dec,flux,Band,note,good,seen,n,mags,moments"
LINE = f'{FIRST + 1},10.5,-20.25,1.5,g,"a, ""b""",true,2026-11-23T04:05:06.789,-7,20.5 NaN,1 2 3 4'


def test_csv(endpoint: Endpoint, tmp_path: Path) -> None:
    bare = f"{FIRST + 2},,,1e3,,,,,,,"
    (tmp_path / "a.csv").write_text(f"\ufeff{HEADER}\r\n{LINE}\r\n{bare}\r\n", encoding="utf-8")
    catalogs.load(endpoint, "sp_test", "source", [tmp_path / "a.csv"])
    first, second = parts(endpoint, "sp_test", "source").drop(["_healpix_29"]).to_pylist()
    assert math.isnan(first["mags"].pop())
    assert first == {
        "id": FIRST + 1,
        "ra": 10.5,
        "dec": -20.25,
        "flux": 1.5,
        "Band": "g",
        "note": 'a, "b"',
        "good": True,
        "seen": datetime(2026, 11, 23, 4, 5, 6, 789000),
        "n": -7,
        "mags": [20.5],
        "moments": [1.0, 2.0, 3.0, 4.0],
    }
    assert [name for name, value in second.items() if value is not None] == ["id", "flux"]


def test_an_empty_text_in_quotes_is_no_null(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('left,right,nick\n"",1,\nb,2,"with\nnew line"\n')
    catalogs.load(endpoint, "sp_test", "pair", [tmp_path / "a.csv"])
    assert parts(endpoint, "sp_test", "pair").to_pylist() == [
        {"left": "", "right": 1, "nick": None},
        {"left": "b", "right": 2, "nick": "with\nnew line"},
    ]


def test_words_for_null_are_told(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("left,right,nick\nnull,1,\\N\n")
    catalogs.load(endpoint, "sp_test", "pair", [tmp_path / "a.csv"], nulls=["\\N"])
    assert parts(endpoint, "sp_test", "pair").to_pylist() == [{"left": "null", "right": 1, "nick": None}]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "A.TSV"])
def test_tsv_and_gzip(endpoint: Endpoint, tmp_path: Path, name: str) -> None:
    text = b"left\tright\tnick\na, b\t1\tx\n"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    catalogs.load(endpoint, "sp_test", "pair", [tmp_path / name])
    assert parts(endpoint, "sp_test", "pair").to_pylist() == [{"left": "a, b", "right": 1, "nick": "x"}]


# --- more than once -------------------------------------------------------------------------------


@pytest.mark.requirement("DMS-DBB-REQ-0034")
def test_the_same_load_again_changes_nothing(endpoint: Endpoint, data: Path, tmp_path: Path) -> None:
    catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    before = snapshot(endpoint)
    (tmp_path / "renamed.parquet").write_bytes((data / SAMPLE).read_bytes())
    for path in (data / SAMPLE, tmp_path / "renamed.parquet"):
        again = catalogs.load(endpoint, "ext_tycho2", "star", [path])
        assert (again.rows, again.known, again.total) == ({}, (path.name,), 10_000)
    assert snapshot(endpoint) == before


def test_another_file_is_added(endpoint: Endpoint, tmp_path: Path) -> None:
    first = parquet(tmp_path / "a.parquet", [source(number) for number in range(10)])
    second = parquet(tmp_path / "b.parquet", [source(number) for number in range(10, 15)])
    catalogs.load(endpoint, "sp_test", "source", [first])
    one = state(endpoint, "sp_test", "source")
    loaded = catalogs.load(endpoint, "sp_test", "source", [first, second])
    assert (loaded.rows, loaded.known, loaded.total) == ({"b.parquet": 5}, ("a.parquet",), 15)
    two = state(endpoint, "sp_test", "source")
    assert two.number == one.number + 1
    assert two.parts[: len(one.parts)] == one.parts, "parts are added, never changed"


def test_several_files_are_one_load(endpoint: Endpoint, tmp_path: Path) -> None:
    paths = [parquet(tmp_path / f"{n}.parquet", [source(n), source(n + 100)]) for n in range(4)]
    loaded = catalogs.load(endpoint, "sp_test", "source", [*paths, paths[0]])
    assert sum(loaded.rows.values()) == 8
    assert loaded.known == ("0.parquet",)
    assert state(endpoint, "sp_test", "source").number == 1


# --- descriptions come in at first use ------------------------------------------------------------


def test_the_first_load_registers_the_description(endpoint: Endpoint, data: Path) -> None:
    from archive.ledger import descriptions

    catalogs.load(endpoint, "ext_tycho2", "star", [data / SAMPLE])
    with endpoint.ledger.read() as transaction:
        registered = descriptions.find(transaction, "ext_tycho2")
    assert registered is not None
    assert registered.number == 1
    assert set(registered.release.documents) == {"ext_tycho2.yaml", "ext_tycho2.archive.yaml"}


def test_what_is_described_nowhere(endpoint: Endpoint, data: Path) -> None:
    before = snapshot(endpoint)
    with pytest.raises(NotFound, match=r"No schema 'dr7' is described\. Put dr7\.yaml into "):
        catalogs.load(endpoint, "dr7", "star", [data / SAMPLE])
    assert snapshot(endpoint) == before


def test_a_table_that_is_not_described(endpoint: Endpoint, data: Path) -> None:
    with pytest.raises(NotFound, match=r"ext_tycho2 has no table 'stars'\. Did you mean 'star'\?"):
        catalogs.load(endpoint, "ext_tycho2", "stars", [data / SAMPLE])


def test_a_description_that_is_wrong_is_not_taken(endpoint: Endpoint, data: Path, tmp_path: Path) -> None:
    own = make(tmp_path / "own", tmp_path)
    (tmp_path / "dr7.yaml").write_text("name: dr7\ntables: []\nx: 1\n")
    before = snapshot(own)
    with pytest.raises(DescriptionFault, match="the key 'x' is unknown"):
        catalogs.load(own, "dr7", "star", [data / SAMPLE])
    (tmp_path / "dr7.yaml").write_text("name: dr8\ntables: []\n")
    with pytest.raises(UsageFault, match="describes 'dr8', not 'dr7'"):
        catalogs.load(own, "dr7", "star", [data / SAMPLE])
    (tmp_path / "dr7.yaml").write_text("name: dr7\ntables: []\n")
    with pytest.raises(UsageFault, match="Nothing is said of the IDs of dr7"):
        catalogs.load(own, "dr7", "star", [data / SAMPLE])
    assert snapshot(own) == before


def test_two_loads_at_once(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked against an older state is not added to a newer one."""
    first = parquet(tmp_path / "a.parquet", [source(1)])
    second = parquet(tmp_path / "b.parquet", [source(1, flux=9.0)])
    check = catalogs.keys.repeated

    def meanwhile(*arguments: object) -> object:
        monkeypatch.setattr(catalogs.keys, "repeated", check)
        catalogs.load(endpoint, "sp_test", "source", [second])
        return check(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(catalogs.keys, "repeated", meanwhile)
    with pytest.raises(TransientFault, match=r"Something else was loaded into sp_test\.source meanwhile"):
        catalogs.load(endpoint, "sp_test", "source", [first])
    assert parts(endpoint, "sp_test", "source")["flux"].to_pylist() == [9.0]
    assert len(list(endpoint.store.paths())) == 2
