"""Settings of one archive: what differs between machines and deployments, read once when a process starts.

Each setting is a field of ``Config`` and nothing else: its name is the key in ``archive.toml`` (in the archive's
home), ``ARCHIVE_`` and its name in capitals is the environment variable, which wins. ``docs/settings.md`` tells
the same to people. What identifies the site (authority, publisher, contact) is not a setting: it is a fact, given
to ``archive init`` and kept in the ledger.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from archive.documents import near
from archive.faults import UsageFault
from archive.releases import shipped

FILE = "archive.toml"
_PREFIX = "ARCHIVE_"

TOKEN = "ARCHIVE_TOKEN"  # noqa: S105 - the name of the variable
"""The environment variable of a token to act by on the command line; a secret, and no setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings; None leaves the choice to the part concerned. Times are seconds."""

    home: Path = Path("archive-home")  # the folder that holds the archive
    database: str | None = None  # URL of the PostgreSQL that holds ledger, jobs and catalogs; else they are in the home
    query_role: str | None = None  # role of PostgreSQL as which queries run, made if need be; else the user of the URL
    public_url: str | None = None  # where users reach the service, if it is not what their requests say
    served_url: str | None = None  # where jobs say that it is, if public_url is not known; `archive serve` tells them
    descriptions: Path | None = None  # folder of release descriptions, looked into before those shipped
    stores: tuple[str, ...] = ()  # where files are kept: "name=file:///folder"; "main" is in the home unless told
    copies: tuple[str, ...] = ()  # stores that, beside "main", take a copy of each file before it counts as kept
    reserve: int = 2 * 10**9  # bytes free on a store's disk that nothing which comes in may touch
    threads: int | None = None  # that the queries of one process may use
    memory: str | None = None  # that the queries of one process may use, such as "4GB"
    scratch: Path | None = None  # folder for what does not fit into memory
    default_maxrec: int = 100_000  # rows in an answer whose client does not say MAXREC
    hard_maxrec: int | None = None  # rows that no answer exceeds
    sync_seconds: float = 60.0  # that a synchronous query may run
    requests: int = 64  # that one process serves at once, those included that only wait or send
    short_queries: int = 8  # synchronous ones that one process computes at once
    short_queries_each: int = 6  # of these, for one address
    long_queries: int = 2  # synchronous ones that read much and that one process computes at once, beside the short
    long_queries_each: int = 1  # of these, for one address
    turn_seconds: float = 10.0  # that a synchronous query waits for its turn before it is turned away
    stall_seconds: float = 30.0  # that a client may take nothing of its answer before the connection is closed
    job_seconds: int = 3600  # that a job may run if its owner does not ask for another time
    hard_job_seconds: int = 86_400  # that no job may exceed; 0 for no limit
    job_retention: int = 7 * 86_400  # seconds after which a job is destroyed if its owner does not ask otherwise
    hard_job_retention: int = 31 * 86_400  # seconds that no job is kept longer
    active_jobs: int = 50  # queued or executing, of one owner or address
    kept_jobs: int = 1000  # in all, of one owner or address
    result_bytes: int = 20 * 10**9  # that one result of a job may have
    stored_bytes: int = 100 * 10**9  # that all results of one owner or address may have before no more jobs are run
    short_runners: int = 2  # processes for jobs that are expected to be short
    long_runners: int = 1  # processes for all other jobs: so many long ones run at once
    niceness: int = 5  # by which serving and jobs stand back behind what brings in, publishes and copies
    load_memory: int = 32  # MiB of rows that a load sorts at once; what is more is sorted on disk
    upload_rows: int = 100_000  # of each table that comes with a query
    upload_bytes: int = 64 * 2**20  # of all tables that come with one query, after unpacking
    upload_seconds: float = 30.0  # to fetch the tables of one query from where their addresses say
    upload_networks: tuple[str, ...] = ()  # private networks that uploads may be fetched from, such as "10.1.0.0/16"
    preview_makers: int = 2  # pictures that one process makes at once
    preview_bytes: int = 2 * 10**9  # of pictures that are kept; those not looked at for longest go
    trusted_proxies: tuple[str, ...] = ()  # networks of proxies whose X-Forwarded-... headers are believed
    legacy_features: bool = False  # declare language features under ivo://ivoa.net/std/TAPRegExt#, for old clients
    drop_grace: int = 7 * 86_400  # that dropped files can be brought back before their bytes are deleted
    grace: float = 60.0  # that a replaced edition is kept after it was last served
    heartbeat: float = 5.0  # between two signs of life of a process

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, *, home: Path | None = None) -> Config:
        """Settings of the archive at ``home``, else at ``ARCHIVE_HOME``, else in ``./archive-home``.

        Raises:
            UsageFault: a setting is unknown or has a value that does not fit; all of them are told.
        """
        environment = os.environ if environment is None else environment
        place = home or Path(environment.get(f"{_PREFIX}HOME") or "archive-home")
        given: dict[str, tuple[str, Any]] = {}
        for name, value in _from_file(place / FILE).items():
            given[name] = (f"{name} in {place / FILE}", _beside(place, name, value))
        for name, text in environment.items():
            if name.startswith(_PREFIX) and name != TOKEN and text:
                given[name.removeprefix(_PREFIX).lower()] = (name, text)
        given["home"] = ("home", str(place.absolute()))
        return cls(**_values(given))

    @property
    def ledger_url(self) -> str:
        return self.database or f"sqlite:///{self.home / 'ledger.sqlite'}"

    @property
    def jobs_url(self) -> str:
        """Where jobs are kept: with the ledger, but apart from it where that is a SQLite file."""
        return self.database or f"sqlite:///{self.home / 'jobs.sqlite'}"

    @property
    def query_log_url(self) -> str:
        """Where it is noted who asked what."""
        return self.database or f"sqlite:///{self.home / 'queries.sqlite'}"

    @property
    def jobs_folder(self) -> Path:
        """Folder of the uploads and results of jobs; all processes of the service share it."""
        return self.home / "jobs"

    @property
    def store(self) -> Path:
        """Folder of the files this archive keeps."""
        return self.home / "store"

    @property
    def editions(self) -> Path:
        """Folder of the engine's materialisations; they can be made anew from the store."""
        return self.home / "editions"

    @property
    def previews_folder(self) -> Path:
        """Folder of pictures; they can be made anew."""
        return self.home / "previews"

    @property
    def scratch_folder(self) -> Path:
        return self.scratch or self.home / "scratch"

    @property
    def description_folders(self) -> tuple[Path, ...]:
        """Where descriptions are looked for, in order."""
        own = self.descriptions or self.home / "schema"
        return (own, shipped())


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageFault(f"{path} cannot be read as TOML: {error}.", "Correct the file.") from error


