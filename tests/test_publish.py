"""Publishing: what was loaded is shown, all tables at once, and what is replaced goes when nobody serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from archive.backbone import catalogs
from archive.backbone.endpoint import Endpoint
from archive.backbone.publish import publish, remove_retired
from archive.faults import FatalFault, NotFound
from archive.ledger import descriptions
from archive.releases import read_release
from archive.tables import Edition, Table
from tests.archives import make, parquet, reopened, snapshot, source


class Shelf:
    """An engine that only keeps count: editions are small files that name their parts' rows."""

    name = "shelf"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.built: list[int] = []
        self.fails = 0

    def build(
        self,
        table: Table,
        number: int,
        parts: Sequence[Path],
        progress: Callable[[int], None] = lambda rows: None,
        since: Sequence[int] = (),
    ) -> Edition:
        if self.fails:
            self.fails -= 1
            (self.folder / f"{number}.unfinished").touch()
            raise FatalFault("No room.")
        rows = 0
        for part in parts:
            rows += pq.ParquetFile(part).metadata.num_rows
            progress(rows)
        self.built.append(number)
        (self.folder / f"{number}.unfinished").unlink(missing_ok=True)
        (self.folder / str(number)).write_text(str(rows))
        return Edition(table.key, number, str(number), {}, rows, healpix=table.position is not None)

    def remove(self, edition: Edition) -> None:
        (self.folder / edition.place).unlink(missing_ok=True)

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"publishing does not need {name}")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "home" / "editions"
    folder.mkdir(parents=True)
    return Shelf(folder)


@pytest.fixture
def endpoint(tmp_path: Path, data: Path, shelf: Shelf) -> Endpoint:
    return make(tmp_path / "home", data, shelf, grace=0.0)  # type: ignore[arg-type]


def load_sources(endpoint: Endpoint, folder: Path, *numbers: int) -> None:
    name = "-".join(str(number) for number in numbers)
    path = parquet(folder / f"{name}.parquet", [source(number) for number in numbers])
    catalogs.load(endpoint, "sp_test", "source", [path])


def load_pairs(endpoint: Endpoint, folder: Path, *names: str) -> None:
    path = folder / f"{'-'.join(names)}.csv"
    path.write_text("\n".join(["left,right,nick", *(f"{name},1," for name in names), ""]))
    catalogs.load(endpoint, "sp_test", "pair", [path])


def shown(endpoint: Endpoint) -> dict[str, int]:
    return {".".join(key): edition.rows for key, edition in endpoint.ledger.published().editions.items()}


def test_nothing_is_shown_before_it_is_published(endpoint: Endpoint, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1, 2)
    assert shown(endpoint) == {}
    done = publish(endpoint, "sp_test")
    assert (done.revision, dict(done.changed)) == (1, {"sp_test.source": 2})
    assert (done.tables, done.without_rows) == (("source",), ("pair",))
    assert shown(endpoint) == {"sp_test.source": 2}
    assert [table.name for table in endpoint.ledger.published().catalog.tables()] == ["source"]


def test_only_what_changed_is_built_again(endpoint: Endpoint, shelf: Shelf, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1, 2)
    load_pairs(endpoint, tmp_path, "a", "b")
    assert dict(publish(endpoint, "sp_test").changed) == {"sp_test.source": 2, "sp_test.pair": 2}
    load_pairs(endpoint, tmp_path, "c")
    assert dict(publish(endpoint, "sp_test").changed) == {"sp_test.pair": 3}
    assert len(shelf.built) == 3
    assert shown(endpoint) == {"sp_test.source": 2, "sp_test.pair": 3}


