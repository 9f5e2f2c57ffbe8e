"""``page``: the differences of two schemas as a page that stands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from archive.differences import Difference
from archive.tables import Schema


def page(old: Schema, new: Schema, found: Sequence[Difference]) -> str:
    """HTML with one section for each table that differs."""
    names = [schema.name if schema.listed else schema.name.replace("_v", " version ") for schema in (old, new)]
    if names[0] == names[1]:
        names = [f"{schema.name} version {schema.version}" for schema in (old, new)]
    tables = [(name, list(rows)) for name, rows in groupby(found, key=lambda difference: difference.table)]
    environment = Environment(loader=PackageLoader("archive.portal"), autoescape=True, undefined=StrictUndefined)
    template = environment.get_template("differences.html")
    return template.render(old=names[0], new=names[1], tables=tables, working=sum(each.works for each in found))
