"""VOSI 1.1: what a service can do, what tables it has, whether it works. Documents, free of Flask.

Elements of the VOResource family are unqualified; only roots and the values of ``xsi:type`` carry a prefix.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from functools import lru_cache

from lxml import etree
from lxml.builder import ElementMaker

from archive import regions
from archive.columns import Column
from archive.standing import column_name, known_keys, spelled, table_name
from archive.tables import Catalog, ForeignKey, Schema, Table

XSI = "http://www.w3.org/2001/XMLSchema-instance"
CAPABILITIES = "http://www.ivoa.net/xml/VOSICapabilities/v1.0"
AVAILABILITY = "http://www.ivoa.net/xml/VOSIAvailability/v1.0"
TABLES = "http://www.ivoa.net/xml/VOSITables/v1.0"

# The prefixes inside values of xsi:type; they need not be used as element names to be declared.
_TYPES = {
    "vr": "http://www.ivoa.net/xml/VOResource/v1.0",
    "vs": "http://www.ivoa.net/xml/VODataService/v1.1",
    "tr": "http://www.ivoa.net/xml/TAPRegExt/v1.0",
    "xsi": XSI,
}

E = ElementMaker()


SIA = "ivo://ivoa.net/std/SIA#query-2.0"
DATALINK = "ivo://ivoa.net/std/DataLink#links-1.1"


def xsi_type(name: str) -> dict[str, str]:
    """The attribute that gives an element the type ``name``, such as ``vs:ParamHTTP``."""
    return {f"{{{XSI}}}type": name}


# --- capabilities (VOSI 1.1 section 2) --------------------------------------------------------------


def interface(url: str, use: str, version: str, type_: str = "vs:ParamHTTP") -> etree._Element:
    """One standard interface at ``url``, which is written as given: absolute, without a slash at the end."""
    return E.interface(E.accessURL(url, use=use), xsi_type(type_), role="std", version=version)


def capability(standard: str, url: str, version: str = "1.0") -> etree._Element:
    """The capability ``standard`` (an IVOID) whose one resource is ``url``."""
    return E.capability(interface(url, "full", version), standardID=standard)


def own_capabilities(base: str) -> list[etree._Element]:
    """The three resources of VOSI itself, children of ``base``."""
    return [
        capability("ivo://ivoa.net/std/VOSI#capabilities", f"{base}/capabilities"),
        capability("ivo://ivoa.net/std/VOSI#availability", f"{base}/availability"),
        capability("ivo://ivoa.net/std/VOSI#tables-1.1", f"{base}/tables", "1.1"),
    ]


def other_services(root: str) -> list[etree._Element]:
    """What else the archive at ``root`` offers, so that who knows one service finds all."""
    return [
        capability(SIA, f"{root}/sia2/query", "2.0"),
        capability(DATALINK, f"{root}/datalink/links", "1.1"),
    ]


def capabilities(records: Iterable[etree._Element]) -> bytes:
    """The capabilities document made of ``records``."""
    root = ElementMaker(namespace=CAPABILITIES, nsmap={"vosi": CAPABILITIES, **_TYPES}).capabilities(*records)
    return _document(root)


# --- availability (VOSI 1.1 section 5) --------------------------------------------------------------


def availability(available: bool, since: datetime.datetime, notes: Iterable[str] = ()) -> bytes:
    """Whether the service works; ``since`` is the time (UTC) from which this server has been up."""
    v = ElementMaker(namespace=AVAILABILITY, nsmap={"vosi": AVAILABILITY})
    root = v.availability(
        v.available("true" if available else "false"),
        v.upSince(since.strftime("%Y-%m-%dT%H:%M:%SZ")),
        *(v.note(note) for note in notes),
    )
    return _document(root)


# --- tables (VOSI 1.1 section 4) --------------------------------------------------------------------


@lru_cache(maxsize=8)  # a catalog is compared by identity and made anew when what is published changes
def tableset(catalog: Catalog, *, columns: bool) -> bytes:
    """All schemas and tables of ``catalog``; with ``columns`` False names and descriptions alone."""
    root = _tables().tableset(*(_schema(schema, catalog, columns) for schema in catalog.schemas))
    return _document(root)


def table(catalog: Catalog, described: Table) -> bytes:
    """One table of ``catalog`` as a document of its own, always with its columns."""
    root = _tables().table(type=described.kind)
    root.extend(_table_content(described, catalog, columns=True))
    return _document(root)


def find_table(catalog: Catalog, name: str) -> Table | None:
    """The table whose name in ``/tables`` is ``name``, exactly; else the only one so named but for case or quotes."""
    exact = [table for table in catalog.tables() if table_name(table) == name]
    folded = name.replace('"', "").lower()
    loose = [table for table in catalog.tables() if table.qualified.lower() == folded]
    found = exact or loose
    return found[0] if len(found) == 1 else None


def _tables() -> ElementMaker:
    return ElementMaker(namespace=TABLES, nsmap={"vosi": TABLES, "vs": _TYPES["vs"], "xsi": XSI})


def _schema(schema: Schema, catalog: Catalog, columns: bool) -> etree._Element:
    element = E.schema(E.name(spelled(schema.name)), *_optional(description=schema.description, utype=schema.utype))
    for described in schema.tables:
        child = E.table(type=described.kind)
        child.extend(_table_content(described, catalog, columns))
        element.append(child)
    return element


def _table_content(described: Table, catalog: Catalog, columns: bool) -> list[etree._Element]:
    rows = None if described.rows is None else str(described.rows)
    content = [
        E.name(table_name(described)),
        *_optional(title=described.title, description=described.description, utype=described.utype, nrows=rows),
    ]
    if columns:
        content += [_column(column, described) for column in regions.all_told(described.columns)]
        content += [_foreign_key(key, described, target) for key, target in known_keys(described, catalog)]
    return content


def _column(column: Column, table: Table) -> etree._Element:
    primary = column.name in table.primary_key
    flags = [("indexed", column.indexed), ("primary", primary), ("nullable", column.nullable)]
    return E.column(
        E.name(column_name(table, column.name)),
        *_optional(description=column.description, unit=column.unit, ucd=column.ucd, utype=column.utype),
        _data_type(column),
        *(E.flag(name) for name, holds in flags if holds),
        std="true" if column.std else "false",
    )


def _data_type(column: Column) -> etree._Element:
    element = E.dataType(column.datatype.value, xsi_type("vs:VOTableType"))
    if column.arraysize is not None:
        element.set("arraysize", column.arraysize)
    if column.xtype is not None:
        element.set("extendedType", column.xtype)
    return element


def _foreign_key(key: ForeignKey, table: Table, target: Table) -> etree._Element:
    pairs = zip(
        (column_name(table, name) for name in key.columns),
        (column_name(target, name) for name in key.target_columns),
        strict=True,
    )
    return E.foreignKey(
        E.targetTable(table_name(target)),
        *(E.fkColumn(E.fromColumn(here), E.targetColumn(there)) for here, there in pairs),
        *_optional(description=key.description, utype=key.utype),
    )


def _optional(**texts: str | None) -> list[etree._Element]:
    """An element for each text that is there, in the order given, which is the order the schemas ask for."""
    return [E(name, text) for name, text in texts.items() if text]


def _document(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
