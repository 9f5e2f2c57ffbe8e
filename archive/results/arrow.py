"""Arrow out: the IPC stream, and the schema that Parquet shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from archive.columns import Column, arrow_type
from archive.results.document import said_of, unique
from archive.results.flow import Drain, slices
from archive.results.result import Envelope, Result

REPEAT = "archive.token"
"""The key of an answer's token in the metadata of the stream's schema."""


def described(columns: Sequence[Column]) -> pa.Schema:
    """The schema of ``columns``: names made unique, and what is known of each as metadata of its field."""
    names = unique(column.name for column in columns)
    return pa.schema(
        [pa.field(name, arrow_type(column), True, said_of(column)) for name, column in zip(names, columns, strict=True)]
    )


def stream(result: Result, envelope: Envelope) -> Iterator[bytes]:
    """``result`` as an Arrow IPC stream, batch by batch; a fault breaks it off before its end mark."""
    schema = described(result.columns)
    if result.token is not None:
        schema = schema.with_metadata({REPEAT: result.token})
    drain = Drain()
    with pa.ipc.new_stream(drain, schema) as writer:
        yield from drain.taken()
        for batch in slices(result):
            writer.write_batch(pa.record_batch(batch.columns, schema))
            yield from drain.taken()
    yield from drain.taken()
