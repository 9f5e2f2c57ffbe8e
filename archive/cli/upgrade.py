"""``archive upgrade``: bring the archive's own tables to the layout that this program works with.

Nobody may be using the archive meanwhile. SQLite files are copied first, into ``before-upgrade`` in the archive's home;
on PostgreSQL all steps happen in one transaction or none. Then the headers are read of images of which it is not known
what part of the sky they show: those that came in with an older program, or by a list of files. Where nothing is to be
done nothing is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.observing import Looked
    from archive.backbone.upgrading import Due
    from archive.config import Config


_SHOWN = 5  # files that could not be read


@click.command(help=__doc__)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@click.pass_obj
def upgrade(output: Output, dry_run: bool) -> None:
    from archive.backbone import upgrading
    from archive.config import Config

    config = Config.load(home=output.home)
    if dry_run:
        found = upgrading.due(config)
        images = _images(config) if not found else None  # an older ledger cannot be asked
        told = [f"The headers of {images:,} files would be read."] if images else _told(found, "would be")
        output.result(_facts(found) | {"done": False, "images": images}, *told)
        return
    with output.progress({}) as progress:
        done = upgrading.upgrade(config, lambda layout, step: progress(f"{layout.name}: {step.title}", 1))
    looked = _look(config, output)
    facts = _facts(done.done) | {"done": True, "kept": None if done.kept is None else str(done.kept)}
    facts |= {"images": looked.files, "unread": {uri: str(fault) for uri, fault in looked.unread}}
    kept = () if done.kept is None else (f"The files as they were lie in {done.kept}.",)
    seen = _seen(looked)
    output.result(facts, *(_told(done.done, "was") if done.done or not seen else ()), *kept, *seen)


def _images(config: Config) -> int:
    """How many files are to be looked at."""
    from archive.backbone import observing
    from archive.backbone.endpoint import Endpoint

    with Endpoint.open(config) as endpoint:
        return len(observing.due(endpoint))


def _look(config: Config, output: Output) -> Looked:
    """Look at all of them."""
    from archive.backbone import observing
    from archive.backbone.endpoint import Endpoint

    with Endpoint.open(config) as endpoint, output.progress({"headers": "files"}) as progress:
        return observing.observe(endpoint, lambda files: progress("headers", files))


def _seen(looked: Looked) -> list[str]:
    told = [f"The headers of {looked.files:,} files were read."] if looked.files else []
    told += [f"{fault}" for _, fault in looked.unread[:_SHOWN]]
    return told + ([f"{len(looked.unread):,} files could not be read; run this again."] if looked.unread else [])


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
