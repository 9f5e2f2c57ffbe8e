"""What is PostgreSQL's own about its engine: plans, joins through the index, connections, what it refuses to serve.

What every engine must do stands in tests/contract; here too all examples of queries are run on it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from archive.adql import parse, resolve
from archive.columns import Datatype
from archive.engine.contract import Bindings, Limits
from archive.engine.duckdb import DuckDB
from archive.engine.postgres import Postgres
from archive.engine.postgres_dialect import literal
from archive.faults import FatalFault, TransientFault
from archive.sky import healpix_29
from archive.tables import Table
from tests import clusters
from tests.adql import tables
from tests.adql.engines import built_rows, fetch
from tests.adql.evaluator import evaluate
from tests.adql.pairs import Example, examples
from tests.adql.sameness import same_answer
from tests.contract.world import World, number, rows_of, shape, sky_rows, sky_table

pytestmark = pytest.mark.service

STARS = sky_table("stars", number("mag", Datatype.FLOAT))
FEW = sky_table("few", number("r"), shape("square", "polygon"))
MINE = Table("TAP_UPLOAD", "mine", FEW.columns)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """50 000 stars and, in an edition and as an upload, 300 places beside stars, each with a radius and a square."""
    folder = tmp_path_factory.mktemp("postgres")
    engine = clusters.engine(folder)
    made = World(engine, folder)
    fill(made)
    yield made
    engine.close()


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same in DuckDB."""
    folder = tmp_path_factory.mktemp("duckdb")
    engine = DuckDB(folder / "editions", threads=2, memory="1GB")
    made = World(engine, folder)
    fill(made)
    yield made
    engine.close()


def fill(world: World) -> None:
    stars = sky_rows(50_000, seed=11)
    random = np.random.default_rng(12)
    chosen = np.concatenate([np.arange(20), random.integers(0, 50_000, 280)])
    lon = (stars["ra"][chosen] + random.normal(0, 0.3, 300)) % 360
    lat = np.clip(stars["dec"][chosen] + random.normal(0, 0.3, 300), -89.9, 89.9)
    squares = [
        [x - 1, y - 1, x + 1, y - 1, x + 1, y + 1, x - 1, y + 1]
        for x, y in zip(lon, np.clip(lat, -80, 80), strict=True)
    ]
    few = {"id": np.arange(300), "ra": lon, "dec": lat, "r": random.uniform(0, 1.5, 300), "square": squares}
    world.publish(STARS, rows_of(STARS, mag=random.uniform(5, 15, 50_000).astype(np.float32), **stars))
    world.publish(FEW, rows_of(FEW, **few))
    world.give(MINE, rows_of(MINE, **few))


def plan(world: World, query: str) -> str:
    return world.engine.plan(world.understood(query), world.bindings)


# --- one meaning ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Bindings]]:
    engine = clusters.engine(tmp_path_factory.mktemp("examples"))
    yield engine, built_rows(tables.SCHEMA, tables.ROWS, engine, tmp_path_factory.mktemp("parts"))
    engine.close()


@pytest.mark.parametrize("example", examples("valid"), ids=str)
def test_examples_mean_what_the_plain_evaluator_says(example: Example, examples_at: tuple[Postgres, Bindings]) -> None:
    engine, bindings = examples_at
    query = resolve(parse(example.text, example.language), tables.CATALOG)
    rows = fetch(engine, query, bindings)
    if "RAND" not in example.text.upper():
        assert same_answer(rows, evaluate(query, tables.ROWS), query.columns), rows


@pytest.mark.parametrize(
    "text", ["it's", "\\' or 1=1 --", "50%%", ":y $1 ? %s", "a\\", "/* */ ; --", "héllo 星", "$$ $x$", "\n\t\r"]
)
def test_texts_are_nothing_but_texts(world: World, text: str) -> None:
    quoted = text.replace("'", "''")
    assert world.value(f"select top 1 '{quoted}' as t from sky.stars") == text
    assert world.ids(f"select id from sky.stars where '{quoted}' = 'x'") == []


