"""``archive query``: help with the queries of users."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault


@click.group(help=__doc__)
def query() -> None:
    pass


@query.command()
@click.argument("token")
@click.option("--author", default="", help="Who saves it, as they want to be cited.")
@click.option("--title", default="", help="What it is about.")
@click.pass_obj
def save(output: Output, token: str, author: str, title: str) -> None:
    """Save a query that was answered, by the token of its answer: it gets an address that can be cited.

    Saving it again changes nothing.
    """
    from archive.cli.rerun import recalled
    from archive.reruns import keep

    with opened(output, "DELIVER") as endpoint:
        kept = keep(endpoint.ledger, recalled(endpoint, token), author=author, title=title)
    facts = {"id": kept.id, "token": kept.answered.token, "author": kept.author, "title": kept.title}
    output.result(facts, f"It is saved as {kept.id}: /tap/saved/{kept.id}")


@query.command()
@click.argument("query", metavar="QUERY|FILE|-")
@click.option("--from", "old", required=True, metavar="RELEASE", help="The release it was written for.")
@click.option("--to", "new", required=True, metavar="RELEASE", help="The release it is to be asked of.")
@click.option("--lang", default="ADQL-2.1", show_default=True)
@click.pass_obj
def carry(output: Output, query: str, old: str, new: str, lang: str) -> None:
    """Move a query from one release to another, and tell what its author should look at.

    The data of releases differ, so this is done on request only, and never while a query is answered.
    """
    from archive.adql.carry import carry as moved
    from archive.cli.schema import shown_schema

    carried = moved(_text(query), shown_schema(output, old), shown_schema(output, new), lang)
    output.result({"query": carried.text, "advice": list(carried.advice)}, carried.text)
    if not output.as_json:
        for sentence in carried.advice:
            click.echo(sentence, err=True)


def _text(query: str) -> str:
    if query == "-":
        return sys.stdin.read()
    if " " in query.strip():
        return query
    try:
        return Path(query).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(
            f"{query} cannot be read: {error}.", "Give a query, a file, or - for standard input."
        ) from None
