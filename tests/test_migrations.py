"""Migrations lead from every layout there was to the one that the program knows, on every database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from archive.faults import FatalFault
from archive.jobs import tables as jobs
from archive.ledger import Ledger, querylog, schema
from archive.ledger.connections import connected
from archive.ledger.layouts import Layout, ready
from archive.ledger.migrations import Step, migrate, steps
from tests import clusters

LAYOUTS = (schema.LAYOUT, jobs.LAYOUT, querylog.LAYOUT)

Urls = Callable[[str], str]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.service)])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Urls:
    """Gives the URL of an empty database for a name."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.sqlite"
    return lambda name: clusters.empty(tmp_path / name)


@pytest.fixture(params=LAYOUTS, ids=lambda layout: layout.name)
def layout(request: pytest.FixtureRequest) -> Layout:
    found: Layout = request.param
    return found


def test_the_tables_of_the_program_are_those_that_its_steps_make(urls: Urls, layout: Layout) -> None:
    migrate(urls("walked"), layout)
    engine = connected(urls("walked"))
    options = {"compare_type": True, "compare_server_default": True, "version_table": layout.versions}
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), layout.metadata)
    engine.dispose()
    assert differences == []


def test_walking_and_making_end_alike(urls: Urls, layout: Layout) -> None:
    migrate(urls("walked"), layout)
    ready(made := connected(urls("made")), layout)
    made.dispose()
    assert _anatomy(urls("walked")) == _anatomy(urls("made"))


def test_a_walked_store_is_ready_for_use(urls: Urls, layout: Layout) -> None:
    told: list[Step] = []
    migrate(urls("walked"), layout, progress=told.append)
    assert tuple(told) == steps(layout, None)
    assert [step.version for step in told] == list(range(1, layout.version + 1))
    ready(engine := connected(urls("walked")), layout)
    engine.dispose()
    migrate(urls("walked"), layout, progress=told.append)
    assert len(told) == layout.version  # nothing is done twice


def test_each_store_says_what_lies_before_it(layout: Layout) -> None:
    assert steps(layout, layout.version) == ()
    assert all(step.title for step in steps(layout, None))


def test_stores_of_other_versions_are_refused(urls: Urls, layout: Layout) -> None:
    ready(engine := connected(urls("store")), layout)
    versions = sa.table(layout.versions, sa.column("version_num"))
    for version, remedy in (("9999", "newer program"), ("0000", "archive upgrade")):
        with engine.execution_options(archive_writes=True).begin() as connection:
            connection.execute(versions.update().values(version_num=version))
        with pytest.raises(FatalFault, match=f"layout {int(version)}; this program knows layout") as caught:
            ready(engine, layout)
        assert remedy in caught.value.remedy
    engine.dispose()


def test_a_newer_store_is_not_taken_back(urls: Urls, layout: Layout) -> None:
    ready(engine := connected(urls("store")), layout)
    versions = sa.table(layout.versions, sa.column("version_num"))
    with engine.execution_options(archive_writes=True).begin() as connection:
        connection.execute(versions.update().values(version_num="9999"))
    with pytest.raises(FatalFault, match="newer program"):
        migrate(urls("store"), layout)
    engine.dispose()


def test_a_store_from_before_versions_becomes_one_of_today(urls: Urls, layout: Layout) -> None:
    migrate(urls("old"), layout, to=1)
    engine = connected(urls("old"))
    with engine.execution_options(archive_writes=True).begin() as connection:
        connection.execute(sa.DDL(f"DROP TABLE {layout.versions}"))
        if layout is schema.LAYOUT:
            connection.execute(sa.DDL("CREATE TABLE layout (version INTEGER)"))
    with pytest.raises(FatalFault, match="archive upgrade"):
        ready(engine, layout)
    migrate(urls("old"), layout)
    ready(engine, layout)
    engine.dispose()
    ready(made := connected(urls("made")), layout)
    made.dispose()
    assert _anatomy(urls("old")) == _anatomy(urls("made"))


def test_a_step_that_fails_changes_nothing(urls: Urls) -> None:
    migrate(urls("store"), schema.LAYOUT, to=1)
    before = _anatomy(urls("store"))

    def fail(step: Step) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        migrate(urls("empty"), schema.LAYOUT, progress=fail)
    engine = connected(urls("empty"))
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
    assert _anatomy(urls("store")) == before


def test_a_walked_ledger_is_opened_and_has_its_first_revision(urls: Urls) -> None:
    migrate(urls("ledger"), schema.LAYOUT)
    ledger = Ledger.open(urls("ledger"))
    assert ledger.published().revision == 0
    ledger.close()


def _anatomy(url: str) -> dict[str, Any]:
    """Everything about the tables of a database, without what it names by itself."""
    engine = connected(url)
    found = sa.inspect(engine)
    anatomy: dict[str, Any] = {
        table: {
            "columns": sorted(
                (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
                for column in found.get_columns(table)
            ),
            "primary key": found.get_pk_constraint(table)["constrained_columns"],
            "foreign keys": sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"], str(key["options"]))
                for key in found.get_foreign_keys(table)
            ),
            "unique": sorted(sorted(key["column_names"]) for key in found.get_unique_constraints(table)),
            "checks": sorted(" ".join(check["sqltext"].split()) for check in found.get_check_constraints(table)),
            "indexes": sorted(
                (str(index["name"]), index["column_names"], bool(index["unique"])) for index in found.get_indexes(table)
            ),
        }
        for table in sorted(found.get_table_names())
    }
    anatomy["by themselves"] = _triggers(engine)
    engine.dispose()
    return anatomy


def _triggers(engine: sa.Engine) -> list[str]:
    """What the database does by itself when tables change, and what may not overlap."""
    asked = "SELECT sql FROM sqlite_master WHERE type = 'trigger'"
    if engine.dialect.name == "postgresql":
        asked = """
            SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'x'
        """
    with engine.connect() as connection:
        return sorted(connection.execute(sa.text(asked)).scalars())