def test_doubles_arrive_to_the_last_bit(world: World) -> None:
    for value in (0.1, -0.0, 1e308, 5e-324, 1 / 3, 123456789.123456789, 2.0**53 + 2):
        assert repr(world.value(f"select top 1 {value!r} * 1e0 as x from sky.stars where id = 0")) in (
            repr(value),
            repr(value + 0.0),
        )
        assert literal(value) == f"'{value!r}'::float8"


# --- plans ----------------------------------------------------------------------------------------

CONES = (
    "1 = contains(point(ra, dec), circle(10, 20, 0.5))",
    "contains(point(ra, dec), circle(point(10, 20), 0.5)) = 1",
    "distance(ra, dec, 10, 20) < 0.5",
    "distance(point(10, 20), point(ra, dec)) <= 5",
    "1 = intersects(circle(10, 20, 0.5), point(ra, dec))",
    "1 = contains(point(ra, dec), polygon(10, 20, 12, 20, 12, 22))",
    "1 = contains(point(ra, dec), box(10, 20, 2, 2))",
    "1 = contains(point(ra, dec), region('Circle ICRS 10 20 1'))",
    "1 = contains(point(ra, dec), moc('6/1-4 100'))",
)


@pytest.mark.parametrize("where", CONES)
def test_regions_are_looked_up_in_the_index(world: World, where: str) -> None:
    shown = plan(world, f"select id from sky.stars where {where}")
    assert "_cells" in shown
    assert "Seq Scan" not in shown


JOINS = (
    "sky.few as f join sky.stars as s on distance(f.ra, f.dec, s.ra, s.dec) < 0.5",
    "sky.stars as s join sky.few as f on 1 = contains(point(s.ra, s.dec), circle(f.ra, f.dec, 0.5))",
    "sky.few as f join sky.stars as s on distance(f.ra, f.dec, s.ra, s.dec) < f.r",
    "sky.few as f left join sky.stars as s on distance(f.ra, f.dec, s.ra, s.dec) < 0.1 and s.mag < 10",
    "sky.stars as s right outer join sky.few as f on distance(f.ra, f.dec, s.ra, s.dec) <= 0.1",
    "sky.few as f, sky.stars as s where distance(f.ra, f.dec, s.ra, s.dec) < 0.5 and s.mag < 12",
    "TAP_UPLOAD.mine as f join sky.stars as s on distance(s.ra, s.dec, f.ra, f.dec) < 1.5",
    "sky.few as f join sky.stars as s on 1 = contains(point(s.ra, s.dec), f.square)",
    "sky.few f join TAP_UPLOAD.mine m on f.id = m.id join sky.stars s on distance(m.ra, m.dec, s.ra, s.dec) < 0.4",
    "(select id, ra, dec from sky.few where r < 1) f join sky.stars s on distance(f.ra, f.dec, s.ra, s.dec) < 1",
    "sky.few as f join sky.stars as s on distance(f.ra, f.dec, s.ra, s.dec) < 25",
)


@pytest.mark.parametrize("join", JOINS)
def test_joins_by_position_look_rows_up(world: World, beside: World, join: str) -> None:
    query = f"select f.id as f, s.id as s from {join}"
    assert "_cells" in plan(world, query)
    found = world.rows(query)
    assert len(found) > 100
    assert sorted(found, key=repr) == sorted(beside.rows(query), key=repr)


def test_tables_of_about_one_size_are_joined_by_cells(world: World, beside: World) -> None:
    query = "select a.id as a, b.id as b from sky.stars a join sky.stars b on distance(a.ra, a.dec, b.ra, b.dec) < 0.1"
    shown = plan(world, query)
    assert "Hash Cond: (archive_udf.match_cell" in shown or "Merge Cond: ((archive_udf.match_cell" in shown
    assert sorted(world.rows(query)) == sorted(beside.rows(query))


def test_tables_without_an_index_are_joined_by_cells_too(world: World, beside: World) -> None:
    join = "sky.few f left join TAP_UPLOAD.mine m on distance(f.ra, f.dec, m.ra, m.dec) < 1"
    query = f"select f.id as f, m.id as m from {join}"
    assert sorted(world.rows(query), key=repr) == sorted(beside.rows(query), key=repr)


