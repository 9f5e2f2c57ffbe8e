"""Delivered files to Arrow batches of exactly the described columns and types.

Parquet, CSV and TSV (the latter two also gzipped) are read in pieces, so memory does not depend on the file's
size. The first thing that is wrong ends the reading with one fault that names file, row and column; rows count
from 1, a header line not counted. ``docs/delivery.md`` tells deliverers the same rules.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from archive import intake, vocabularies
from archive.backbone import described
from archive.backbone.fitting import Misfit, fit, type_trouble
from archive.columns import Column, arrow_type
from archive.documents import near
from archive.faults import UsageFault
from archive.tables import Table

_BATCH = 65_536
_BUFFER = 1 << 20  # bytes of a Parquet column read at once
_BLOCK = 4 << 20  # bytes of CSV parsed at once; no row may be longer

_UNCHANGED = "Nothing was loaded."


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivered file: where its bytes lie, what its deliverer calls it, and how it spells NULL besides emptiness."""

    path: Path
    name: str
    nulls: tuple[str, ...] = ()

    def fault(self, message: str, remedy: str = "", *, row: int | None = None, column: str | None = None) -> UsageFault:
        """A fault that names the file and the place in it; ``row`` counts from 0."""
        place = self.name
        if row is not None:
            place += f", row {row + 1}"
        if column is not None:
            place += f", column '{column}'"
        return UsageFault(f"{place}: {message}", f"{remedy} {_UNCHANGED}".strip())


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file; ``first`` is the number of the first one, from 0."""

    first: int
    rows: pa.RecordBatch


def media_type(name: str) -> str:
    """The media type of a file by its ending."""
    return _form(name)[0]


def read(file: Delivered, table: Table) -> Iterator[Piece]:
    """The rows of ``file`` with the columns of ``table``, in its order and types.

    Raises:
        UsageFault: the file is not what its ending says, is damaged, is empty, or its columns, types or units are
            not those described.
    """
    _, magic, reader = _form_checked(file)
    with file.path.open("rb") as opened:
        head = opened.read(_HEAD)
    _check_magic(file, head, magic)
    rows = 0
    for piece in reader(file, table):
        rows += piece.rows.num_rows
        yield piece
    if not rows:
        raise file.fault("the file has no rows.", "Deliver one that has.")


# --- what kind of file is it? ---------------------------------------------------------------------

_HEAD = 4096
_GZIP = b"\x1f\x8b"
_MAGIC = {
    b"PAR1": "Parquet",
    _GZIP: "gzip",
    b"SIMPLE  =": "FITS",
    b"<?xml": "XML (VOTable?)",
    b"<VOTABLE": "VOTable",
    b"<": "XML",
    b"PK\x03\x04": "a zip archive",
    b"\x89HDF": "HDF5",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"ARROW1": "an Arrow file",
    b"Obj\x01": "Avro",
}


def _form(name: str) -> tuple[str, bytes, Any]:
    folded = name.lower()
    found = next((form for ending, form in _FORMS.items() if folded.endswith(ending)), None)
    if found is None:
        endings = ", ".join(_FORMS)
        raise UsageFault(f"{name}: files of this ending are not read.", f"Deliver one of {endings}. {_UNCHANGED}")
    return found


def _form_checked(file: Delivered) -> tuple[str, bytes, Any]:
    if not file.path.stat().st_size:
        raise file.fault("the file is empty.", "Deliver it again.")
    return _form(file.name)


def _check_magic(file: Delivered, head: bytes, magic: bytes) -> None:
    found = next((kind for start, kind in _MAGIC.items() if head.startswith(start)), None)
    if magic and not head.startswith(magic):
        what = f"it is {found}" if found else "its first bytes say otherwise"
        raise file.fault(f"the file is not {_MAGIC[magic]} as its ending says: {what}.", "Give it the right ending.")
    if not magic and (found is not None or b"\0" in head):
        what = found or "not text"
        raise file.fault(f"the file is not text as its ending says: it is {what}.", "Give it the right ending.")


# --- columns --------------------------------------------------------------------------------------


def _check_names(file: Delivered, names: Sequence[str], table: Table) -> None:
    """The file must have the described columns, each once, in any order, and no others."""
    described = [column.name for column in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    missing = [name for name in described if name not in names]
    extra = [name for name in names if name not in described]
    wrong = []
    if twice:
        wrong.append(f"it has {_listed(twice)} twice")
    if missing:
        wrong.append(f"it lacks {_listed(missing)}")
    if extra:
        hints = [f"({hint})" for name in extra if (hint := near(name, missing))]
        wrong.append(" ".join((f"it has {_listed(extra)}, which {table.qualified} has not", *hints)))
    if wrong:
        raise file.fault(f"the columns are not those of {table.qualified}: {'; '.join(wrong)}.", _RENAME)


_RENAME = "Deliver exactly the described columns, in any order; names are case-sensitive."


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _fitted(file: Delivered, first: int, batch: pa.RecordBatch, table: Table) -> Piece:
    arrays = []
    for column in table.columns:
        try:
            arrays.append(fit(batch.column(column.name), column))
        except Misfit as misfit:
            raise file.fault(misfit.message, misfit.remedy, row=first + misfit.row, column=column.name) from None
    return Piece(first, pa.RecordBatch.from_arrays(arrays, schema=rows_schema(table)))


def rows_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table's rows: described names and types."""
    return pa.schema([pa.field(column.name, arrow_type(column)) for column in table.columns])


