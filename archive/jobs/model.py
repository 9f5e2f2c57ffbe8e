"""What a job is (UWS 1.1 section 2.1): its phases and the legal moves between them, its parts and its terms."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archive.config import Config
from archive.faults import FatalFault, Fault, NotFound, TransientFault, UsageFault


class Phase(enum.StrEnum):
    """The phases of UWS 1.1 section 2.1.3. Only those that ``MOVES`` names occur here; a client may ask for any."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    UNKNOWN = "UNKNOWN"
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"

    @property
    def active(self) -> bool:
        """Whether something may still happen to the job (UWS 1.1 section 2.2.1.2)."""
        return self in MOVES


# Every move there is. EXECUTING has no way back: a job that was begun is never begun again.
MOVES: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.QUEUED, Phase.ABORTED}),
    Phase.QUEUED: frozenset({Phase.EXECUTING, Phase.ABORTED}),
    Phase.EXECUTING: frozenset({Phase.COMPLETED, Phase.ERROR, Phase.ABORTED}),
}


def sources(target: Phase) -> tuple[Phase, ...]:
    """The phases from which a job may move to ``target``."""
    return tuple(phase for phase, targets in MOVES.items() if target in targets)


class Lane(enum.StrEnum):
    """Which runners take a job: SHORT ones are kept free of work that takes long (docs/decisions/011-two-lanes.md)."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: the name they proved, or None, and the network address they came from."""

    owner: str | None
    address: str

    @property
    def key(self) -> str:
        """What shares are counted by: the owner, else the address."""
        return f"@{self.address}" if self.owner is None else self.owner


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as the client sent it. With ``file`` it is an inline upload whose bytes lie there."""

    name: str
    value: str
    file: Path | None = None


# Names that steer a job and are no parameters of it (UWS 1.1 section 2.2.3; TAP 1.1 section 2.7.6).
CONTROLS = frozenset({"PHASE", "RUNID", "EXECUTIONDURATION", "DESTRUCTION"})


@dataclass(frozen=True, slots=True)
class Product:
    """A result: its name in the job's result list, and the file that holds it (``size`` in bytes).

    ``token`` is what it can be had again with; None if it cannot.
    """

    name: str
    media: str
    file: str
    size: int
    token: str | None = None


_KINDS: tuple[type[Fault], ...] = (UsageFault, NotFound, TransientFault, FatalFault)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no result, in words for its owner; ``dali`` is the fault's word (DALI 1.1 section 4.4)."""

    dali: str
    message: str

    @classmethod
    def of(cls, fault: Fault) -> Failure:
        return cls(fault.dali, str(fault))

    def fault(self) -> Fault:
        """The fault again, for documents that are made from one."""
        kind = next((kind for kind in _KINDS if kind.dali == self.dali), FatalFault)
        return kind(self.message)

    @property
    def transient(self) -> bool:
        """Whether the same job may succeed if it is sent again (UWS 1.1 appendix B, ErrorType)."""
        return self.dali == TransientFault.dali


@dataclass(frozen=True, slots=True)
class JobRef:
    """What a job list tells of a job."""

    id: str
    phase: Phase
    run_id: str | None
    owner: str | None
    created: datetime.datetime


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stood when it was read. Times are UTC; ``duration`` is in seconds, 0 for unlimited.

    ``service`` tells which list the job is in (``tap``, ``soda``), and so which task runs it. ``rows`` counts what
    has been written so far.
    """

    id: str
    service: str
    client: Client
    phase: Phase
    lane: Lane
    run_id: str | None
    created: datetime.datetime
    queued: datetime.datetime | None
    started: datetime.datetime | None
    ended: datetime.datetime | None
    destruction: datetime.datetime
    duration: int
    runner: str | None = None
    rows: int = 0
    failure: Failure | None = None
    parameters: tuple[Parameter, ...] = field(default=())
    products: tuple[Product, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Draft:
    """A job that is to be created; None leaves the choice to the service."""

    service: str
    client: Client
    parameters: tuple[Parameter, ...] = ()
    run_id: str | None = None
    duration: int | None = None
    destruction: datetime.datetime | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the service grants to jobs. Times in seconds, sizes in bytes.

    ``duration`` and ``retention`` hold unless the client asks otherwise, ``longest_duration`` (0: no limit) and
    ``longest_retention`` cap what it may ask for. A client may have ``active`` jobs queued or executing and
    ``kept`` jobs in all; its results may fill ``stored`` bytes, a single one ``result``.
    """

    duration: int = 3600
    longest_duration: int = 86400
    retention: int = 7 * 86400
    longest_retention: int = 31 * 86400
    active: int = 50
    kept: int = 1000
    stored: int = 100 * 10**9
    result: int = 20 * 10**9

    @classmethod
    def of(cls, config: Config) -> Terms:
        """The terms that the settings give."""
        return cls(
            duration=config.job_seconds,
            longest_duration=config.hard_job_seconds,
            retention=config.job_retention,
            longest_retention=config.hard_job_retention,
            active=config.active_jobs,
            kept=config.kept_jobs,
            stored=config.stored_bytes,
            result=config.result_bytes,
        )

    def clip_duration(self, asked: int | None) -> int:
        """The execution duration to grant (UWS 1.1 section 2.2.3.4: the service may choose another)."""
        wanted = self.duration if asked is None else asked
        if not self.longest_duration:
            return wanted
        return min(wanted, self.longest_duration) if wanted else self.longest_duration

    def clip_destruction(self, asked: datetime.datetime | None, now: datetime.datetime) -> datetime.datetime:
        """The time of destruction to grant, in whole seconds."""
        wanted = now + datetime.timedelta(seconds=self.retention) if asked is None else asked
        latest = now + datetime.timedelta(seconds=self.longest_retention)
        return max(min(wanted, latest), now).replace(microsecond=0)