def test_near_cells_hold_everything_near(world: World) -> None:
    """Of places all over the sky and at every seam of its cells, at every scale."""
    random = np.random.default_rng(13)
    server = sa.create_engine(clusters.database(world.folder), poolclass=sa.NullPool)
    statement = sa.text(
        "SELECT archive_udf.near_order(:r), archive_udf.near_cells(lon, lat, :r)"
        " FROM unnest(cast(:lon as float8[]), cast(:lat as float8[])) WITH ORDINALITY AS p(lon, lat, at) ORDER BY at"
    )
    for radius in (10, 1, 0.01, 1e-5):
        lon = np.concatenate(
            [random.uniform(0, 360, 100), 45 * random.integers(0, 8, 200) + random.normal(0, radius, 200)]
        )
        lat = np.degrees(np.arcsin(random.uniform(-1, 1, 300)))
        lat[200:250] = np.clip(90 - np.abs(random.normal(0, radius, 50)), -90, 90)
        lat[250:] = random.choice([-41.81031489577862, 0, 41.81031489577862], 50) + random.normal(0, radius, 50)
        with server.connect() as connection:
            found = connection.execute(statement, {"r": radius, "lon": lon.tolist(), "lat": lat.tolist()}).all()
        for x, y, (order, cells) in zip(np.radians(lon), np.radians(lat), found, strict=True):
            turn, far = random.uniform(0, 2 * np.pi, 100), np.radians(radius) * random.choice([1, 0.99, 0.3], 100)
            up = np.arcsin(np.clip(np.sin(y) * np.cos(far) + np.cos(y) * np.sin(far) * np.cos(turn), -1, 1))
            along = x + np.arctan2(np.sin(turn) * np.sin(far) * np.cos(y), np.cos(far) - np.sin(y) * np.sin(up))
            near = healpix_29(np.degrees(along), np.degrees(up)) >> (2 * (29 - order))
            assert set(near.tolist()) <= set(cells)


# --- connections ----------------------------------------------------------------------------------


def test_more_queries_than_connections_wait_and_are_told(world: World) -> None:
    engine = Postgres(clusters.database(world.folder), pool=1, patience=0.2)
    query = world.understood("select s.id from sky.stars as s, sky.stars as t")
    stream = engine.run(query, world.bindings, Limits())
    next(stream.batches)
    with pytest.raises(TransientFault, match="Too many"):
        engine.run(query, world.bindings, Limits())
    stream.close()
    assert fetch(engine, world.understood("select count(*) as n from sky.few"), world.bindings) == [(300,)]
    engine.close()


def test_queries_run_as_the_role_they_are_given(world: World) -> None:
    """It is made, may read editions, those that come later too, and nothing else of the database."""
    url = clusters.database(world.folder)
    server = sa.create_engine(url, poolclass=sa.NullPool)
    with server.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS archive_editions.secret AS SELECT 1 AS c1")
    engine = Postgres(url, role='a "reader"')
    asked = world.understood("select count(*) as n from sky.few f join TAP_UPLOAD.mine m on f.id = m.id")
    assert fetch(engine, asked, world.bindings) == [(300,)]
    later = engine.build(FEW, 902, world.parts(FEW, pa.table(rows_of(FEW, id=[1], ra=[1.0], dec=[1.0]))))
    only = world.understood("select id from sky.few")
    assert fetch(engine, only, Bindings({FEW.key: later})) == [(1,)]
    with server.begin() as connection:
        connection.exec_driver_sql('REVOKE ALL ON archive_editions.secret FROM "a ""reader"""')
    hidden = type(later)(FEW.key, 1, "secret", {"id": "c1"}, 1, False)
    with pytest.raises(FatalFault) as refused:
        fetch(engine, only, Bindings({FEW.key: hidden}))
    assert "secret" not in str(refused.value)
    engine.close()
    Postgres(url).close()


def test_a_role_that_cannot_be_made_is_asked_of_the_administrator(tmp_path: Path) -> None:
    url = sa.make_url(clusters.database(tmp_path))
    server = sa.create_engine(url, poolclass=sa.NullPool)
    with server.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE owner LOGIN")
        connection.exec_driver_sql(f'ALTER DATABASE "{url.database}" OWNER TO owner')
        connection.exec_driver_sql("DROP SCHEMA archive_udf, archive_editions CASCADE")
    as_owner = url.set(username="owner").render_as_string(hide_password=False)
    with pytest.raises(FatalFault, match="administrator"):
        Postgres(as_owner, role="reading")
    with server.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE reading NOLOGIN; GRANT reading TO owner")
    engine = Postgres(as_owner, role="reading")
    assert engine.facts.is_prepared("reading")
    assert not engine.facts.is_prepared(None)
    engine.close()


