"""ADQL: text -> tree -> bound tree. ``parse(text)`` needs no schema; ``resolve`` binds the names.

This package is a language and knows no SQL: rooms above turn its bound tree into rows.
"""

from archive.adql.parser import parse
from archive.adql.resolve import resolve

__all__ = ["parse", "resolve"]
