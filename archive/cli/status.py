"""``archive status``: what is kept and how well, what is on its way, what is wrong, and how long there is room.

``--json`` prints the same facts for programs, as ``/staff/status`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.condition import Condition, StoreState
    from archive.ledger.rounds import Round
    from archive.ledger.underway import Underway

_SHOWN = 10  # lines of a list
_COLOURS = {"present": "green", "absent": "red", "bad": "red", "leaving": "dim"}


@click.command(help=__doc__)
@click.pass_obj
def status(output: Output) -> None:
    from archive.backbone.condition import condition

    with opened(output, "WATCH") as endpoint:
        found = condition(endpoint)
    if output.as_json:
        output.result(found.facts())
    else:
        _show(found)


def _show(found: Condition) -> None:
    from rich.console import Console, Group
    from rich.panel import Panel

    parts = [_verdict(found), "", _kept(found), _stores(found)]
    parts += [part for part in (_served(found), _incidents(found), _at_risk(found)) if part is not None]
    lines = list(_underway(found.underway)) or ["Nothing is on its way; all that was loaded is shown."]
    parts += ["", *lines, "", str(found.account)]
    title = f"{found.site}, {found.time:%Y-%m-%d %H:%M} UTC"
    Console(highlight=False, soft_wrap=False).print(Panel(Group(*parts), title=title, expand=False))


def _verdict(found: Condition) -> str:
    if found.whole.gone:
        return f"[bold red]{found.whole.gone:,} of {found.whole.files:,} files have no good copy.[/]"
    if found.incidents:
        return f"[bold yellow]All {found.whole.files:,} files have a good copy; something wants to be looked at.[/]"
    return f"[bold green]All is well: each of {found.whole.files:,} files has a good copy.[/]"


def _kept(found: Condition) -> Any:
    from archive.backbone.reserve import shown

    table = _table("kept", "store", "state", "files", "bytes", numbers=2)
    for each in found.kept:
        colour = _COLOURS.get(each.state, "")
        state = f"[{colour}]{each.state}[/]" if colour else each.state
        table.add_row(each.retention, each.store, state, f"{each.files:,}", shown(each.bytes))
    return table


def _stores(found: Condition) -> Any:
    table = _table("store", "room", "names and sizes", "all bytes")
    for each in found.stores:
        table.add_row(each.name, _room(each), _round(each.names), _round(each.deep))
    age = found.oldest_age
    table.caption = None if age is None else f"The oldest unverified byte was last read {_age(age)} ago."
    return table


def _room(store: StoreState) -> str:
    from archive.backbone.reserve import shown

    if store.room is None:
        return f"[red]{store.away}[/]" if store.away else "no bounds"
    room = store.room
    if room.room <= 0:
        return f"[red]{shown(room.free)} free: nothing more comes in[/]"
    until = "" if room.reached is None else f", full {room.reached:%Y-%m-%d}"
    return f"{shown(room.room)}{until}"


def _round(last: Round | None) -> str:
    if last is None:
        return "[yellow]never[/]"
    failed = f", [red]{last.failed:,} failed[/]" if last.failed else ""
    if last.ended is None:
        return f"under way, {last.files:,} files{failed}"
    ago = (datetime.now(UTC) - datetime.fromisoformat(last.ended)).total_seconds()
    return f"{_age(ago)} ago, {last.files:,} files{failed}"


def _served(found: Condition) -> Any:
    if not found.served:
        return None
    table = _table("release", "content", "tables", "rows", numbers=2)
    for each in found.served:
        table.add_row(each.name, each.content, f"{each.tables:,}", f"{each.rows:,}")
    return table


def _incidents(found: Condition) -> Any:
    if not found.incidents:
        return None
    table = _table("incident", "what", "about", "since")
    for each in found.incidents[:_SHOWN]:
        table.add_row(str(each.id), f"[yellow]{each.kind}[/]", each.subject, each.opened[:16])
    return _more(table, len(found.incidents), "archive incident list")


def _at_risk(found: Condition) -> Any:
    if not found.at_risk:
        return None
    table = _table("at risk", "store", "state", "good copies")
    for each in found.at_risk[:_SHOWN]:
        good = "[dim]lost[/]" if each.lost else "[bold red]none[/]" if not each.good else str(each.good)
        table.add_row(each.uri, each.store, each.state, good)
    return _more(table, len(found.at_risk), "archive --json status")


def _table(*columns: str, numbers: int = 0) -> Any:
    """A table whose last ``numbers`` columns are numbers."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    for at, column in enumerate(columns):
        right = at >= len(columns) - numbers
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _more(table: Any, count: int, verb: str) -> Any:
    if count > _SHOWN:
        table.caption = f"and {count - _SHOWN:,} more: {verb}"
    return table


def _age(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _underway(found: Underway) -> Iterator[str]:
    for table in found.tables:
        shown = "not shown yet" if table.shown is None else f"{table.shown:,} of them shown"
        show = f"Show them: archive publish {table.name.partition('.')[0]}"
        yield f"{table.name}: {table.loaded:,} rows loaded, {shown}. {show}"
    for name in found.building:
        yield f"{name}: an edition is being built."
    for arrival in found.arrivals:
        who = f"{arrival.role} on {arrival.host}" if arrival.alive else "a process that lives no more"
        yield f"{arrival.id}: files come into store '{arrival.store}' since {arrival.begun}, brought by {who}."
    if found.proprietary:
        yield f"{found.proprietary:,} files are not public yet."
