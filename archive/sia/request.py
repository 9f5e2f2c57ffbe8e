"""The parameters of SIA 2.0 section 2.1 as one typed value; each is an entry of a table that also describes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from archive import dali, literals
from archive.columns import Datatype
from archive.dali import Parameters
from archive.faults import UsageFault
from archive.images import KINDS, Search
from archive.results.descriptors import DATALINK_TYPE, Input
from archive.results.formats import FORMATS, Format
from archive.vocabularies import STATES

_MOST = 1000  # values of one parameter
_LEVELS = (0, 4)
_WORDS = ("image", "cube", "spectrum", "sed", "timeseries", "visibility", "event", "measurements")
"""Values of dataproduct_type (ObsCore 1.1 section 4.1); a search for others than images and cubes finds nothing."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter that may be repeated: which values of ``Search`` it gives, how one is read, and what it is."""

    field: str
    read: Callable[[str, str], Any]
    about: Input


def _interval(name: str, field: str, column: str, unit: str | None, ucd: str, description: str) -> Parameter:
    about = Input(name, Datatype.DOUBLE, "2", "interval", unit, ucd, f"obscore:{column}", description)
    return Parameter(field, literals.interval, about)


def _text(name: str, field: str, column: str, ucd: str, description: str) -> Parameter:
    return Parameter(field, _as_told, Input(name, ucd=ucd, utype=f"obscore:{column}", description=description))


def _word(name: str, text: str, words: tuple[str, ...]) -> str:
    if text.strip() not in words:
        raise UsageFault(f"{name}={text[:40]!r} is not offered.", f"{name} takes {', '.join(words)}.")
    return text.strip()


def _as_told(name: str, text: str) -> str:
    if not text or "\0" in text or not text.isprintable():
        raise UsageFault(f"{name} has a value that cannot be compared.", "Give a printable text.")
    return text


def _identifier(name: str, text: str) -> str:
    return _as_told(name, text.strip())


def _media_type(name: str, text: str) -> str:
    """A media type, which has no case; the ObsCore standard prints that of DataLink with a blank."""
    return _as_told(name, text).replace("; ", ";").strip().lower()


