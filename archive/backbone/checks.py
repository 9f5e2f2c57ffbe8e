"""Are these rows what the description promises? Values against nullability, lengths, the sky and ID blocks."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from archive.backbone.deliveries import Delivered, Piece
from archive.backbone.fitting import Misfit, first_true
from archive.columns import Column, Datatype
from archive.releases import Release
from archive.tables import Table


def check(file: Delivered, piece: Piece, table: Table, release: Release) -> None:
    """Check the values of some rows.

    Raises:
        UsageFault: the first column that holds a wrong value, with the first row where it does.
    """
    for column, cells in zip(table.columns, piece.rows.columns, strict=True):
        try:
            _check_nulls(cells, column)
            _check_text(cells, column)
            _check_sizes(cells, column)
            _check_sky(cells, column, table)
            _check_id(cells, column, table, release)
        except Misfit as misfit:
            raise file.fault(misfit.message, misfit.remedy, row=piece.first + misfit.row, column=column.name) from None


def _refuse(wrong: pa.Array, message: str, cells: pa.Array, remedy: str) -> None:
    """Raise a ``Misfit`` for the first true value; ``{}`` in ``message`` stands for the cell there."""
    mask = pc.fill_null(wrong, False)
    if pc.any(mask).as_py():
        row = first_true(mask)
        raise Misfit(row, message.format(cells[row]), remedy)


def _check_nulls(cells: pa.Array, column: Column) -> None:
    if column.nullable:
        return
    remedy = "Give it a value, or describe the column as nullable."
    if cells.null_count:
        _refuse(cells.is_null(), "the value is missing.", cells, remedy)
    if pa.types.is_floating(cells.type):
        _refuse(pc.is_nan(cells), "the value is NaN, which counts as missing.", cells, remedy)


def _check_text(cells: pa.Array, column: Column) -> None:
    if not pa.types.is_string(cells.type):
        return
    if column.datatype is Datatype.CHAR:
        _refuse(
            pc.invert(pc.string_is_ascii(cells)),
            "the text '{}' is not ASCII.",
            cells,
            "Describe the column with datatype 'unicode'.",
        )
    length = (column.arraysize or "*").removesuffix("*")
    if length.isdigit():
        _refuse(
            pc.greater(pc.utf8_length(cells), int(length)),
            f"the text '{{}}' is longer than the {length} characters described.",
            cells,
            "Shorten it, or describe the column longer.",
        )
    _refuse(pc.match_substring(cells, "\0"), "the text holds a NUL character.", cells, "Remove it.")


def _check_sizes(cells: pa.Array, column: Column) -> None:
    """Arrays of several or of bounded length (VOTable 1.5 section 2.2); those of one fixed length fit already."""
    if not pa.types.is_list(cells.type) or column.arraysize in (None, "*"):
        return
    *inner, outer = str(column.arraysize).split("x")
    unit = math.prod(int(size) for size in inner)
    lengths = pc.list_value_length(cells)
    most = outer.removesuffix("*")
    wrong = pc.not_equal(pc.multiply(pc.divide(lengths, unit), unit), lengths)
    if most:
        wrong = pc.or_(wrong, pc.greater(lengths, unit * int(most)))
    if not outer.endswith("*"):
        wrong = pc.or_(wrong, pc.less(lengths, unit * int(most)))
    _refuse(
        wrong, "{} elements do not fit an array of " + f"'{column.arraysize}'.", lengths, "Deliver the right number."
    )


def _check_sky(cells: pa.Array, column: Column, table: Table) -> None:
    position = table.position
    if position is None or column.name not in (position.lon, position.lat):
        return
    low, high = (0.0, 360.0) if column.name == position.lon else (-90.0, 90.0)
    _refuse(
        pc.or_(pc.less(cells, low), pc.greater(cells, high)),
        f"{{}} lies outside {low:g}..{high:g} degrees.",
        cells,
        "Positions are ICRS degrees.",
    )


def _check_id(cells: pa.Array, column: Column, table: Table, release: Release) -> None:
    ids = release.ids
    if table.id_scopes.get(column.name) != "release" or ids is None:
        return
    _refuse(
        pc.or_(pc.less(cells, ids.start), pc.greater(cells, ids.stop - 1)),
        f"{{}} is no ID of {release.name}, whose IDs are {ids.start}..{ids.stop - 1}.",
        cells,
        f"IDs that {release.name} hands out carry its block {release.id_block} in their high bits.",
    )
