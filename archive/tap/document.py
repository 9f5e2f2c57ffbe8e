"""The two pages of TAP: its home, and the examples as XHTML with RDFa (DALI 1.1 section 2.3).

TOPCAT and pyvo read the examples as XML, so both are well-formed XML.
"""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree
from lxml.builder import ElementMaker

from archive.examples import Example

_XHTML = "http://www.w3.org/1999/xhtml"
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }
dt { font-weight: 600 } dd { margin: 0 0 .6rem; overflow-wrap: anywhere }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.5rem }
dl.facts dt { font-weight: 400; opacity: .7 } dl.facts dd { margin: 0 }
blockquote { margin: .5rem 0; padding: .4rem 1rem; border-left: 4px solid #8885; overflow-wrap: anywhere }
.verdict { border-radius: 1rem; padding: .1rem .7rem; margin-right: .5rem; background: #8883 }
.identical { background: #2a94 } .superset { background: #28c4 }
.differs { background: #c904 } .fails { background: #c334 }
@media (max-width: 36rem) { dl.facts { grid-template-columns: 1fr; gap: 0 } dl.facts dd { margin-bottom: .6rem } }
pre { padding: .8rem 1rem; border: 1px solid #8885; border-radius: .5rem; overflow-x: auto }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem }
"""

H = ElementMaker(namespace=_XHTML, nsmap={None: _XHTML})


def home(base: str, portal: str) -> bytes:
    """What people see who follow the base URL of the service."""
    resources = [
        ("sync", "answers a query at once: POST QUERY and LANG=ADQL"),
        ("tables", "the tables and columns there are"),
        ("capabilities", "languages, functions, formats and limits"),
        ("examples", "queries to start from"),
        ("availability", "whether the service works"),
    ]
    return page(
        "TAP service",
        H.p("This is the address of a Table Access Protocol service. Give it to TOPCAT, pyvo or another client:"),
        H.pre(base),
        H.p("In Python:"),
        H.pre(f'import pyvo\nservice = pyvo.dal.TAPService("{base}")\nprint(list(service.tables.keys()))'),
        H.p("In a browser, ", H.a("the query page", href=f"{portal}/"), " is more comfortable. The resources:"),
        H.ul(*(H.li(H.a(name, href=f"{base}/{name}"), f": {what}") for name, what in resources)),
    )


def examples(all_: Iterable[Example]) -> bytes:
    """The document of the examples, with one vocabulary."""
    container = H.div(*(_example(example) for example in all_), vocab="http://www.ivoa.net/rdf/examples#")
    return page("Example queries", container)


def page(title: str, *content: etree._Element) -> bytes:
    """A page that is XML too."""
    head = H.head(
        H.title(title), H.meta(name="viewport", content="width=device-width, initial-scale=1"), H.style(_STYLE)
    )
    page = H.html(head, H.body(H.h1(title), *content), lang="en")
    return etree.tostring(page, encoding="UTF-8", xml_declaration=True, doctype="<!DOCTYPE html>")


def _example(example: Example) -> etree._Element:
    return H.div(
        H.h2(example.name, property="name"),
        H.pre(example.query, property="query"),
        H.p("Reads ", *_listed(example.tables), "."),
        id=example.key,
        resource=f"#{example.key}",
        typeof="example",
    )


def _listed(tables: Iterable[str]) -> list[etree._Element]:
    found = [H.code(table, property="table") for table in tables]
    for element in found[:-1]:
        element.tail = ", "
    return found
