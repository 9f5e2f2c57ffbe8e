"""``create_app``: the only place where objects meet. One WSGI application with all faces of one archive."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from flask import Blueprint, Flask, Response, has_request_context, request

from archive import dali
from archive.access import Action, may
from archive.backbone.condition import condition
from archive.backbone.copies import Copies
from archive.backbone.endpoint import Endpoint
from archive.backbone.previews import Previews
from archive.bearers import Bearers
from archive.book import Book
from archive.config import Config
from archive.datalink.deposit import DepositFace
from archive.datalink.face import LinksFace
from archive.datalink.files import FilesFace
from archive.datalink.given import Given
from archive.datalink.previews import PreviewsFace
from archive.engine.opening import open_engine
from archive.jobs import Job, Jobs, Task
from archive.ledger import Ledger, processes
from archive.ledger.querylog import QueryLog
from archive.metrics import TYPE, Metrics
from archive.portal import Portal
from archive.products import product_types
from archive.proxies import behind
from archive.serving import Serving
from archive.sia import SiaFace
from archive.staff import staff_blueprint
from archive.tap import SavedFace, TapFace, TapLane, TapTask, asked_by
from archive.uws import uws_blueprint
from archive.visits import Visit, Visits

_PROTOCOLS = ("/tap", "/sia2", "/files", "/datalink", "/previews", "/thumbnails", "/staff")
_TOLD = (
    "Location, Link, Retry-After, Content-Disposition, X-Request-Id, ETag, Accept-Ranges, Content-Range, Repr-Digest, "
    f"{dali.OVERFLOW}, {dali.REPEAT}"
)
_REQUEST_BYTES = 4 * 2**20  # of a request's body beside the files in it; longer ones are refused with 413


def create_app(config: Config) -> Flask:
    """The application of ``config``. Call it in the process that serves: what it opens does not survive a fork."""
    ledger = Ledger.open(config.ledger_url)
    serving = _serving(config, ledger)
    serving.attend()
    jobs = Jobs.of(config)
    log = QueryLog(config.query_log_url)
    endpoint = Endpoint(config, ledger)
    saved = SavedFace(serving, ledger, log, _base_url(config.public_url or endpoint.site.public_url))
    others = (("/tap/saved", saved.blueprint()), *kept(endpoint))
    return assemble(serving, jobs, Book(Metrics(jobs.standing), log), others, Bearers(ledger))


def kept(endpoint: Endpoint) -> tuple[tuple[str, Blueprint], ...]:
    """The faces of what an endpoint keeps, and the paths below which they are: files out, files in, what staff see."""
    ledger, bearers = endpoint.ledger, Bearers(endpoint.ledger)
    base_url = _base_url(endpoint.config.public_url or endpoint.site.public_url)
    copies = Copies(ledger, endpoint.stores)
    given = Given(endpoint.site, ledger, bearers)
    deposit = DepositFace(endpoint, bearers, base_url)
    atexit.register(deposit.close)
    links = LinksFace(ledger, bearers, lambda: product_types(endpoint.config.description_folders), base_url)
    return (
        ("/datalink", links.blueprint()),
        ("/files", FilesFace(given, copies).blueprint()),
        ("/files", deposit.blueprint()),
        ("/", PreviewsFace(given, _previews(endpoint.config, copies)).blueprint()),
        ("/staff", staff_blueprint(bearers, lambda: condition(endpoint).facts())),
    )


def _previews(config: Config, copies: Copies) -> Previews:
    return Previews(
        copies,
        config.previews_folder,
        most=config.preview_bytes,
        turns=config.preview_makers,
        patience=config.turn_seconds,
    )


def _insider(bearers: Bearers | None) -> Callable[[], bool]:
    """Whether who sends the request at hand may see what the public may not."""
    return lambda: bearers is not None and may(bearers.actor(), Action.READ)


@contextmanager
def tasks(config: Config) -> Iterator[Mapping[str, Task]]:
    """What the runners of jobs do, by service. Enter it in the runner's own process."""
    serving = _serving(config, Ledger.open(config.ledger_url))
    leave = serving.attend("work")
    queries = QueryLog(config.query_log_url)
    try:
        yield {"tap": TapTask(serving, Book(Metrics(), queries))}
    finally:
        queries.close()
        leave()


