"""A small archive whose answers are given, so that the faces can be tried without ledger, language or engine."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import WSGIApplication

import numpy as np
import pyarrow as pa
from werkzeug.serving import make_server

from archive.app import assemble
from archive.columns import Column, Datatype, arrow_type
from archive.config import Config
from archive.ledger import Published, Site
from archive.query import Question
from archive.results import Result
from archive.serving import Load
from archive.standing import Shelf, shelf
from archive.tables import Catalog, ForeignKey, Position, Schema, Table

ID = Column("id", Datatype.LONG, ucd="meta.id;meta.main", description="identifier", nullable=False, indexed=True)
RA = Column("ra", Datatype.DOUBLE, unit="deg", ucd="pos.eq.ra;meta.main", description="right ascension", principal=True)
DEC = Column("dec", Datatype.DOUBLE, unit="deg", ucd="pos.eq.dec;meta.main", description="declination", principal=True)
MAG = Column("mag", Datatype.FLOAT, unit="mag", ucd="phot.mag;em.opt.V", description="magnitude in V")
SIZE = Column("size", Datatype.FLOAT, description="a column named like a reserved word")
NAME = Column("Näme", Datatype.UNICODE, "*", description="Größe, named with a letter beyond ASCII")
LOWER = Column("flux", Datatype.DOUBLE, unit="nJy", description="differs from the next by case alone")
UPPER = Column("Flux", Datatype.DOUBLE, "3", unit="nJy")
WHEN = Column("seen", Datatype.CHAR, "*", xtype="timestamp", description="time (TAI)")
STAR = Column("star", Datatype.LONG, description="the star measured")

STARS = Table(
    "dr1",
    "star",
    (ID, RA, DEC, MAG, SIZE, NAME, LOWER, UPPER, WHEN),
    description="One row per star & <nothing else>.",
    position=Position("ra", "dec"),
    primary_key=("id",),
    rows=12345,
)
VISITS = Table(
    "dr1",
    "Source Table",
    (STAR, RA, DEC),
    description="Measurements",
    position=Position("ra", "dec"),
    foreign_keys=(
        ForeignKey("star", ("star",), "dr1.star", ("id",), "which star"),
        ForeignKey("lost", ("star",), "dr9.nowhere", ("id",)),
    ),
)
PINNED = Schema("dr1_v1", (Table("dr1_v1", "star", (ID,)),), listed=False)
CATALOG = Catalog((Schema("dr1", (STARS, VISITS), "A release."), PINNED))


def rows(count: int) -> pa.Table:
    """``count`` stars spread evenly over the sky, with the columns of ``COLUMNS``."""
    step = np.arange(count) + 0.5
    values = [
        np.arange(count),
        np.mod(step * 137.50776405, 360),
        np.degrees(np.arcsin(1 - 2 * step / count)),
        (2 + 8 * np.sqrt(step / count)).astype("f4"),
    ]
    arrays = [pa.array(value, arrow_type(column)) for value, column in zip(values, COLUMNS, strict=True)]
    return pa.table(arrays, names=[column.name for column in COLUMNS])


COLUMNS = (ID, RA, DEC, MAG)


@contextmanager
def listening(application: WSGIApplication) -> Iterator[str]:
    """The address at which ``application`` answers, from threads of this process."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


class Scripted:
    """Stands where ``Serving`` does. ``asked`` collects the questions, ``open`` counts the results not yet closed."""

    def __init__(self, config: Config | None = None, site: Site | None = None) -> None:
        self.config = config or Config(home=Path("nowhere"))
        self.site = site or Site("example.org", "Example Observatory", "help@example.org")
        self.since = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        self.asked: list[Question] = []
        self.open = 0
        self.requests = Load()
        self.notes: tuple[str, ...] = ()
        self.published = CATALOG
        self.columns = COLUMNS
        self.reply: Callable[[Question], Iterator[pa.RecordBatch]] = lambda question: iter(rows(2000).to_batches())

    @property
    def shelf(self) -> Shelf:
        return shelf(Published(1, self.published, {}))

    def catalog(self) -> Catalog:
        return self.shelf.shown

    def ailments(self) -> tuple[str, ...]:
        return self.notes

    def answer(self, question: Question) -> Result:
        self.asked.append(question)
        batches = self.reply(question) if isinstance(question.query, str) else iter(())  # nobody looks for images
        self.open += 1
        return Result(self.columns, batches, self._close, query=question.text)

    def _close(self) -> None:
        self.open = 0


def app(serving: Scripted):
    """The whole application over ``serving``."""
    return assemble(serving)
