"""Parquet, Arrow, CSV/TSV and FITS binary tables to ``Delivered``."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.units import UnitsWarning

from archive.columns import Column, Datatype, arrow_type
from archive.faults import UsageFault
from archive.intake.arrow import read_stream
from archive.intake.delivered import Delivered, Measure, column_of, delivered

_MOST_FIELDS = 5000
_LONGEST_HEADER = 1 << 20  # bytes of FITS


def read_parquet(content: bytes, name: str, measure: Measure) -> Delivered:
    """A Parquet file; field metadata ``unit``, ``ucd`` and ``description`` are kept."""
    try:
        source = pa.BufferReader(content)
        file = pq.ParquetFile(source, read_dictionary=_texts(pq.read_schema(source)))
        measure.check_rows(file.metadata.num_rows, name)
        _check_fields(file.metadata.num_columns, name)
        measure.check_size(_unpacked(file.metadata), name)
        table = file.read()
        _check_text(table, name, measure)
        return _from_arrow(table, name)
    except (pa.ArrowException, OSError) as error:
        raise UsageFault(f"{name} is not a readable Parquet file.", "It may be truncated; send it again.") from error


def _check_fields(count: int, name: str) -> None:
    if count > _MOST_FIELDS:
        raise UsageFault(f"{name} has more than {_MOST_FIELDS} columns.")


def _texts(schema: pa.Schema) -> list[str]:
    kinds = pa.types
    return [field.name for field in schema if kinds.is_string(field.type) or kinds.is_large_string(field.type)]


def _unpacked(metadata: pq.FileMetaData) -> int:
    """Bytes of the file's values without compression, as far as it tells; encodings may stand for many more."""
    chunks = (
        metadata.row_group(group).column(at)
        for group in range(metadata.num_row_groups)
        for at in range(metadata.num_columns)
    )
    return sum(max(chunk.total_uncompressed_size, chunk.num_values) for chunk in chunks)


def _check_text(table: pa.Table, name: str, measure: Measure) -> None:
    """A text stands once in the file, however often it is repeated: what counts is all of it."""
    size = 0
    for field in table.schema:
        if pa.types.is_dictionary(field.type) and pa.types.is_nested(field.type.value_type):
            raise UsageFault(f"{name}: column {field.name} is a dictionary of arrays.", "Send the arrays themselves.")
    for column in table.columns:
        for chunk in column.chunks:
            size += _length_of_texts(chunk)
            measure.check_size(size, name)


def _length_of_texts(chunk: pa.Array) -> int:
    """Bytes of all texts where one may stand for many; 0 of anything else."""
    kinds = pa.types
    if kinds.is_string_view(chunk.type):
        sizes = np.frombuffer(chunk.buffers()[1], np.int32, 4 * len(chunk), 16 * chunk.offset)[::4]
        return int(sizes.sum(dtype=np.int64))
    if kinds.is_dictionary(chunk.type) and (
        kinds.is_string(chunk.type.value_type) or kinds.is_large_string(chunk.type.value_type)
    ):
        lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
        return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)
    return 0


def read_arrow(content: bytes, name: str, measure: Measure) -> Delivered:
    """An Arrow stream; it may not be compressed."""
    try:
        table = read_stream(content, name)
    except (pa.ArrowException, OSError) as error:
        raise UsageFault(f"{name} is not a readable Arrow stream.", "It may be truncated; send it again.") from error
    _check_fields(table.num_columns, name)
    measure.check_rows(table.num_rows, name)
    _check_text(table, name, measure)
    return _from_arrow(table, name)


