"""What ``/datalink/links`` tells of files: one row for each thing that belongs to one (DataLink 1.1 section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

import pyarrow as pa

from archive.access import PUBLIC, Action, Actor, may, may_read
from archive.columns import Column, Datatype, arrow_type
from archive.faults import Fault, NotFound, TransientFault, UsageFault
from archive.ledger import contents
from archive.ledger.contents import Content
from archive.ledger.linked import MOST, Linked, Member
from archive.ledger.site import uri_of
from archive.products import ProductTypes

THIS = "#this"
_FLATS = ("flat_mono", "flat_broadband", "illumination")
_CALIBRATIONS = {"bias": "#bias", "dark": "#dark", **dict.fromkeys(_FLATS, "#flat")}
_SEEN = ("image", "cube")  # what there are pictures of


def _text(name: str, ucd: str | None, description: str) -> Column:
    return Column(name, Datatype.CHAR, "*", ucd=ucd, description=description)


COLUMNS = (
    _text("ID", "meta.id;meta.main", "What was asked for"),
    _text("access_url", "meta.ref.url", "Where it can be had"),
    _text("service_def", "meta.ref", "ID of the RESOURCE that describes a service for it"),
    _text("error_message", "meta.code.error", "Why it cannot be had"),
    _text("description", "meta.note", "What it is"),
    _text("semantics", "meta.code", "How it belongs to what was asked for (http://www.ivoa.net/rdf/datalink/core)"),
    _text("content_type", "meta.code.mime", "Media type of it"),
    Column("content_length", Datatype.LONG, unit="byte", ucd="phys.size;meta.file", description="Bytes that it has"),
    _text("content_qualifier", None, "What it shows (http://www.ivoa.net/rdf/product-type)"),
    _text("local_semantics", "meta.id.assoc", "How it belongs to it, in this archive's own words"),
    _text("link_auth", "meta.code", "Whether one has to say who one is: false, optional or true"),
    Column("link_authorized", Datatype.BOOLEAN, ucd="meta.code", description="Whether who asked may have it"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A row, by the names of ``COLUMNS``; of ``access_url`` and ``error_message`` one is there."""

    ID: str
    semantics: str
    description: str
    access_url: str | None = None
    service_def: str | None = None
    error_message: str | None = None
    content_type: str | None = None
    content_length: int | None = None
    content_qualifier: str | None = None
    local_semantics: str | None = None
    link_auth: str | None = None
    link_authorized: bool | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """Makes links for ``actor``; ``base`` is the public URL of the archive, ``withdrawn`` are releases, by name."""

    base: str
    actor: Actor
    types: ProductTypes
    withdrawn: Mapping[str, Content]

    def of(self, asked: str, found: Linked | None) -> list[Link]:
        """All that belongs to the file asked for; one row with the fault where there is no such file to be had."""
        if found is None:
            return [_fault(asked, THIS, "", _unknown(asked))]
        fault = self._unfit(found.member)
        if isinstance(fault, NotFound):
            return [_fault(asked, THIS, self._told(found.member), fault)]
        return [
            self._file(asked, found.member, THIS),
            *self._pictures(asked, found.member),
            *self._inputs(asked, found),
            *self._derived(asked, found),
            *(self._file(asked, member, "#counterpart", _likeness(found.member, member)) for member in found.alike),
        ]

    def _file(self, asked: str, member: Member, semantics: str, role: str | None = None, note: str = "") -> Link:
        told = self._told(member) + note
        fault = self._unfit(member)
        if fault is not None:
            return _fault(asked, semantics, told, fault, role)
        return Link(
            ID=asked,
            semantics=semantics,
            description=told,
            access_url=f"{self.base}/files/{_path(member)}",
            content_type=member.media_type,
            content_length=member.size,
            content_qualifier=f"#{member.shows}" if member.shows else None,
            local_semantics=role,
            link_auth=self._auth(member),
            link_authorized=may_read(self.actor, member.public_from),
        )

    def _pictures(self, asked: str, member: Member) -> Iterator[Link]:
        if member.shows not in _SEEN or not member.here:
            return
        for semantics, place, told in (
            ("#preview", "previews", "Picture of it, north up where that is known"),
            ("#thumbnail", "thumbnails", "Small picture of it, north up where that is known"),
        ):
            yield Link(
                ID=asked,
                semantics=semantics,
                description=told,
                access_url=f"{self.base}/{place}/{_path(member)}.png",
                content_type="image/png",
                link_auth=self._auth(member),
                link_authorized=may_read(self.actor, member.public_from),
            )

    def _inputs(self, asked: str, found: Linked) -> Iterator[Link]:
        for given in found.inputs:
            semantics = _semantics(given.role, given.member)
            if given.member is None:
                fault = NotFound(f"{given.name} is not registered here.")
                yield _fault(asked, semantics, f"What it was made from: {given.name}", fault, given.role)
            else:
                yield self._file(asked, given.member, semantics, given.role)

    def _derived(self, asked: str, found: Linked) -> Iterator[Link]:
        for number, (role, member) in enumerate(found.derived, start=1):
            more = f" (the first {MOST}; there are more)" if number == MOST else ""
            yield self._file(asked, member, "#derivation", f"made from it as {role}", more)

    def _unfit(self, member: Member) -> Fault | None:
        """Why ``/files`` would not give the file to anybody like this actor, but for its being proprietary."""
        if member.retracted is not None:
            return NotFound(f"{member.uri} was retracted on {member.retracted:%Y-%m-%d}.")
        withdrawn = self.withdrawn.get(member.release or "")
        if withdrawn is not None and not may(self.actor, Action.READ):
            return contents.gone(withdrawn)
        if member.here:
            return None
        if member.dropped is not None:
            return NotFound(f"{member.uri} is not kept here since {member.dropped:%Y-%m-%d}.")
        return TransientFault(f"{member.uri} cannot be read here now: no good copy is at hand.")

    def _told(self, member: Member) -> str:
        kind = self.types.get(member.type or "")
        words = [kind.title if kind is not None else "File", f"of {member.release}" if member.release else ""]
        details = (member.exposure, member.detector, member.band)
        told = ", ".join(detail for detail in details if detail)
        name = _path(member).rpartition("/")[2]
        return f"{' '.join(filter(None, words))}{f' ({told})' if told else ''}: {name}"

    @staticmethod
    def _auth(member: Member) -> str:
        return "false" if may_read(PUBLIC, member.public_from) else "true"


