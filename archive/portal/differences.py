"""``page``: the differences of two schemas as a page that stands by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined

from archive.differences import Difference
from archive.tables import Schema
from archive.versions import stored_name


def page(old: Schema, new: Schema, found: Sequence[Difference]) -> str:
    """HTML with one section for each table that differs; of two releases, or of two versions of one."""
    names = [stored_name(schema.name) for schema in (old, new)]
    versions = names[0] == names[1]
    if versions:
        names = [f"{name} version {schema.version}" for name, schema in zip(names, (old, new), strict=True)]
    tables = [(name, list(rows)) for name, rows in groupby(found, key=lambda difference: difference.table)]
    environment = Environment(loader=PackageLoader("archive.portal"), autoescape=True, undefined=StrictUndefined)
    template = environment.get_template("differences.html")
    counts = Counter(str(each.kind) for each in found).most_common()
    onward = old.version <= new.version
    return template.render(old=names[0], new=names[1], tables=tables, counts=counts, versions=versions, onward=onward)
