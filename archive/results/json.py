"""JSON out, streamed: ``{"metadata": [...], "data": [[...], ...], "status": "OK", "message": ""}``.

One array per row, in the order of ``metadata``, whose entries have the attributes of a VOTable FIELD. Numbers are exact
(integers of 64 bits too: a reader in JavaScript has to ask for them as text). What JSON has no number for is a
string: "NaN", "Infinity", "-Infinity". Complex numbers are pairs within a flat array. ``status`` comes last, since only
then is it known: OK, OVERFLOW (rows were cut off) or ERROR.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa

from archive.faults import Fault
from archive.results import cells
from archive.results.document import ending, fault_text, said_of, unique
from archive.results.flow import blocks, pieces
from archive.results.result import Envelope, Result

_JSON = cells.Spelling(
    text=cells.json,
    nan='"NaN"',
    infinity='"Infinity"',
    minus_infinity='"-Infinity"',
    array=("[", ",", "]"),
)


def rows(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as one JSON object."""
    names = unique(column.name for column in result.columns)
    metadata = [{"name": name} | said_of(column) for name, column in zip(names, result.columns, strict=True)]
    told = "".join(f'"{name}":{_text(value)},' for name, value in _repeating(result))
    yield f'{{"metadata":{_text(metadata)},{told}"data":['.encode()

    def encode(batch: pa.RecordBatch) -> memoryview:
        return cells.rows(cells.table(result.columns, batch, _JSON), ",\n[", ",", "]", "null")

    first = True
    for block in blocks(result, encode):
        yield from pieces(block[1:] if first else block)  # a comma stands before every row but the first
        first = False
    (_, status, message), *_ = *ending(result), ("", "OK", "")
    yield f'\n],"status":{_text(status)},"message":{_text(message)}}}\n'.encode()


def _repeating(result: Result) -> Iterator[tuple[str, str]]:
    if result.token is not None:
        yield "token", result.token
    if result.obstacle:
        yield "not_repeatable", result.obstacle


def error(fault: Fault) -> bytes:
    """A fault as ``{"status": "ERROR", "message": ...}``."""
    return f"{_text({'status': 'ERROR', 'message': fault_text(fault)})}\n".encode()


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
