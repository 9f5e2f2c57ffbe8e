"""Loading FITS and VOTable files, which tell their own columns: the same rows as from Parquet, or one clear fault."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import MaskedColumn, Table

from archive.backbone import catalogs, described
from archive.backbone.endpoint import Endpoint
from archive.faults import UsageFault
from archive.intake import Measure
from archive.ledger import files
from tests.archives import make, parquet, snapshot, source

KINDS = {"id": "i8", "ra": "f8", "dec": "f8", "flux": "f4", "Band": "U1", "note": "U12", "good": bool, "n": "i2"}


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    return make(tmp_path / "home", data)


def rows() -> list[dict[str, Any]]:
    return [source(number, note=f"ein Maß {number}", seen="2026-01-31T12:34:56.5") for number in range(7)]


def table() -> Table:
    made = Table({name: MaskedColumn([row[name] for row in rows()], dtype=kind) for name, kind in KINDS.items()})
    made["seen"] = [row["seen"] for row in rows()]
    made["mags"] = np.array([row["mags"] for row in rows()], "f4")
    made["n"].mask[2] = True
    for name, unit in {"ra": "deg", "dec": "deg", "flux": "nJy", "mags": "mag"}.items():
        made[name].unit = unit
    return made


def written(folder: Path, ending: str, change: Callable[[Table], None] = lambda table: None) -> Path:
    """``table()`` as a file of that kind; FITS has ASCII text only."""
    made = table()
    if ending.startswith(".fits"):
        made["note"] = [f"one {number}" for number in range(7)]
    change(made)
    kind, packed = ending.removesuffix(".gz"), ending.endswith(".gz")
    plain = folder / f"plain{kind}"
    made.write(plain, format="fits" if kind == ".fits" else "votable")
    path = folder / f"file{ending}"
    path.write_bytes(gzip.compress(plain.read_bytes()) if packed else plain.read_bytes())
    return path


def loaded(endpoint: Endpoint) -> list[dict[str, Any]]:
    with endpoint.ledger.read() as transaction:
        state = files.newest_state(transaction, ("sp_test", "source"))
    paths = [endpoint.config.store / part.artifact.path for part in state.parts]
    found = pa.concat_tables([pq.read_table(path) for path in paths]).sort_by("id")
    return found.drop_columns(["_healpix_29"]).to_pylist()


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".vot", ".vot.gz", ".xml"])
def test_rows_are_those_of_parquet(ending: str, endpoint: Endpoint, tmp_path: Path) -> None:
    path = written(tmp_path, ending, lambda table: table.add_column([[[1.0, 2.0]]] * 7, name="moments"))
    catalogs.load(endpoint, "sp_test", "source", [path])
    got = loaded(endpoint)
    assert len(got) == 7
    for number, (row, wanted) in enumerate(zip(got, rows(), strict=True)):
        note = f"one {number}" if ending.startswith(".fits") else wanted["note"]
        assert row["seen"].isoformat() == "2026-01-31T12:34:56.500000"
        assert row | {"seen": None} == wanted | {
            "seen": None,
            "note": note,
            "n": None if number == 2 else wanted["n"],
            "moments": [1.0, 2.0],
        }


@pytest.mark.parametrize("ending", [".fits", ".vot"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: setattr(t["ra"], "unit", "rad"), "column 'ra'"),
        (lambda t: t.remove_column("flux"), "lacks 'flux'"),
        (lambda t: t.replace_column("n", np.arange(7) / 2), "column 'n'"),
        (lambda t: t.replace_column("seen", ["yesterday"] * 7), "row 1, column 'seen'"),
    ],
)
def test_what_does_not_fit_the_description_is_refused(
    change: Callable[[Table], None], said: str, ending: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    def both(table: Table) -> None:
        table.add_column([[[1.0, 2.0]]] * 7, name="moments")
        change(table)

    path = written(tmp_path, ending, both)
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "good.parquet", [source(100)])])
    before = snapshot(endpoint)
    with pytest.raises(UsageFault) as refusal:
        catalogs.load(endpoint, "sp_test", "source", [path])
    assert str(refusal.value).startswith(f"file{ending}")
    assert said in str(refusal.value)
    assert "Nothing was loaded." in str(refusal.value)
    assert snapshot(endpoint) == before


@pytest.mark.parametrize("ending", [".fits", ".vot"])
def test_damaged_files_are_refused(ending: str, endpoint: Endpoint, tmp_path: Path) -> None:
    path = written(tmp_path, ending, lambda table: table.add_column([[[1.0, 2.0]]] * 7, name="moments"))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UsageFault, match="Nothing was loaded"):
        catalogs.load(endpoint, "sp_test", "source", [path])


def test_a_file_is_what_its_ending_says(endpoint: Endpoint, tmp_path: Path) -> None:
    path = parquet(tmp_path / "file.fits", [source(1)])
    with pytest.raises(UsageFault, match="not FITS as its ending says: it is Parquet"):
        catalogs.load(endpoint, "sp_test", "source", [path])


def test_fits_is_read_in_pieces(tmp_path: Path) -> None:
    Table({"a": np.arange(10)}).write(tmp_path / "t.fits")
    pieces = [piece.rows["a"].to_pylist() for piece in described.fits(tmp_path / "t.fits", "t", 4)]
    assert pieces == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_votable_beyond_what_can_be_read_whole_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(described, "_VOTABLE", Measure(rows=10, size=100))
    path = written(tmp_path, ".vot")
    with pytest.raises(UsageFault, match="larger than 100 bytes"):
        list(described.votable(path, "t", 4))