def read_delimited(content: bytes, name: str, measure: Measure) -> Delivered:
    """CSV, or TSV where the first line has a tab; a header line is required, types are inferred from all rows."""
    if b"\x00" in content:
        raise UsageFault(f"{name} is neither VOTable, FITS, Parquet, CSV nor TSV.")
    header = content[: content.find(b"\n") + 1 or len(content)]
    delimiter = "\t" if b"\t" in header else ","
    _check_fields(header.count(delimiter.encode()) + 1, name)
    if b'"' not in content:  # else a line may be part of a row
        measure.check_rows(max(_lines(content) - 1, 0), name)
    try:
        table = pacsv.read_csv(
            io.BytesIO(content),
            pacsv.ReadOptions(block_size=max(len(content), 1)),
            pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=delimiter == ","),
            pacsv.ConvertOptions(null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False),
        )
    except (pa.ArrowException, ValueError) as error:
        detail = str(error).split("\n", 1)[0][:200]
        raise UsageFault(f"{name} is not readable as {'TSV' if delimiter != ',' else 'CSV'}: {detail}") from error
    measure.check_rows(table.num_rows, name)
    return _from_arrow(table, name)


def _lines(content: bytes) -> int:
    """How many lines are not empty."""
    text = np.frombuffer(content, np.uint8)
    ends = np.append((text == ord("\n")) | (text == ord("\r")), True)
    return int(np.count_nonzero(ends[1:] & ~ends[:-1]))


def _from_arrow(table: pa.Table, name: str) -> Delivered:
    columns = [_described(field) for field in table.schema]
    try:
        arrays = [_fitted(table.column(i), column) for i, column in enumerate(columns)]
    except (pa.ArrowException, OverflowError) as error:
        raise UsageFault(f"{name} holds values that cannot be kept exactly.") from error
    return delivered(columns, arrays)


def _described(field: pa.Field) -> Column:
    facts = {key.decode(): value.decode("utf-8", "replace") for key, value in (field.metadata or {}).items()}
    column = column_of(field.name, field.type)
    return Column(
        field.name,
        column.datatype,
        column.arraysize,
        column.xtype,
        unit=facts.get("unit"),
        ucd=facts.get("ucd"),
        description=facts.get("description", ""),
    )


def _fitted(array: pa.ChunkedArray, column: Column) -> pa.Array:
    whole = array.combine_chunks()
    if pa.types.is_timestamp(whole.type) and whole.type.tz:
        whole = whole.cast(pa.timestamp("us", tz="UTC"), safe=False)
        return pc.local_timestamp(whole)
    if pa.types.is_binary(whole.type) or pa.types.is_large_binary(whole.type):
        cells = [None if cell is None else np.frombuffer(cell, np.uint8) for cell in whole.to_pylist()]
        return pa.array(cells, arrow_type(column))
    return whole.cast(arrow_type(column), safe=not pa.types.is_timestamp(whole.type))


_FITS_TYPES = {
    "L": Datatype.BOOLEAN,
    "B": Datatype.BYTE,
    "I": Datatype.SHORT,
    "J": Datatype.INT,
    "K": Datatype.LONG,
    "E": Datatype.FLOAT,
    "D": Datatype.DOUBLE,
    "C": Datatype.FLOAT_COMPLEX,
    "M": Datatype.DOUBLE_COMPLEX,
}


