"""``Jobs``: all jobs of a service as rows; a phase changes only by compare-and-set along ``MOVES``."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from archive.config import Config
from archive.faults import NotFound, TransientFault, UsageFault
from archive.jobs import rows, tables
from archive.jobs.bells import Bells
from archive.jobs.folders import Folders
from archive.jobs.model import (
    Client,
    Draft,
    Failure,
    Job,
    JobRef,
    Lane,
    Parameter,
    Phase,
    Product,
    Terms,
    sources,
)
from archive.ledger.connections import WRITES

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # nothing that is mistaken for something else
_ID_LENGTH = 20  # 99 bits: knowing an anonymous job's id is what gives access to it


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Jobs:
    """The store. Used by faces (create, show, run, abort, delete) and by runners (claim, pulse, finish).

    ``folder`` holds the bytes of jobs and the bells of runners; all processes of a service share it.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        terms: Terms | None = None,
        *,
        pooled: bool = True,
        clock: Callable[[], datetime.datetime] = _now,
    ) -> None:
        self.terms = terms or Terms()
        self.folders = Folders(folder / "files")
        self.bells = Bells(folder / "bells")
        self._engine = tables.connect(url, pooled=pooled)
        self._writing = self._engine.execution_options(**{WRITES: True})
        self._clock = clock

    @classmethod
    def of(cls, config: Config, *, pooled: bool = True) -> Jobs:
        """The jobs of the archive that ``config`` describes."""
        config.home.mkdir(parents=True, exist_ok=True)
        return cls(config.jobs_url, config.jobs_folder, Terms.of(config), pooled=pooled)

    def close(self) -> None:
        self._engine.dispose()

    # --- for clients --------------------------------------------------------------------------------

    def create(self, draft: Draft, files: Mapping[str, Iterable[bytes]] | None = None) -> Job:
        """Store ``draft`` as a new job, PENDING. ``files`` are the bytes of its inline uploads by parameter name.

        Raises:
            TransientFault: this client keeps as many jobs, or bytes, as it may.
        """
        job, now = _new_id(), self._clock()
        if files:
            with self._engine.connect() as connection:
                self._check_stored(connection, draft.client)
        parameters = self._kept(job, draft.parameters, files or {})
        with self._writing.begin() as connection:
            self._check_share(connection, draft.client, "kept", tuple(Phase), self.terms.kept)
            connection.execute(sa.insert(tables.jobs).values(self._row(job, draft, now)))
            rows.insert_parameters(connection, job, 0, parameters)
        return self.get(job)

    def get(self, job: str) -> Job:
        """The job with this id.

        Raises:
            NotFound: there is none, or it has been destroyed.
        """
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(tables.jobs).where(tables.jobs.c.id == job)).one_or_none()
            if row is None:
                raise _unknown(job)
            return rows.job(row, rows.parameters(connection, job, self.folders.of(job)), rows.products(connection, job))

    def phase(self, job: str) -> Phase:
        """The phase alone: cheap enough to be asked often."""
        with self._engine.connect() as connection:
            found = connection.scalar(sa.select(tables.jobs.c.phase).where(tables.jobs.c.id == job))
        if found is None:
            raise _unknown(job)
        return Phase(found)

    def seen_by(
        self,
        service: str,
        client: Client | None,
        *,
        phases: Collection[Phase] = (),
        after: datetime.datetime | None = None,
        last: int | None = None,
    ) -> list[JobRef]:
        """The jobs of a list that ``client`` may see (None: everybody's), newest first (UWS 1.1 section 2.2.2.1)."""
        c = tables.jobs.c
        query = sa.select(c.id, c.phase, c.run_id, c.owner, c.created).where(c.service == service)
        if client is not None:
            query = query.where(c.client == client.key)
        if phases:
            query = query.where(c.phase.in_([str(phase) for phase in phases]))
        if after is not None:
            query = query.where(c.created > after)
        query = query.order_by(c.created.desc(), c.id.desc()).limit(last)
        with self._engine.connect() as connection:
            return [
                JobRef(row.id, Phase(row.phase), row.run_id, row.owner, row.created)
                for row in connection.execute(query)
            ]

    def add(
        self, job: str, parameters: Sequence[Parameter], files: Mapping[str, Iterable[bytes]] | None = None
    ) -> None:
        """Add parameters to a PENDING job; one that is given again replaces the former, but UPLOADs add up.

        Raises:
            UsageFault: the job has left PENDING.
        """
        if files:
            with self._engine.connect() as connection:
                self._check_stored(connection, self._standing(connection, job)[1])
        kept = self._kept(job, parameters, files or {})
        replaced = [parameter.name for parameter in kept if parameter.name.upper() != "UPLOAD"]
        c = tables.parameters.c
        with self._writing.begin() as connection:
            self._only_while_pending(connection, job)
            folded = [name.upper() for name in replaced]
            connection.execute(sa.delete(tables.parameters).where(c.job == job, sa.func.upper(c.name).in_(folded)))
            place = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(c.place), -1)).where(c.job == job))
            rows.insert_parameters(connection, job, (place or 0) + 1, kept)

    def rename(self, job: str, run_id: str | None) -> None:
        """Set the RUNID of a PENDING job."""
        with self._writing.begin() as connection:
            self._only_while_pending(connection, job)
            self._set(connection, job, run_id=run_id)

    def limit(self, job: str, duration: int) -> None:
        """Ask for another execution duration (seconds, 0 for unlimited); holds for a job under way too."""
        with self._writing.begin() as connection:
            self._set(connection, job, duration=self.terms.clip_duration(duration))

    def keep_until(self, job: str, destruction: datetime.datetime) -> None:
        """Ask for another time of destruction."""
        with self._writing.begin() as connection:
            self._set(connection, job, destruction=self.terms.clip_destruction(destruction, self._clock()))

    def run(self, job: str, lane: Lane = Lane.SHORT) -> bool:
        """Queue a PENDING job; false, and nothing is done, if it has left that phase.

        Raises:
            TransientFault: this client has as many jobs under way, or as many results stored, as it may.
        """
        with self._writing.begin() as connection:
            phase, client = self._standing(connection, job)
            if phase is not Phase.PENDING:
                return False
            self._check_share(connection, client, "under way", (Phase.QUEUED, Phase.EXECUTING), self.terms.active)
            self._check_stored(connection, client)
            moved = self._move(connection, job, Phase.QUEUED, queued=self._clock(), lane=str(lane))
        self.bells.ring()
        return moved

    def abort(self, job: str, why: Failure | None = None, *, runner: str | None = None) -> bool:
        """Stop a job wherever it stands; false if it had ended. With ``runner``, only while that one holds it."""
        with self._writing.begin() as connection:
            moved = self._move(connection, job, Phase.ABORTED, runner, ended=self._clock(), **rows.reason(why))
        self.bells.ring()
        return moved

    def delete(self, job: str) -> None:
        """Stop a job and forget it with all its bytes; harmless when it is gone."""
        with self._writing.begin() as connection:
            connection.execute(sa.delete(tables.jobs).where(tables.jobs.c.id == job))
        self.bells.ring()
        self.folders.remove(job)

    def place_in_queue(self, job: Job) -> int | None:
        """How many jobs of its lane start before this one, plus one; None unless it is QUEUED."""
        if job.phase is not Phase.QUEUED:
            return None
        with self._engine.connect() as connection:
            waiting = [row.id for row in connection.execute(rows.queue(job.lane))]
        return waiting.index(job.id) + 1 if job.id in waiting else None

    # --- for runners --------------------------------------------------------------------------------

    def claim(self, runner: str, lane: Lane, most: int | None = None) -> Job | None:
        """Take the job that is next in ``lane``, now EXECUTING and held by ``runner``; None if there is none.

        With ``most``, none is taken while that many jobs of the lane execute.
        """
        while (found := self._next(lane, most)) is not None:
            with self._writing.begin() as connection:
                taken = self._move(connection, found, Phase.EXECUTING, runner=runner, started=self._clock())
            if taken:
                return self.get(found)
        return None

    def pulse(self, job: str, runner: str, written: int) -> int | None:
        """Renew the lease and tell how many rows are ``written``; returns the duration granted, in seconds.

        None means that the job is no longer this runner's: it has been aborted, deleted or given up for lost.
        """
        c = tables.jobs.c
        held = (c.id == job, c.phase == Phase.EXECUTING, c.runner == runner)
        renewed = sa.update(tables.jobs).where(*held).values(beat=c.beat + 1, rows=written).returning(c.duration)
        with self._writing.begin() as connection:
            granted: int | None = connection.scalar(renewed)
        return granted

    def holds(self, job: str, runner: str) -> bool:
        """Whether ``runner`` still holds the job."""
        c = tables.jobs.c
        query = sa.select(c.id).where(c.id == job, c.phase == Phase.EXECUTING, c.runner == runner)
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def slow(self, job: str, runner: str) -> bool:
        """Move a job under way to the long lane: it has taken longer than the short one allows."""
        c = tables.jobs.c
        held = (c.id == job, c.phase == Phase.EXECUTING, c.runner == runner)
        with self._writing.begin() as connection:
            return bool(connection.execute(sa.update(tables.jobs).where(*held).values(lane=Lane.LONG)).rowcount)

    def complete(self, job: str, runner: str, made: Sequence[Product], written: int) -> bool:
        """Make the results visible and the job COMPLETED; false, and nothing is seen, if it is no longer ours."""
        with self._writing.begin() as connection:
            moved = self._move(connection, job, Phase.COMPLETED, runner, ended=self._clock(), rows=written)
            if moved and made:
                connection.execute(sa.insert(tables.products), [{"job": job, **asdict(product)} for product in made])
        return moved

    def fail(self, job: str, why: Failure, *, runner: str | None = None) -> bool:
        """End a job under way in ERROR; false if it had ended. With ``runner``, only while that one holds it."""
        with self._writing.begin() as connection:
            return self._move(connection, job, Phase.ERROR, runner, ended=self._clock(), **rows.reason(why))

    def discard(self, job: Job) -> None:
        """Delete what was written for a job that has no result; its uploads stay as long as the job."""
        uploads = {parameter.file.name for parameter in job.parameters if parameter.file}
        if self.known(job.id):
            self.folders.empty(job.id, uploads)
        else:
            self.folders.remove(job.id)

    # --- for keepers --------------------------------------------------------------------------------

    def beats(self) -> dict[str, tuple[str, int]]:
        """Who holds each job under way, and how often they have renewed the lease."""
        c = tables.jobs.c
        query = sa.select(c.id, c.runner, c.beat).where(c.phase == Phase.EXECUTING)
        with self._engine.connect() as connection:
            return {row.id: (row.runner, row.beat) for row in connection.execute(query)}

    def overdue(self) -> list[str]:
        """Jobs whose time of destruction has come."""
        c = tables.jobs.c
        with self._engine.connect() as connection:
            return list(connection.scalars(sa.select(c.id).where(c.destruction <= self._clock())))

    def standing(self) -> dict[tuple[str, str], int]:
        """How many jobs there are, by phase and lane."""
        c = tables.jobs.c
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(c.phase, c.lane, sa.func.count()).group_by(c.phase, c.lane))
            return {(phase, lane): count for phase, lane, count in found}

    def known(self, job: str) -> bool:
        """Whether there is such a job."""
        try:
            self.phase(job)
        except NotFound:
            return False
        return True

    # --- inside -------------------------------------------------------------------------------------

    def _row(self, job: str, draft: Draft, now: datetime.datetime) -> dict[str, Any]:
        return {
            "id": job,
            "service": draft.service,
            "owner": draft.client.owner,
            "address": draft.client.address,
            "client": draft.client.key,
            "phase": Phase.PENDING,
            "lane": Lane.SHORT,
            "run_id": draft.run_id,
            "created": now,
            "destruction": self.terms.clip_destruction(draft.destruction, now),
            "duration": self.terms.clip_duration(draft.duration),
        }

    def _move(
        self, connection: sa.Connection, job: str, target: Phase, held_by: str | None = None, **values: Any
    ) -> bool:
        """The only statement that changes a phase: a legal move, or nothing."""
        c = tables.jobs.c
        where = [c.id == job, c.phase.in_([str(phase) for phase in sources(target)])]
        if held_by is not None:
            where.append(c.runner == held_by)
        statement = sa.update(tables.jobs).where(*where).values(phase=str(target), **values)
        return connection.execute(statement).rowcount == 1

    def _set(self, connection: sa.Connection, job: str, **values: Any) -> None:
        if not connection.execute(sa.update(tables.jobs).where(tables.jobs.c.id == job).values(**values)).rowcount:
            raise _unknown(job)

    def _only_while_pending(self, connection: sa.Connection, job: str) -> None:
        phase, _ = self._standing(connection, job)
        if phase is not Phase.PENDING:
            raise UsageFault(f"Job {job} is {phase}; it can be changed while it is PENDING.", "Create a new job.")

    def _standing(self, connection: sa.Connection, job: str) -> tuple[Phase, Client]:
        """Phase and client of a job, which stay as they are until the transaction is over."""
        c = tables.jobs.c
        query = sa.select(c.phase, c.owner, c.address).where(c.id == job).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise _unknown(job)
        return Phase(row.phase), Client(row.owner, row.address)

    def _check_share(
        self, connection: sa.Connection, client: Client, what: str, phases: Collection[Phase], most: int
    ) -> None:
        c = tables.jobs.c
        mine = (c.client == client.key, c.phase.in_([str(phase) for phase in phases]))
        count = connection.scalar(sa.select(sa.func.count()).select_from(tables.jobs).where(*mine)) or 0
        if count >= most:
            raise TransientFault(
                f"You have {count} jobs {what}; {most} are allowed.",
                "Wait for some to end, or delete some.",
                http=429,
                after=10,
            )

    def _check_stored(self, connection: sa.Connection, client: Client) -> None:
        size = sa.select(sa.func.coalesce(sa.func.sum(tables.products.c.size), 0))
        size = size.join_from(tables.products, tables.jobs).where(tables.jobs.c.client == client.key)
        stored = int(connection.scalar(size) or 0) + self._uploaded(connection, client)
        if stored >= self.terms.stored:
            raise TransientFault(
                f"Your results and uploads fill {stored} bytes; {self.terms.stored} are allowed.",
                "Delete jobs whose results you have fetched.",
                http=429,
                after=60,
            )

    def _uploaded(self, connection: sa.Connection, client: Client) -> int:
        """The bytes of the uploads that lie beside the jobs of ``client``."""
        c = tables.parameters.c
        files = sa.select(c.job, c.file).join_from(tables.parameters, tables.jobs)
        kept = files.where(tables.jobs.c.client == client.key, c.file.is_not(None))
        return sum(self.folders.size(row.job, row.file) for row in connection.execute(kept))

    def _next(self, lane: Lane, most: int | None) -> str | None:
        c = tables.jobs.c
        with self._engine.connect() as connection:
            if most is not None:
                running = sa.select(sa.func.count()).where(c.lane == lane, c.phase == Phase.EXECUTING)
                if (connection.scalar(running) or 0) >= most:
                    return None
            first = connection.execute(rows.queue(lane).limit(1)).one_or_none()
        return None if first is None else str(first.id)

    def _kept(self, job: str, given: Sequence[Parameter], files: Mapping[str, Iterable[bytes]]) -> list[Parameter]:
        """``given`` with the bytes of inline uploads stored beside the job."""
        kept = []
        for parameter in given:
            if parameter.name not in files:
                kept.append(parameter)
                continue
            name = f"upload-{secrets.token_hex(8)}"
            self.folders.write(job, name, files[parameter.name])
            kept.append(Parameter(parameter.name, parameter.value, self.folders.of(job) / name))
        return kept


def _unknown(job: str) -> NotFound:
    return NotFound(f"There is no job {job}.", "It may have been deleted, or its time of destruction has come.")


def _new_id() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