def test_all_tables_change_in_one_revision(endpoint: Endpoint, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    load_pairs(endpoint, tmp_path, "a")
    assert publish(endpoint, "sp_test").revision == 1


def test_publishing_again_changes_nothing(endpoint: Endpoint, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    publish(endpoint, "sp_test")
    before = snapshot(endpoint)
    done = publish(endpoint, "sp_test")
    assert (done.revision, dict(done.changed), done.removed) == (1, {}, 0)
    assert snapshot(endpoint) == before


def test_progress_tells_rows_as_they_come(endpoint: Endpoint, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1, 2, 3)
    load_sources(endpoint, tmp_path, 4, 5)
    told: list[tuple[str, int]] = []
    publish(endpoint, "sp_test", lambda table, rows: told.append((table, rows)))
    assert told == [("sp_test.source", 3), ("sp_test.source", 2)]


def test_what_was_never_loaded(endpoint: Endpoint) -> None:
    with pytest.raises(NotFound, match=r"Nothing was loaded into 'sp_test'\. Load something: archive load sp_test"):
        publish(endpoint, "sp_test")


def test_a_replaced_edition_goes(endpoint: Endpoint, shelf: Shelf, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    publish(endpoint, "sp_test")
    load_sources(endpoint, tmp_path, 2)
    assert publish(endpoint, "sp_test").removed == 1
    assert [path.name for path in shelf.folder.iterdir()] == [str(shelf.built[-1])]
    with endpoint.ledger.read() as transaction:
        from sqlalchemy import select

        from archive.ledger import schema

        assert transaction.execute(select(schema.edition.c.number)).scalars().all() == [shelf.built[-1]]


def test_a_replaced_edition_stays_while_a_process_serves_it(endpoint: Endpoint, shelf: Shelf, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    publish(endpoint, "sp_test")
    served = 1
    with endpoint.ledger.attend("serve", 60, lambda: served) as serving:
        load_sources(endpoint, tmp_path, 2)
        assert publish(endpoint, "sp_test").removed == 0
        assert len(list(shelf.folder.iterdir())) == 2
        served = 2
        serving.beat()
        assert remove_retired(endpoint) == 1


def test_a_replaced_edition_stays_through_its_grace(data: Path, shelf: Shelf, tmp_path: Path) -> None:
    endpoint = make(tmp_path / "home", data, shelf, grace=3600.0)  # type: ignore[arg-type]
    load_sources(endpoint, tmp_path, 1)
    publish(endpoint, "sp_test")
    load_sources(endpoint, tmp_path, 2)
    assert publish(endpoint, "sp_test").removed == 0
    assert len(list(shelf.folder.iterdir())) == 2


def test_a_build_that_fails_shows_nothing_and_can_be_repeated(endpoint: Endpoint, shelf: Shelf, tmp_path: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    load_pairs(endpoint, tmp_path, "a")
    publish(endpoint, "sp_test")
    load_sources(endpoint, tmp_path, 2)
    load_pairs(endpoint, tmp_path, "b")
    shelf.fails = 1
    with pytest.raises(FatalFault, match="No room"):
        publish(endpoint, "sp_test")
    assert shown(endpoint) == {"sp_test.source": 1, "sp_test.pair": 1}
    assert publish(endpoint, "sp_test").revision == 2
    assert shown(endpoint) == {"sp_test.source": 2, "sp_test.pair": 2}
    assert not list(shelf.folder.glob("*.unfinished")), "what was left unfinished is taken over by its number"


def test_a_slower_process_does_not_bring_back_older_rows(
    endpoint: Endpoint, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_sources(endpoint, tmp_path, 1)
    build = shelf.build

    def meanwhile(*arguments: Any) -> Edition:
        monkeypatch.setattr(shelf, "build", build)
        load_sources(endpoint, tmp_path, 2)
        publish(reopened(endpoint.config, shelf), "sp_test")  # type: ignore[arg-type]
        return build(*arguments)

    monkeypatch.setattr(shelf, "build", meanwhile)
    publish(endpoint, "sp_test")
    assert shown(endpoint) == {"sp_test.source": 2}
    remove_retired(endpoint)
    assert len(list(shelf.folder.iterdir())) == 1


def test_new_words_need_no_new_edition(endpoint: Endpoint, shelf: Shelf, tmp_path: Path, data: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    publish(endpoint, "sp_test")
    for name in ("sp_test.yaml", "sp_test.archive.yaml"):
        (tmp_path / name).write_text((data / name).read_text().replace("Detections.", "What was seen."))
    with endpoint.ledger.write() as transaction:
        descriptions.register(transaction, read_release(tmp_path / "sp_test.yaml"))
    assert publish(endpoint, "sp_test").revision == 2
    assert len(shelf.built) == 1
    assert [table.description for table in endpoint.ledger.published().catalog.tables()] == ["What was seen."]


def test_releases_are_published_one_by_one(endpoint: Endpoint, tmp_path: Path, data: Path) -> None:
    load_sources(endpoint, tmp_path, 1)
    catalogs.load(endpoint, "ext_tycho2", "star", [data / "sample" / "ext_tycho2.star.parquet"])
    publish(endpoint, "ext_tycho2")
    assert shown(endpoint) == {"ext_tycho2.star": 10_000}
    publish(endpoint, "sp_test")
    assert shown(endpoint) == {"ext_tycho2.star": 10_000, "sp_test.source": 1}


def test_with_the_real_engine(tmp_path: Path, data: Path) -> None:
    from archive.query import Question, answer

    with make(tmp_path / "home", data) as endpoint:
        load_sources(endpoint, tmp_path, 1, 2)
        publish(endpoint, "sp_test")
        load_sources(endpoint, tmp_path, 3)
        publish(endpoint, "sp_test")
        result = answer(Question("SELECT COUNT(*) AS n FROM sp_test.source"), endpoint.ledger, endpoint.engine)
        assert [row for batch in result.batches for row in batch.column(0).to_pylist()] == [3]
        result.close()
