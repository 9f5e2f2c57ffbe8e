"""Delivered arrays become arrays of the described type, without a value being changed.

What a type may carry is written here once: whole numbers of any width where the value fits, float as float or
double, text in any of Arrow's text types, timestamps without a zone. Nothing is rounded, cut or guessed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from archive.columns import Column, Datatype, arrow_type
from archive.vocabularies import Trouble


class Misfit(Exception):
    """A value that is not what is described: its row (from 0 within the array), what is wrong, what to do."""

    def __init__(self, row: int, message: str, remedy: str = "Correct the value.") -> None:
        super().__init__(message)
        self.row = row
        self.message = message
        self.remedy = remedy


_WHOLE = "a whole number"
_NAMES = {
    Datatype.BOOLEAN: "true or false",
    Datatype.BYTE: _WHOLE,
    Datatype.SHORT: _WHOLE,
    Datatype.INT: _WHOLE,
    Datatype.LONG: _WHOLE,
    Datatype.FLOAT: "a number",
    Datatype.DOUBLE: "a number",
}


def type_trouble(given: pa.DataType, column: Column) -> Trouble | None:
    """Why no array of type ``given`` can become ``column``: what is wrong and what to do; None if it can."""
    if pa.types.is_dictionary(given):
        return type_trouble(given.value_type, column)
    wanted = arrow_type(column)
    if pa.types.is_null(given) or _carries(given, wanted):
        return None
    if pa.types.is_timestamp(given) and given.tz is not None and column.is_timestamp:
        return Trouble(
            f"is a timestamp in zone {given.tz}.", "Times are kept without a zone: deliver them without one."
        )
    return Trouble(f"is of type {given}, described is {described(column)}.", _advice(given, wanted))


def described(column: Column) -> str:
    """The described type in words."""
    kind = "timestamp" if column.is_timestamp else column.datatype.value
    if column.arraysize is None or column.is_timestamp:
        return kind
    return f"{kind}[{column.arraysize}]"


def _carries(given: pa.DataType, wanted: pa.DataType) -> bool:
    kinds = pa.types
    carries: Any = given == wanted
    if kinds.is_string(wanted):
        carries = kinds.is_string(given) or kinds.is_large_string(given) or kinds.is_string_view(given)
    elif kinds.is_integer(wanted):
        carries = kinds.is_integer(given)
    elif kinds.is_floating(wanted):
        narrow = kinds.is_integer(given) and given.bit_width * 2 <= wanted.bit_width
        carries = narrow or (kinds.is_floating(given) and given.bit_width <= wanted.bit_width)
    elif kinds.is_timestamp(wanted):
        carries = kinds.is_timestamp(given) and given.tz is None
    elif _is_list(wanted) and (kinds.is_binary(given) or kinds.is_large_binary(given)):
        carries = wanted.value_type == pa.uint8()
    elif _is_list(wanted):
        carries = _is_list(given) and _carries(given.value_type, wanted.value_type)
    return bool(carries)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _advice(given: pa.DataType, wanted: pa.DataType) -> str:
    if pa.types.is_floating(wanted) and (pa.types.is_floating(given) or pa.types.is_integer(given)):
        return "Digits would be lost: deliver it in the described type, or describe it as 'double'."
    return "Deliver it in the described type."


def fit(array: pa.Array, column: Column) -> pa.Array:
    """``array``, whose type may become ``column``, as exactly ``arrow_type(column)``.

    Raises:
        Misfit: a value cannot be kept as it is.
    """
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    wanted = arrow_type(column)
    if array.type == wanted:
        return array
    if pa.types.is_list(wanted) or pa.types.is_fixed_size_list(wanted):
        return _fit_lists(array, column, wanted)
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        raise _first_misfit(array, column, wanted) from None


def _first_misfit(array: pa.Array, column: Column, wanted: pa.DataType) -> Misfit:
    """Halve the array until the first value that does not fit is found."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        if _casts(array.slice(low, middle - low), wanted):
            low = middle
        else:
            high = middle
    return Misfit(low, f"{_shown(array[low])} is not {_word(array, column)}.")


def _casts(array: pa.Array, wanted: pa.DataType) -> bool:
    try:
        array.cast(wanted)
    except pa.ArrowInvalid:
        return False
    return True


def _word(array: pa.Array, column: Column) -> str:
    if column.is_timestamp:
        from_text = pa.types.is_string(array.type)
        return "a time like 2026-11-23T04:05:06.789 without a zone" if from_text else "a time in whole microseconds"
    limits = _LIMITS.get(column.datatype)
    if limits is None:
        return _NAMES.get(column.datatype, described(column))
    return f"a whole number in {limits[0]}..{limits[1]}"


_LIMITS = {
    Datatype.BYTE: (0, 2**8 - 1),
    Datatype.SHORT: (-(2**15), 2**15 - 1),
    Datatype.INT: (-(2**31), 2**31 - 1),
    Datatype.LONG: (-(2**63), 2**63 - 1),
}


def _shown(scalar: pa.Scalar) -> str:
    text = str(scalar)
    return f"'{text[:60]}{'...' if len(text) > 60 else ''}'"


# --- arrays in cells ------------------------------------------------------------------------------


def _fit_lists(array: pa.Array, column: Column, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_string(array.type):
        array = _numbers_in_text(array, wanted)
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = _bytes_in_lists(array)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), wanted)
    if pa.types.is_fixed_size_list(wanted):
        _check_lengths(array, wanted.list_size)
    try:
        return array.cast(wanted)
    except pa.ArrowInvalid:
        raise _first_misfit(array, column, wanted) from None


def _check_lengths(array: pa.Array, length: int) -> None:
    lengths = pc.list_value_length(array)
    wrong = pc.fill_null(pc.not_equal(lengths, length), False)
    if pc.any(wrong).as_py():
        row = first_true(wrong)
        raise Misfit(row, f"it has {lengths[row]} elements, described are {length}.")


def _numbers_in_text(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Numbers separated by blanks, as DALI writes arrays in text."""
    lists = pc.split_pattern_regex(pc.utf8_trim_whitespace(array), r"\s+")
    try:
        values = lists.values.cast(wanted.value_type)
    except pa.ArrowInvalid:
        at = _first_misfit(lists.values, Column("", Datatype.DOUBLE), wanted.value_type)
        row = int(np.searchsorted(lists.offsets.to_numpy(), at.row, side="right")) - 1
        raise Misfit(row, at.message) from None
    return pa.ListArray.from_arrays(lists.offsets, values, mask=array.is_null())


def _bytes_in_lists(array: pa.Array) -> pa.Array:
    large = array.cast(pa.large_binary())
    offsets = np.frombuffer(large.buffers()[1], np.int64, len(large) + 1, large.offset * 8)
    values = large.buffers()[2]
    content = np.frombuffer(values, np.uint8) if values is not None else np.empty(0, np.uint8)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(content), mask=array.is_null())


def first_true(mask: pa.Array) -> int:
    """Index of the first true value; there must be one."""
    return int(pc.index(mask, pa.scalar(True)).as_py())
