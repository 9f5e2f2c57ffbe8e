"""The resources of a job list (UWS 1.1 section 2.2.1) as a blueprint; TAP and SODA each have one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, request, send_file

from archive import dali
from archive.dali import Parameters
from archive.faults import NotFound, UsageFault
from archive.jobs import Client, Job, Jobs, Lane, Phase
from archive.results import error_document, formats
from archive.uws import documents
from archive.uws.documents import Addresses
from archive.uws.request import Creation, Filters, Given, Wait, duration, is_run, later
from archive.uws.request import time as time_of

_TEXT = "text/plain"


def anonymous() -> Client:
    """Whoever asks, known by the address alone."""
    return Client(None, request.remote_addr or "")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a process treats WAIT: ``seconds`` at most for one request, at most ``at_once`` requests together.

    A waiting request holds a thread; beyond the limit requests are answered without waiting, as UWS 1.1
    section 2.2.1.2 allows.
    """

    seconds: float = 30
    at_once: int = 8


def uws_blueprint(
    service: str,
    jobs: Jobs,
    address: Callable[[], str],
    *,
    lane: Callable[[Job], Lane] = lambda job: Lane.SHORT,
    client: Callable[[], Client] = anonymous,
    waiting: Waiting | None = None,
) -> Blueprint:
    """The job list of ``service``, to be registered below the path that ``address`` names.

    ``address`` gives the absolute public URL of the list for the request at hand, ``client`` who sent the request,
    ``lane`` which runners a job is for.
    """
    return _Face(service, jobs, address, lane, client, waiting or Waiting()).blueprint()