def within(answers: Sequence[Sequence[Link]], most: int | None) -> tuple[list[Link], bool]:
    """The rows of as many files as have together at most ``most``, of each all or none; and whether that cut any off.

    An answer of DataLink 1.1 is never cut within one ID.
    """
    rows: list[Link] = []
    for answer in answers:
        if most is not None and len(rows) + len(answer) > most:
            return rows, True
        rows += answer
    return rows, False


def batch(rows: Sequence[Link]) -> pa.RecordBatch:
    """``rows`` as they travel, in the order of ``COLUMNS``."""
    arrays = [pa.array([getattr(row, column.name) for row in rows], arrow_type(column)) for column in COLUMNS]
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in COLUMNS])


assert {each.name for each in fields(Link)} == {column.name for column in COLUMNS}


def _path(member: Member) -> str:
    """Where the file is below ``/files``: its name without the authority."""
    return member.uri.split("/", 3)[3]


def _semantics(role: str, member: Member | None) -> str:
    """A term of the vocabulary for what a file was made from."""
    if member is not None and member.calibration is not None:
        return _CALIBRATIONS.get(member.calibration, "#calibration")
    return "#calibration" if role == "calibration" else "#progenitor"


def _likeness(member: Member, other: Member) -> str:
    if member.exposure is not None:
        return "same exposure" if member.release == other.release else f"same exposure in {other.release}"
    return f"same place in band {other.band}"


def _unknown(asked: str) -> Fault:
    if uri_of(asked) is None:
        form = "An ID is like ivo://archive.example.org/files?path or archive://archive.example.org/path."
        return UsageFault(f"'{asked[:200]}' identifies no file.", form)
    return NotFound(f"There is no file {asked}.")


def _fault(asked: str, semantics: str, told: str, fault: Fault, role: str | None = None) -> Link:
    """A row that says why there is no link (DataLink 1.1 section 3.4)."""
    return Link(
        ID=asked,
        semantics=semantics,
        description=told,
        error_message=f"{fault.dali}: {fault}",
        local_semantics=role,
    )
