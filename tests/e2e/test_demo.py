"""What a newcomer does first: clone, `make demo`, ask. Long, since it installs everything: part of `make soak`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Site, free_port, wait_for

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def demo(clone: Path, site: Site, log: Path) -> Iterator[None]:
    """``make demo`` under way, as if typed at a terminal; Ctrl+C at the end."""
    with log.open("wb") as out:
        make = subprocess.Popen(
            ["make", "demo", f"PORT={site.port}", f"ARCHIVE_HOME={site.home}"],
            cwd=clone,
            stdout=out,
            stderr=out,
            env={name: value for name, value in os.environ.items() if not name.startswith(("ARCHIVE_", "MAKE"))},
            start_new_session=True,
        )
    try:
        wait_for(site, make, log, seconds=600)
        yield
    finally:
        os.killpg(make.pid, signal.SIGINT)
        make.wait(timeout=30)


def test_a_fresh_clone_answers_twice(tmp_path: Path) -> None:
    clone, log = tmp_path / "clone", tmp_path / "log"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    site = Site(tmp_path / "home", free_port())
    with demo(clone, site, log):
        (line,) = re.findall(r"^ *(import pyvo.*)$", log.read_text(), re.MULTILINE)
        pasted = subprocess.run([clone / ".venv" / "bin" / "python", "-c", line], capture_output=True, text=True)
        assert pasted.returncode == 0, pasted.stderr
        first = site.get("tap/sync?LANG=ADQL&QUERY=SELECT+COUNT(*)+AS+n+FROM+ext_tycho2.star&RESPONSEFORMAT=csv")
    with demo(clone, site, log):
        again = site.get("tap/sync?LANG=ADQL&QUERY=SELECT+COUNT(*)+AS+n+FROM+ext_tycho2.star&RESPONSEFORMAT=csv")
    assert "pip install" not in log.read_text()
    assert first == again
    assert first[2].split() == [b"n", b"10000"]
