"""Bytes first, truth second, as the kernel sees it: write < fsync < rename < fsync of the folder < commit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.archives import make

Seen = list[tuple[str, str, str, int]]

INGEST = """
import sys
from pathlib import Path
from archive.backbone.endpoint import Endpoint
from archive.backbone.gathering import copied
from archive.backbone.ingest import ingest
from archive.backbone.receiving import Terms
from archive.config import Config

home, descriptions, *files = sys.argv[1:]
with Endpoint.open(Config(home=Path(home), descriptions=Path(descriptions), reserve=0)) as endpoint:
    done = ingest(endpoint, copied(map(Path, files), Terms("other", "sp_test", "notes")))
    assert not done.refused and sum(done.counts.values()) == len(files)
"""

CALLS = "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,mkdir"

CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
FILE = re.compile(r"<([^>]*)>")


@pytest.mark.service
@pytest.mark.requirement("DMS-DBB-REQ-0019")
def test_the_order_of_one_ingest(tmp_path: Path, data: Path, program: Callable[[str], str]) -> None:
    home, trace = tmp_path / "home", tmp_path / "trace"
    make(home, data, reserve=0).close()
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"file {number} " * 10_000)
    files = [str(tmp_path / f"{number}.txt") for number in range(3)]
    command = [sys.executable, "-c", INGEST, str(home), str(data), *files]
    traced = [program("strace"), "-f", "-y", "-z", "-s", "0", "-e", f"trace={CALLS}", "-o", str(trace), *command]
    done = subprocess.run(traced, cwd=Path(__file__).parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = calls(trace, home)
    commit = commit_after_the_last_rename(seen, home)
    names = {(where, to) for call, where, to, _ in seen if call.startswith("rename") and "/staging/" in where}
    assert len(names) == 3
    for staged, named in names:
        check_order(seen, staged, Path(named), home / "store", commit)


def check_order(seen: Seen, staged: str, named: Path, root: Path, commit: int) -> None:
    """Of one file; and each folder above it was flushed."""
    folder = str(named.parent)
    written = last(seen, lambda call, where: call == "write" and where == staged)
    flushed = last(seen, lambda call, where: call == "fsync" and where == staged)
    renamed = last(seen, lambda call, where: call.startswith("rename") and where == staged)
    safe = first_after(renamed, seen, lambda call, where: call == "fsync" and where == folder)
    assert written < flushed < renamed < safe < commit
    before = {where for call, where, _, at in seen if call == "fsync" and at < commit}
    assert {str(above) for above in named.parents if above.is_relative_to(root)} <= before


def calls(trace: Path, home: Path) -> Seen:
    """The calls that touch the archive: name, file, second file, place in the order in which they ended."""
    begun: dict[str, str] = {}
    found: Seen = []
    for number, line in enumerate(trace.read_text().splitlines()):
        process = line.split()[0]
        if line.endswith("<unfinished ...>"):
            begun[process] = line.removesuffix("<unfinished ...>")
            continue
        if " resumed>" in line and process in begun:
            line = begun.pop(process) + line.partition(" resumed>")[2]
        match = CALL.match(line)
        if match is None:
            continue
        names = re.findall(r'"([^"]*)"', match[2]) if match[1].startswith(("rename", "unlink", "mkdir", "link")) else []
        names = names or FILE.findall(match[2])
        if names and names[0].startswith(str(home)):
            found.append((match[1], names[0], names[1] if len(names) > 1 else "", number))
    return found


def last(seen: Seen, wanted: Callable[[str, str], bool]) -> int:
    return max(at for call, where, _, at in seen if wanted(call, where))


def first_after(after: int, seen: Seen, wanted: Callable[[str, str], bool]) -> int:
    return min(at for call, where, _, at in seen if at > after and wanted(call, where))


def commit_after_the_last_rename(seen: Seen, home: Path) -> int:
    """The ledger's first write to its log that follows the names: what a commit begins with."""
    renamed = last(seen, lambda call, where: call.startswith("rename") and "/staging/" in where)
    wal = str(home / "ledger.sqlite-wal")
    return first_after(renamed, seen, lambda call, where: call == "pwrite64" and where == wal)
