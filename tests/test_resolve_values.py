"""Values in resolve: types, constants, units, UCDs and descriptions of expressions."""

from __future__ import annotations

import datetime
import math

import pytest
from astropy.io.votable.ucd import check_ucd

from archive.adql import bound, parse, resolve, units
from archive.adql.functions import BY_KEY, FUNCTIONS, KEYS, Group
from archive.columns import Column, Datatype
from archive.tables import Catalog, Schema, Table

TABLE = Table(
    "s",
    "x",
    (
        Column("b", Datatype.BYTE),
        Column("s", Datatype.SHORT, unit="pix"),
        Column("i", Datatype.INT),
        Column("l", Datatype.LONG),
        Column("f", Datatype.FLOAT, unit="mag", ucd="phot.mag;em.opt.V;meta.main", description="Magnitude"),
        Column("d", Datatype.DOUBLE, unit="deg", ucd="pos.eq.ra", description="Right ascension"),
        Column("pm", Datatype.DOUBLE, unit="mas/yr", ucd="pos.pm"),
        Column("odd", Datatype.DOUBLE, unit="furlong"),
        Column("name", Datatype.CHAR, "20*", ucd="meta.id"),
        Column("wide", Datatype.UNICODE, "*"),
        Column("when", Datatype.CHAR, "*", "timestamp", ucd="time.epoch"),
        Column("yes", Datatype.BOOLEAN),
    ),
)
CATALOG = Catalog([Schema("s", (TABLE,))])


def value(expression: str) -> bound.Value:
    body = resolve(parse(f"SELECT {expression} FROM s.x"), CATALOG).body
    assert isinstance(body, bound.Select)
    return body.outputs[0].value


def column(expression: str) -> Column:
    return resolve(parse(f"SELECT {expression} FROM s.x"), CATALOG).columns[0]


def condition(text: str) -> bound.Condition:
    body = resolve(parse(f"SELECT 1 FROM s.x WHERE {text}"), CATALOG).body
    assert isinstance(body, bound.Select)
    assert body.where is not None
    return body.where


@pytest.mark.parametrize(
    ("expression", "datatype"),
    [
        ("b + b", "int"),
        ("b + s", "int"),
        ("s * 2", "int"),
        ("i + i", "int"),
        ("i - l", "long"),
        ("i / 2", "int"),
        ("l % 2", "long"),
        ("f + f", "float"),
        ("f + i", "double"),
        ("f + 1.0", "double"),
        ("d / i", "double"),
        ("-b", "int"),
        ("-f", "float"),
        ("ABS(i)", "int"),
        ("ABS(s)", "int"),
        ("ABS(f)", "float"),
        ("MOD(l, 2)", "long"),
        ("MOD(d, 2)", "double"),
        ("ROUND(f, 1)", "double"),
        ("SQRT(i)", "double"),
        ("COUNT(*)", "long"),
        ("SUM(s)", "long"),
        ("SUM(f)", "double"),
        ("AVG(i)", "double"),
        ("MIN(f)", "float"),
        ("MAX(b)", "unsignedByte"),
        ("MAX(name)", "char"),
        ("1", "int"),
        ("2147483648", "long"),
        ("-9223372036854775808", "long"),
        ("9223372036854775808", "double"),
        ("1.5", "double"),
        ("1e3", "double"),
        ("NULL", "char"),
        ("i + NULL", "double"),
        ("COALESCE(b, s)", "short"),
        ("COALESCE(i, f)", "double"),
        ("COALESCE(NULL, l)", "long"),
        ("CAST(d AS SMALLINT)", "short"),
        ("CAST(name AS BIGINT)", "long"),
        ("CAST(i AS REAL)", "float"),
        ("name || wide", "unicodeChar"),
        ("name || 'x'", "char"),
        ("'é'", "unicodeChar"),
    ],
)
def test_types(expression: str, datatype: str) -> None:
    assert column(expression).datatype == datatype


def test_small_integers_are_widened_before_arithmetic() -> None:
    sum_ = value("b + b")
    assert isinstance(sum_, bound.Arithmetic)
    assert isinstance(sum_.left, bound.Convert)
    assert sum_.left.column.datatype is Datatype.INT