# --- Parquet --------------------------------------------------------------------------------------


def _read_parquet(file: Delivered, table: Table) -> Iterator[Piece]:
    with (
        _readable(file, "Parquet"),
        pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True) as parquet,
    ):
        _check_names(file, parquet.schema_arrow.names, table)
        for column in table.columns:
            _check_field(file, parquet.schema_arrow.field(column.name), column)
        first = 0
        for batch in parquet.iter_batches(_BATCH, columns=[column.name for column in table.columns]):
            yield _fitted(file, first, batch, table)
            first += batch.num_rows


def _check_field(file: Delivered, given: pa.Field, column: Column) -> None:
    trouble = type_trouble(given.type, column)
    unit = (given.metadata or {}).get(b"unit")
    if trouble is None and unit is not None:
        trouble = vocabularies.unit_difference(unit.decode("utf-8", "replace"), column.unit or "")
    if trouble is not None:
        raise file.fault(trouble.message, trouble.remedy, column=column.name)


@contextmanager
def _readable(file: Delivered, kind: str) -> Iterator[None]:
    """What the readers say of damaged files, in words for people."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise file.fault(
            f"the file is damaged or cut short: it cannot be read as {kind}.", "Deliver it again."
        ) from error


# --- FITS and VOTable -----------------------------------------------------------------------------


def _read_fits(file: Delivered, table: Table) -> Iterator[Piece]:
    return _read_described(file, table, described.fits(file.path, "It", _BATCH), "FITS")


def _read_votable(file: Delivered, table: Table) -> Iterator[Piece]:
    return _read_described(file, table, described.votable(file.path, "It", _BATCH), "VOTable")


def _read_described(file: Delivered, table: Table, pieces: Iterator[intake.Delivered], kind: str) -> Iterator[Piece]:
    """Names, types and units are checked against the description before any row is taken."""
    first = 0
    try:
        with _readable(file, kind):
            for piece in pieces:
                if first == 0:
                    _check_described(file, piece, table)
                for batch in piece.rows.to_batches(_BATCH):
                    yield _fitted(file, first, batch, table)
                    first += batch.num_rows
    except UsageFault as fault:
        if fault.message.startswith(file.name):
            raise
        raise file.fault(fault.message, fault.remedy) from None


def _check_described(file: Delivered, piece: intake.Delivered, table: Table) -> None:
    """A timestamp may come as ISO 8601 text, as FITS has no other way to say it."""
    _check_names(file, piece.rows.column_names, table)
    for given in piece.columns:
        column = table.by_name[given.name]
        kind = arrow_type(column if column.is_timestamp and given.is_text else given)
        facts = {} if given.unit is None else {b"unit": given.unit.encode()}
        _check_field(file, pa.field(given.name, kind, metadata=facts), column)


# --- CSV and TSV ----------------------------------------------------------------------------------


def _read_csv(file: Delivered, table: Table) -> Iterator[Piece]:
    return _read_text(file, table, ",")


def _read_tsv(file: Delivered, table: Table) -> Iterator[Piece]:
    return _read_text(file, table, "\t")


def _read_text(file: Delivered, table: Table, delimiter: str) -> Iterator[Piece]:
    """Parse straight into the described types; only if that fails read as text to find the place."""
    types = {column.name: _csv_type(column) for column in table.columns}
    _check_names(file, _header(file, delimiter, table), table)
    first = 0
    try:
        with _opened(file) as opened:
            source = _Watched(opened)
            for batch in _csv_reader(file, source, delimiter, types, lambda row: "error"):
                yield _fitted(file, first, batch, table)
                first += batch.num_rows
                last = batch
            if first and source.ends_within_quotes(last, delimiter):
                raise file.fault("a value is opened by a quote that nothing closes.", "Close it.", row=first - 1)
    except (pa.ArrowException, OSError, EOFError, zlib.error):
        raise _csv_fault(file, table, delimiter) from None


def _csv_type(column: Column) -> pa.DataType:
    wanted = arrow_type(column)
    return pa.string() if pa.types.is_list(wanted) or pa.types.is_fixed_size_list(wanted) else wanted


@contextmanager
def _opened(file: Delivered) -> Iterator[Any]:
    if file.name.lower().endswith(".gz"):
        with gzip.open(file.path, "rb") as stream:
            yield stream
    else:
        with pa.OSFile(str(file.path), "rb") as plain:
            yield plain


class _Watched:
    """A file whose last bytes are remembered: Arrow takes a value that is never closed for a whole one."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self._before = b""
        self._last = b""

    closed = False

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        chunk = bytes(self._opened.read(size))
        if chunk:
            self._before, self._last = self._last, chunk
        return chunk

    def ends_within_quotes(self, last: pa.RecordBatch, delimiter: str) -> bool:
        """Whether the file's last value, which ``last`` ends with, is still open at the end of the file."""
        value = last.column(last.num_columns - 1)[-1].as_py()
        if not isinstance(value, str):
            return False
        open_value = b'"' + value.encode().replace(b'"', b'""')
        return (self._before + self._last).endswith((delimiter.encode() + open_value, b"\n" + open_value))


