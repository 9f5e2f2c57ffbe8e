"""The query log keeps every query, in order, without making anyone wait."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from archive.ledger.querylog import Entry, QueryLog


def entry(number: int, owner: str | None = None) -> Entry:
    moment = datetime(2026, 1, 1, 0, 0, number % 60, tzinfo=UTC)
    return Entry(
        f"r{number}", "192.0.2.1", "pyvo", "sync", "ADQL", f"SELECT {number}", moment, 0.1, number, 100, "OK", owner
    )


def test_every_query_is_logged_once_and_in_order(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log' / 'queries.sqlite'}"
    log = QueryLog(url)
    for number in range(500):
        log.note(entry(number, "ada" if number % 2 else None))
    log.close()
    log.close()
    again = QueryLog(url)
    everything = again.latest(1000)
    assert [row["text"] for row in everything] == [f"SELECT {number}" for number in reversed(range(500))]
    assert everything[0]["submitted"] == "2026-01-01T00:00:19.000000Z"
    assert {row["owner"] for row in again.latest(10, owner="ada")} == {"ada"}
    again.close()


def test_entries_are_on_disk_soon_without_closing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queries.sqlite'}"
    writer, reader = QueryLog(url), QueryLog(url)
    writer.note(entry(7))
    for _ in range(100):
        if found := reader.latest(1):
            break
        reader._ended.wait(0.1)
    assert found[0]["text"] == "SELECT 7"
    writer.close()
    reader.close()


def test_what_cannot_be_written_now_is_written_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'queries.sqlite'}"
    log = QueryLog(url)
    with log._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE query_log RENAME TO elsewhere")
    log.note(entry(1))
    log._ended.wait(2)
    with log._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO query_log")
    log.note(entry(2))
    log.close()
    again = QueryLog(url)
    assert [row["text"] for row in again.latest(10)] == ["SELECT 2", "SELECT 1"]
    again.close()
