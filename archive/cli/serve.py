"""``archive serve``: answer queries over HTTP until stopped."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import gunicorn.http.wsgi
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from archive import __version__, logs, metrics
from archive.app import create_app, forget
from archive.backbone.upgrading import require_newest
from archive.cli._hired import Hired
from archive.cli._output import Output
from archive.cli._priority import stand_back
from archive.config import Config
from archive.faults import Fault, TransientFault
from archive.ledger import Ledger

_log = logging.getLogger(__name__)

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn's own sign of life, a file without a name
_MEMORY_PERCENT = 60  # of the machine's, for the queries of all processes together
_TRIES = 10  # of a process that begins
_BETWEEN = 0.5  # seconds
_YOUNG = 10_000  # objects made since Python last looked for those that hold only each other
_FIRST_QUERY = "SELECT table_name, description FROM TAP_SCHEMA.tables"


class _Log(Logger):
    """gunicorn's log as lines of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Server(BaseApplication):
    """gunicorn with our settings; each worker process makes its own application, after the fork."""

    def __init__(self, config: Config, options: dict[str, Any]) -> None:
        self._archive = config
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """A process that begins while the database is away waits for it: were it to fail, the whole server would end.

        From time to time it makes way for another one, so that it never waits in vain.
        """
        for _ in range(_TRIES):
            try:
                made = create_app(self._archive)
                gc.freeze()  # what is there by now stays: requests need not have it looked through again and again
                gc.set_threshold(_YOUNG)
                return made
            except TransientFault as fault:
                _log.warning("this process cannot serve yet: %s", fault)
            time.sleep(_BETWEEN)
        sys.exit(0)


@click.command(help=__doc__)
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen at.")
@click.option("--workers", type=click.IntRange(1), help="Processes; one per core unless given.")
@click.option(
    "--threads", type=click.IntRange(1), help="Requests at once per process; the setting requests if not given."
)
@click.option("--work/--no-work", default=True, show_default=True, help="Run jobs too; else `archive work` has to.")
@click.pass_obj
def serve(output: Output, bind: str, port: int, workers: int | None, threads: int | None, work: bool) -> None:
    config = Config.load(home=output.home)
    require_newest(config)
    with closing(Ledger.open(config.ledger_url)) as ledger:
        public = config.public_url or ledger.site().public_url
    logs.begin()
    stand_back(config.niceness)
    url = (public or f"http://{_host(bind)}:{port}").rstrip("/")
    os.environ.setdefault("ARCHIVE_SERVED_URL", url)  # the runners of jobs read their settings themselves
    _greet(output, url)
    gunicorn.http.wsgi.SERVER = f"archive/{__version__}"
    processes = workers or os.cpu_count() or 1
    runners = config.short_runners + config.long_runners if work else 0
    config = replace(_with_share(config, processes + runners), requests=threads or config.requests)
    options = _options(f"{_bracketed(bind)}:{port}", processes, config.requests)
    _Server(config, options | _hooks(config, Hired(config.home) if work else None)).run()


def _with_share(config: Config, processes: int) -> Config:
    """Settings that give each process its share of the machine's memory, where they do not say how much."""
    if config.memory is not None:
        return config
    share = f"{max(1, _MEMORY_PERCENT // processes)}%"
    os.environ["ARCHIVE_MEMORY"] = share  # the runners of jobs read their settings themselves
    return replace(config, memory=share)


def _hooks(config: Config, crew: Hired | None) -> dict[str, Any]:
    """What comes and goes with the server: the crew of runners, and the folder of the numbers of all processes."""
    memory = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    numbers = os.environ[metrics.FOLDER] = tempfile.mkdtemp(prefix="archive-metrics-", dir=memory)

    def begin(_: object) -> None:
        if crew is not None:
            crew.start()

    def end(_: object) -> None:
        if crew is not None:
            crew.dismiss()
        shutil.rmtree(numbers, ignore_errors=True)

    def ended(_: object, worker: Any) -> None:
        metrics.forget(worker.pid)
        try:
            forget(config, worker.pid)
        except Fault:  # its lease will be over in time
            _log.warning("worker %d has ended and could not be taken off the ledger", worker.pid, exc_info=True)

    return {"when_ready": begin, "on_exit": end, "child_exit": ended}


def _options(address: str, workers: int, threads: int) -> dict[str, Any]:
    return {
        "bind": address,
        "workers": workers,
        "threads": threads,
        "worker_class": "gthread",
        "keepalive": 15,
        "graceful_timeout": 30,
        "limit_request_line": 0,  # a query may come in the URL, however long
        "control_socket_disable": True,
        "forwarded_allow_ips": "",  # whose word is taken is a setting of ours, see archive/proxies.py
        "logger_class": _Log,
        "loglevel": "warning",
        "proc_name": "archive serve",
        "worker_exit": _let_go,
        **({"worker_tmp_dir": str(_SHARED_MEMORY)} if _SHARED_MEMORY.is_dir() else {}),
    }


def _let_go(_: object, worker: Any) -> None:
    """Drop the application while the interpreter is whole; what only falls with it complains on its way."""
    worker.wsgi = worker.app.callable = None
    gc.unfreeze()
    gc.collect()


def _greet(output: Output, url: str) -> None:
    output.result(
        {"url": f"{url}/", "tap": f"{url}/tap"},
        f"The archive is served at   {url}/",
        f"TAP, for TOPCAT and pyvo   {url}/tap",
        "Try it in Python:",
        f'  import pyvo; print(pyvo.dal.TAPService("{url}/tap").search("{_FIRST_QUERY}").to_table())',
        "Ctrl+C stops it.",
    )


def _host(bind: str) -> str:
    """A name under which this machine reaches itself when it listens at ``bind``."""
    return "localhost" if bind in ("0.0.0.0", "::", "") else _bracketed(bind)  # noqa: S104 - compared, not bound


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