def _beside(place: Path, name: str, value: Any) -> Any:
    """Folders in the file are told from where the file is."""
    return str(place / value) if name in _FOLDERS and isinstance(value, str) else value


_FOLDERS = ("descriptions", "scratch")
_LISTS = ("stores", "copies")


def _values(given: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    kinds = get_type_hints(Config)
    names = [setting.name for setting in fields(Config)]
    values, wrong = {}, []
    for name, (where, value) in given.items():
        if name not in names:
            wrong.append(f"{where}: there is no such setting. {near(name, names)}".rstrip())
            continue
        try:
            values[name] = _words(value) if name in _LISTS else _typed(kinds[name], value)
        except ValueError as error:
            wrong.append(f"{where}: {error}")
    if wrong:
        raise UsageFault("\n".join(("The settings are wrong:", *(f"  {line}" for line in wrong))))
    return values


def _typed(kind: Any, value: Any) -> Any:
    """``value`` as the setting's type; environment variables come as text, TOML's values as they are."""
    if isinstance(kind, UnionType):
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        return _networks(value)
    if kind is bool:
        return _truth(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a value for it.")
    if kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            raise ValueError(f"'{value}' is not a number.") from None
        if number < 0:
            raise ValueError(f"{value} is negative.")
        return number
    return kind(str(value))


def _truth(value: Any) -> bool:
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        return known[str(value).strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is neither true nor false.") from None


def _words(value: Any) -> tuple[str, ...]:
    """A list of texts in TOML, one text with commas or blanks between them elsewhere."""
    given = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(given, list):
        raise ValueError(f"{value!r} is not a list.")
    return tuple(str(each) for each in given if each != "")


def _networks(value: Any) -> tuple[str, ...]:
    """Networks in CIDR form."""
    networks = _words(value)
    for network in networks:
        try:
            ip_network(network)
        except ValueError:
            raise ValueError(f"{network!r} is not a network such as 10.1.0.0/16.") from None
    return networks
