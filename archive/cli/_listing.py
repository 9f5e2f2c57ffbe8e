"""Lists as verbs print them: a table that fits the terminal, or plain columns for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click


def listing(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()) -> None:
    """Print ``rows`` below ``head``; the columns in ``numbers`` end to the right. On a terminal long cells are folded,
    in a pipe each row is one line.
    """
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for row in (head, *rows):
            cells = (
                cell.rjust(width) if name in numbers else cell.ljust(width)
                for name, cell, width in zip(head, row, widths, strict=True)
            )
            click.echo("  ".join(cells).rstrip())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False, highlight=False)


def ending(count: int, what: str, *, more: bool) -> None:
    """Say below a list that there are more, or that there is nothing."""
    if not count:
        click.echo(f"There are no such {what}.")
    elif more:
        click.echo(f"These are {count:,} {what}; there are more: give a larger --limit.")


def size(number: int) -> str:
    """Bytes as people read them."""
    value, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{number} B" if unit == "B" else f"{value:.1f} {unit}"


def date(mjd: float | None) -> str:
    """A time in UTC, to the second; nothing where there is none."""
    if mjd is None:
        return ""
    from datetime import UTC, datetime, timedelta

    return f"{datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd):%Y-%m-%dT%H:%M:%S}"
