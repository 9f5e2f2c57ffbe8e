"""What all tests share: the sample data, the hypothesis profiles, and two rules about marks.

Fast tests need nothing but the Python environment. A test that needs a server process, a database server, a
browser or another outside program is marked ``service``; it fails, and is never skipped, where that is missing.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

DATA = Path(__file__).parent / "data"

# Random examples are the same in every run of ``make test``; ``make soak`` looks for new ones.
settings.register_profile("default", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", derandomize=False, deadline=None, max_examples=5000, print_blob=True)
settings.load_profile("default")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of sample files; tests read nothing else."""
    return DATA


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse skipped tests: what cannot run here must fail and say why."""
    skipped = [item.nodeid for item in items for mark in item.iter_markers() if mark.name in ("skip", "skipif")]
    if skipped:
        raise pytest.UsageError(f"tests are not skipped in this project: {', '.join(skipped)}")


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Finds an outside program that tests need; where it is missing the test fails with the way to get it."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.fail(f"{name} is not installed; scripts/test-needs.sh installs what tests need")
        return path

    return find


@pytest.fixture(scope="session")
def stilts(program: Callable[[str], str]) -> Callable[..., str]:
    """Runs stilts, which must succeed, and gives what it prints."""
    command = program("stilts")

    def run(*arguments: str) -> str:
        done = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