def read_fits(content: bytes, name: str, measure: Measure) -> Delivered:
    """The first binary (or ASCII) table of a FITS file, with its units, TNULLs and scaling."""
    if b"END".ljust(80) not in content[:_LONGEST_HEADER]:
        raise UsageFault(f"{name} is not a readable FITS file: its header has no end.", "It may be truncated.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnitsWarning)
            with fits.open(io.BytesIO(content), memmap=False, lazy_load_hdus=True) as file:
                table = next((hdu for hdu in file if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
                if table is None:
                    raise UsageFault(f"{name} is a FITS file without a table.")
                measure.check_rows(int(table.header["NAXIS2"]), name)
                _check_fields(int(table.header["TFIELDS"]), name)
                measure.check_size(int(table.header["NAXIS1"]) * int(table.header["NAXIS2"]), name)
                return _from_fits(table, table.data, name, measure)
    except UsageFault:
        raise
    except Exception as error:
        raise UsageFault(f"{name} is not a readable FITS file.", "It may be truncated; send it again.") from error


def fits_pieces(path: Path, name: str, rows: int) -> Iterator[Delivered]:
    """The first table of a FITS file of any size, ``rows`` rows at a time; at least one piece.

    Raises:
        UsageFault: the file is damaged or has no table.
    """
    try:
        with warnings.catch_warnings(), fits.open(path, memmap=True, lazy_load_hdus=True) as file:
            warnings.simplefilter("ignore")
            table = next((hdu for hdu in file if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
            if table is None:
                raise UsageFault(f"{name} is a FITS file without a table.")
            for first in range(0, max(len(table.data), 1), rows):
                yield _from_fits(table, table.data[first : first + rows], name, Measure(rows, 2**40))
    except UsageFault:
        raise
    except Exception as error:
        raise UsageFault(f"{name} is not a readable FITS file.", "It may be truncated; send it again.") from error


def _from_fits(table: fits.BinTableHDU, data: fits.FITS_rec, name: str, measure: Measure) -> Delivered:
    columns, arrays = [], []
    for number, definition in enumerate(table.columns, start=1):
        _check_heap(table, data, number, name, measure)
        values = data.field(number - 1)
        column = _fits_column(definition, values, table.header.get(f"TCOMM{number}", ""), name)
        columns.append(column)
        arrays.append(_fits_array(values, column, definition.null))
    return delivered(columns, arrays)


def _check_heap(table: fits.BinTableHDU, data: fits.FITS_rec, number: int, name: str, measure: Measure) -> None:
    """Cells of varying length lie in the heap and may lie there over one another: their sum is what counts."""
    form = str(table.header[f"TFORM{number}"]).strip().lstrip("0123456789")
    if form[:1] not in ("P", "Q"):
        return
    raw = data.view(np.ndarray)[table.columns.names[number - 1]]
    lengths = raw.reshape(len(raw), -1)[:, 0].astype(np.float64)
    if np.any(lengths < 0):
        raise UsageFault(f"{name}: column {table.columns.names[number - 1]} has cells of a negative length.")
    measure.check_size(int(lengths.sum()), name)


def _fits_column(definition: fits.Column, values: np.ndarray, comment: str, name: str) -> Column:
    unit = definition.unit or None
    kind = values.dtype.kind
    if kind in "US":
        return Column(definition.name, Datatype.UNICODE, "*", unit=unit, description=comment)
    if values.dtype == object:
        code = definition.format.format if hasattr(definition.format, "format") else str(definition.format)
        datatype = _FITS_TYPES.get(code.lstrip("0123456789QP")[:1], Datatype.DOUBLE)
        return Column(definition.name, datatype, "*", unit=unit, description=comment)
    native = values.dtype.newbyteorder("=")
    datatypes = {
        "b1": Datatype.BOOLEAN, "u1": Datatype.BYTE, "i2": Datatype.SHORT, "i4": Datatype.INT, "i8": Datatype.LONG,
        "u2": Datatype.INT, "u4": Datatype.LONG, "f4": Datatype.FLOAT, "f8": Datatype.DOUBLE,
        "i1": Datatype.SHORT, "c8": Datatype.FLOAT_COMPLEX, "c16": Datatype.DOUBLE_COMPLEX,
    }  # fmt: skip
    found = datatypes.get(f"{native.kind}{native.itemsize}")
    if found is None:
        raise UsageFault(f"{name}: column {definition.name} has a FITS type that tables here cannot hold.")
    width = int(np.prod(values.shape[1:])) if values.ndim > 1 else 0
    return Column(definition.name, found, str(width) if width else None, unit=unit, description=comment)


def _fits_array(values: np.ndarray, column: Column, null: int | None) -> pa.Array:
    if column.datatype.is_text:
        return pa.array([str(cell).rstrip() for cell in values], pa.string())
    if values.dtype == object:
        return pa.array([np.asarray(cell).ravel() for cell in values], arrow_type(column))
    native = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "c":
        native = native.view(f"f{native.dtype.itemsize // 2}").reshape(len(native), -1)
    if native.ndim > 1:
        kind = arrow_type(column)
        flat = pa.array(native.ravel(), kind.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    mask = native == null if null is not None and native.dtype.kind in "iu" else None
    return pa.array(native, arrow_type(column), mask=mask)