def test_float_meeting_an_integer_becomes_double_first() -> None:
    made = value("f * i")
    assert isinstance(made, bound.Arithmetic)
    assert isinstance(made.left, bound.Convert)
    assert isinstance(made.right, bound.Field)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("-5", -5),
        ("- -5", 5),
        ("+5.5", 5.5),
        ("1 + 2 * 3", 7),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("MOD(-7.5, 2)", -1.5),
        ("5 / 3600.", 5 / 3600),
        ("2147483647 + 1", 2147483648),
        ("9223372036854775807 + 1", 9223372036854775808.0),
        ("1 / 0", None),
        ("1.0 / 0", None),
        ("1e308 * 10", None),
        ("SQRT(-1)", None),
        ("LOG(0)", None),
        ("SQRT(16)", 4.0),
        ("DEGREES(PI())", 180.0),
        ("ABS(-3)", 3),
        ("1 + NULL", None),
        ("'a' || 'b'", "ab"),
        ("'a' || NULL", None),
        ("COALESCE(NULL, 5)", 5),
        ("CAST(3 AS DOUBLE PRECISION)", 3.0),
        ("CAST('2015-01-02T03:04:05.5Z' AS TIMESTAMP)", datetime.datetime(2015, 1, 2, 3, 4, 5, 500000)),
    ],
)
def test_constants_are_computed(expression: str, result: object) -> None:
    constant = value(expression)
    assert isinstance(constant, bound.Constant)
    assert constant.value == result
    assert type(constant.value) is type(result)


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("d + d", "deg"),
        ("d + 1", "deg"),
        ("1 - d", "deg"),
        ("d + pm", None),
        ("pm * d", "deg.mas.yr**-1"),
        ("2 * pm", "mas/yr"),
        ("d / d", None),
        ("1 / d", "deg**-1"),
        ("pm / pm * d", "deg"),
        ("odd * d", None),
        ("odd / 2", "furlong"),
        ("-d", "deg"),
        ("SQRT(d)", "deg**(1/2)"),
        ("POWER(d, 2)", "deg**2"),
        ("POWER(d, i)", None),
        ("ROUND(f, 1)", "mag"),
        ("SIN(d)", None),
        ("RADIANS(d)", "rad"),
        ("DEGREES(i)", "deg"),
        ("MAX(pm)", "mas/yr"),
        ("AVG(f)", "mag"),
        ("COUNT(d)", None),
        ("COALESCE(f, 99)", "mag"),
        ("COALESCE(f, d)", None),
        ("CAST(d AS REAL)", "deg"),
        ("CAST(d AS VARCHAR)", None),
        ("IN_UNIT(d, 'arcsec')", "arcsec"),
        ("IN_UNIT(pm * 10, 'deg/yr')", "deg/yr"),
        ("DISTANCE(d, 0, 0, 0)", "deg"),
        ("AREA(CIRCLE(d, 0, 1))", "deg**2"),
        ('ivo_to_mjd("when")', "d"),
    ],
)
def test_units(expression: str, unit: str | None) -> None:
    assert column(expression).unit == unit


@pytest.mark.parametrize(
    ("expression", "ucd"),
    [
        ("MAX(f)", "phot.mag;em.opt.V;stat.max"),
        ("MIN(d)", "pos.eq.ra;stat.min"),
        ("AVG(f)", "phot.mag;em.opt.V;stat.mean"),
        ("COUNT(*)", "meta.number"),
        ("SUM(f)", None),
        ("f - 1", "phot.mag;em.opt.V"),
        ("f - f", None),
        ("ROUND(d)", "pos.eq.ra"),
        ("IN_UNIT(pm, 'deg/yr')", "pos.pm"),
        ("DISTANCE(d, 0, 0, 0)", "pos.angDistance"),
        ("POINT(d, 0)", "pos.eq"),
        ("CAST(d AS REAL)", "pos.eq.ra"),
        ("LOWER(name)", "meta.id"),
        ("AREA(CIRCLE(d, 0, 1))", "phys.angArea"),
        ("ivo_healpix_index(5, d, d)", "pos.healpix"),
    ],
)
def test_ucds(expression: str, ucd: str | None) -> None:
    made = column(expression).ucd
    assert made == ucd
    assert made is None or check_ucd(made, check_controlled_vocabulary=True, has_colon=True)


