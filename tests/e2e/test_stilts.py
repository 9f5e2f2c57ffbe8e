"""The same questions asked with STILTS, which shares its client with TOPCAT, and its validator of TAP services."""

from __future__ import annotations

import csv
import io
import re
import subprocess
from collections.abc import Callable

import pytest

from tests.e2e.conftest import Site
from tests.e2e.sky import CONES, Stars

pytestmark = pytest.mark.service

STAGES = ("TMV", "TME", "TMS", "TMC", "CPV", "CAP", "AVV", "QGE", "QPO", "OBS")


@pytest.fixture(scope="module")
def stilts(program: Callable[[str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    command = program("stilts")

    def run(task: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([command, task, *arguments], capture_output=True, text=True, timeout=600)

    return run


@pytest.mark.parametrize("form", ["contains", "distance"])
@pytest.mark.parametrize("name", ["north pole", "south pole", "across 0/360 from the east", "more than a hemisphere"])
def test_tapquery_finds_the_stars_numpy_finds(name: str, form: str, stilts: Callable, site: Site, stars: Stars) -> None:
    where = getattr(CONES[name], form)()
    done = stilts(
        "tapquery",
        f"tapurl={site.tap}",
        f"adql=SELECT star_id FROM ext_tycho2.star WHERE {where}",
        "sync=true",
        "maxrec=1000000",
        "ofmt=csv",
    )
    assert done.returncode == 0, done.stderr
    found = {int(row["star_id"]) for row in csv.DictReader(io.StringIO(done.stdout))}
    assert found == stars.within(CONES[name])


def test_tapquery_shows_the_message_for_a_misspelt_column(stilts: Callable, site: Site) -> None:
    done = stilts("tapquery", f"tapurl={site.tap}", "adql=SELECT vt_mga FROM ext_tycho2.star", "sync=true")
    assert done.returncode != 0
    assert re.search(r"vt_mga.*vt_mag\b", done.stderr, re.DOTALL), done.stderr


def test_taplint_finds_no_error(stilts: Callable, site: Site) -> None:
    done = stilts("taplint", f"tapurl={site.tap}", f"stages={' '.join(STAGES)}", "maxrepeat=20")
    totals = re.search(r"^Totals: Errors: (\d+); Warnings: (\d+);.*Failures: (\d+)$", done.stdout, re.MULTILINE)
    assert totals, done.stdout + done.stderr
    wrong = [line for line in done.stdout.splitlines() if re.match(r"[EF]-", line)]
    assert not wrong, done.stdout
    assert (totals[1], totals[3]) == ("0", "0"), done.stdout
    assert "columns: 30/30 required, 30/30 optional, 0 custom" in done.stdout
