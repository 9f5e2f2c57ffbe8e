"""The syntax of ADQL: the examples in ``tests/adql``, random trees, random text, and sizes no file should hold."""

from __future__ import annotations

import dataclasses
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.adql import parse, tree
from archive.adql.words import ADQL_RESERVED, AGGREGATES, FUNCTIONS, SQL_RESERVED, is_reserved
from archive.faults import UsageFault
from tests.adql import printer
from tests.adql.pairs import Example, examples

VALID = examples("valid")
INVALID = examples("invalid")


@pytest.mark.parametrize("example", VALID, ids=str)
def test_valid(example: Example) -> None:
    assert parse(example.text, example.language).text == example.text


@pytest.mark.parametrize("example", INVALID, ids=str)
def test_invalid(example: Example) -> None:
    with pytest.raises(UsageFault) as caught:
        parse(example.text, example.language)
    fault = caught.value
    assert example.errors
    for fragment in example.errors:
        assert fragment in str(fault)
    if example.at is not None:
        assert fault.message.startswith("line {}, column {}: ".format(*example.at))


def refusal(text: str, language: str = "ADQL-2.1") -> UsageFault | None:
    """The fault the parser raises, if any; every other exception is a failure of the test."""
    try:
        parse(text, language)
    except UsageFault as fault:
        return fault
    return None


def test_there_are_enough_examples() -> None:
    assert len({example.text for example in VALID}) >= 400
    assert len({example.text for example in INVALID}) >= 100


# --- printing and parsing --------------------------------------------------------------------------


def bare(node: Any) -> Any:
    """A tree without places and texts, so that two can be compared."""
    if isinstance(node, tuple):
        return tuple(map(bare, node))
    if not dataclasses.is_dataclass(node):
        return node
    fields = [
        f.name for f in dataclasses.fields(node) if f.name not in ("at", "text" if type(node) is tree.Query else "")
    ]
    return (type(node).__name__, *(bare(getattr(node, name)) for name in fields))


@pytest.mark.parametrize("example", VALID, ids=str)
def test_printing_and_parsing_gives_the_same_tree(example: Example) -> None:
    query = parse(example.text) if example.language.upper() != "ADQL-2.0" else parse(example.text, "ADQL-2.0")
    assert bare(parse(printer.query(query), example.language)) == bare(query)


def names() -> st.SearchStrategy[tree.Identifier]:
    regular = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,5}", fullmatch=True).filter(lambda name: not is_reserved(name))
    delimited = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=6)
    return st.one_of(st.builds(tree.Identifier, regular), st.builds(tree.Identifier, delimited, st.just(True)))


NAMES = names()
FREE_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
QUALIFIED = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
NUMBERS = st.one_of(
    st.integers(0, 10**25).map(lambda n: tree.Number(n, str(n))),
    st.floats(0, 1e300).map(lambda x: tree.Number(float(repr(x)), repr(x))),
    st.sampled_from(["12.", ".5", "1e5", "0.1E-3"]).map(lambda text: tree.Number(float(text), text)),
)
TYPES = st.one_of(
    st.sampled_from(["INTEGER", "SMALLINT", "BIGINT", "REAL", "DOUBLE PRECISION", "TIMESTAMP", "POINT"]).map(
        tree.TypeName
    ),
    st.builds(tree.TypeName, st.sampled_from(["CHAR", "VARCHAR"]), st.none() | st.integers(1, 99)),
)
CALLED = st.one_of(
    st.sampled_from(sorted(FUNCTIONS)).map(tree.Identifier),
    NAMES.filter(lambda name: not name.delimited),
)