def test_descriptions() -> None:
    assert column("d").description == "Right ascension"
    assert column("MAX(f) AS brightest").description == "MAX(f): Magnitude"
    assert column("d  +1.50").description == "d + 1.50"
    assert len(column("'" + "x" * 1000 + "' || name").description) <= 200


def test_a_plain_column_is_passed_on_untouched() -> None:
    assert column("d") is TABLE.columns[5]


def test_in_unit_is_a_factor() -> None:
    made = value("IN_UNIT(d, 'arcsec')")
    assert isinstance(made, bound.Arithmetic)
    assert made.operator == "*"
    assert isinstance(made.right, bound.Constant)
    assert made.right.value == pytest.approx(3600)


def test_timestamps_take_iso_texts() -> None:
    compared = condition("\"when\" >= '2015-01-01'")
    assert isinstance(compared, bound.Comparison)
    assert isinstance(compared.right, bound.Constant)
    assert compared.right.value == datetime.datetime(2015, 1, 1)
    inside = condition("\"when\" IN ('2015-01-01', '2016-01-01T12:30:00')")
    assert isinstance(inside, bound.InList)
    assert all(item.column.is_timestamp for item in inside.items)


@pytest.mark.parametrize(("written", "meant"), [("'True'", True), ("'false'", False), ("1", True), ("0", False)])
def test_booleans_take_words_and_digits(written: str, meant: bool) -> None:
    compared = condition(f"yes = {written}")
    assert isinstance(compared, bound.Comparison)
    assert isinstance(compared.right, bound.Constant)
    assert compared.right.value is meant


def test_null_takes_the_type_of_its_partner() -> None:
    compared = condition("i = NULL")
    assert isinstance(compared, bound.Comparison)
    assert compared.right.column.is_scalar_number


def test_pi_is_a_constant_and_rand_has_no_seed() -> None:
    pi = value("PI()")
    assert isinstance(pi, bound.Constant)
    assert pi.value == math.pi
    made = value("RAND(5)")
    assert isinstance(made, bound.Apply)
    assert made.arguments == ()


def test_maths_arrive_as_double() -> None:
    made = value("ROUND(f, 1)")
    assert isinstance(made, bound.Apply)
    assert [argument.column.datatype for argument in made.arguments] == [Datatype.DOUBLE, Datatype.INT]


def test_set_operations_take_names_from_the_left_and_types_from_both() -> None:
    query = resolve(
        parse("SELECT i, name FROM s.x UNION SELECT d, wide FROM s.x UNION ALL SELECT NULL, 'a' FROM s.x"), CATALOG
    )
    assert [(one.name, one.datatype) for one in query.columns] == [
        ("i", Datatype.DOUBLE),
        ("name", Datatype.UNICODE),
    ]


@pytest.mark.parametrize(
    ("left", "right", "result"),
    [("m", "m", "m**2"), ("", "m", "m"), (None, "m", None), ("mas/yr", "yr", "mas"), ("nonsense", "m", None)],
)
def test_unit_products(left: str | None, right: str | None, result: str | None) -> None:
    assert units.product(left, right) == result


def test_unit_factors() -> None:
    assert units.factor("deg", "mas") == pytest.approx(3.6e6)
    assert units.factor("mag", "mmag") == pytest.approx(1000)
    assert units.factor("m", "s") is None
    assert units.factor("nonsense", "s") is None


def test_the_table_of_functions_is_consistent() -> None:
    keys = {key.key for key in KEYS}
    assert len(keys) == len(KEYS)
    for function in FUNCTIONS:
        assert function.description.endswith(".")
        assert all(signature.form.startswith(function.name) for signature in function.signatures)
        assert function.group is not Group.UDF or function.name.startswith("ivo_")
        assert BY_KEY[function.key] is function