class _Face:
    def __init__(
        self,
        service: str,
        jobs: Jobs,
        address: Callable[[], str],
        lane: Callable[[Job], Lane],
        client: Callable[[], Client],
        waiting: Waiting,
    ) -> None:
        self._service = service
        self._jobs = jobs
        self._address = address
        self._lane = lane
        self._client = client
        self._waiting = waiting
        self._waiters = threading.BoundedSemaphore(waiting.at_once)

    def blueprint(self) -> Blueprint:
        face = Blueprint(f"{self._service}-jobs", __name__)

        def route(path: str, name: str, get: Callable[..., Response], **changes: Callable[..., Response]) -> None:
            face.add_url_rule(path, name, get, strict_slashes=False)
            for method, view in changes.items():
                face.add_url_rule(path, f"{method} {name}", view, methods=[method], strict_slashes=False)

        route("", "jobs", self.jobs, POST=self.create)
        route("/<job>", "job", self.job, POST=self.act, DELETE=self.delete)
        route("/<job>/phase", "phase", self.phase, POST=self.move)
        route("/<job>/executionduration", "executionduration", self.executionduration, POST=self.limit)
        route("/<job>/destruction", "destruction", self.destruction, POST=self.keep)
        route("/<job>/parameters", "parameters", self.parameters, POST=self.add)
        route("/<job>/parameters/<name>", "parameter", self.parameter)
        route("/<job>/results", "results", self.results)
        route("/<job>/results/<name>", "result", self.result)
        route("/<job>/error", "error", self.error)
        route("/<job>/quote", "quote", self.quote)
        route("/<job>/owner", "owner", self.owner)
        face.register_error_handler(Exception, lambda error: dali.plain_error(dali.as_fault(error)))
        return face

    # --- the list -----------------------------------------------------------------------------------

    def jobs(self) -> Response:
        """The jobs of this client (section 2.2.2.1)."""
        filters = Filters.read(Parameters.of(request))
        refs = self._jobs.seen_by(
            self._service, self._client(), phases=filters.phases, after=filters.after, last=filters.last
        )
        return _xml(documents.jobs(refs, self._addresses))

    def create(self) -> Response:
        """Create a job, whatever its parameters are worth (section 2.2.3.1; TAP 1.1 section 2.3)."""
        creation = Creation.read(request, self._service, self._client())
        job = self._jobs.create(creation.draft, creation.files)
        if creation.run:
            try:
                self._run(job)
            except Exception:
                self._jobs.delete(job.id)  # the client would never learn its address
                raise
        return self._see(job.id)

    # --- a job --------------------------------------------------------------------------------------

    def job(self, job: str) -> Response:
        """The job summary; with WAIT, once the phase has changed (section 2.2.1.2)."""
        found = self._found(job)
        wait = Wait.read(Parameters.of(request))
        if wait is not None and request.method == "GET" and self._awaited(found, wait):
            found = self._found(job)
        return _xml(documents.job(found, self._jobs.place_in_queue(found), self._addresses))

    def act(self, job: str) -> Response:
        """ACTION=DELETE for browsers (section 2.2.3.2); PHASE is taken here too."""
        parameters = Parameters.of(request)
        action = parameters.one("ACTION")
        if action is not None and action.strip().upper() == "DELETE":
            return self.delete(job)
        if action is None and parameters.one("PHASE") is not None:
            return self.move(job)
        raise UsageFault("A job takes ACTION=DELETE.", "POST parameters to the job's /parameters.")

    def delete(self, job: str) -> Response:
        """Stop and forget the job (section 2.2.3.2)."""
        self._jobs.delete(self._found(job).id)
        return _see(self._address())

    def phase(self, job: str) -> Response:
        """The phase, one word."""
        return _text(self._found(job).phase)

    def move(self, job: str) -> Response:
        """PHASE=RUN and PHASE=ABORT (sections 2.2.3.5 and 2.2.3.6); what makes no difference changes nothing."""
        found, asked = self._found(job), _required("PHASE").strip().upper()
        if is_run(asked):
            self._run(found)
        elif asked == "ABORT":
            self._jobs.abort(job)
        else:
            raise UsageFault(f"PHASE={asked!r} cannot be asked for.", "Say PHASE=RUN or PHASE=ABORT.")
        return self._see(job)

    def executionduration(self, job: str) -> Response:
        """How long the job may run, in seconds."""
        return _text(str(self._found(job).duration))

    def limit(self, job: str) -> Response:
        """Ask for another execution duration (section 2.2.3.4)."""
        self._jobs.limit(self._found(job).id, duration(_required("EXECUTIONDURATION")))
        return self._see(job)

    def destruction(self, job: str) -> Response:
        """When the job will be destroyed."""
        return _text(documents.instant(self._found(job).destruction))

    def keep(self, job: str) -> Response:
        """Ask for another time of destruction (section 2.2.3.3)."""
        self._jobs.keep_until(self._found(job).id, time_of("DESTRUCTION", _required("DESTRUCTION")))
        return self._see(job)

    def quote(self, job: str) -> Response:
        """When the job is expected to end: not known (section 2.1.6)."""
        self._found(job)
        return _text("")

    def owner(self, job: str) -> Response:
        """Who the job belongs to; empty for nobody."""
        return _text(self._found(job).client.owner or "")

    # --- its parts ----------------------------------------------------------------------------------

    def parameters(self, job: str) -> Response:
        """The parameters."""
        return _xml(documents.parameters(self._found(job), self._addresses))

    def add(self, job: str) -> Response:
        """Add parameters while the job is PENDING (section 2.1.11; DALI 1.1 section 2.1.2)."""
        found = self._found(job)
        given, run_ids = later(Given.of(request))
        self._jobs.add(found.id, given.parameters, given.files)
        for run_id in run_ids:
            self._jobs.rename(found.id, run_id or None)
        return self._see(job)

    def parameter(self, job: str, name: str) -> Response:
        """The bytes of an inline upload (section 2.2.3.1.1)."""
        given = next((p for p in self._found(job).parameters if p.name == name and p.file is not None), None)
        if given is None or given.file is None or not given.file.is_file():
            raise NotFound(f"Job {job} has no upload {name!r}.")
        return send_file(given.file, mimetype="application/octet-stream", download_name=name)

    def results(self, job: str) -> Response:
        """The results; none before the job is COMPLETED."""
        return _xml(documents.results(self._found(job), self._addresses))

    def result(self, job: str, name: str) -> Response:
        """A result, whole or a range of its bytes (RFC 9110 section 14)."""
        found = self._found(job)
        product = next((product for product in found.products if product.name == name), None)
        if product is None:
            raise NotFound(f"Job {job} has no result {name!r}: it is {found.phase}.", _advice(found.phase))
        path = self._jobs.folders.of(job) / product.file
        if not path.is_file():
            raise NotFound(f"Job {job} has just been deleted.")
        response = send_file(path, conditional=True, etag=f"{job}-{name}", download_name=product.file)
        response.content_type = product.media
        if product.token is not None:
            response.headers[dali.REPEAT] = product.token
        return response

    def error(self, job: str) -> Response:
        """Why the job failed, as a DALI error document; there is none unless it did."""
        found = self._found(job)
        if found.failure is None:
            raise NotFound(f"Job {job} has no error: it is {found.phase}.")
        form = formats.find(None)
        return Response(error_document(found.failure.fault(), form), content_type=form.error_type)

    # --- inside -------------------------------------------------------------------------------------

    @property
    def _addresses(self) -> Addresses:
        return Addresses(self._address())

    def _found(self, job: str) -> Job:
        """The job, if it is in this list and this client may see it (section 3)."""
        found = self._jobs.get(job)
        if found.service != self._service:
            raise NotFound(f"There is no job {job}.")
        if found.client.owner is not None and found.client.owner != self._client().owner:
            raise UsageFault(f"Job {job} belongs to somebody else.", http=403)
        return found

    def _run(self, job: Job) -> None:
        if job.phase is Phase.PENDING:
            self._jobs.run(job.id, self._lane(job))

    def _awaited(self, job: Job, wait: Wait) -> bool:
        """Wait for another phase if that is asked for and makes sense; whether it was waited."""
        if not job.phase.active or wait.phase not in (None, job.phase) or not self._waiters.acquire(blocking=False):
            return False
        try:
            until, pause = time.monotonic() + min(wait.seconds, self._waiting.seconds), 0.005
            while time.monotonic() < until and self._jobs.phase(job.id) is job.phase:
                time.sleep(min(pause, max(0.0, until - time.monotonic())))
                pause = min(pause * 1.5, 0.25)
        finally:
            self._waiters.release()
        return True

    def _see(self, job: str) -> Response:
        return _see(self._addresses.job(job))


def _required(name: str) -> str:
    value = Parameters.of(request).one(name)
    if value is None:
        raise UsageFault(f"{name} is missing.", f"POST {name}=... to this address.")
    return value


def _advice(phase: Phase) -> str:
    if phase.active:
        return "Wait until it is COMPLETED."
    return "Its /error tells why." if phase is Phase.ERROR else ""


def _see(url: str) -> Response:
    """303: the answer to every change (section 2.2.3)."""
    return Response(status=303, headers={"Location": url}, content_type=_TEXT)


def _text(text: str) -> Response:
    return Response(text, content_type=_TEXT)


def _xml(document: bytes) -> Response:
    return Response(document, content_type=dali.XML, headers={"Cache-Control": "no-cache"})
