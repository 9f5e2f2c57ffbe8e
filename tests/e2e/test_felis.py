"""Our descriptions are valid for Felis itself, run as an outside program (docs/decisions/004)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.service

ROOT = Path(__file__).parent.parent.parent
FELIS = ROOT / ".venv-felis" / "bin" / "felis"
DESCRIPTIONS = sorted(
    path
    for path in (ROOT / "schema").rglob("*.yaml")
    if "tables:" in path.read_text() and not path.name.endswith(".archive.yaml")
)


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: str(path.relative_to(ROOT / "schema")))
def test_felis_finds_nothing_wrong(path: Path) -> None:
    assert FELIS.exists(), "felis is not installed; `make test` installs it in .venv-felis"
    checks = ("--check-description", "--check-tap-table-indexes", "--check-tap-principal")
    done = subprocess.run([FELIS, "validate", *checks, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
