"""``archive explain``: what a query means in words, the SQL it becomes, and how the engine will run it.

The query is not run. ``-`` reads it from standard input.
"""

from __future__ import annotations

import sys

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output


@click.command(help=__doc__)
@click.argument("query")
@click.option("--lang", default="ADQL", show_default=True, help="ADQL, ADQL-2.0 or ADQL-2.1.")
@click.pass_obj
def explain(output: Output, query: str, lang: str) -> None:
    from archive.adql.tell import tell
    from archive.inventory import Inventory
    from archive.query import Question, prepare

    text = sys.stdin.read() if query == "-" else query
    with opened(output) as endpoint:
        known = Inventory(endpoint.ledger, endpoint.config.editions)
        prepared = prepare(Question(text, lang), endpoint.ledger.published(), known)
        meaning = tell(prepared.query)
        sql = endpoint.engine.sql(prepared.query, prepared.bindings)
        plan = endpoint.engine.plan(prepared.query, prepared.bindings)
    facts = {"meaning": meaning, "sql": sql, "plan": plan, "revision": prepared.revision}
    output.result(facts, *_section("Meaning", meaning), *_section("SQL", sql), *_section("Plan", plan))


def _section(title: str, text: str) -> tuple[str, str, str]:
    return click.style(title, bold=True), text.rstrip(), ""
