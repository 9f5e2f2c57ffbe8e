"""Names in resolve: which column, table and alias a name means, and what ``*`` shows."""

from __future__ import annotations

import pytest

from archive.adql import bound, parse, resolve
from archive.adql.resolve import expand
from archive.adql.tree import JoinKind
from archive.columns import Column, Datatype
from archive.faults import UsageFault
from archive.tables import Catalog, Schema, Table


def _column(name: str, datatype: Datatype = Datatype.DOUBLE) -> Column:
    return Column(name, datatype, "*" if datatype is Datatype.CHAR else None)


A = Table("s", "a", (_column("id", Datatype.LONG), _column("x"), _column("Ra"), _column("RA"), _column("two words")))
B = Table("s", "b", (_column("ID", Datatype.INT), _column("y"), _column("x")))
OLD = Table(
    "s",
    "old",
    (_column("id", Datatype.LONG), _column("mag_g")),
    former=(_column("gmag"),),
    derived={"gmag": "mag_g"},
)
TWIN = Table("S2", "a", (_column("id", Datatype.LONG), _column("z")))
DOTTED = Table("my schema", "a.b", (_column("select"),))
CATALOG = Catalog([Schema("s", (A, B, OLD)), Schema("S2", (TWIN,)), Schema("my schema", (DOTTED,))])


def _names(text: str) -> list[str]:
    return [column.name for column in resolve(parse(text), CATALOG).columns]


def _outputs(text: str) -> list[bound.Value]:
    body = resolve(parse(text), CATALOG).body
    assert isinstance(body, bound.Select)
    return [output.value for output in body.outputs]


def _field(value: bound.Value) -> str:
    assert isinstance(value, bound.Field)
    return f"{value.source}.{value.name}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("X", "t1.x"),
        ("Ra", "t1.Ra"),  # the exact spelling wins
        ("RA", "t1.RA"),
        ('"Ra"', "t1.Ra"),
        ('"two words"', "t1.two words"),
        ("a.x", "t1.x"),
        ("A.X", "t1.x"),
        ("s.a.x", "t1.x"),
        ('"s"."a"."x"', "t1.x"),
        ('S."a".X', "t1.x"),
    ],
)
def test_matching(written: str, meant: str) -> None:
    assert _field(_outputs(f"SELECT {written} FROM s.a")[0]) == meant


def test_case_is_ambiguous_where_no_spelling_is_exact() -> None:
    with pytest.raises(UsageFault, match="ambiguous"):
        resolve(parse("SELECT ra FROM s.a"), CATALOG)


@pytest.mark.parametrize("written", ["s.b", "S.B", "b", '"s".b', 's."b"', "s2.a", '"S2"."a"', '"my schema"."a.b"'])
def test_tables(written: str) -> None:
    assert len(resolve(parse(f"SELECT * FROM {written}"), CATALOG).tables) == 1


def test_bare_table_name_must_be_unique() -> None:
    with pytest.raises(UsageFault, match=r"It may be s.a or S2.a"):
        resolve(parse("SELECT * FROM a"), CATALOG)


def test_tables_of_one_name_in_two_schemas() -> None:
    assert _names("SELECT s.a.x, s2.a.z FROM s.a, s2.a") == ["x", "z"]


def test_star_shows_all_and_former_names_only_by_name() -> None:
    assert _names("SELECT * FROM s.old") == ["id", "mag_g"]
    assert _names("SELECT gmag FROM s.old") == ["gmag"]


def test_outputs_are_unique_without_collisions() -> None:
    assert _names("SELECT id, id, ID, x AS id_2 FROM s.a") == ["id", "id_3", "id_4", "id_2"]
    assert _names("SELECT * FROM s.a AS p, s.b AS q") == [
        "id", "x", "Ra", "RA_2", "two words", "ID_2", "y", "x_2",
    ]  # fmt: skip


def test_expressions_are_named_by_rule() -> None:
    items = 'x + 1, COUNT(*), MAX(x), SUM(x + 1), SQRT(x), PI(), SUM("two words"), x AS "Any name"'
    assert _names(f"SELECT {items} FROM s.a GROUP BY x") == [
        "col_1", "count_all", "max_x", "sum_4", "sqrt_x", "pi_6", "sum_two_words", "Any name",
    ]  # fmt: skip


def test_using_shows_shared_columns_once_and_first() -> None:
    assert _names("SELECT * FROM s.b JOIN s.a USING (x)") == ["x", "ID", "y", "id_2", "Ra", "RA_2", "two words"]
    assert _names("SELECT p.* FROM s.b AS p JOIN s.a USING (x)") == ["ID", "y", "x"]


def test_natural_join_shares_all_common_names() -> None:
    query = resolve(parse("SELECT * FROM s.b NATURAL JOIN s.old"), CATALOG)
    assert [column.name for column in query.columns] == ["ID", "y", "x", "mag_g"]
    assert isinstance(query.body, bound.Select)
    join = query.body.source
    assert isinstance(join, bound.Join)
    assert join.kind is JoinKind.INNER
    assert isinstance(join.on, bound.Comparison)


@pytest.mark.parametrize(("kind", "meant"), [("JOIN", "t1.x"), ("LEFT JOIN", "t1.x"), ("RIGHT JOIN", "t2.x")])
def test_shared_column_comes_from_the_side_that_has_all_rows(kind: str, meant: str) -> None:
    assert _field(_outputs(f"SELECT x FROM s.a {kind} s.b USING (x)")[0]) == meant


def test_shared_column_of_a_full_join_is_either() -> None:
    (value,) = _outputs("SELECT x FROM s.a FULL JOIN s.b USING (x)")
    assert isinstance(value, bound.Apply)
    assert value.function == "coalesce"
    assert [_field(argument) for argument in value.arguments] == ["t1.x", "t2.x"]
    assert _names("SELECT x FROM s.a FULL JOIN s.b USING (x)") == ["x"]


