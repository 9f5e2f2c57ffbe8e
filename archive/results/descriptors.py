"""Service descriptors: RESOURCEs that tell a client how to call a service with rows of a result (DataLink 1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from archive.columns import Column, Datatype
from archive.results.cells import legal_xml
from archive.results.document import E, field_ids

DATALINK = "ivo://ivoa.net/std/DataLink#links-1.1"

DATALINK_TYPE = "application/x-votable+xml;content=datalink"
"""Media type of what a links service answers."""

_PUBLISHER_DID = "obscore:curation.publisherdid"


@dataclass(frozen=True, slots=True)
class Input:
    """A parameter of a service.

    With ``ref`` (the ID of a FIELD, see ``document.field_ids``) its value comes from the row; with ``value`` it is
    fixed; otherwise the user sets it, within ``least``, ``most`` and ``options`` where these are given.
    """

    name: str
    datatype: Datatype = Datatype.CHAR
    arraysize: str | None = "*"
    xtype: str | None = None
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    description: str = ""
    ref: str | None = None
    value: str = ""
    least: str | None = None
    most: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A service to describe. ``identity`` is the XML ID; with a ``-`` in it, it never clashes with a FIELD's.

    ``this`` describes the service that made the document itself; a document has at most one of these.
    """

    access_url: str
    inputs: Sequence[Input]
    identity: str | None = None
    name: str | None = None
    description: str = ""
    standard_id: str | None = None
    resource_id: str | None = None
    content_type: str | None = None
    example_urls: tuple[str, ...] = ()
    this: bool = False


def descriptor(service: Service) -> etree._Element:
    """The RESOURCE for ``service``, to go into an ``Envelope``."""
    resource: etree._Element = E.RESOURCE(type="meta", utype="adhoc:this" if service.this else "adhoc:service")
    _set(resource, ID=service.identity, name=service.name)
    _describe(resource, service.description)
    facts = [
        ("standardID", service.standard_id),
        ("accessURL", service.access_url),
        ("resourceIdentifier", service.resource_id),
        ("contentType", service.content_type),
        *(("exampleURL", url) for url in service.example_urls),
    ]
    resource.extend(_parameter(Input(name, value=value)) for name, value in facts if value)
    resource.append(E.GROUP(*map(_parameter, service.inputs), name="inputParams"))
    return resource


def datalink(access_url: str, ref: str) -> etree._Element:
    """The descriptor of a DataLink service for the dataset identifiers in the FIELD whose ID is ``ref``."""
    identifier = Input("ID", ucd="meta.id;meta.main", ref=ref)
    return descriptor(
        Service(
            access_url,
            (identifier,),
            identity="datalink-links",
            name="links",
            description="Files and services that belong to the dataset of a row.",
            standard_id=DATALINK,
            content_type=DATALINK_TYPE,
        )
    )


def linked(columns: Sequence[Column], access_url: str) -> tuple[etree._Element, ...]:
    """The descriptor for a result that tells publishers' identifiers of datasets (ObsCore 1.1 section 4.5).

    The column is known by its utype, so a query may call it anything; none where there is none.
    """
    places = (place for place, column in enumerate(columns) if (column.utype or "").lower() == _PUBLISHER_DID)
    place = next(places, None)
    return () if place is None else (datalink(access_url, field_ids(columns)[place]),)


def _parameter(given: Input) -> etree._Element:
    element: etree._Element = E.PARAM(name=given.name, datatype=str(given.datatype))
    sizes = {"arraysize": given.arraysize, "xtype": given.xtype}
    _set(element, **sizes, unit=given.unit, ucd=given.ucd, utype=given.utype, ref=given.ref)
    element.set("value", legal_xml(given.value))
    _describe(element, given.description)
    limits = [E.MIN(value=given.least)] if given.least is not None else []
    limits += [E.MAX(value=given.most)] if given.most is not None else []
    limits += [E.OPTION(value=legal_xml(option)) for option in given.options]
    if limits:
        element.append(E.VALUES(*limits))
    return element


def _set(element: etree._Element, **attributes: str | None) -> None:
    for name, value in attributes.items():
        if value is not None:
            element.set(name, legal_xml(value))


def _describe(element: etree._Element, text: str) -> None:
    if text:
        element.append(E.DESCRIPTION(legal_xml(text)))
