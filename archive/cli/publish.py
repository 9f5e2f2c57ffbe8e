"""``archive publish``: show what was loaded into a release, all its tables at once, while it is served."""

from __future__ import annotations

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.argument("release")
@click.option("--rebuild", is_flag=True, help="Make what is shown anew from the stored files; it stays the same.")
@click.pass_obj
def publish(output: Output, release: str, rebuild: bool) -> None:
    from archive.backbone import publish as publishing

    if rebuild:
        with opened(output, "CURATE") as endpoint, output.progress({}) as progress:
            count = publishing.rebuild(endpoint, release, progress)
        output.result({"schema": release, "rebuilt": count}, f"{release}: {count} tables were made anew.")
        return
    with opened(output, "CURATE") as endpoint, output.progress({}) as progress:
        done = publishing.publish(endpoint, release, progress)
    facts = {
        "schema": done.schema,
        "revision": done.revision,
        "published": dict(done.changed),
        "tables": list(done.tables),
        "without_rows": list(done.without_rows),
        "editions_removed": done.removed,
    }
    sentences = [f"{table}: {rows:,} rows are shown now." for table, rows in done.changed.items()]
    if not done.changed:
        sentences.append(f"{release}: everything that was loaded is shown already; nothing changed.")
    sentences += [f"{release}.{table} is described but holds no rows yet." for table in done.without_rows]
    output.result(facts, *sentences)
