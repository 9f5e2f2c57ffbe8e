"""``archive upgrade``: bring the archive's own tables to the layout that this program works with.

Nobody may be using the archive meanwhile. SQLite files are copied first, into ``before-upgrade`` in the archive's home;
on PostgreSQL all steps happen in one transaction or none. Where nothing is to be done nothing is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.upgrading import Due


@click.command(help=__doc__)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.pass_obj
def upgrade(output: Output, dry_run: bool) -> None:
    from archive.backbone import upgrading
    from archive.config import Config

    config = Config.load(home=output.home)
    if dry_run:
        found = upgrading.due(config)
        output.result(_facts(found) | {"done": False}, *_told(found, "would be"))
        return
    with output.progress({}) as progress:
        done = upgrading.upgrade(config, lambda layout, step: progress(f"{layout.name}: {step.title}", 1))
    facts = _facts(done.done) | {"done": True, "kept": None if done.kept is None else str(done.kept)}
    kept = () if done.kept is None else (f"The files as they were lie in {done.kept}.",)
    output.result(facts, *_told(done.done, "was"), *kept)


def _facts(found: tuple[Due, ...]) -> dict[str, Any]:
    return {
        "upgrades": [
            {
                "store": each.layout.name,
                "from": each.found,
                "to": each.layout.version,
                "steps": [[step.version, step.title] for step in each.steps],
            }
            for each in found
        ]
    }


def _told(found: tuple[Due, ...], verb: str) -> list[str]:
    if not found:
        return ["Everything is up to date; nothing changed."]
    return [
        line
        for each in found
        for line in (
            f"The layout of {each.layout.name} {verb} brought from {each.found} to {each.layout.version}:",
            *(f"  {step.version}: {step.title}" for step in each.steps),
        )
    ]
