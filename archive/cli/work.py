"""``archive work``: run jobs until stopped; `archive serve` does it by itself."""

from __future__ import annotations

from contextlib import closing

import click

from archive.cli._output import Output
from archive.cli._priority import stand_back


@click.command(help=__doc__)
@click.option(
    "--short", type=click.IntRange(0), help="Processes for short jobs; the setting short_runners unless given."
)
@click.option("--long", type=click.IntRange(0), help="Processes for long jobs; the setting long_runners unless given.")
@click.option("--parent", type=int, hidden=True)
@click.pass_obj
def work(output: Output, short: int | None, long: int | None, parent: int | None) -> None:
    from archive import logs
    from archive.app import forget, note_lost, tasks  # all that runners need is imported before they fork
    from archive.config import Config
    from archive.jobs import Crew, Jobs, Sizes
    from archive.ledger import Ledger

    logs.begin()
    config = Config.load(home=output.home)
    with closing(Ledger.open(config.ledger_url)):
        pass  # there is an archive
    if parent is None:  # else it has stood back already
        stand_back(config.niceness)
    sizes = Sizes(
        config.short_runners if short is None else short,
        config.long_runners if long is None else long,
    )
    crew = Crew(
        lambda pooled: Jobs.of(config, pooled=pooled),
        lambda: tasks(config),
        sizes=sizes,
        parent=parent,
        ended=lambda process: forget(config, process),
        gave_up=lambda job: note_lost(config, job),
    )
    crew.work()
