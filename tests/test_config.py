"""Settings: where they come from, and what is said of those that do not fit."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from archive.config import Config
from archive.faults import UsageFault

SETTINGS = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")


def load(home: Path, environment: dict[str, str] | None = None, toml: str = "") -> Config:
    home.mkdir(exist_ok=True)
    (home / "archive.toml").write_text(toml)
    return Config.load({"ARCHIVE_HOME": str(home), "PATH": "/bin"} | (environment or {}))


def test_nothing_has_to_be_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.load({})
    assert config == Config(home=tmp_path / "archive-home")
    assert config.ledger_url == f"sqlite:///{tmp_path}/archive-home/ledger.sqlite"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = load(
        tmp_path / "home",
        {"ARCHIVE_DEFAULT_MAXREC": "7", "ARCHIVE_MEMORY": ""},
        'default_maxrec = 5\nhard_maxrec = 9\ngrace = 1\nmemory = "2GB"\n',
    )
    assert (config.default_maxrec, config.hard_maxrec, config.grace, config.memory) == (7, 9, 1.0, "2GB")
    assert isinstance(config.grace, float)


def test_the_home_may_be_said_otherwise(tmp_path: Path) -> None:
    assert Config.load({"ARCHIVE_HOME": "/elsewhere"}, home=tmp_path).home == tmp_path


def test_folders_in_the_file_are_told_from_where_it_is(tmp_path: Path) -> None:
    config = load(tmp_path / "home", toml='descriptions = "mine"\nscratch = "/fast/disk"\n')
    assert config.description_folders[0] == tmp_path / "home" / "mine"
    assert config.scratch_folder == Path("/fast/disk")
    assert load(tmp_path / "home").description_folders[0] == tmp_path / "home" / "schema"


def test_everything_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageFault) as caught:
        load(
            tmp_path / "home",
            {"ARCHIVE_GRACE": "long", "ARCHIVE_MAXREC": "5"},
            "threads = true\nload_memory = -1\n",
        )
    told = caught.value.message.split("\n")
    assert told[0] == "The settings are wrong:"
    assert sorted(line.strip() for line in told[1:]) == sorted(
        [
            f"threads in {tmp_path}/home/archive.toml: True is not a value for it.",
            f"load_memory in {tmp_path}/home/archive.toml: -1 is negative.",
            "ARCHIVE_GRACE: 'long' is not a number.",
            "ARCHIVE_MAXREC: there is no such setting. Did you mean 'hard_maxrec'?",
        ]
    )


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"archive\.toml cannot be read as TOML"):
        load(tmp_path / "home", toml="grace: 5")


@pytest.mark.parametrize("setting", dataclasses.fields(Config), ids=lambda setting: setting.name)
def test_the_page_of_settings_tells_what_each_usually_is(setting: dataclasses.Field[object]) -> None:
    row = re.search(rf"^\| `ARCHIVE_{setting.name.upper()}` \| ([^|]+) \|", SETTINGS, re.MULTILINE)
    assert row is not None
    if isinstance(setting.default, int | float):
        assert row[1] == f"{setting.default:g}".lower() or row[1] == str(setting.default).lower()
    elif setting.default == ():
        assert row[1] == "none"