def values_over(inner: st.SearchStrategy[Any], bodies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Expressions made of ``inner`` ones."""
    return st.one_of(
        st.builds(tree.Signed, st.sampled_from("+-"), inner),
        st.builds(tree.Binary, st.sampled_from(["+", "-", "*", "/", "%", "||"]), inner, inner),
        st.builds(tree.Call, CALLED, st.lists(inner, max_size=3).map(tuple)),
        st.builds(tree.Aggregate, st.sampled_from(sorted(AGGREGATES)), inner, st.booleans()),
        st.just(tree.Aggregate("COUNT", None)),
        st.builds(tree.Cast, inner, TYPES),
        st.builds(tree.Scalar, bodies),
    )


def conditions_over(inner: st.SearchStrategy[Any], bodies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Conditions over ``inner`` values."""
    lists = st.lists(inner, min_size=1, max_size=3).filter(lambda v: len(v) > 1 or type(v[0]) is not tree.Scalar)
    tests = st.one_of(
        st.builds(tree.Comparison, st.sampled_from(["=", "<>", "<", ">", "<=", ">="]), inner, inner),
        st.builds(tree.Between, inner, inner, inner, st.booleans()),
        st.builds(tree.InList, inner, lists.map(tuple), st.booleans()),
        st.builds(tree.InQuery, inner, bodies, st.booleans()),
        st.builds(tree.Like, inner, inner, st.booleans(), st.booleans()),
        st.builds(tree.IsNull, inner, st.booleans()),
        st.builds(tree.Exists, bodies),
    )
    several = lambda made: st.lists(made, min_size=2, max_size=3).map(tuple)  # noqa: E731
    return st.recursive(
        tests,
        lambda made: st.one_of(
            st.builds(tree.And, several(made)), st.builds(tree.Or, several(made)), st.builds(tree.Not, made)
        ),
        max_leaves=4,
    )


ATOMS = st.one_of(NUMBERS, st.builds(tree.Text, FREE_TEXT), st.just(tree.Null()), st.builds(tree.Name, QUALIFIED))


def sources_over(bodies: st.SearchStrategy[Any], on: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """FROM items: tables, derived tables and joins of them."""
    tables = st.builds(tree.TableName, QUALIFIED, st.none() | NAMES)
    kinds = st.sampled_from([kind for kind in tree.JoinKind if kind is not tree.JoinKind.CROSS])
    joins = lambda made: st.one_of(  # noqa: E731
        st.builds(tree.Join, st.just(tree.JoinKind.CROSS), made, made),
        st.builds(tree.Join, kinds, made, made, st.just(True)),
        st.builds(tree.Join, kinds, made, made, st.just(False), on),
        st.builds(
            tree.Join, kinds, made, made, st.just(False), st.none(), st.lists(NAMES, min_size=1, max_size=2).map(tuple)
        ),
    )
    return st.recursive(tables | st.builds(tree.Derived, bodies, NAMES), joins, max_leaves=3)


def bodies_over(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Queries whose subqueries are ``inner``."""
    values = st.recursive(ATOMS, lambda made: values_over(made, inner), max_leaves=5)
    conditions = conditions_over(values, inner)
    orders = st.lists(st.builds(tree.Order, values, st.booleans()), max_size=2).map(tuple)
    offsets = st.none() | st.integers(0, 2**63 - 1)
    items = st.builds(tree.Item, values, st.none() | NAMES) | st.builds(tree.Star, st.just(()) | QUALIFIED)
    selects = st.builds(
        tree.Select,
        st.lists(items, min_size=1, max_size=3).map(tuple),
        sources_over(inner, conditions),
        distinct=st.booleans(),
        top=offsets,
        where=st.none() | conditions,
        group_by=st.lists(values, max_size=2).map(tuple),
        having=st.none() | conditions,
        order_by=orders,
        offset=offsets,
    )
    sets = st.builds(
        tree.SetOperation,
        st.sampled_from(tree.SetKind),
        selects | inner,
        selects | inner,
        st.booleans(),
        orders,
        offsets,
    )
    return selects | sets


SIMPLE = st.builds(tree.Select, st.lists(st.builds(tree.Item, ATOMS), min_size=1, max_size=2).map(tuple), st.none())
BODIES = bodies_over(bodies_over(SIMPLE))
COMMON = st.lists(st.builds(tree.CommonTable, NAMES, bodies_over(SIMPLE)), max_size=2).map(tuple)


@given(BODIES, COMMON)
def test_random_trees(body: tree.Body, common: tuple[tree.CommonTable, ...]) -> None:
    query = tree.Query(body, common)
    assert bare(parse(printer.query(query))) == bare(query)


# --- garbage ---------------------------------------------------------------------------------------

WORDS = sorted(SQL_RESERVED | ADQL_RESERVED)
FRAGMENTS = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from([*list("+-*/%=<>(),.;'\""), "||", "<>", "--", "\n", "1", "1.5", "'a'", '"b"', "x", "t.star"]),
    st.text(max_size=3),
)


@given(
    st.text(st.characters(), max_size=40) | st.lists(FRAGMENTS, max_size=25).map(" ".join) | st.text(string.printable)
)
def test_garbage_is_read_or_refused_in_words(text: str) -> None:
    for language in ("ADQL-2.0", "ADQL-2.1"):
        fault = refusal(text, language)
        assert fault is None or (fault.message and fault.status == 400)


@given(st.sampled_from(VALID), st.data())
def test_a_query_with_something_left_out(example: Example, data: st.DataObject) -> None:
    """Cutting a piece out of a valid query never breaks the parser, only the query."""
    start = data.draw(st.integers(0, len(example.text)))
    end = data.draw(st.integers(start, min(len(example.text), start + 12)))
    fault = refusal(example.text[:start] + example.text[end:], example.language)
    assert fault is None or fault.message


@pytest.mark.parametrize("character", ["\x00", chr(0xD800), chr(0xDFFF)])
@pytest.mark.parametrize("frame", ["SELECT '{}' FROM t.star", 'SELECT "a{}" FROM t.star', "SELECT 1 -- {}", "{}"])
def test_characters_no_database_takes(character: str, frame: str) -> None:
    with pytest.raises(UsageFault, match="line 1, column"):
        parse(frame.format(character))


# --- languages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["ADQL", "adql", "ADQL-2.1", "adql-2.1", " ADQL-2.0 ", "Adql-2.0"])
def test_languages(language: str) -> None:
    assert parse("SELECT ra FROM t.star", language)


@pytest.mark.parametrize("language", ["", "SQL", "ADQL-1.0", "ADQL-2.2", "ADQL 2.1", "PQL"])
def test_unknown_languages_are_named(language: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse("SELECT ra FROM t.star", language)
    assert f'"{language}"' in caught.value.message
    assert "ADQL-2.1" in caught.value.remedy


@pytest.mark.parametrize("word", [word for word in WORDS if "-" not in word])
def test_reserved_words_are_names_only_in_quotes(word: str) -> None:
    newer = word in ("BIGINT", "ILIKE", "IN_UNIT", "OFFSET")
    for written in (word, word.lower(), word.title()):
        for position in (f"SELECT ra AS {written} FROM t.star", f"SELECT t.{written} FROM t"):
            with pytest.raises(UsageFault):
                parse(position)
            if newer:
                parse(position, "ADQL-2.0")
        parse(f'SELECT t."{written}" AS "{written}" FROM t AS "{written}"')


@pytest.mark.parametrize(
    "word", ["limit", "name", "id", "flux", "type", "text", "analyse", "index", "rank", "window", "row"]
)
def test_words_of_other_languages_are_names(word: str) -> None:
    assert parse(f"SELECT {word} AS {word} FROM {word} AS {word} WHERE {word}.{word} > 1 ORDER BY {word}")


# --- places ----------------------------------------------------------------------------------------


def test_nodes_know_their_place() -> None:
    query = parse("SELECT a,\n  b + 1 AS c\nFROM t JOIN u\n  USING (x)\nWHERE a = 1")
    select = query.body
    assert isinstance(select, tree.Select)
    first, second = select.items
    assert query.place(first.at) == (1, 8)
    assert isinstance(second, tree.Item)
    assert query.place(second.at) == (2, 3)
    assert query.place(second.expression.at) == (2, 5)
    assert isinstance(select.source, tree.Join)
    assert query.place(select.source.at) == (3, 8)
    assert select.where is not None
    assert query.place(select.where.at) == (5, 9)


def test_comments_before_the_query_and_as_last_line() -> None:
    assert (
        parse("-- first\n  -- second\r\nSELECT 1 FROM t -- last").body
        == parse("--......\n...........\r\nSELECT 1 FROM t".replace("...........", "  -- second")).body
    )


def test_numbers_keep_what_was_written() -> None:
    query = parse("SELECT 1099511627814, 123456789012345678901234567890, 12., .5, 1e5, 1.50")
    assert isinstance(query.body, tree.Select)
    numbers = [item.expression for item in query.body.items if isinstance(item, tree.Item)]
    assert [n.value for n in numbers if isinstance(n, tree.Number)] == [
        1099511627814, 123456789012345678901234567890, 12.0, 0.5, 1e5, 1.5,
    ]  # fmt: skip
    assert [type(n.value) for n in numbers if isinstance(n, tree.Number)] == [int, int, float, float, float, float]
    assert [n.text for n in numbers if isinstance(n, tree.Number)][2:] == ["12.", ".5", "1e5", "1.50"]


# --- depth and size --------------------------------------------------------------------------------

DEEP = {
    "parentheses": lambda n: f"SELECT {'(' * n}1{')' * n}",
    "conditions": lambda n: f"SELECT 1 FROM t WHERE {'(' * n}1 = 1{')' * n}",
    "functions": lambda n: f"SELECT {'abs(' * n}1{')' * n}",
    "casts": lambda n: f"SELECT {'CAST(' * n}1{' AS REAL)' * n}",
    "not": lambda n: f"SELECT 1 FROM t WHERE {'NOT ' * n}1 = 1",
    "not in parentheses": lambda n: f"SELECT 1 FROM t WHERE {'NOT (' * n}1 = 1{')' * n}",
    "and or": lambda n: f"SELECT 1 FROM t WHERE {'1 = 1 AND (2 = 2 OR ' * n}1 = 1{')' * n}",
    "signs": lambda n: f"SELECT {'- ' * n}1",
    "sums": lambda n: f"SELECT {'1 + (2 * -(' * n}1{'))' * n}",
    "derived tables": lambda n: f"SELECT * FROM {'(SELECT * FROM ' * n}t{') AS q' * n}",
    "subqueries": lambda n: f"SELECT 1 FROM t WHERE {'x IN (SELECT x FROM t WHERE ' * n}1 = 1{')' * n}",
    "exists": lambda n: f"SELECT 1 FROM t WHERE {'EXISTS (SELECT x FROM t WHERE ' * n}1 = 1{')' * n}",
    "scalars": lambda n: f"SELECT {'(SELECT ' * n}1{')' * n}",
    "set operands": lambda n: f"{'(SELECT 1 UNION ' * n}SELECT 1{')' * n}",
    "joins in parentheses": lambda n: f"SELECT 1 FROM {'(' * n}t{' NATURAL JOIN t)' * n}",
    "joins that wait": lambda n: f"SELECT 1 FROM t {'JOIN t ' * n}{'ON 1 = 1 ' * n}",
    "sum": lambda n: "SELECT " + " + ".join(["1"] * n),
    "concatenation": lambda n: "SELECT " + " || ".join(["'a'"] * n),
    "joins": lambda n: "SELECT 1 FROM t" + " NATURAL JOIN t" * n,
    "commas": lambda n: "SELECT 1 FROM t" + ", t" * n,
    "unions": lambda n: "SELECT 1" + " UNION SELECT 1" * n,
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("depth", [20, 200, 1000, 30000])
def test_depth_ends_in_a_tree_or_in_words(name: str, depth: int) -> None:
    fault = refusal(DEEP[name](depth))
    assert fault is None if depth == 20 else fault is None or "deep" in fault.message


@pytest.mark.parametrize(
    "name", ["parentheses", "conditions", "functions", "casts", "not", "signs", "sum", "unions", "joins"]
)
def test_two_hundred_deep_is_read(name: str) -> None:
    assert parse(DEEP[name](200))


LONG = {
    "list": "SELECT 1 FROM t WHERE x IN (" + ", ".join(str(i) for i in range(100_000, 200_000)) + ")",
    "and": "SELECT 1 FROM t WHERE " + " AND ".join(["x = 1"] * 100_000),
    "or": "SELECT 1 FROM t WHERE " + " OR ".join(["x = 1"] * 100_000),
    "columns": "SELECT " + ", ".join(["abcdefg"] * 100_000) + " FROM t",
    "string": "SELECT '" + "a''" * 300_000 + "'",
    "comments": "SELECT 1 " + "--\n" * 300_000,
    "arguments": "SELECT f(" + ", ".join(["x"] * 300_000) + ")",
}


@pytest.mark.parametrize("name", LONG)
def test_a_megabyte_is_read(name: str) -> None:
    assert 500_000 < len(LONG[name]) < 1_500_000
    assert parse(LONG[name])


def test_long_chains_of_conditions_are_flat() -> None:
    query = parse("SELECT 1 FROM t WHERE " + " OR ".join(["x = 1 AND y = 2"] * 1000))
    assert isinstance(query.body, tree.Select)
    assert isinstance(query.body.where, tree.Or)
    assert len(query.body.where.conditions) == 1000


def test_what_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(UsageFault, match="2000001 characters"):
        parse("x" * 2_000_001)


@pytest.mark.parametrize("start", ["SELECT '", 'SELECT "'])
def test_a_megabyte_that_does_not_close(start: str) -> None:
    with pytest.raises(UsageFault, match=r"line 1, column 8: this .* is not closed"):
        parse(start + "ab " * 300_000)
