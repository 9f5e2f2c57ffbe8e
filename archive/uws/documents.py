"""The documents of UWS 1.1 appendix B: job, job list, parameters, results. Free of Flask."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree
from lxml.builder import ElementMaker

from archive.jobs import Failure, Job, JobRef, Parameter, Product

UWS = "http://www.ivoa.net/xml/UWS/v1.0"
XLINK = "http://www.w3.org/1999/xlink"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NIL = {f"{{{XSI}}}nil": "true"}
_VERSION = "1.1"

E = ElementMaker(namespace=UWS, nsmap={"uws": UWS, "xlink": XLINK, "xsi": XSI})
_OWN = ElementMaker()  # what jobInfo holds is ours: no namespace of the IVOA

# Characters that no XML 1.0 document can hold (section 2.2), not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the resources of a job list are; ``jobs`` is the absolute public URL of the list."""

    jobs: str

    def job(self, job: str) -> str:
        return f"{self.jobs}/{job}"

    def parameter(self, job: str, name: str) -> str:
        return f"{self.job(job)}/parameters/{name}"

    def result(self, job: str, name: str) -> str:
        return f"{self.job(job)}/results/{name}"


def instant(time: datetime.datetime | None) -> str:
    """A time in UTC as UWS 1.1 section 2.2.1 wants it; nothing for None. Whole seconds have no fraction."""
    if time is None:
        return ""
    precision = "milliseconds" if time.microsecond else "seconds"
    return time.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def jobs(refs: Iterable[JobRef], addresses: Addresses) -> bytes:
    """The job list (UWS 1.1 section 2.2.2.1)."""
    return _document(E.jobs(*(_ref(ref, addresses) for ref in refs), version=_VERSION))


def job(job: Job, place_in_queue: int | None, addresses: Addresses) -> bytes:
    """The job summary (UWS 1.1 section 2.2.2.2)."""
    parts = [
        E.jobId(job.id),
        *([] if job.run_id is None else [E.runId(_xml(job.run_id))]),
        _nillable("ownerId", job.client.owner or ""),
        E.phase(job.phase),
        _nillable("quote", ""),
        E.creationTime(instant(job.created)),
        _nillable("startTime", instant(job.started)),
        _nillable("endTime", instant(job.ended)),
        E.executionDuration(str(job.duration)),
        E.destruction(instant(job.destruction)),
        _parameters(job, addresses),
        _results(job, addresses),
        *([] if job.failure is None else [_error(job.failure)]),
        E.jobInfo(*_info(job, place_in_queue)),
    ]
    return _document(E.job(*parts, version=_VERSION))


def parameters(job: Job, addresses: Addresses) -> bytes:
    """The parameter list of a job."""
    return _document(_parameters(job, addresses))


def results(job: Job, addresses: Addresses) -> bytes:
    """The result list of a job; empty until it is COMPLETED."""
    return _document(_results(job, addresses))


def _ref(ref: JobRef, addresses: Addresses) -> etree._Element:
    parts = [
        E.phase(ref.phase),
        *([] if ref.run_id is None else [E.runId(_xml(ref.run_id))]),
        *([] if ref.owner is None else [E.ownerId(_xml(ref.owner))]),
        E.creationTime(instant(ref.created)),
    ]
    return E.jobref(*parts, _link(addresses.job(ref.id)), id=ref.id)


def _parameters(job: Job, addresses: Addresses) -> etree._Element:
    return E.parameters(*(_parameter(job.id, parameter, addresses) for parameter in job.parameters))


def _parameter(job: str, parameter: Parameter, addresses: Addresses) -> etree._Element:
    name = _xml(parameter.name)
    if parameter.file is None:
        return E.parameter(_xml(parameter.value), id=name)
    return E.parameter(addresses.parameter(job, name), id=name, byReference="true", isPost="true")


def _results(job: Job, addresses: Addresses) -> etree._Element:
    return E.results(*(_result(job.id, product, addresses) for product in job.products))


def _result(job: str, product: Product, addresses: Addresses) -> etree._Element:
    attributes = {"id": product.name, "size": str(product.size), "mime-type": product.media}
    return E.result(attributes, _link(addresses.result(job, product.name)))


def _error(failure: Failure) -> etree._Element:
    kind = "transient" if failure.transient else "fatal"
    return E.errorSummary(E.message(_xml(failure.message)), type=kind, hasDetail="true")


def _info(job: Job, place_in_queue: int | None) -> Iterable[etree._Element]:
    """What users want to know beyond the standard: which lane, how long the queue, how far the work is, and with what
    a result can be had again.
    """
    yield _OWN.lane(job.lane)
    if place_in_queue is not None:
        yield _OWN.queuePosition(str(place_in_queue))
    yield _OWN.rows(str(job.rows))
    yield from (_OWN.token(product.token) for product in job.products if product.token is not None)


def _nillable(name: str, text: str) -> etree._Element:
    return E(name, _xml(text)) if text else E(name, _NIL)


def _link(url: str) -> dict[str, str]:
    return {f"{{{XLINK}}}type": "simple", f"{{{XLINK}}}href": url}


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _document(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True)
