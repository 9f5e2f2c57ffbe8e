"""What the TAP service declares of itself (TAPRegExt 1.0): languages, functions, formats, limits, as they are.

Functions come from the table the resolver reads, formats from the table of writers, limits from the
configuration, so that nothing is declared that does not work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lxml import etree

from archive import vosi
from archive.adql.functions import FUNCTIONS, Function, Group
from archive.config import Config
from archive.results.formats import FORMATS, Format
from archive.vosi import E

_FEATURES = "ivo://ivoa.net/std/tapregext#"  # in lower case, as ADQL 2.1 section 4 has it
_LEGACY_FEATURES = "ivo://ivoa.net/std/TAPRegExt#"  # as TAPRegExt 1.0 section 2.3 has it; identifiers have no case
_UPLOAD = "ivo://ivoa.net/std/TAPRegExt#upload-"

_ONLY_LOWER = frozenset({Group.CONDITIONAL})  # came with ADQL 2.1, which had changed the case by then

# TAPRegExt 1.0 section 2.3 knows these; any other geometry function of ours is an extension, declared as such.
_STANDARD_GEOMETRY = frozenset(
    "AREA BOX CENTROID CIRCLE CONTAINS COORD1 COORD2 COORDSYS DISTANCE INTERSECTS POINT POLYGON REGION".split()
)

# Optional features of ADQL 2.1 section 4 that are no functions.
_SYNTAX = {
    Group.STRING: ("ILIKE",),
    "features-adql-common-table": ("WITH",),
    "features-adql-sets": ("UNION", "EXCEPT", "INTERSECT"),
    "features-adql-type": ("CAST",),
    "features-adql-offset": ("OFFSET",),
}


def records(base: str, config: Config) -> Iterator[etree._Element]:
    """The capabilities of the TAP service at ``base`` beside those of VOSI."""
    yield _table_access(base, config)
    examples = vosi.interface(f"{base}/examples", "full", "1.0", "vr:WebBrowser")
    yield E.capability(examples, standardID="ivo://ivoa.net/std/DALI#examples")


def _table_access(base: str, config: Config) -> etree._Element:
    return E.capability(
        E.description(_other_limits(config)),
        vosi.interface(base, "base", "1.1"),
        E.dataModel("ObsCore-1.1", {"ivo-id": "ivo://ivoa.net/std/ObsCore#core-1.1"}),
        _language(_LEGACY_FEATURES if config.legacy_features else _FEATURES),
        *(_output_format(format_) for format_ in FORMATS),
        *(E.uploadMethod({"ivo-id": _UPLOAD + way}) for way in ("inline", "http", "https")),
        *_period("retentionPeriod", config.job_retention, config.hard_job_retention),
        *_period("executionDuration", config.job_seconds, config.hard_job_seconds),
        *_output_limit(config),
        _upload_limit(config),
        vosi.xsi_type("tr:TableAccess"),
        standardID="ivo://ivoa.net/std/TAP",
    )


def _language(features: str) -> etree._Element:
    standard = "ivo://ivoa.net/std/ADQL#v"
    versions = [E.version(number, {"ivo-id": standard + number}) for number in ("2.0", "2.1")]
    description = E.description("Astronomical Data Query Language; 2.1 unless asked otherwise")
    return E.language(E.name("ADQL"), *versions, description, *_features(features))


def _features(prefix: str) -> Iterator[etree._Element]:
    standard = [function for function in FUNCTIONS if _is_standard(function)]
    groups: dict[str, list[str]] = {group: list(forms) for group, forms in _SYNTAX.items()}
    for function in standard:
        groups.setdefault(function.group, []).append(function.name)
    for group, forms in sorted(groups.items()):
        named = _FEATURES if group in _ONLY_LOWER else prefix
        yield _feature_group(named + group, ((form, None) for form in forms))
    extensions = [function for function in FUNCTIONS if function.group and function not in standard]
    forms_told = ((form, function.description) for function in extensions for form in function.forms)
    yield _feature_group(prefix + Group.UDF, forms_told)


def _is_standard(function: Function) -> bool:
    if function.group == Group.GEOMETRY:
        return function.name in _STANDARD_GEOMETRY
    return function.group not in (Group.CORE, Group.UDF)


def _feature_group(kind: str, forms: Iterable[tuple[str, str | None]]) -> etree._Element:
    features = (E.feature(E.form(form), *([E.description(text)] if text else [])) for form, text in forms)
    return E.languageFeatures(*features, type=kind)


def _output_format(format_: Format) -> etree._Element:
    names = [E.mime(format_.mime), *(E.alias(alias) for alias in format_.aliases)]
    return E.outputFormat(*names, {"ivo-id": format_.ivo_id} if format_.ivo_id else {})


def _period(name: str, default: int, hard: int) -> Iterator[etree._Element]:
    """Seconds that jobs get: unless they ask, and at most (0: no limit, which is declared by saying nothing)."""
    known = [getattr(E, limit)(str(seconds)) for limit, seconds in (("default", default), ("hard", hard)) if seconds]
    if known:
        yield getattr(E, name)(*known)


def _output_limit(config: Config) -> Iterator[etree._Element]:
    """Rows of an answer: without MAXREC, and at most. Only what is limited is declared."""
    limits = {"default": config.default_maxrec, "hard": config.hard_maxrec}
    known = [getattr(E, name)(str(rows), unit="row") for name, rows in limits.items() if rows is not None]
    if known:
        yield E.outputLimit(*known)


def _other_limits(config: Config) -> str:
    """The limits for which TAPRegExt 1.0 has no element, in words."""
    return (
        f"A synchronous query may run for {config.sync_seconds:g} s. Each process of the server computes "
        f"{config.short_queries_each} of them for one address at once, and {config.long_queries_each} that read much; "
        f"others wait for {config.turn_seconds:g} s and are then answered with 429 or 503. One owner, or one address "
        f"where nobody says who asks, may have {config.active_jobs} jobs queued or executing, {config.kept_jobs} jobs "
        f"in all, {config.result_bytes} bytes in one result and {config.stored_bytes} bytes in all results and uploads "
        "before further jobs are answered with 429. Retry-After tells when to come again."
    )


def _upload_limit(config: Config) -> etree._Element:
    """Rows of an uploaded table, and bytes of all that come with a query: TAPRegExt 1.0 has one element for both."""
    return E.uploadLimit(E.default(str(config.upload_rows), unit="row"), E.hard(str(config.upload_bytes), unit="byte"))