def _header(file: Delivered, delimiter: str, table: Table) -> list[str]:
    """The names in the header line."""
    with _readable(file, "gzip"), _opened(file) as source:
        head = source.read(_BLOCK)
    line, _, rest = bytes(head).removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    line = line.removesuffix(b"\r")
    if not rest.strip() and len(head) < _BLOCK:
        raise file.fault("the file has no rows.", "Deliver one that has.")
    try:
        names = pacsv.read_csv(
            pa.BufferReader(line + b"\n"),
            pacsv.ReadOptions(block_size=_BLOCK),
            pacsv.ParseOptions(delimiter=delimiter),
        ).column_names
    except pa.ArrowException:
        raise file.fault("the first line is not a line of column names.", "Begin with the names.") from None
    other, ending = ("\t", ".tsv") if delimiter == "," else (",", ".csv")
    if len(names) == 1 and len(table.columns) > 1 and other in names[0]:
        raise file.fault("the columns are not separated as the ending says.", f"Call the file '...{ending}'.")
    return list(names)


def _csv_reader(
    file: Delivered, source: Any, delimiter: str, types: dict[str, pa.DataType], handler: Any
) -> pacsv.CSVStreamingReader:
    return pacsv.open_csv(
        source,
        pacsv.ReadOptions(use_threads=handler is None, block_size=_BLOCK),
        pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=handler),
        pacsv.ConvertOptions(
            column_types=types,
            null_values=["", *file.nulls],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["true", "True", "TRUE", "t", "T", "1"],
            false_values=["false", "False", "FALSE", "f", "F", "0"],
            timestamp_parsers=[pacsv.ISO8601],
        ),
    )


def _csv_fault(file: Delivered, table: Table, delimiter: str) -> UsageFault:
    """What is wrong in a file that could not be parsed into the described types: read it as text and look."""
    types = {column.name: pa.binary() for column in table.columns}
    bad: list[Any] = []

    def note(row: Any) -> str:
        bad.append(row)
        return "error"

    rows = 0
    try:
        with _opened(file) as source:
            for batch in _csv_reader(file, source, delimiter, types, note):
                fault = _bad_value(file, table, batch, rows)
                if fault is not None:
                    return fault
                rows += batch.num_rows
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        if "straddling" in str(error):
            message = f"row {rows + 1} or one soon after it is longer than {_BLOCK >> 20} MB."
            return file.fault(message, "Is a quote missing? Rows that long can be delivered as Parquet.")
        if bad:
            row = bad[0]
            number = rows if row.number is None else row.number - 2  # counted from 1, the header included
            return file.fault(
                f"it has {row.actual_columns} values, the header has {row.expected_columns} names.",
                "Is a separator inside a value? Then put the value in double quotes.",
                row=number,
            )
    return file.fault(f"the file is damaged or cut short after row {rows}.", "Deliver it again.")


def _bad_value(file: Delivered, table: Table, batch: pa.RecordBatch, first: int) -> UsageFault | None:
    found: list[tuple[int, str, str]] = []
    for column in table.columns:
        try:
            _parse(batch.column(column.name), column)
        except Misfit as misfit:
            found.append((misfit.row, column.name, misfit.message))
    if not found:
        return None
    row, name, message = min(found, key=lambda item: item[0])
    return file.fault(message, "Correct the value.", row=first + row, column=name)


def _parse(cells: pa.Array, column: Column) -> None:
    """Raises ``Misfit`` for the first cell that is not a value of ``column``."""
    try:
        text = cells.cast(pa.string())
    except pa.ArrowInvalid:
        row = next(row for row, cell in enumerate(cells) if not _is_utf8(cell.as_py()))
        raise Misfit(row, "the text is not UTF-8.") from None
    if _csv_type(column) != pa.string():
        fit(text, column)


def _is_utf8(cell: bytes | None) -> bool:
    try:
        (cell or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


_FORMS: dict[str, tuple[str, bytes, Any]] = {
    ".parquet": ("application/vnd.apache.parquet", b"PAR1", _read_parquet),
    ".csv": ("text/csv", b"", _read_csv),
    ".csv.gz": ("application/gzip", _GZIP, _read_csv),
    ".fits": ("application/fits", b"SIMPLE  =", _read_fits),
    ".fits.gz": ("application/gzip", _GZIP, _read_fits),
    ".vot": ("application/x-votable+xml", b"<", _read_votable),
    ".vot.gz": ("application/gzip", _GZIP, _read_votable),
    ".xml": ("application/x-votable+xml", b"<", _read_votable),
    ".xml.gz": ("application/gzip", _GZIP, _read_votable),
    ".tsv": ("text/tab-separated-values", b"", _read_tsv),
    ".tsv.gz": ("application/gzip", _GZIP, _read_tsv),
}
