"""The operator's verbs, as typed: what they print, as what they exit, and that running one again changes nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from archive.backbone import catalogs
from archive.cli import main
from archive.faults import FatalFault, NotFound, TransientFault, UsageFault

SAMPLE = Path(__file__).parent / "data" / "sample"
SITE = ("--authority", "archive.test", "--publisher", "Tests", "--contact", "tests@archive.test")


@dataclass(frozen=True)
class Done:
    """What a run of the command did."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("ARCHIVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ARCHIVE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path / "home"


def archive(*arguments: str | Path) -> Done:
    """Run ``archive ARGUMENT...`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out.getvalue(), err.getvalue())


# --- the way from nothing to a published table ----------------------------------------------------


def test_from_nothing_to_a_published_table(home: Path) -> None:
    done = archive("init", *SITE)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"The archive of Tests lives in {home}.\n")
    star = SAMPLE / "ext_tycho2.star.parquet"
    done = archive("load", "ext_tycho2", "star", star)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "ext_tycho2.star: 10,000 rows from ext_tycho2.star.parquet.\n"
        "ext_tycho2.star holds 10,000 rows. Show them with: archive publish ext_tycho2\n"
    )
    done = archive("load", "ext_tycho2", "star", star)
    assert done.out == "ext_tycho2.star: ext_tycho2.star.parquet was loaded before; nothing changed.\n"
    assert archive("publish", "ext_tycho2").out == "ext_tycho2.star: 10,000 rows are shown now.\n"
    again = archive("publish", "ext_tycho2")
    assert again.out == "ext_tycho2: everything that was loaded is shown already; nothing changed.\n"


def test_the_same_for_programs(home: Path) -> None:
    assert archive("--json", "init", *SITE, "--public-url", "http://archive.test").facts == {
        "home": str(home),
        "authority": "archive.test",
        "public_url": "http://archive.test",
    }
    star = SAMPLE / "dr1.star.parquet"
    loaded = archive("load", "--json", "dr1", "star", star).facts
    assert loaded == {
        "table": "dr1.star",
        "loaded": {"dr1.star.parquet": 5000},
        "already_loaded": [],
        "parts": 1,
        "rows": 5000,
    }
    again = archive("load", "dr1", "star", star, "--json").facts
    assert (again["loaded"], again["already_loaded"]) == ({}, ["dr1.star.parquet"])
    assert archive("--json", "publish", "dr1").facts == {
        "schema": "dr1",
        "revision": 1,
        "published": {"dr1.star": 5000},
        "tables": ["star"],
        "without_rows": ["field"],
        "editions_removed": 0,
    }


def test_another_home(home: Path, tmp_path: Path) -> None:
    assert archive("--home", tmp_path / "other", "init", *SITE).code == 0
    assert (tmp_path / "other" / "ledger.sqlite").is_file()
    assert not home.exists()


# --- init -----------------------------------------------------------------------------------------


def test_init_again_keeps_and_changes_what_is_said(home: Path) -> None:
    archive("init", *SITE)
    assert archive("init", "--publisher", "Others").out.startswith("The archive of Others lives in ")
    assert archive("init").out.startswith("The archive of Others lives in ")


def test_init_does_not_change_the_authority(home: Path) -> None:
    archive("init", *SITE)
    done = archive("init", "--authority", "other.test")
    assert done.code == UsageFault.exit_code
    assert "This archive's authority is archive.test and stays so" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SITE[2:], "The archive's authority is not given. Add --authority."),
        (SITE[:4], "The archive's contact is not given. Add --contact."),
        (("--authority", "a b", *SITE[2:]), "'a b' cannot be a naming authority."),
        (("--authority", "ab", *SITE[2:]), "'ab' cannot be a naming authority."),
        ((*SITE, "--public-url", "archive.test"), "'archive.test' is no URL."),
    ],
)
def test_init_of_what_cannot_be(home: Path, options: tuple[str, ...], message: str) -> None:
    done = archive("init", *options)
    assert done.code == UsageFault.exit_code
    assert message in done.err
    assert not home.exists()


def test_init_asks_on_a_terminal(home: Path) -> None:
    done = on_terminal("init", answers="archive.test\nTests\ntests@archive.test\n\n")
    for question in ("Authority:", "Publisher:", "Contact:", "Public URL (empty if not known yet):"):
        assert question in done
    assert "The archive of Tests lives in" in done


# --- schema ---------------------------------------------------------------------------------------


def test_schema_check(home: Path, tmp_path: Path, data: Path) -> None:
    good = archive("schema", "check", data / "everything.yaml", data / "sp_test.archive.yaml")
    assert good.code == 0
    assert good.out.splitlines() == [
        f"{data / 'everything.yaml'}: nothing is wrong.",
        f"{data / 'sp_test.yaml'}: nothing is wrong.",
    ]
    (tmp_path / "x.yaml").write_text(
        "name: x\ntables:\n- name: t\n  columns:\n  - {name: a, datatype: nt}\n"
        "  - {name: b, datatype: int, ivoa:unit: furlong}\n  - {name: c, datatype: int, ivoa:unit: electron}\n"
    )
    bad = archive("schema", "check", tmp_path / "x.yaml")
    assert bad.code == UsageFault.exit_code
    cannot = "VOUnits 1.1 cannot express it: programs will show it but not convert it. (It can stay so.)"
    assert bad.out.splitlines() == [
        "x.yaml line 5, t.a: 'datatype: nt' is not known. Did you mean 'int'?",
        "x.yaml line 6, t.b: the unit 'furlong' is not a VOUnit. Write it like 'deg' or 'mas.yr**-1'.",
        f"x.yaml line 7, t.c: the unit 'electron' is not a VOUnit. {cannot}",
    ]
    facts = archive("--json", "schema", "check", tmp_path / "x.yaml").facts
    assert [problem["grave"] for problem in facts[str(tmp_path / "x.yaml")]] == [True, True, False]
    assert facts[str(tmp_path / "x.yaml")][0] == {
        "file": "x.yaml",
        "line": 5,
        "table": "t",
        "column": "a",
        "message": "'datatype: nt' is not known.",
        "remedy": "Did you mean 'int'?",
        "grave": True,
    }


def test_schema_show(home: Path, data: Path) -> None:
    assert "Sky grid" not in archive("schema", "show", "dr1").out
    assert "One row for each star" in archive("schema", "show", "dr1").out
    shown = archive("schema", "show", data / "everything.yaml", "Object").out
    assert "déclinaison" in shown
    facts = archive("--json", "schema", "show", "dr1", "star").facts
    assert [column["name"] for column in facts["tables"][0]["columns"]][:3] == ["star_id", "ra", "dec"]
    for unknown in (("dr77",), ("dr1", "stars")):
        assert archive("schema", "show", *unknown).code == NotFound.exit_code


def test_schema_register(home: Path, tmp_path: Path) -> None:
    archive("init", *SITE)
    archive("load", "dr1", "star", SAMPLE / "dr1.star.parquet")
    shipped = Path(str(catalogs.__file__)).parent.parent / "schema"
    for name in ("dr1.yaml", "dr1.archive.yaml"):
        (tmp_path / name).write_text((shipped / name).read_text())
    same = archive("schema", "register", tmp_path / "dr1.yaml")
    assert (same.code, same.out) == (0, "This is description 1 of dr1, in force already.\n")
    text = (tmp_path / "dr1.yaml").read_text()
    (tmp_path / "dr1.yaml").write_text(text.replace("Right ascension (ICRS).", "Longitude."))
    assert archive("--json", "schema", "register", tmp_path / "dr1.yaml").facts["number"] == 2
    assert "Longitude." in archive("schema", "show", "dr1", "star").out
    (tmp_path / "dr1.yaml").write_text(text.replace("datatype: double", "datatype: float"))
    refused = archive("schema", "register", tmp_path / "dr1.yaml")
    assert refused.code == UsageFault.exit_code
    assert "dr1 holds rows that were loaded under another description" in refused.err


# --- what goes wrong ------------------------------------------------------------------------------


def test_without_an_archive(home: Path) -> None:
    for arguments in (("load", "dr1", "star", "x.csv"), ("publish", "dr1")):
        done = archive(*arguments)
        assert done.code == NotFound.exit_code
        assert done.err.endswith("Make one with 'archive init'.\n")


def test_a_fault_for_programs(home: Path) -> None:
    archive("init", *SITE)
    done = archive("--json", "load", "dr1", "star", "x.dat")
    assert (done.code, done.out) == (UsageFault.exit_code, "")
    told = json.loads(done.err)
    assert set(told) == {"error", "message", "remedy"}
    assert (told["error"], told["message"]) == ("UsageFault", "x.dat: files of this ending are not read.")
    assert told["remedy"].startswith("Deliver one of .parquet, .csv, ")


@pytest.mark.parametrize(
    ("fault", "code"),
    [(UsageFault("x"), 2), (NotFound("x"), 3), (TransientFault("x"), 75), (FatalFault("x"), 70), (KeyError("x"), 70)],
)
def test_each_kind_of_fault_has_its_exit_code(
    home: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, code: int
) -> None:
    archive("init", *SITE)

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(catalogs, "load", fail)
    assert archive("load", "dr1", "star", "x.csv").code == code


def test_stopping_is_no_fault(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive("init", *SITE)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogs, "load", stop)
    done = archive("load", "dr1", "star", "x.csv")
    assert done.code == 130
    assert done.err.strip() == "Stopped."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lode"], "There is no verb 'lode'. Did you mean 'load'?"),
        (["xyz"], "There is no verb 'xyz'. Verbs: "),
        (["load", "dr1"], "Missing argument 'TABLE'"),
        (["load", "--nul", "x", "dr1", "star", "x.csv"], "No such option"),
    ],
)
def test_what_is_typed_wrong(home: Path, arguments: list[str], message: str) -> None:
    done = archive(*arguments)
    assert done.code == 2
    assert message in done.err


# --- help -----------------------------------------------------------------------------------------


def test_help_tells_all_verbs_in_sentences(home: Path) -> None:
    done = archive("--help")
    assert done.code == 0
    for verb, words in (
        ("init", "Make an archive,"),
        ("load", "Take catalog files"),
        ("publish", "Show what was loaded"),
    ):
        assert re.search(rf"^  {verb} +{words}", done.out, re.MULTILINE)
    assert "``" not in done.out
    assert archive("load", "-h").out.startswith("Usage: archive load [OPTIONS] RELEASE TABLE FILE...\n")


def test_help_imports_no_verb() -> None:
    """``archive --help`` is quick: what verbs need is imported when they run."""
    script = "import sys; from archive.cli import main\ntry: main(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(done.stdout.splitlines()[-1].split())
    assert "archive.cli" in modules
    assert not modules & {"numpy", "pyarrow", "duckdb", "sqlalchemy", "astropy", "flask", "archive.cli.load", "rich"}


# --- on a terminal --------------------------------------------------------------------------------


def on_terminal(*arguments: str, answers: str = "") -> str:
    """What a person sees who types ``archive ARGUMENT...`` and then ``answers``."""
    controller, terminal = pty.openpty()
    command = [str(Path(sys.executable).parent / "archive"), *arguments]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    os.write(controller, answers.encode())
    seen = b""
    with contextlib.suppress(OSError):  # so a terminal ends on Linux
        while chunk := os.read(controller, 65536):
            seen += chunk
    os.close(controller)
    assert process.wait(timeout=60) == 0
    return seen.decode()


@pytest.mark.service
def test_progress_is_shown_on_a_terminal(home: Path) -> None:
    archive("init", *SITE)
    seen = on_terminal("load", "ext_tycho2", "star", str(SAMPLE / "ext_tycho2.star.parquet"))
    assert "check" in seen
    assert "10,000 rows" in seen
    assert "ext_tycho2.star" in on_terminal("publish", "ext_tycho2")
