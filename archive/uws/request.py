"""What clients say to a job list, as typed values (UWS 1.1 section 2.2)."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flask import Request

from archive.dali import Parameters
from archive.faults import UsageFault
from archive.jobs import CONTROLS, Client, Draft, Parameter, Phase

_RUN_ID_LENGTH = 64  # TAP 1.1 section 2.7.6
_MOST_SECONDS = 2**31 - 1  # executionDuration is an xs:int
_INLINE = re.compile(r",\s*param:([^;]+)")


@dataclass(frozen=True, slots=True)
class Given:
    """Job parameters of one request, and the bytes of inline uploads by the name of their part."""

    parameters: tuple[Parameter, ...]
    files: Mapping[str, Iterable[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> Given:
        """All that were sent, names as sent and in order; nameless ones are dropped.

        An upload refers to a part of the same request by ``param:NAME``; that part may be a file or a plain field.
        """
        pairs = [*request.args.items(multi=True), *request.form.items(multi=True)]
        inline = {name.strip() for key, value in pairs if key.upper() == "UPLOAD" for name in _INLINE.findall(value)}
        files: dict[str, Iterable[bytes]] = {name: file.stream for name, file in request.files.items() if name}
        given = []
        for name, value in pairs:
            if name in inline:
                files.setdefault(name, [value.encode()])
            elif name:
                given.append(Parameter(name, value))
        return cls((*given, *(Parameter(name, f"param:{name}") for name in files)), files)


@dataclass(frozen=True, slots=True)
class Creation:
    """A job to create and whether to run it at once."""

    draft: Draft
    files: Mapping[str, Iterable[bytes]]
    run: bool

    @classmethod
    def read(cls, request: Request, service: str, client: Client) -> Creation:
        """Never refuses: a control that makes no sense stays among the parameters and fails the job when it runs."""
        given = Given.of(request)
        kept, controls = _controls(given.parameters)
        draft = Draft(
            service,
            client,
            kept,
            run_id=controls.run_id,
            duration=controls.duration,
            destruction=controls.destruction,
        )
        return cls(draft, given.files, controls.run)


@dataclass(slots=True)
class _Controls:
    run: bool = False
    run_id: str | None = None
    duration: int | None = None
    destruction: datetime.datetime | None = None

    def take(self, parameter: Parameter) -> bool:
        """Heed a control; false if ``parameter`` is none, or none that makes sense."""
        try:
            match parameter.name.upper():
                case "PHASE":
                    self.run = is_run(parameter.value) or self.run
                    return is_run(parameter.value)
                case "RUNID":
                    self.run_id = run_id(parameter.value)
                case "EXECUTIONDURATION":
                    self.duration = duration(parameter.value)
                case "DESTRUCTION":
                    self.destruction = time("DESTRUCTION", parameter.value)
                case _:
                    return False
        except UsageFault:
            return False
        return True


def _controls(parameters: Iterable[Parameter]) -> tuple[tuple[Parameter, ...], _Controls]:
    controls = _Controls()
    return tuple(parameter for parameter in parameters if not controls.take(parameter)), controls


def later(given: Given) -> tuple[Given, tuple[str, ...]]:
    """Parameters sent to ``/parameters``: those of the job, and the RUNIDs among them.

    Raises:
        UsageFault: a control was sent that has a resource of its own.
    """
    named = [(parameter.name.upper(), parameter) for parameter in given.parameters]
    misplaced = next((name for name, _ in named if name in CONTROLS and name != "RUNID"), None)
    if misplaced is not None:
        raise UsageFault(f"{misplaced} is no parameter of the job.", f"POST it to the job's /{misplaced.lower()}.")
    names = tuple(run_id(parameter.value) or "" for name, parameter in named if name == "RUNID")
    return Given(tuple(parameter for name, parameter in named if name != "RUNID"), given.files), names


@dataclass(frozen=True, slots=True)
class Filters:
    """Which jobs to list (UWS 1.1 section 2.2.2.1)."""

    phases: frozenset[Phase]
    after: datetime.datetime | None
    last: int | None

    @classmethod
    def read(cls, parameters: Parameters) -> Filters:
        """The filters PHASE (repeatable), AFTER and LAST.

        Raises:
            UsageFault: one has a value it cannot have.
        """
        after, last = parameters.one("AFTER"), parameters.one("LAST")
        return cls(
            frozenset(phase(text) for text in parameters.every("PHASE")),
            None if after is None else time("AFTER", after),
            None if last is None else _count(last),
        )


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to hold the answer back (UWS 1.1 section 2.2.1.2): seconds, or for ever; and the phase to leave."""

    seconds: float
    phase: Phase | None

    @classmethod
    def read(cls, parameters: Parameters) -> Wait | None:
        """What WAIT and PHASE ask for; None without WAIT.

        Raises:
            UsageFault: one has a value it cannot have.
        """
        text, guard = parameters.one("WAIT"), parameters.one("PHASE")
        if text is None:
            return None
        if not re.fullmatch(r"-1|[0-9]{1,9}", text.strip()):
            raise UsageFault(f"WAIT={text!r} is not a number of seconds.", "Give a whole number; -1 for no end.")
        seconds = int(text)
        return cls(math.inf if seconds < 0 else seconds, None if guard is None else phase(guard))


def is_run(text: str) -> bool:
    """Whether a value of PHASE asks to run; clients differ in the case they write."""
    return text.strip().upper() == "RUN"


def phase(text: str) -> Phase:
    """A phase by its name, in any case."""
    try:
        return Phase(text.strip().upper())
    except ValueError:
        raise UsageFault(f"PHASE={text!r} is no phase.", f"The phases are {', '.join(Phase)}.") from None


def run_id(text: str) -> str | None:
    """A RUNID; an empty one is none."""
    if len(text) > _RUN_ID_LENGTH:
        raise UsageFault(f"RUNID has {len(text)} characters.", f"It may have {_RUN_ID_LENGTH}.")
    return text or None


def duration(text: str) -> int:
    """An execution duration in seconds; a part of a second counts as one."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise UsageFault(f"EXECUTIONDURATION={text!r} is not a number of seconds.", "Give a whole number from 0 on.")
    return min(math.ceil(seconds), _MOST_SECONDS)


def time(name: str, text: str) -> datetime.datetime:
    """A time as ISO 8601 writes it, such as 2026-01-31T12:00:00Z; UTC unless it says otherwise."""
    try:
        found = datetime.datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=found.tzinfo or datetime.UTC).astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise UsageFault(f"{name}={text!r} is not a time.", "Write it like 2026-01-31T12:00:00Z.") from None


def _count(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text.strip()):
        raise UsageFault(f"LAST={text!r} is not a number of jobs.", "Give a whole number from 1 on.")
    return int(text)
