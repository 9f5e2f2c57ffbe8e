"""Many rows at once, by the quickest way that the database has."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, ColumnElement, Connection, Table, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

T = TypeVar("T")

_AT_ONCE = 500  # values in one statement
_FEW = 8  # rows that are not worth a COPY
_NULL = r"\N"  # of COPY's text format
_SPECIAL = re.compile(r"[\\\n\t\r]")  # stand for something else there


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """``values`` in pieces that one statement takes."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def among(transaction: Connection, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether ``column`` has one of many ``values``: on PostgreSQL one parameter, since each costs much there."""
    if transaction.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), ARRAY(column.type)))
    return column.in_(values)


class Encoded(str):
    """A value of a JSON column that is JSON already."""

    __slots__ = ()


class _Copy(ClauseElement):
    """``COPY table (columns) FROM STDIN`` of PostgreSQL, in its text format."""

    inherit_cache = False

    def __init__(self, table: Table, columns: Sequence[Column[Any]]) -> None:
        self.table = table
        self.columns = columns


@compiles(_Copy)
def _copy(element: _Copy, compiler: SQLCompiler, **_: Any) -> str:
    quoted = compiler.preparer
    names = ", ".join(quoted.format_column(column) for column in element.columns)
    return f"COPY {quoted.format_table(element.table)} ({names}) FROM STDIN"


def insert_all(transaction: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, all of which name the same columns; values of JSON columns may be ``Encoded``."""
    if not rows:
        return
    columns = [column for column in table.columns if column.name in rows[0]]
    if transaction.dialect.name == "postgresql" and len(rows) > _FEW:
        _copy_all(transaction, table, columns, rows)
        return
    compiled = table.insert().compile(dialect=transaction.dialect, column_keys=[column.name for column in columns])
    getters = [(column.name, isinstance(column.type, JSON)) for column in columns]
    values = [[_encoded(row[name]) if is_json else row[name] for name, is_json in getters] for row in rows]
    if compiled.positional:
        transaction.exec_driver_sql(str(compiled), [tuple(each) for each in values])
    else:
        names = [name for name, _ in getters]
        transaction.exec_driver_sql(str(compiled), [dict(zip(names, each, strict=True)) for each in values])


def numbers(transaction: Connection, column: Column[Any], count: int) -> list[int]:
    """So many new values of a column that counts up by itself, in order."""
    if transaction.dialect.name == "postgresql":
        sequence = select(func.pg_get_serial_sequence(column.table.name, column.name)).scalar_subquery()  # asked once
        found = transaction.execute(select(func.nextval(sequence)).select_from(func.generate_series(1, count)))
        return sorted(int(number) for number in found.scalars())
    first = int(transaction.execute(select(func.coalesce(func.max(column), 0))).scalar_one()) + 1
    return list(range(first, first + count))


def _encoded(value: Any) -> str:
    return value if isinstance(value, Encoded) else json.dumps(value)


def _copy_all(
    transaction: Connection, table: Table, columns: Sequence[Column[Any]], rows: Sequence[Mapping[str, Any]]
) -> None:
    statement = str(_Copy(table, columns).compile(dialect=transaction.dialect))
    texts = [_texts([row[column.name] for row in rows]) for column in columns]
    text = "".join([f"{line}\n" for line in map("\t".join, zip(*texts, strict=True))])
    driver: Any = transaction.connection
    with driver.cursor() as cursor:
        cursor.copy_expert(statement, io.StringIO(text))


def _texts(values: Sequence[Any]) -> list[str]:
    """The values of a column as COPY reads them."""
    told = ["" if value is None else value if isinstance(value, str) else _told(value) for value in values]
    if _SPECIAL.search("".join(told)):  # all of them at once: hardly any column has such signs
        told = [_escaped(text) for text in told]
    return [_NULL if value is None else text for value, text in zip(values, told, strict=True)]


def _told(value: Any) -> str:
    """A value that is no text, as text."""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value)
    return repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace("\t", r"\t").replace("\r", r"\r")
