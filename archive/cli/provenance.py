"""``archive provenance``: what files were made from, down to the raw ones, or all that was made from them.

Files are named by their URIs. It is told as a tree, as a picture (--svg) or as PROV-JSON (--json).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import NotFound, UsageFault

if TYPE_CHECKING:
    from rich.tree import Tree

    from archive.ledger.provenance import Derivation, Lineage

_WIDE = 400  # signs in a line of a file or a pipe
_STYLES = {"here": "", "no good copy here": "red", "retracted": "red strike", "not registered here": "dim"}


@click.command(help=__doc__)
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--derived", is_flag=True, help="What was made from them instead.")
@click.option("--most", type=click.IntRange(1), default=10_000, show_default=True, help="Files that are told.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw it into this file.")
@click.pass_obj
def provenance(output: Output, uris: tuple[str, ...], derived: bool, most: int, svg: Path | None) -> None:
    from archive.backbone import lineage as drawing
    from archive.ledger import provenance as ledger
    from archive.ledger.provenance import Presence, Way

    with opened(output, "WATCH") as endpoint, endpoint.ledger.read() as transaction:
        found = ledger.lineage(transaction, uris, Way.DERIVED if derived else Way.ORIGINS, most)
    unknown = [uri for uri in uris if found.entities[uri].presence is Presence.UNKNOWN]
    if unknown and not (derived and found.derivations):
        raise NotFound(f"{unknown[0]}: no such file is registered.", "Write its whole URI: archive://...")
    if svg is not None:
        _write(svg, drawing.svg(found))
    if output.as_json:
        output.result(drawing.prov_json(found))
    elif svg is None:
        _print(found)
    else:
        click.echo(f"{svg}: {len(found.entities):,} files and {len(found.activities):,} activities.")
    if found.cut and not output.as_json:
        click.echo(f"There is more: only {most:,} files are told. Give --most.", err=True)


def _write(path: Path, picture: bytes) -> None:
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise UsageFault(f"{path} cannot be written: {error.strerror}.", "Give another path.") from None


# --- the tree -------------------------------------------------------------------------------------


def _print(found: Lineage) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    grower = _Grower(found)
    for root in found.roots:
        console.print(grower.tree(root))


class _Grower:
    """Grows trees; what stands in one already is not told again."""

    def __init__(self, found: Lineage) -> None:
        from archive.ledger.provenance import Way

        self._found = found
        self._down = found.way is Way.DERIVED
        self._told: set[str] = set()
        self._next: dict[str, list[Derivation]] = {}
        for each in found.derivations:
            self._next.setdefault(each.source if self._down else each.product, []).append(each)

    def tree(self, root: str) -> Tree:
        from rich.tree import Tree

        tree = Tree(self._entity(root, ""), guide_style="dim")
        waiting = [(root, tree)]
        while waiting:
            uri, branch = waiting.pop()
            if uri in self._told:
                if self._next.get(uri):
                    branch.label = f"{branch.label} [dim](see above)[/]"
                continue
            self._told.add(uri)
            below = []
            for activity, steps in self._by_activity(uri).items():
                twig = branch if activity is None else branch.add(self._doing(activity))
                for each in steps:
                    far = each.product if self._down else each.source
                    below.append((far, twig.add(self._entity(far, each.role))))
            waiting += reversed(below)
        return tree

    def _by_activity(self, uri: str) -> Mapping[str | None, Sequence[Derivation]]:
        found: dict[str | None, list[Derivation]] = {}
        for each in self._next.get(uri, ()):
            found.setdefault(each.activity, []).append(each)
        own = None if self._down else self._found.made_by.get(uri)
        return found or ({own: []} if own is not None else {})

    def _doing(self, uri: str) -> str:
        from rich.markup import escape

        activity = self._found.activities[uri]
        software = " ".join(filter(None, (activity.software, activity.version)))
        told = [activity.name, software, (activity.stop_time or activity.start_time or "")[:19], activity.agent or ""]
        return f"[italic cyan]{escape(', '.join(filter(None, told)))}[/]"

    def _entity(self, uri: str, role: str) -> str:
        """A file, called by its path if a root has the same authority."""
        from rich.markup import escape

        entity = self._found.entities[uri]
        own = {f"{'/'.join(root.split('/')[:3])}/" for root in self._found.roots}
        near = next((start for start in own if uri.startswith(start) and uri not in self._found.roots), "")
        name, style = escape(uri.removeprefix(near)), _STYLES[entity.presence]
        about = " ".join(filter(None, ((entity.type or "").replace("_", " "), entity.release)))
        told = [f"[bold]{escape(role)}[/]" if role else "", f"[{style}]{name}[/]" if style else name]
        told += [f"[dim]{escape(about)}[/]" if about else ""]
        told += ["" if entity.presence == "here" else f"[red]{entity.presence}[/]"]
        return " ".join(filter(None, told))
