"""``archive rerun``: ask a query again that was answered once, and tell whether the answer is the same.

TOKEN stands at the head of every answer; the id of a saved query will do too. The query is asked as things were then,
and as they are now: an answer is identical, a superset (nothing is gone, newer rows have come), or it differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import opened
from archive.cli._output import Output
from archive.faults import UsageFault

if TYPE_CHECKING:
    from archive.backbone.endpoint import Endpoint
    from archive.ledger.saved import Answered
    from archive.query import Question
    from archive.reruns import Ask, Compared
    from archive.results import Result


@click.command()
@click.argument("token")
@click.option("--seconds", default=600.0, show_default=True, help="That each query may run.")
@click.option("--added", type=click.Path(path_type=Path), help="Write the rows that are new to this file, as CSV.")
@click.pass_obj
def rerun(output: Output, token: str, seconds: float, added: Path | None) -> None:
    from archive.query import answer
    from archive.reruns import Verdict
    from archive.reruns import rerun as again

    with opened(output) as endpoint:

        def ask(question: Question) -> Result:
            return answer(question, endpoint.ledger, endpoint.engine)

        recorded = recalled(endpoint, token)
        found = again(recorded, ask, seconds=seconds)
        if added is not None and found.now.verdict is not Verdict.FAILS:
            _write(added, recorded, ask, seconds)
    facts = {name: _facts(compared) for name, compared in (("then", found.then), ("now", found.now))}
    told = {"token": recorded.token, "query": recorded.text, "rows": recorded.rows, "asked": recorded.asked}
    output.result(told | facts, f"As things were: {_sentence(found.then)}", f"As they are: {_sentence(found.now)}")
    if found.then.verdict is not Verdict.IDENTICAL:
        raise click.exceptions.Exit(UsageFault.exit_code)


def recalled(endpoint: Endpoint, token: str) -> Answered:
    """What was answered with a token, or is saved under an id.

    Raises:
        NotFound: nothing that is known here.
    """
    from archive.ledger.querylog import QueryLog
    from archive.reruns import recall

    log = QueryLog(endpoint.config.query_log_url)
    try:
        return recall(endpoint.ledger, log, token)
    finally:
        log.close()


def _write(file: Path, recorded: Answered, ask: Ask, seconds: float) -> None:
    from archive.reruns import newcomers
    from archive.results import encode, formats

    with file.open("wb") as written:
        for piece in encode(newcomers(recorded, ask, seconds=seconds), formats.find("csv")):
            written.write(piece)


def _facts(compared: Compared) -> dict[str, object]:
    return {
        "verdict": str(compared.verdict),
        "rows": compared.rows,
        "added": compared.added,
        "gone": compared.gone,
        "detail": compared.detail,
    }


def _sentence(compared: Compared) -> str:
    more = [f"{compared.added} rows are new"] if compared.added else []
    more += [f"{compared.gone} are gone"] if compared.gone else []
    more += [compared.detail.rstrip(".")] if compared.detail else []
    rows = "" if compared.verdict == "fails" else f", {compared.rows} rows"
    return f"{compared.verdict}{rows}{': ' if more else ''}{', '.join(more)}."
