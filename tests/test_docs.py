"""What the documents say is so."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from archive.cli import archive
from archive.config import Config
from archive.results.formats import FORMATS
from tests.test_floors import FLOORS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = (".py", ".md", ".toml", ".yaml", ".sh", ".csv", ".lock", ".adql", ".html", ".css", ".js", ".xml", ".sql", "")
LEFT_BY_TOOLS = {"build", "dist", "demo-home", "__pycache__"}


def _everything() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def _verbs(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _verbs(command, (*path, name))
        else:
            yield " ".join(("archive", *path, name))


def _committed() -> Iterator[Path]:
    """Every text file of the tree that is not made by a tool."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".gitignore") for part in parts)
        if path.is_file() and path.suffix in TEXT and not hidden and not LEFT_BY_TOOLS & set(parts):
            yield path


@pytest.mark.parametrize("command", ["make demo", "make test", "make check"])
def test_the_readme_shows_how_to_begin(command: str) -> None:
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


def test_make_targets_told_in_documents_exist() -> None:
    told = set(re.findall(r"`make ([a-z]+)", _everything()))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert told - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("setting", [field.name for field in dataclasses.fields(Config)])
def test_every_setting_is_documented(setting: str) -> None:
    assert f"`ARCHIVE_{setting.upper()}`" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", list(_verbs(archive)))
def test_every_verb_is_documented(verb: str) -> None:
    assert re.search(rf"{verb}\b", _everything())


@pytest.mark.parametrize("name", [form.name for form in FORMATS])
def test_every_format_is_documented(name: str) -> None:
    assert f"`{name}`" in _everything()


def test_every_room_stands_in_the_plan() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = {f"{room}.py" for room in FLOORS if (ROOT / "archive" / f"{room}.py").exists()}
    names |= {f"{room}/" for room in FLOORS if any((ROOT / "archive" / room).glob("*.py"))}
    assert {name for name in names if f"`{name}`" not in plan} == set()


def test_files_named_in_the_plan_exist() -> None:
    plan = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [path for path in re.findall(r"`(archive/[\w/.]+)`", plan) if not (ROOT / path).exists()] == []


def test_the_requirements_page_is_fresh() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts" / "requirements.py", "--check"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_no_file_names_a_place_of_one_machine() -> None:
    machine = re.compile(r"(?<![\w.}/-])/(?:work|root|tmp)/|pythonhosted|pypi\.org")
    named = {
        f"{path.relative_to(ROOT)}: {found.group()}"
        for path in _committed()
        if path != Path(__file__) and (found := machine.search(path.read_text(encoding="utf-8")))
    }
    assert named == set()
