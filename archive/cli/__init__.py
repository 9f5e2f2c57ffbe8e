"""The command ``archive``: one file for each verb of operators, named after it.

A verb's module is imported only when the verb is run; help takes its sentence from the module's docstring.
"""

from __future__ import annotations

import ast
import re
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from archive import __version__
from archive.cli._output import Output
from archive.faults import FatalFault, Fault

_FOLDER = Path(__file__).parent
_STOPPED = 130  # as shells tell that Ctrl+C ended a program


class _Verbs(click.Group):
    """The verbs in this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(path.stem for path in _FOLDER.glob("[!_]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"archive.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        command.help = _words(module.__doc__)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, _first_words(name)) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            from archive.documents import near

            verbs = self.list_commands(ctx)
            ctx.fail(f"There is no verb '{args[0]}'. {near(args[0], verbs) or 'Verbs: ' + ', '.join(verbs) + '.'}")
        return super().resolve_command(ctx, args)


def _words(docstring: str | None) -> str:
    """What a verb does, from its module's docstring, which begins with its name: ````archive verb``: what it does.``"""
    words = re.sub(r"\A``[^`]*``: ", "", docstring or "").replace("``", "'")
    return words[:1].upper() + words[1:]


def _first_words(verb: str) -> str:
    """The first paragraph of what a verb does, without importing it."""
    docstring = ast.get_docstring(ast.parse((_FOLDER / f"{verb}.py").read_text(encoding="utf-8")))
    return _words(docstring).split("\n\n", 1)[0].replace("\n", " ")


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The archive's folder (ARCHIVE_HOME).")
@click.option("--json", "as_json", is_flag=True, help="Print results and faults as JSON, for programs.")
@click.version_option(__version__, prog_name="archive")
@click.pass_context
def archive(ctx: click.Context, home: Path | None, as_json: bool) -> None:
    """An astronomical archive: catalogs are loaded, published and served.

    The archive lives in the folder ARCHIVE_HOME; other settings are told in docs/settings.md.
    """
    ctx.obj = Output(as_json=as_json, home=home)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command and end the process; the exit code tells the kind of fault (``Fault.exit_code``).

    ``--json`` may stand anywhere.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in arguments
    arguments = ["--json"] * as_json + [argument for argument in arguments if argument != "--json"]
    sys.exit(_run(arguments, Output(as_json=as_json)))


def _run(arguments: list[str], output: Output) -> int:
    """The one place where what went wrong becomes an exit code."""
    try:
        ended = archive.main(arguments, prog_name="archive", standalone_mode=False)
    except Fault as fault:
        output.fault(fault)
        return fault.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return _STOPPED
    except Exception:
        traceback.print_exc()
        output.fault(FatalFault("The program has failed.", "Please report the lines above."))
        return FatalFault.exit_code
    return ended if isinstance(ended, int) else 0
