"""How to get the rows that were cut off an answer: in words, as the address of the next piece, and as a header."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from archive.config import Config
from archive.dali import Parameters
from archive.results import Result

_KEPT = ("LANG", "QUERY", "RESPONSEFORMAT", "FORMAT", "MAXREC", "RUNID")


def in_words(config: Config, base: str) -> str:
    """The ways there are at the service at ``base``."""
    hard = config.hard_maxrec
    most = "" if hard is None else f" (up to {hard})"
    return (
        f"Ask for more with MAXREC{most}, or for one piece after another: where an ORDER BY ends with the primary key, "
        f"each piece tells the address of the next. A job at {base}/async takes longer queries."
    )


def next_piece(parameters: Parameters, base: str) -> Callable[[str], str]:
    """Gives the address of the rows after a place, asked as ``parameters`` ask; none with uploads, which are gone."""
    if parameters.every("UPLOAD"):
        return lambda last: ""
    kept = [(name, value) for name in _KEPT for value in parameters.every(name)]
    return lambda last: f"{base}/sync?{urlencode([*kept, ('CONTINUE', last)])}"


def links(result: Result, base: str) -> str:
    """The header Link of an answer that is known to be cut (RFC 8288): to the next piece, and to the jobs."""
    links = [f'<{base}/async>; rel="related"; title="the same query as a job"']
    if result.last is not None and (address := result.onward(result.last)):
        links.insert(0, f'<{address}>; rel="next"')
    return ", ".join(links)
