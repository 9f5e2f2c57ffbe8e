"""A load that is killed at any step leaves nothing that is seen, and can simply be run again."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import select

from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.faults import FatalFault
from archive.ledger import files, schema
from tests.archives import make, parquet, reopened, snapshot, source

# Where the process dies: just before or after the named step is done for the given time.
STEPS = {
    "before the file is copied": ("archive.backbone.stores.Store.copy", 1, False),
    "while parts are written": ("archive.backbone.catalogs._part_schema", 1, True),
    "when parts are written": ("archive.backbone.catalogs.write_parts", 1, True),
    "before the first name is given": ("archive.backbone.disk.Disk.rename", 1, False),
    "after the first name is given": ("archive.backbone.disk.Disk.rename", 1, True),
    "after the last name is given": ("archive.backbone.disk.Disk.rename", 2, True),
    "in the transaction": ("archive.ledger.files.append_rows", 1, True),
}

DYING = textwrap.dedent(
    """
    import importlib, os, signal, sys
    from pathlib import Path

    def die_at(path, times, after):
        *module, owner, name = path.split(".")
        holder = importlib.import_module(".".join(module)) if owner[0].isupper() else None
        holder = getattr(holder, owner) if holder else importlib.import_module(".".join([*module, owner]))
        step, count = getattr(holder, name), 0

        def dying(*arguments, **options):
            nonlocal count
            count += 1
            if count == times and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = step(*arguments, **options)
            if count == times:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(holder, name, dying)

    from archive.backbone import catalogs
    from archive.backbone.endpoint import Endpoint
    from archive.config import Config

    home, descriptions, file, step, times, after = sys.argv[1:]
    die_at(step, int(times), after == "True")
    config = Config(home=Path(home), descriptions=Path(descriptions))
    catalogs.load(Endpoint.open(config), "sp_test", "source", [Path(file)])
    """
)


@pytest.fixture
def endpoint(tmp_path: Path, data: Path) -> Endpoint:
    endpoint = make(tmp_path / "home", data)
    catalogs.load(endpoint, "sp_test", "source", [parquet(tmp_path / "first.parquet", [source(1)])])
    return endpoint


def ledger_rows(endpoint: Endpoint) -> object:
    return snapshot(endpoint)["ledger"]


@pytest.mark.service
@pytest.mark.requirement("DMS-DBB-REQ-0019")
@pytest.mark.requirement("DMS-DBB-REQ-0056")
@pytest.mark.parametrize("step", STEPS)
def test_killed(step: str, endpoint: Endpoint, tmp_path: Path, data: Path) -> None:
    path = parquet(tmp_path / "second.parquet", [source(number) for number in range(2, 50)])
    before = ledger_rows(endpoint)
    name, times, after = STEPS[step]
    arguments = [str(endpoint.config.home), str(data), str(path), name, str(times), str(after)]
    killed = subprocess.run([sys.executable, "-c", DYING, *arguments], cwd=Path(__file__).parent.parent, check=False)
    assert killed.returncode == -9
    assert ledger_rows(endpoint) == before
    silence(endpoint)
    loaded = catalogs.load(reopened(endpoint.config), "sp_test", "source", [path])
    assert loaded.total == 49
    assert not list((endpoint.config.store / "staging").iterdir()), "what the dead one staged is swept"
    with endpoint.ledger.read() as transaction:
        assert files.newest_state(transaction, ("sp_test", "source")).rows == 49
        registered = set(transaction.execute(select(schema.replica.c.path)).scalars())
    assert registered == set(endpoint.store.paths()), "files that the dead one named are swept, too"


def silence(endpoint: Endpoint) -> None:
    """Let the lease of the dead process end now."""
    with endpoint.ledger.write() as transaction:
        transaction.execute(schema.process.update().values(lease="2000-01-01T00:00:00.000000Z"))


def test_a_full_disk(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path / "second.parquet", [source(2)])
    before = snapshot(endpoint)

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(FatalFault, match=r"The store cannot be written: No space left on device\. Is there room"):
        catalogs.load(endpoint, "sp_test", "source", [path])
    monkeypatch.undo()
    assert snapshot(endpoint) == before


def test_a_ledger_that_refuses(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have their names already lose them again."""
    path = parquet(tmp_path / "second.parquet", [source(2)])
    before = snapshot(endpoint)

    def refuse(*_: object) -> None:
        raise FatalFault("No.")

    monkeypatch.setattr(files, "append_rows", refuse)
    with pytest.raises(FatalFault, match=r"No\."):
        catalogs.load(endpoint, "sp_test", "source", [path])
    assert snapshot(endpoint) == before


def test_a_commit_whose_outcome_was_not_heard(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the ledger has the facts, the files stay, whatever the connection said."""
    path = parquet(tmp_path / "second.parquet", [source(2)])
    write = endpoint.ledger.write

    class Deaf:
        def __init__(self, *who: str | None) -> None:
            self.inner = write(*who)

        def __enter__(self) -> object:
            return self.inner.__enter__()

        def __exit__(self, *arguments: object) -> None:
            self.inner.__exit__(*arguments)  # type: ignore[arg-type]
            with endpoint.ledger.read() as transaction:
                if files.newest_state(transaction, ("sp_test", "source")).number == 2:
                    raise FatalFault("The connection was lost.")

    monkeypatch.setattr(endpoint.ledger, "write", Deaf)
    with pytest.raises(FatalFault, match="The connection was lost"):
        catalogs.load(endpoint, "sp_test", "source", [path])
    monkeypatch.undo()
    with endpoint.ledger.read() as transaction:
        registered = set(transaction.execute(select(schema.replica.c.path)).scalars())
    assert registered == set(endpoint.store.paths())
    assert catalogs.load(endpoint, "sp_test", "source", [path]).known == ("second.parquet",)
