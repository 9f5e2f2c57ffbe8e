"""What verbs say: sentences and progress bars to people, JSON to programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from archive.faults import Fault

Progress = Callable[[str, int], None]


class Output:
    """How this run of the command talks. Results go to standard output, all else to standard error."""

    def __init__(self, *, as_json: bool = False, home: Path | None = None) -> None:
        self.as_json = as_json
        self.home = home

    def result(self, facts: Mapping[str, Any], *sentences: str) -> None:
        """What a verb did: ``facts`` for programs, sentences for people."""
        if self.as_json:
            click.echo(json.dumps(facts, ensure_ascii=False))
        for sentence in () if self.as_json else sentences:
            click.echo(sentence)

    def fault(self, fault: Fault) -> None:
        """What went wrong."""
        if self.as_json:
            facts = {"error": type(fault).__name__, "message": fault.message, "remedy": fault.remedy}
            click.echo(json.dumps(facts, ensure_ascii=False), err=True)
        else:
            click.secho(str(fault), err=True, fg="red")

    @contextmanager
    def progress(self, units: Mapping[str, str]) -> Iterator[Progress]:
        """A bar for each step while it goes on, on a terminal; ``units`` says what a step counts (``bytes``, ``rows``).

        Steps that ``units`` does not name count rows.
        """
        if self.as_json or not sys.stderr.isatty():
            yield lambda step, done: None
            return
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[done]}"),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            tasks: dict[str, Any] = {}

            def advance(step: str, done: int) -> None:
                if step not in tasks:
                    tasks[step] = bars.add_task(step, total=None, done="")
                bars.advance(tasks[step], done)
                count = bars.tasks[tasks[step]].completed
                bars.update(tasks[step], done=_counted(count, units.get(step, "rows")))

            yield advance


def _counted(count: float, unit: str) -> str:
    return f"{count / 1e6:,.1f} MB" if unit == "bytes" else f"{int(count):,} {unit}"