def forget(config: Config, process: int) -> None:
    """Process number ``process``, a child of this one, has ended: nobody waits for its lease to be over."""
    with closing(Ledger.open(config.ledger_url)) as ledger:
        with ledger.read() as transaction:
            if not processes.is_here(transaction, process):  # as always when it left in good order
                return
        with ledger.write() as transaction:
            processes.forget(transaction, process)


def note_lost(config: Config, job: Job) -> None:
    """The runner of ``job`` died and could not note its end in the query log."""
    with closing(QueryLog(config.query_log_url)) as queries:
        Book(Metrics(), queries).job_lost(job, asked_by(job))


def _serving(config: Config, ledger: Ledger) -> Serving:
    engine = open_engine(config)
    atexit.register(engine.close)
    return Serving(config, ledger, engine)


def assemble(
    serving: Serving,
    jobs: Jobs | None = None,
    book: Book | None = None,
    others: Sequence[tuple[str, Blueprint]] = (),
    bearers: Bearers | None = None,
) -> Flask:
    """The application over what is already open; without ``jobs`` it answers synchronous queries only, without
    ``book`` nothing is written down of them. ``others`` are further faces and the paths below which they are. Without
    ``bearers`` everybody is the public.
    """
    config = serving.config
    book = book or Book(Metrics())
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = False  # /tap/sync/ answers like /tap/sync, without a redirect that loses a POST
    most = config.upload_bytes + _REQUEST_BYTES
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = most
    app.wsgi_app = behind(app.wsgi_app, config.trusted_proxies)  # type: ignore[method-assign]
    began, ended = _counted(serving, book)
    Visits(config.requests, config.stall_seconds, began=began, ended=ended).attend(app)
    base_url = _base_url(config.public_url or serving.site.public_url)
    serving.base = lambda: base_url() if has_request_context() else serving.usual_base()
    portal = Portal(serving, book, base_url)
    app.register_blueprint(portal.blueprint())
    app.register_blueprint(TapFace(serving, book, base_url, _insider(bearers)).blueprint(), url_prefix="/tap")
    app.register_blueprint(SiaFace(serving, book, base_url).blueprint(), url_prefix="/sia2")
    if jobs is not None:
        face = uws_blueprint("tap", jobs, lambda: f"{base_url()}/tap/async", lane=TapLane(serving))
        app.register_blueprint(face, url_prefix="/tap/async")
    for path, blueprint in others:
        app.register_blueprint(blueprint, url_prefix=path)
    app.add_url_rule("/metrics", "metrics", lambda: Response(book.metrics.text(), content_type=TYPE))
    app.register_error_handler(Exception, _error_page(portal))
    app.after_request(_open_to_other_sites)
    return app


def _counted(serving: Serving, book: Book) -> tuple[Callable[[Visit], None], Callable[[Visit], None]]:
    """What is told of each visit, at its beginning and at its end."""

    def began(visit: Visit) -> None:
        serving.requests.change(1)
        book.visit_began(visit)

    def ended(visit: Visit) -> None:
        serving.requests.change(-1)
        book.visit_ended(visit)

    return began, ended


def _base_url(public: str | None) -> Callable[[], str]:
    """Gives the public URL of the archive, without a slash at its end: as told, else as a request came in."""

    def base_url() -> str:
        return (public or request.root_url).rstrip("/")

    return base_url


def _room_for_files(size: int) -> Callable[[], None]:
    """Lets ``size`` bytes more into a request that is of a kind that has files."""

    def widen() -> None:
        if request.mimetype == "multipart/form-data":
            request.max_content_length = size + _REQUEST_BYTES

    return widen


def _is_protocol() -> bool:
    return request.path.startswith(_PROTOCOLS)


def _error_page(portal: Portal) -> Callable[[Exception], Response]:
    """Programs get text, browsers a page."""

    def answer(error: Exception) -> Response:
        fault = dali.as_fault(error)
        if _is_protocol() or not request.accept_mimetypes.accept_html:
            return dali.plain_error(fault, dali.http_headers(error))
        return portal.error_page(fault)

    return answer


def _open_to_other_sites(response: Response) -> Response:
    """Pages of other sites (Aladin Lite, Firefly) may use the protocols (CORS)."""
    if _is_protocol():
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = _TOLD
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Range"
            response.headers["Access-Control-Max-Age"] = "86400"
    return response