def test_shared_column_of_three_tables() -> None:
    assert _names("SELECT * FROM s.old JOIN s.b USING (id) JOIN s2.a USING (id)") == ["id", "mag_g", "y", "x", "z"]
    assert _field(_outputs("SELECT id FROM s.old JOIN s.b USING (id) JOIN s2.a USING (id)")[0]) == "t1.id"


def test_inner_queries_see_outer_columns() -> None:
    query = resolve(parse("SELECT 1 AS one FROM s.b WHERE EXISTS (SELECT 1 FROM s2.a WHERE z = y)"), CATALOG)
    assert isinstance(query.body, bound.Select)
    assert isinstance(query.body.where, bound.Exists)
    inner = query.body.where.query
    assert isinstance(inner, bound.Select)
    assert isinstance(inner.where, bound.Comparison)
    assert (_field(inner.where.left), _field(inner.where.right)) == ("t2.z", "t1.y")


def test_the_innermost_query_that_knows_a_name_has_it() -> None:
    query = resolve(parse("SELECT (SELECT MAX(x) FROM s.b) AS m FROM s.a"), CATALOG)
    assert isinstance(query.body, bound.Select)
    scalar = query.body.outputs[0].value
    assert isinstance(scalar, bound.Scalar)
    assert isinstance(scalar.query, bound.Select)
    inner = scalar.query.outputs[0].value
    assert isinstance(inner, bound.Aggregate)
    assert _field(inner.arguments[0]) == "t2.x"


def test_common_tables_shadow_tables_and_see_earlier_ones() -> None:
    query = resolve(parse("WITH b AS (SELECT x AS q FROM s.a), c AS (SELECT q FROM b) SELECT * FROM c, b"), CATALOG)
    assert [name for name, _ in query.common] == ["w1", "w2"]
    assert list(query.tables) == [("s", "a")]
    assert [column.name for column in query.columns] == ["q", "q_2"]


def test_aliases_differ_over_the_whole_query() -> None:
    text = "SELECT 1 AS a FROM s.a WHERE x IN (SELECT x FROM s.b) UNION SELECT 2 FROM (SELECT y FROM s.b) AS q, s.b"
    found: list[str] = []
    waiting: list[object] = [resolve(parse(text), CATALOG).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, bound.Stored | bound.Sub):
            found.append(node.alias)
        if isinstance(node, tuple):
            waiting.extend(node)
        elif hasattr(node, "__dataclass_fields__") and not isinstance(node, Table):
            waiting.extend(getattr(node, name) for name in node.__dataclass_fields__)
    assert sorted(found) == ["t1", "t2", "t3", "t4", "t5"]


def test_order_by_prefers_an_alias_and_group_by_a_column() -> None:
    body = resolve(parse("SELECT y AS x, COUNT(*) AS n FROM s.b GROUP BY x, y ORDER BY x"), CATALOG).body
    assert isinstance(body, bound.Select)
    assert _field(body.group_by[0]) == "t1.x"
    assert body.order_by == (bound.Order(1),)


def test_group_by_takes_an_alias_that_is_no_column() -> None:
    body = resolve(parse("SELECT FLOOR(y) AS bin, COUNT(*) FROM s.b GROUP BY bin"), CATALOG).body
    assert isinstance(body, bound.Select)
    assert body.group_by == (body.outputs[0].value,)


def test_order_by_what_is_selected_becomes_a_position() -> None:
    body = resolve(parse("SELECT x, y + 1 FROM s.b ORDER BY Y+1 DESC, b.x, 1, ID"), CATALOG).body
    assert isinstance(body, bound.Select)
    assert [order.by for order in body.order_by[:3]] == [2, 1, 1]
    assert not isinstance(body.order_by[3].by, int)


def test_nothing_is_sorted_by_a_constant() -> None:
    body = resolve(parse("SELECT x, y FROM s.b ORDER BY 1 + 1, -1, 'a', x"), CATALOG).body
    assert isinstance(body, bound.Select)
    assert body.order_by == (bound.Order(1),)


def test_expand_binds_an_expression_over_a_table() -> None:
    value = expand(OLD, "t7", "mag_g + 0.5")
    assert isinstance(value, bound.Arithmetic)
    assert _field(value.left) == "t7.mag_g"
    with pytest.raises(UsageFault, match="no column"):
        expand(OLD, "t7", "x")


def test_tree_without_text_has_faults_without_places() -> None:
    parsed = parse("SELECT nothing FROM s.a")
    built = type(parsed)(parsed.body, parsed.common)
    with pytest.raises(UsageFault, match=r"\Athere is no column nothing"):
        resolve(built, CATALOG)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT " + "abs(" * 240 + "x" + ")" * 240 + " FROM s.b",
        "SELECT " + "+".join(["x"] * 240) + " FROM s.b",
        "SELECT x FROM s.b WHERE " + " AND ".join(["x = 1"] * 5000),
        "SELECT x FROM s.b WHERE " + "EXISTS (SELECT 1 FROM s.a WHERE " * 20 + "y = 1" + ")" * 20,
        " UNION ".join(["SELECT x FROM s.b"] * 100),
    ],
    ids=["calls", "sum", "and", "exists", "union"],
)
def test_depth(text: str) -> None:
    assert resolve(parse(text), CATALOG).columns


def test_a_megabyte_of_literals() -> None:
    text = f"SELECT x FROM s.b WHERE id IN ({','.join(map(str, range(150_000)))})"
    body = resolve(parse(text), CATALOG).body
    assert isinstance(body, bound.Select)
    assert isinstance(body.where, bound.InList)
    assert len(body.where.items) == 150_000
