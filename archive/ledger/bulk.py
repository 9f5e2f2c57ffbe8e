"""Many rows at once, by the quickest way that the database has."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import JSON, Column, ColumnElement, Connection, DateTime, Table, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from archive.ledger.schema.observations import Doubles, pack

T = TypeVar("T")

_AT_ONCE = 500  # values in one statement
_FEW = 8  # rows that are not worth a COPY
_MOMENT = "%Y-%m-%d %H:%M:%S.%f"  # as SQLAlchemy keeps times in SQLite
_NULL = r"\N"  # of COPY's text format
_SPECIAL = re.compile(r"[\\\n\t\r]")  # stand for something else there


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """``values`` in pieces that one statement takes."""
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def among(transaction: Connection, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Whether ``column`` has one of many ``values``: on PostgreSQL one parameter, since each costs much there."""
    if transaction.dialect.name == "postgresql":
        return column == any_(bindparam(None, list(values), ARRAY(column.type)))
    return column.in_(bindparam(None, list(values), column.type, expanding=True))  # each value for itself costs more


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
    names = [column.name for column in columns]
    ready = [_readied(column, is_packed=transaction.dialect.name == "sqlite") for column in columns]
    values = [
        [row[name] if made is None else made(row[name]) for name, made in zip(names, ready, strict=True)]
        for row in rows
    ]
    if compiled.positional:
        transaction.exec_driver_sql(str(compiled), [tuple(each) for each in values])
    else:
        transaction.exec_driver_sql(str(compiled), [dict(zip(names, each, strict=True)) for each in values])


def numbers(transaction: Connection, column: Column[Any], count: int) -> list[int]:
    """So many new values of a column that counts up by itself, in order."""
    if transaction.dialect.name == "postgresql":
        sequence = select(func.pg_get_serial_sequence(column.table.name, column.name)).scalar_subquery()  # asked once
        found = transaction.execute(select(func.nextval(sequence)).select_from(func.generate_series(1, count)))
        return sorted(int(number) for number in found.scalars())
    first = int(transaction.execute(select(func.coalesce(func.max(column), 0))).scalar_one()) + 1
    return list(range(first, first + count))


def _readied(column: Column[Any], *, is_packed: bool) -> Callable[[Any], Any] | None:
    """Makes of a value of ``column`` what the driver takes; None where that is the value itself."""
    match column.type:
        case JSON():
            return _encoded
        case Doubles() if is_packed:
            return lambda value: None if value is None else pack(value)
        case DateTime() if is_packed:
            return lambda value: None if value is None else f"{value:{_MOMENT}}"
    return None


def _encoded(value: Any) -> str:
    return value if isinstance(value, Encoded) else json.dumps(value)


def _copy_all(
    transaction: Connection, table: Table, columns: Sequence[Column[Any]], rows: Sequence[Mapping[str, Any]]
) -> None:
    statement = str(_Copy(table, columns).compile(dialect=transaction.dialect))
    texts = [_texts(_plain(column, [row[column.name] for row in rows])) for column in columns]
    text = "".join([f"{line}\n" for line in map("\t".join, zip(*texts, strict=True))])
    driver: Any = transaction.connection
    with driver.cursor() as cursor:
        cursor.copy_expert(statement, io.StringIO(text))


def _plain(column: Column[Any], values: list[Any]) -> list[Any]:
    """Arrays as PostgreSQL writes them; all else as it is."""
    if not isinstance(column.type, Doubles):
        return values
    return [None if value is None else f"{{{','.join(map(repr, value))}}}" for value in values]


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
    return value.isoformat() if isinstance(value, datetime) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace("\t", r"\t").replace("\r", r"\r")
