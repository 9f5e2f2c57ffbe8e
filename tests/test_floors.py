"""The floors of the house: imports go strictly down, or sideways inside a room (docs/architecture.md)."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.house import House

# Each module or room and its floor. A module that is missing here fails the test: say where it stands.
FLOORS: dict[str, float] = {
    # 0 words
    "faults": 0,
    "columns": 0.1,
    "tables": 0.2,
    "sky": 0,
    "literals": 0.1,
    "documents": 0.1,
    "vocabularies": 0,
    "compact": 0,
    "felis": 0.2,
    "descriptions": 0.25,
    "versions": 0.25,
    "changes": 0.28,
    "differences": 0.25,
    "releases": 0.3,
    "products": 0.35,
    "config": 0.4,
    "logs": 0,
    # 1 languages
    "adql": 1,
    "results": 1,
    "intake": 1,
    # 2 rooms
    "ledger": 2,
    "engine": 2,
    # 3a heart: asking
    "inventory": 2.9,
    "regions": 2.9,
    "standing": 3,
    "access": 3,
    "turns": 3,
    "weight": 3,
    "foresight": 3,
    "onward": 3,
    "repeats": 3.05,
    "images": 3,
    "query": 3.1,
    "serving": 3.2,
    "reruns": 3.2,
    "jobs": 3.2,
    # 3b heart: keeping
    "backbone": 3.5,
    # 4 faces, and what they share
    "metrics": 4,
    "proxies": 4,
    "bearers": 4,
    "visits": 4,
    "book": 4.1,
    "dali": 4,
    "vosi": 4.1,
    "uws": 4.1,
    "examples": 4.1,
    "tap": 4.5,
    "sia": 4.5,
    "datalink": 4.5,
    "cone": 4.5,
    "registry": 4.5,
    "portal": 4.5,
    "staff": 4.5,
    # 5 roof
    "app": 5,
    "wsgi": 5.1,
    "cli": 5.2,
}
PARSERS = ("adql.parser",)
PACKAGE = Path(__file__).parent.parent / "archive"


def test_the_house_stands() -> None:
    assert House(PACKAGE, FLOORS, PARSERS).problems() == []


def test_the_table_names_no_module_twice_over() -> None:
    """No entry may hide below another one's name: a module stands where its room stands."""
    assert [name for name in FLOORS if "." in name] == []


BROKEN = {
    "a word that imports a language": (
        {"faults.py": "from archive.adql import parse"},
        "faults:1: imports adql from a floor above",
    ),
    "a word that imports upward within its floor": (
        {"columns.py": "import archive.tables"},
        "columns:1: imports tables from a floor above",
    ),
    "an import inside a function": (
        {"sky.py": "def late():\n    from archive import query"},
        "sky:2: imports query from a floor above",
    ),
    "a relative import": (
        {"adql/parser.py": "from ..engine import select"},
        "adql.parser:1: imports engine.select from a floor above",
    ),
    "a relative import in a package's own file": (
        {"adql/__init__.py": "from ..engine import select"},
        "adql:1: imports engine.select from a floor above",
    ),
    "rooms on one floor": (
        {"engine/select.py": "from archive.ledger import Ledger"},
        "engine.select:1: imports ledger from another room on its own floor",
    ),
    "the heart that imports a face": (
        {"backbone/ingest.py": "from archive.tap import sync"},
        "backbone.ingest:1: imports tap.sync from a floor above",
    ),
    "a face that imports a face": (
        {"tap/sync.py": "from archive.portal import pages"},
        "tap.sync:1: a face imports another face, portal",
    ),
    "a face that imports the roof": (
        {"tap/sync.py": "from archive import app"},
        "tap.sync:1: imports app from a floor above",
    ),
    "the web below the faces": (
        {"backbone/ingest.py": "from flask import request"},
        "backbone.ingest:1: flask belongs on floors 4 and 5",
    ),
    "a module without a floor": (
        {"helpers.py": ""},
        "helpers: stands on no floor; give it one in the table of tests/test_floors.py",
    ),
    "a circle inside a room": (
        {"adql/parser.py": "from archive.adql import tree", "adql/tree.py": "import archive.adql.parser"},
        "import circle: adql.parser -> adql.tree -> adql.parser",
    ),
    "a module that is too long": (
        {"ledger/facts.py": "x = 1\n" * 451},
        "ledger.facts: 451 lines, more than 450",
    ),
    "a parser that is too long": (
        {"adql/parser.py": "x = 1\n" * 651},
        "adql.parser: 651 lines, more than 650",
    ),
    "a function that is too long": (
        {"sky.py": "def long():\n" + "    x = 1\n" * 60 + "def short(): pass\ndef other(): pass\n"},
        "sky.long: 61 lines, more than 60",
    ),
    "functions that are long on the whole": (
        {"sky.py": "def a():\n" + "    x = 1\n" * 13 + "def b():\n" + "    x = 1\n" * 12},
        "the median function has 13.5 lines, more than 12",
    ),
}

SOUND = {
    "adql/parser.py": "from archive.columns import Column\n\ndef parse():\n    '''" + "long\n" * 80 + "'''\n",
    "adql/__init__.py": "",
    "columns.py": "from archive.faults import Fault",
    "faults.py": "import re",
    "engine/__init__.py": "",
    "engine/select.py": "from . import sphere\nfrom archive import __version__",
    "engine/sphere.py": "import archive.adql.parser",
    "tap/sync.py": "from flask import request\nfrom archive.dali import parameters\nfrom archive.query import answer",
    "cli/serve.py": "from archive.app import create_app",
    "adql/tree.py": "x = 1\n" * 450,
    "": "__version__ = '1'",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_floor_is_caught(name: str, tmp_path: Path) -> None:
    files, problem = BROKEN[name]
    skeleton = dict.fromkeys(("query.py", "app.py", "tables.py", "engine/select.py", "adql/__init__.py"), "")
    skeleton |= {"ledger/__init__.py": "", "tap/__init__.py": "", "tap/sync.py": "", "portal/__init__.py": ""}
    assert House(_package(tmp_path, skeleton | files), FLOORS, PARSERS).problems() == [problem]


def test_a_sound_package_passes(tmp_path: Path) -> None:
    assert House(_package(tmp_path, SOUND), FLOORS, PARSERS).problems() == []


def _package(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        place = folder / (path or "__init__.py")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(dedent(text), encoding="utf-8")
    return folder