PARAMETERS: dict[str, Parameter] = {
    parameter.about.name: parameter
    for parameter in (
        Parameter(
            "places",
            literals.shape,
            Input(
                "POS",
                unit="deg",
                ucd="pos.outline;obs.field",
                utype="obscore:Char.SpatialAxis.Coverage.Support.Area",
                description="Region that the image meets: CIRCLE lon lat radius, RANGE lon1 lon2 lat1 lat2 or "
                "POLYGON lon1 lat1 lon2 lat2 lon3 lat3 ..., ICRS",
            ),
        ),
        _interval(
            "BAND",
            "bands",
            "Char.SpectralAxis.Coverage.Bounds.Limits",
            "m",
            "em.wl",
            "Wavelengths in vacuum, which the image overlaps",
        ),
        _interval(
            "TIME",
            "times",
            "Char.TimeAxis.Coverage.Bounds.Limits",
            "d",
            "time.interval;obs.exposure",
            "Time (MJD, UTC), which the image overlaps",
        ),
        Parameter(
            "states",
            lambda name, text: _word(name, text.upper(), STATES),
            Input(
                "POL",
                ucd="meta.code;phys.polarization",
                utype="obscore:Char.PolarizationAxis.stateList",
                description="State of polarisation",
                options=STATES,
            ),
        ),
        _interval(
            "FOV",
            "widths",
            "Char.SpatialAxis.Coverage.Bounds.Extent.diameter",
            "deg",
            "phys.angSize;instr.fov",
            "Width of the field of view",
        ),
        _interval(
            "SPATRES",
            "resolutions",
            "Char.SpatialAxis.Resolution.Refval.value",
            "arcsec",
            "pos.angResolution",
            "Width of the point spread",
        ),
        _interval(
            "SPECRP",
            "powers",
            "Char.SpectralAxis.Resolution.ResolPower.refVal",
            None,
            "spect.resolution",
            "Spectral resolving power",
        ),
        _interval(
            "EXPTIME",
            "exposures",
            "Char.TimeAxis.Coverage.Support.Extent",
            "s",
            "time.duration;obs.exposure",
            "Exposure time",
        ),
        _interval(
            "TIMERES",
            "time_resolutions",
            "Char.TimeAxis.Resolution.Refval.value",
            "s",
            "time.resolution",
            "Resolution in time",
        ),
        Parameter(
            "identifiers",
            _identifier,
            Input(
                "ID",
                ucd="meta.ref.ivoid",
                utype="obscore:Curation.publisherDID",
                description="Identifier of the dataset, upper or lower case",
            ),
        ),
        _text("COLLECTION", "collections", "DataID.collection", "meta.id", "Collection, exactly"),
        _text(
            "FACILITY",
            "facilities",
            "Provenance.ObsConfig.Facility.name",
            "meta.id;instr.tel",
            "Telescope or facility, exactly",
        ),
        _text(
            "INSTRUMENT",
            "instruments",
            "Provenance.ObsConfig.Instrument.name",
            "meta.id;instr",
            "Instrument, exactly",
        ),
        Parameter(
            "kinds",
            lambda name, text: _word(name, text.lower(), _WORDS),
            Input(
                "DPTYPE",
                ucd="meta.code.class",
                utype="obscore:ObsDataset.dataProductType",
                description="Kind of data product",
                options=KINDS,
            ),
        ),
        Parameter(
            "levels",
            lambda name, text: literals.whole(name, text, *_LEVELS),
            Input(
                "CALIB",
                Datatype.INT,
                None,
                ucd="meta.code;obs.calib",
                utype="obscore:ObsDataset.calibLevel",
                description="Level of calibration",
                least=str(_LEVELS[0]),
                most=str(_LEVELS[1]),
            ),
        ),
        _text("TARGET", "targets", "Target.name", "meta.id;src", "Name of the target, exactly"),
        Parameter(
            "formats",
            _media_type,
            Input(
                "FORMAT",
                ucd="meta.code.mime",
                utype="obscore:Access.format",
                description="Media type of what access_url leads to",
                options=(DATALINK_TYPE,),
            ),
        ),
        Parameter(
            "released",
            literals.period,
            Input(
                "RELEASEDATE",
                ucd="time.release",
                utype="obscore:Curation.releaseDate",
                description="Dates (ISO 8601, UTC) between which the image became public, or will",
            ),
        ),
    )
}
"""What can be asked (SIA 2.0 section 2.1; RELEASEDATE by the working draft of 2.1)."""


@dataclass(frozen=True, slots=True)
class SiaRequest:
    """What a client looks for and in which form; ``maxrec`` None means that the service's default limit holds.

    ``text`` are the parameters as they came, for the log.
    """

    search: Search
    maxrec: int | None
    format: Format
    text: str

    @classmethod
    def read(cls, parameters: Parameters) -> SiaRequest:
        """The typed form of ``parameters``; unknown ones are ignored.

        Raises:
            UsageFault: one has a value it cannot have.
        """
        search = Search(**dict(_constraints(parameters)))
        given = [f"{name}={value}" for name in PARAMETERS for value in parameters.every(name)]
        return cls(search, dali.maxrec(parameters), wanted(parameters), " ".join(given))


def wanted(parameters: Parameters) -> Format:
    """The format of the answer; FORMAT is no word for it here (SIA 2.0 section 2.1.17)."""
    return dali.wanted(parameters, "RESPONSEFORMAT")


def _constraints(parameters: Parameters) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, parameter in PARAMETERS.items():
        values = parameters.every(name)
        if len(values) > _MOST:
            raise UsageFault(f"{name} is given {len(values):,} times.", f"It may be given {_MOST:,} times.")
        if values:
            yield parameter.field, tuple(parameter.read(name, value) for value in values)


def inputs(default: int | None, most: int | None) -> tuple[Input, ...]:
    """All parameters, as the service describes itself; rows without MAXREC, and at most."""
    limit = Input(
        "MAXREC",
        Datatype.INT,
        None,
        description="Rows at most" if default is None else f"Rows at most; {default} unless told",
        least="0",
        most=None if most is None else str(most),
    )
    form = Input("RESPONSEFORMAT", description="Format of the answer", options=tuple(_short_names()))
    return (*(parameter.about for parameter in PARAMETERS.values()), limit, form)


def _short_names() -> Iterator[str]:
    return (form.aliases[0] if form.aliases else form.mime for form in FORMATS)
