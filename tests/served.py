"""An archive with a dozen releases side by side: small ones made here, each with columns of its own, and LSST ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archive.backbone import catalogs, publish
from archive.backbone.endpoint import Endpoint
from archive.config import Config
from archive.releases import ID_SHIFT
from tests.archives import SITE

ROOT = Path(__file__).resolve().parent.parent
LSST = ("dr1", "dr2", "prompt")
SMALL = tuple(f"dr{number}" for number in range(3, 13))
GUIDE, PROGRAM = "ext_guide", "sp_dwarfs"
MADE = (*SMALL, GUIDE, PROGRAM)
STARS, MEASUREMENTS = 400, 900
UNPLACED = "dr3"  # which does not tell where stars are
EVOLVED = "dr5"  # whose schema has moved on

_DESCRIBED = """
name: {name}
"@id": "#{name}"
description: A release with columns of its own.
version: "1"
tables:
  - name: star
    "@id": "#star"
    description: Stars.
    primaryKey: "#star.star_id"
    columns:
      - {{name: star_id, "@id": "#star.star_id", datatype: long, nullable: false, description: The star.}}
{place}      - {{name: number, "@id": "#star.number", datatype: int, description: The star in all releases.}}
      - {{name: mag{own}, "@id": "#star.mag", datatype: {kind}, ivoa:unit: mag, ivoa:ucd: phot.mag, description: V.}}
      - {{name: Name, "@id": "#star.Name", datatype: unicode, length: 20, description: What people call it.}}
  - name: seen
    "@id": "#seen"
    description: Measurements of stars.
    primaryKey: ["#seen.star_id", "#seen.visit"]
    columns:
      - {{name: star_id, "@id": "#seen.star_id", datatype: long, nullable: false, description: The star.}}
      - {{name: visit, "@id": "#seen.visit", datatype: int, nullable: false, description: The visit.}}
      - {{name: flux{own}, "@id": "#seen.flux", datatype: double, ivoa:unit: nJy, description: Light.}}
    constraints:
      - name: seen_star
        "@id": "#seen_star"
        "@type": ForeignKey
        columns: ["#seen.star_id"]
        referencedColumns: ["#star.star_id"]
"""
_PLACE = """\
      - {name: ra, "@id": "#star.ra", datatype: double, ivoa:unit: deg, description: Right ascension.}
      - {name: dec, "@id": "#star.dec", datatype: double, ivoa:unit: deg, description: Declination.}
"""
_FACTS = """
schema: {name}
{block}
tables:
  star: {{{position}ids: {{star_id: {scope}}}}}
  seen: {{ids: {{star_id: {scope}}}}}
"""
_VERSIONS = """
versions:
  - version: 2
    tables:
      star: {rename: {mag5: brightness}}
"""
_UNPLACED = """
differences:
  cone: Of this release only measurements are kept, not where on the sky they were made.
"""


def make(home: Path, *, lsst: bool, database: str | None = None) -> Endpoint:
    """An archive with all of ``MADE``, and with ``lsst`` those of the survey, published."""
    folder = home / "schema"
    folder.mkdir(parents=True)
    endpoint = Endpoint.create(Config(home=home / "home", descriptions=folder, grace=0.0, database=database), SITE)
    for block, name in enumerate(MADE, 3):
        _describe(folder, name, block)
        first = 0 if name == GUIDE else block << ID_SHIFT
        _load(endpoint, name, "star", _stars(name, block, first))
        _load(endpoint, name, "seen", _seen(name, first))
    if lsst:
        for path in _lsst(home, folder):
            schema, table, _ = path.name.split(".")
            catalogs.load(endpoint, schema, table, [path])
    for name in (*MADE, *LSST) if lsst else MADE:
        publish.publish(endpoint, name)
    return endpoint


def own(name: str) -> str:
    """How the names of columns end that ``name`` has for itself."""
    return name.removeprefix("dr") if name in SMALL else ""


def _describe(folder: Path, name: str, block: int) -> None:
    kind = "double" if block % 5 else "float"
    place = "" if name == UNPLACED else _PLACE
    described = _DESCRIBED.format(name=name, own=own(name), kind=kind, place=place)
    (folder / f"{name}.yaml").write_text(described, encoding="utf-8")
    facts = _FACTS.format(
        name=name,
        block="" if name == GUIDE else f"id_block: {block}",
        scope="external" if name == GUIDE else "release",
        position="" if name == UNPLACED else "position: [ra, dec], ",
    )
    facts += {UNPLACED: _UNPLACED, EVOLVED: _VERSIONS}.get(name, "")
    (folder / f"{name}.archive.yaml").write_text(facts, encoding="utf-8")


def _stars(name: str, block: int, first: int) -> dict[str, pa.Array]:
    """The same stars in each, as bright as that one says."""
    numbers = np.arange(STARS)
    sky, light = np.random.default_rng(7), np.random.default_rng(block)
    kind = pa.float64() if block % 5 else pa.float32()
    place = {"ra": pa.array(sky.uniform(40, 50, STARS)), "dec": pa.array(sky.uniform(-85, -75, STARS))}
    return {
        "star_id": pa.array(first + numbers),
        **({} if name == UNPLACED else place),
        "number": pa.array(numbers, pa.int32()),
        f"mag{own(name)}": pa.array(light.uniform(10, 20, STARS)).cast(kind, safe=False),
        "Name": pa.array([f"№ {number}" for number in numbers]),
    }


def _seen(name: str, first: int) -> dict[str, pa.Array]:
    noise = np.random.default_rng(11)
    visits = np.arange(MEASUREMENTS)
    return {
        "star_id": pa.array(first + noise.integers(0, STARS, MEASUREMENTS)),
        "visit": pa.array(visits, pa.int32()),
        f"flux{own(name)}": pa.array(noise.normal(1000, 100, MEASUREMENTS)),
    }


def _load(endpoint: Endpoint, schema: str, table: str, columns: dict[str, pa.Array]) -> None:
    path = endpoint.config.home.parent / f"{schema}.{table}.parquet"
    pq.write_table(pa.table(columns), path)
    catalogs.load(endpoint, schema, table, [path])


def _lsst(home: Path, folder: Path) -> list[Path]:
    for name in LSST:
        for ending in (".yaml", ".archive.yaml"):
            shutil.copy(ROOT / "schema" / "lsst" / f"{name}{ending}", folder)
    program = [sys.executable, str(ROOT / "scripts" / "make_lsst.py"), str(home / "lsst")]
    subprocess.run([*program, "--objects", "60", "--visits", "20"], check=True, capture_output=True)
    return sorted((home / "lsst").iterdir())
