"""``archive doctor``: look whether the archive is well, and tell what to do where it is not.

Nothing is changed. The exit code is 0 if all is well, 1 if something wants to be looked at, 70 if something keeps the
archive from its work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archive.cli._output import Output

if TYPE_CHECKING:
    from archive.backbone.diagnosis import Finding

_CODES = {"good": 0, "warning": 1, "fatal": 70}
_SIGNS = {"good": " ", "warning": "?", "fatal": "!"}


@click.command(help=__doc__)
@click.pass_obj
def doctor(output: Output) -> None:
    from archive.backbone import diagnosis
    from archive.config import Config

    config = Config.load(home=output.home)
    with output.progress({"events": "events"}) as progress:
        findings = diagnosis.examine(config, progress)
    found = diagnosis.worst(findings)
    facts = {
        "worst": found,
        "findings": [
            {"check": each.check, "severity": each.severity, "message": each.message, "remedy": each.remedy}
            for each in findings
        ],
    }
    output.result(facts, *map(_told, findings))
    raise click.exceptions.Exit(_CODES[found])


def _told(finding: Finding) -> str:
    remedy = f"\n    {finding.remedy}" if finding.remedy else ""
    return f"{_SIGNS[finding.severity]} {finding.check}: {finding.message}{remedy}"
