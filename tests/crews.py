"""A crew of runners in a process of its own, with tasks made for tests: ``python -m tests.crews FOLDER SHORT LONG``."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from archive.faults import UsageFault
from archive.jobs import Crew, Desk, Ending, Jobs, Pace, Sizes, Task, Terms
from archive.results.result import Result

PACE = Pace(beat=0.1, lease=3, short=0.5, grace=3, patience=1)


def store(folder: Path, terms: Terms | None = None, *, pooled: bool = True) -> Jobs:
    return Jobs(f"sqlite:///{folder}/jobs.sqlite", folder / "jobs", terms, pooled=pooled)


def work(desk: Desk) -> None:
    """Do what parameter DO says; every beginning is noted in a file, so that a second one is seen."""
    given = {parameter.name: parameter.value for parameter in desk.job.parameters}
    note(Path(given["NOTES"]), f"{desk.job.id} {os.getpid()}")
    desk.on_end(lambda ending: note(Path(given["NOTES"]).with_name("noted"), f"{desk.job.id} {told(ending)}"))
    match given["DO"]:
        case "answer":
            desk.rows = 3
            desk.write("result", "text/csv", "csv", [b"a\n", b"1\n"])
        case "sleep":
            flow(desk, float(given["SECONDS"]))
        case "hang":  # deaf to being stopped
            time.sleep(60)
        case "refuse":
            raise UsageFault("Line 1: no such thing.", "Ask for another.")
        case "break":
            raise RuntimeError("secret detail")
        case "half":
            desk.write("result", "text/csv", "csv", documented(desk))


def told(ending: Ending) -> str:
    """How a job ended, in a word or two."""
    stopped = "stopped" if ending.stopped else "done" if ending.failure is None else ending.failure.dali
    return f"{stopped}{', and its process' if ending.last else ''}"


def note(notes: Path, line: str) -> None:
    with notes.open("a") as file:
        file.write(line + "\n")


def flow(desk: Desk, seconds: float) -> None:
    """Rows that come slowly, until the result is closed."""
    closed = []
    until = time.monotonic() + seconds

    def batches() -> Iterator[pa.RecordBatch]:
        while time.monotonic() < until:
            if closed:
                raise RuntimeError("closed")
            yield pa.record_batch({"a": [1, 2]})
            time.sleep(0.02)

    result = desk.counted(Result((), batches(), close=lambda: closed.append(True)))
    desk.write("result", "text/csv", "csv", (b"%d\n" % batch.num_rows for batch in result.batches))


def documented(desk: Desk) -> Iterator[bytes]:
    """As encoders do: a fault amid the rows ends the document in good order."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"a": [1]})
        raise UsageFault("Row 2 cannot be.")

    try:
        for _ in desk.counted(Result((), batches())).batches:
            yield b"row\n"
    except UsageFault as fault:
        yield str(fault).encode()


@contextlib.contextmanager
def tasks() -> Iterator[Mapping[str, Task]]:
    yield {"tap": work}


def main(folder: str, short: str, long: str) -> None:
    place = Path(folder)
    crew = Crew(
        lambda pooled: store(place, pooled=pooled),
        tasks,
        sizes=Sizes(int(short), int(long)),
        pace=PACE,
        parent=os.getppid(),
        ended=lambda process: note(place / "ended", str(process)),
        gave_up=lambda job: note(place / "given up", f"{job.id} {job.phase}"),
    )
    crew.work()


if __name__ == "__main__":
    main(*sys.argv[1:])
