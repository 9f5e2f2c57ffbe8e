"""Plain text out, for people: columns below each other, streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from archive.columns import Column
from archive.results import cells
from archive.results.document import ending, unique
from archive.results.flow import blocks, pieces
from archive.results.result import Envelope, Result

_TEXT = cells.Spelling(text=cells.one_line, infinity="Inf", minus_infinity="-Inf")
_BETWEEN = " | "
_AHEAD = 1000  # rows from which the widths are taken; a wider cell further down pushes its row out of line


def table(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as a table of text; NULL is blank; how the query ended stands below."""
    widths: list[int] = []

    def encode(batch: pa.RecordBatch) -> memoryview:
        texts = cells.table(result.columns, batch, _TEXT)
        head = b""
        if not widths:
            widths.extend(_widths(result.columns, texts))
            head = _head(result.columns, widths)
        padded = [_pad(*each) for each in zip(result.columns, texts, widths, strict=True)]
        return memoryview(head + cells.rows(padded, "", _BETWEEN, "\n"))

    for block in blocks(result, encode):
        yield from pieces(block)
    if not widths:
        yield _head(result.columns, _widths(result.columns, ()))
    if result.token is not None:
        yield f"TOKEN: {result.token}\n".encode()
    for _, status, message in ending(result):
        yield f"{status}: {message}\n".encode()


def _widths(columns: Sequence[Column], texts: Sequence[pa.Array]) -> list[int]:
    widths = [max(map(len, _titles(column))) for column in columns]
    for index, text in enumerate(texts):
        widths[index] = max(widths[index], pc.max(pc.utf8_length(text[:_AHEAD])).as_py() or 0)
    return widths


def _titles(column: Column) -> tuple[str, str]:
    return column.name, f"[{column.unit}]" if column.unit else ""


def _head(columns: Sequence[Column], widths: Sequence[int]) -> bytes:
    names = unique(column.name for column in columns)
    units = [_titles(column)[1] for column in columns]
    lines = [
        _BETWEEN.join(title.center(width) for title, width in zip(titles, widths, strict=True))
        for titles in ((names, units) if any(units) else (names,))
    ]
    lines.append("-+-".join("-" * width for width in widths))
    return "".join(f"{line.rstrip()}\n" for line in lines).encode()


def _pad(column: Column, texts: pa.Array, width: int) -> pa.Array:
    filled = texts.fill_null("") if texts.null_count else texts
    return pc.utf8_lpad(filled, width) if column.is_scalar_number else pc.utf8_rpad(filled, width)