def test_nothing_can_be_written(world: World) -> None:
    """Not even by a function that writes: the transaction is read-only, with uploads too."""
    url = clusters.database(world.folder)
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS public.witness (n bigint)")
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION public.mark(n bigint) RETURNS bigint LANGUAGE sql"
            " AS 'INSERT INTO public.witness VALUES (n) RETURNING n'"
        )
        connection.exec_driver_sql("CREATE OR REPLACE VIEW archive_editions.trap AS SELECT public.mark(1) AS c1")
    edition = type(world.bindings.editions[FEW.key])(FEW.key, 1, "trap", {"id": "c1"}, 1, False)
    for query in ("select id from sky.few", "select f.id from sky.few f, TAP_UPLOAD.mine m"):
        with pytest.raises(FatalFault):
            fetch(world.engine, world.understood(query), Bindings({FEW.key: edition}, world.bindings.arrow))


def test_connections_that_died_are_replaced(world: World) -> None:
    assert world.value("select count(*) as n from sky.few") == 300
    with sa.create_engine(clusters.database(world.folder), poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert world.value("select count(*) as n from sky.few") == 300


def test_a_connection_that_dies_in_mid_query_is_a_transient_fault(world: World) -> None:
    stream = world.start("select s.id from sky.stars as s, sky.stars as t")
    next(stream.batches)
    with sa.create_engine(clusters.database(world.folder), poolclass=sa.NullPool).begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'"
        )
    with pytest.raises(TransientFault):
        list(stream.batches)
    assert world.value("select count(*) as n from sky.few") == 300


def test_a_departed_client_leaves_no_statement_behind(world: World) -> None:
    stream = world.start("select s.id from sky.stars as s, sky.stars as t")
    next(stream.batches)
    threading.Thread(target=stream.close).start()
    active = sa.text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND state = 'active'")
    with sa.create_engine(clusters.database(world.folder), isolation_level="AUTOCOMMIT").connect() as connection:
        for _ in range(100):
            if connection.execute(active).scalar_one() == 0:
                break
            connection.exec_driver_sql("SELECT pg_sleep(0.05)")
        else:
            pytest.fail("the statement still runs after 5 s")


def test_an_edition_that_is_read_is_dropped_later(world: World) -> None:
    old = world.engine.build(FEW, 901, world.parts(FEW, pa.table(rows_of(FEW, id=[1], ra=[1.0], dec=[1.0]))))
    stream = world.engine.run(
        world.understood("select f.id from sky.few f, sky.stars s, sky.stars t"),
        Bindings({**world.bindings.editions, FEW.key: old}),
        Limits(),
    )
    next(stream.batches)
    world.engine.remove(old)
    stream.close()
    with sa.create_engine(clusters.database(world.folder), poolclass=sa.NullPool).connect() as connection:
        there = sa.text("SELECT to_regclass(:name) IS NOT NULL")
        name = {"name": f'archive_editions."{old.place}"'}
        assert connection.execute(there, name).scalar_one()
        connection.rollback()
        world.engine.remove(old)
        assert not connection.execute(there, name).scalar_one()


def test_a_database_in_another_order_is_refused(tmp_path: Path) -> None:
    url = clusters.database(tmp_path)
    with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS latin")
        connection.exec_driver_sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(FatalFault, match="LATIN1"):
        Postgres(sa.make_url(url).set(database="latin").render_as_string(hide_password=False))


def test_the_url_may_leave_the_driver_out(world: World) -> None:
    url = sa.make_url(clusters.database(world.folder)).set(drivername="postgresql")
    engine = Postgres(url.render_as_string(hide_password=False))
    assert fetch(engine, world.understood("select count(*) as n from sky.few"), world.bindings) == [(300,)]
    engine.close()


def test_a_server_that_is_not_there_is_a_transient_fault(tmp_path: Path) -> None:
    with pytest.raises(TransientFault):
        Postgres(f"postgresql+psycopg2://archive@/postgres?host={tmp_path}")
