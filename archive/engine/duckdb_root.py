"""A root: one DuckDB instance in memory, with the editions attached that its statements read."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from archive.engine import duckdb_functions
from archive.engine.duckdb_macros import MACROS
from archive.engine.places import Place
from archive.engine.shapes import Shapes
from archive.faults import TransientFault
from archive.tables import Edition

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Template:
    """A statement of a shape, read by the database.

    ``names`` are those of its parameters, ``v0`` that of the first value given; all others are ``fixed``.
    """

    statement: duckdb.Statement
    names: Sequence[str]
    fixed: Mapping[str, Any]

    def parameters(self, values: Sequence[Any]) -> list[Any]:
        """All parameters in order."""
        return [values[int(name[1:])] if name[0] == "v" else self.fixed[name] for name in self.names]


class Root:
    """An instance whose reach is the editions below ``folder`` and whose configuration is locked. Safe for threads."""

    def __init__(self, folder: Path, scratch: Path, settings: Mapping[str, str | int]) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # guards the connection and what is attached to it
        self._attached: dict[str, Place] = {}  # by place
        self._count = 0
        self.shapes: Shapes[Template] = Shapes()
        self._connection = _open(folder, scratch, settings)
        weakref.finalize(self, self._connection.close)  # at the latest when the process ends

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same instance."""
        with self._lock:
            return self._connection.cursor()

    def read(self, text: str) -> duckdb.Statement:
        """The statement ``text``, read by the database."""
        with self._lock:
            return self._connection.extract_statements(text)[0]

    def place(self, edition: Edition) -> Place:
        """Where an edition's rows lie, attaching its file if that is not done yet.

        Raises:
            TransientFault: the file is not there.
        """
        place = self._attached.get(edition.place)
        if place is not None:
            return place
        with self._lock:
            if edition.place not in self._attached:
                self._forget_removed()
                self._attached[edition.place] = self._attach(edition)
            return self._attached[edition.place]

    def detach(self, place: str) -> None:
        """Let go of an edition, if it is attached."""
        with self._lock:
            attached = self._attached.pop(place, None)
            if attached is not None:
                self._connection.execute(f"DETACH {attached.source.schema}")

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._connection.close()

    def _attach(self, edition: Edition) -> Place:
        file = self._folder / edition.place
        self._count += 1
        name = f"e{self._count}"
        try:
            self._connection.execute(f"ATTACH {_quoted(str(file))} AS {name} (READ_ONLY)")
        except duckdb.Error as error:
            _log.exception("edition %s cannot be attached", file)
            raise TransientFault(
                f"The rows of {'.'.join(edition.key)} are not at hand.", "Try again in a moment."
            ) from error
        return Place(sa.table("t", schema=name), edition.physical, edition.rows, edition.healpix)

    def _forget_removed(self) -> None:
        """Detach editions that another process removed, so that their bytes are freed."""
        for place in [place for place in self._attached if not (self._folder / place).exists()]:
            self._connection.execute(f"DETACH {self._attached.pop(place).source.schema}")


def _open(folder: Path, scratch: Path, settings: Mapping[str, str | int]) -> duckdb.DuckDBPyConnection:
    root = duckdb.connect(
        ":memory:",
        config={
            **settings,
            "temp_directory": str(scratch),
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    root.execute(MACROS)
    duckdb_functions.add(root)
    root.execute("SET GLOBAL error_on_division_by_zero = false")
    root.execute("SET GLOBAL allowed_directories = [$1]", [str(folder)])
    root.execute("SET GLOBAL enable_external_access = false")
    root.execute("SET GLOBAL lock_configuration = true")
    return root


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
