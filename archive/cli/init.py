"""``archive init``: make an archive, or change what it says of its site."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from archive.cli._endpoint import identify
from archive.cli._output import Output
from archive.faults import NotFound, UsageFault

if TYPE_CHECKING:
    from archive.config import Config
    from archive.ledger import Site

_AUTHORITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{2,}\Z")  # IVOA Identifiers 2.0 section 2.3.1, without "!*'()"


@click.command(help=__doc__)
@click.option("--authority", help="Naming authority in all identifiers made here, such as archive.example.org.")
@click.option("--publisher", help="Who publishes, as people read it.")
@click.option("--contact", help="Address of those who run the archive, such as an e-mail address.")
@click.option("--public-url", help="URL under which users reach the archive, if known.")
@click.pass_obj
def init(
    output: Output, authority: str | None, publisher: str | None, contact: str | None, public_url: str | None
) -> None:
    from archive.backbone.endpoint import Endpoint
    from archive.config import Config

    config = Config.load(home=output.home)
    site = _site(_known(config), authority, publisher, contact, public_url)
    with Endpoint.create(config, site) as endpoint:
        facts = {"home": str(config.home), "authority": site.authority, "public_url": site.public_url}
        output.result(facts, f"The archive of {endpoint.site.publisher} lives in {config.home}.", *_next(config))


def _next(config: Config) -> tuple[str, ...]:
    return ("Load a catalog with: archive load RELEASE TABLE FILE...",)


def _known(config: Config) -> Site | None:
    """What an archive that is there already says of its site."""
    from archive.access import known_operators
    from archive.ledger import Ledger

    try:
        ledger = Ledger.open(config.ledger_url)
    except NotFound:
        return None
    try:
        site = ledger.site()
        if known_operators(ledger):
            identify(ledger, "OPERATE")
        return site
    except NotFound:
        return None
    finally:
        ledger.close()


def _site(
    known: Site | None, authority: str | None, publisher: str | None, contact: str | None, public_url: str | None
) -> Site:
    from archive.ledger import Site

    asked = known is None
    site = Site(
        authority=_given("authority", authority, known.authority if known else None),
        publisher=_given("publisher", publisher, known.publisher if known else None),
        contact=_given("contact", contact, known.contact if known else None),
        public_url=public_url or (known.public_url if known else None) or (_asked_url() if asked else None),
    )
    if not _AUTHORITY.match(site.authority):
        raise UsageFault(
            f"'{site.authority}' cannot be a naming authority.",
            "Use at least three letters, digits, '.', '_', '~' or '-', beginning with a letter or digit.",
        )
    if known is not None and known.authority != site.authority:
        raise UsageFault(
            f"This archive's authority is {known.authority} and stays so: files are named by it.",
            "Make another archive for another authority.",
        )
    if site.public_url and not re.match(r"https?://\S+\Z", site.public_url):
        raise UsageFault(f"'{site.public_url}' is no URL.", "Write it with http:// or https://")
    return site


def _given(what: str, value: str | None, known: str | None) -> str:
    if value or known:
        return (value or known or "").strip()
    if not sys.stdin.isatty():
        raise UsageFault(f"The archive's {what} is not given.", f"Add --{what}.")
    answer: str = click.prompt(what.capitalize(), err=True)
    return answer.strip()


def _asked_url() -> str | None:
    if not sys.stdin.isatty():
        return None
    answer: str = click.prompt("Public URL (empty if not known yet)", default="", show_default=False, err=True)
    return answer.strip() or None
