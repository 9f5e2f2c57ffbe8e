"""Results: a ``Result`` (columns, Arrow batches, overflow, notes) to bytes of any format, as they come."""

from __future__ import annotations

from collections.abc import Iterator

from archive.faults import Fault
from archive.results.formats import FORMATS, Format, find
from archive.results.result import Envelope, Result

__all__ = ["FORMATS", "Encoded", "Envelope", "Format", "Result", "encode", "error_document", "find"]


class Encoded(Iterator[bytes]):
    """The bytes of a result as they come; ``close`` (also called at the end) stops and frees the query.

    Not a plain generator, because closing one that was never started would leave the query running.
    """

    def __init__(self, result: Result, format: Format, envelope: Envelope) -> None:
        self._result = result
        self._pieces = format.write(result, envelope)

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException as stop:
            if isinstance(stop, Fault):
                self._result.fault = stop
            self._result.close()
            raise

    def close(self) -> None:
        """Stop: the reader has enough, or has gone."""
        close = getattr(self._pieces, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._result.close()


def encode(result: Result, format: Format, envelope: Envelope = Envelope()) -> Encoded:  # noqa: B008 - frozen
    """``result`` as bytes of ``format``: its head at once, then pieces of at most 256 KiB, in constant memory.

    A fault while rows are under way ends the document as its format can: VOTable, JSON, HTML and text say so at
    their end, other formats raise it again; ``result.fault`` holds it in either case.
    """
    return Encoded(result, format, envelope)


def error_document(fault: Fault, format: Format) -> bytes:
    """What to send in place of a result; its media type is ``format.error_type``."""
    return format.refuse(fault)
