"""A release moves through four schema versions while clients ask; then a second release comes; old queries live on."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import pyvo
from lxml import etree

from tests.e2e.conftest import Site, fill, free_port, serving
from tests.test_versions import described
from tests.test_versions_moves import MOVED, QUERIES, RENAMED_THERE, SPLIT_AND_MERGED, UNITS

CLIENTS = 20
HISTORY = (UNITS, SPLIT_AND_MERGED, MOVED + RENAMED_THERE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Site]:
    """The sample with dr1 at version 1, in an archive of this module's own."""
    home = tmp_path_factory.mktemp("moves")
    site = Site(home / "archive", free_port())
    own = site.home / "schema"
    own.mkdir(parents=True)
    described(own, "")
    fill(site, data)
    with serving(site):
        yield site


@dataclass(frozen=True)
class Recorded:
    """An answer: its values, and what clients are told of its columns."""

    columns: tuple[tuple[str, Any, Any], ...]
    rows: list[list[Any]]


def asked(site: Site, query: str) -> Recorded:
    table = pyvo.dal.TAPService(site.tap).run_sync(query).to_table()
    columns = tuple((name, table[name].unit, table[name].meta.get("ucd")) for name in table.colnames)
    return Recorded(columns, [list(row) for row in table])


@dataclass
class Client:
    """Asks the old queries over and over; notes what was not as recorded."""

    site: Site
    expected: dict[str, Recorded]
    over: threading.Event
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    def go(self) -> None:
        while not self.over.is_set():
            for query, answer in self.expected.items():
                try:
                    same = asked(self.site, query) == answer
                except Exception as error:
                    self.wrong.append(f"{query}: {error!r}")
                else:
                    self.answers += 1
                    if not same:
                        self.wrong.append(query)


@pytest.mark.service
@pytest.mark.requirement("DMS-DBB-REQ-0030")
@pytest.mark.requirement("DMS-DBB-REQ-0054")
def test_no_answer_fails_or_changes_while_the_schema_moves_on(site: Site, tmp_path: Path, data: Path) -> None:
    expected = {query: asked(site, query) for query in QUERIES}
    heads = {query: told(site, query) for query in QUERIES}
    saved = keep(site, heads[QUERIES[0]]["TOKEN"])
    over = threading.Event()
    clients = [Client(site, expected, over) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=client.go) for client in clients]
    for thread in threads:
        thread.start()
    before = 0
    for count in range(1, len(HISTORY) + 1):
        while (done := sum(client.answers for client in clients)) < before + CLIENTS:
            assert not over.wait(0.05)
        before = done
        moved = described(tmp_path / f"v{count}", "".join(HISTORY[:count]))
        rehearsed = site.json("schema", "rehearse", str(moved))
        assert QUERIES[0] in [each["query"] for each in rehearsed["same"]]  # which is saved
        site.run("schema", "migrate", str(moved))
    while sum(client.answers for client in clients) < before + 3 * CLIENTS:
        assert not over.wait(0.05)
    over.set()
    for thread in threads:
        thread.join()
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert asked(site, "SELECT TOP 1 milli FROM dr1.star").columns[0][1] == "mmag"

    second(site, data)
    for query, answer in expected.items():
        assert asked(site, query) == answer
        assert asked(site, query.replace("dr1.", "dr1_v1.")) == answer
        assert told(site, query, TOKEN=heads[query]["TOKEN"]) == heads[query]
    for known in (heads[QUERIES[1]]["TOKEN"], saved):
        assert site.json("rerun", known)["then"]["verdict"] == "identical"
    by_stilts(site, QUERIES[0], expected[QUERIES[0]])


def told(site: Site, query: str, **more: str) -> dict[str, str]:
    """What an answer says of what it was made from, and of its rows."""
    document = site.get(f"tap/sync?{urlencode({'LANG': 'ADQL', 'QUERY': query, **more})}")[2]
    infos = {info.get("name"): info.get("value") for info in etree.fromstring(document).iter("{*}INFO")}
    return {name: infos[name] for name in ("TOKEN", "DIGEST")}


def keep(site: Site, token: str) -> str:
    """Save what was answered with ``token``, once the query log has it; gives its id."""
    deadline = time.monotonic() + 30
    save = site.command("--json", "query", "save", token)
    while (done := subprocess.run(save, env=site.environment(), capture_output=True, text=True)).returncode:
        assert time.monotonic() < deadline, done.stderr
    return str(json.loads(done.stdout)["id"])


def second(site: Site, data: Path) -> None:
    """Another release with columns of its own, side by side."""
    own = site.home / "schema"
    schema = Path(__file__).parents[2] / "schema"
    for ending in (".yaml", ".archive.yaml"):
        text = (schema / f"dr1{ending}").read_text(encoding="utf-8").partition("\nversions:")[0]
        text = text.replace("dr1", "dr2").replace("id_block: 1", "id_block: 2").replace("name: vt_mag", "name: vt")
        (own / f"dr2{ending}").write_text(text.replace("#star.vt_mag", "#star.vt"), encoding="utf-8")
    shutil.copy(data / "sample" / "dr1.field.parquet", own.parent / "field.parquet")
    site.run("load", "dr2", "field", str(own.parent / "field.parquet"))
    site.run("publish", "dr2")
    assert (
        len(asked(site, "SELECT a.field_id FROM dr1.field a JOIN dr2.field b ON a.field_id = b.field_id").rows) == 192
    )


def by_stilts(site: Site, query: str, answer: Recorded) -> None:
    done = subprocess.run(
        ["stilts", "tapquery", f"tapurl={site.tap}", f"adql={query}", "sync=true", "ofmt=csv"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names, *lines = done.stdout.strip().splitlines()
    assert names.split(",") == [name for name, _, _ in answer.columns]
    values = [[float(cell) for cell in line.split(",")] for line in lines]
    assert np.allclose(np.array(values), np.array(answer.rows, float), rtol=1e-6)
