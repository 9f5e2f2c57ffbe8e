"""Cells as text: whole columns at a time, by Arrow's kernels; no Python runs per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from archive.columns import Column, Datatype
from archive.results.arrays import content, dense, flattened, joined, offsets, timestamps


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a format writes values: ``text`` escapes a column of strings, ``array`` is (before, between, after).

    ``unknown`` is a NULL within an array of booleans; ``element`` gives one within an array of integers, by its type.
    """

    text: Callable[[pa.Array], pa.Array]
    true: str = "true"
    false: str = "false"
    unknown: str = "null"
    nan: str = "NaN"
    infinity: str = "Infinity"
    minus_infinity: str = "-Infinity"
    array: tuple[str, str, str] = ("", " ", "")
    element: Callable[[Datatype], str] = lambda datatype: "null"


def texts(column: Column, array: pa.Array, spelling: Spelling) -> pa.Array:
    """The cells of ``array`` as a string array; NULL stays NULL. Numbers have their shortest exact form."""
    if column.is_timestamp:
        return spelling.text(timestamps(column, array))
    if column.datatype.is_text:
        return spelling.text(array)
    if not pa.types.is_nested(array.type):
        return _scalars(column.datatype, array, spelling)
    values, counts = flattened(array)
    missing = spelling.nan if pa.types.is_floating(values.type) else spelling.element(column.datatype)
    if column.datatype is Datatype.BOOLEAN:
        missing = spelling.unknown
    elements = _scalars(column.datatype, values, spelling)
    if elements.null_count:
        elements = elements.fill_null(missing)
    before, between, after = spelling.array
    rows = pc.binary_join(pa.ListArray.from_arrays(offsets(counts), elements), between)
    if before or after:
        rows = pc.binary_join_element_wise(before, rows, after, "")
    return pc.if_else(array.is_valid(), rows, None) if array.null_count else rows


def table(columns: Sequence[Column], batch: pa.RecordBatch, spelling: Spelling) -> list[pa.Array]:
    """``texts`` of every column of ``batch``."""
    return [texts(column, array, spelling) for column, array in zip(columns, batch.columns, strict=True)]


def rows(cells: Sequence[pa.Array], before: str, between: str, after: str, null: str = "") -> memoryview:
    """``before`` cell ``between`` cell ... ``after`` for every row, one row after the other."""
    if not len(cells[0]):
        return memoryview(b"")
    parts: list[pa.Array | str] = [before] if before else []
    for cell in cells:
        parts += [cell, between]
    parts[-1] = after
    whole = pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement=null)
    return content(whole)[1]


def _scalars(datatype: Datatype, array: pa.Array, spelling: Spelling) -> pa.Array:
    if datatype is Datatype.BIT:
        return pc.if_else(array, "1", "0")
    if datatype is Datatype.BOOLEAN:
        return pc.if_else(array, spelling.true, spelling.false)
    plain = array.cast(pa.string())
    if not pa.types.is_floating(array.type) or bool(np.isfinite(dense(array, 0)).all()):
        return plain
    infinite = pc.if_else(pc.greater(array, 0), spelling.infinity, spelling.minus_infinity)
    return pc.if_else(pc.is_nan(array), spelling.nan, pc.if_else(pc.is_inf(array), infinite, plain))


# Escapes: each looks at a column's bytes as a whole first, since most columns need nothing.

_NO_CONTROLS = bytes(code if code >= 32 or code in b"\t\n\r" else ord("?") for code in range(256))
_ONE_LINE = bytes(ord(" ") if code in b"\t\n\r" else code for code in range(256))
_XML_ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))


def legal_xml(text: str) -> str:
    """``text`` with each character that XML 1.0 section 2.2 excludes replaced, for attributes and descriptions."""
    clean = text.encode("utf-8", "replace").translate(_NO_CONTROLS).decode()
    return clean.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


def xml(array: pa.Array) -> pa.Array:
    """Text for XML content: illegal characters become ``?`` or U+FFFD, a carriage return survives as a reference."""
    raw = bytes(content(array)[1])
    clean = raw.translate(_NO_CONTROLS)
    for illegal in (b"\xef\xbf\xbe", b"\xef\xbf\xbf"):  # U+FFFE, U+FFFF
        clean = clean.replace(illegal, b"\xef\xbf\xbd")
    array = _with_bytes(array, raw, clean)
    for sign, entity in _XML_ENTITIES:
        if sign.encode() in clean:
            array = pc.replace_substring(array, sign, entity)
    return array


def csv(array: pa.Array) -> pa.Array:
    """Text for CSV (RFC 4180): quoted where needed, and where it is empty, so that NULL remains another thing."""
    bounds, data = content(array)
    raw = bytes(data)
    quoted = array
    if any(sign in raw for sign in (b'"', b",", b"\r", b"\n")):
        doubled = pc.replace_substring(array, '"', '""') if b'"' in raw else array
        special = pc.match_substring_regex(array, '[",\r\n]')
        quoted = pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), array)
    return quoted if bool(np.diff(bounds).all()) else pc.if_else(pc.equal(array, ""), '""', quoted)


def one_line(array: pa.Array) -> pa.Array:
    """Text without tabs and line ends (each becomes a blank), as text/tab-separated-values asks."""
    raw = bytes(content(array)[1])
    return _with_bytes(array, raw, raw.translate(_ONE_LINE))


def json(array: pa.Array) -> pa.Array:
    """Text as JSON strings (RFC 8259 section 7), quotes included."""
    raw = bytes(content(array)[1])
    for sign in ("\\", '"'):
        if sign.encode() in raw:
            array = pc.replace_substring(array, sign, "\\" + sign)
    for code in np.flatnonzero(np.bincount(np.frombuffer(raw, np.uint8), minlength=32)[:32]):
        array = pc.replace_substring(array, chr(code), f"\\u{code:04x}")
    return pc.binary_join_element_wise('"', array, '"', "")


def _with_bytes(array: pa.Array, old: bytes, new: bytes) -> pa.Array:
    if new == old:
        return array
    valid = dense(array.is_valid(), False) if array.null_count else None
    return joined(pa.string(), content(array)[0], new, valid)
