"""From the settings to stores: which there are, of which kind, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from archive.backbone.posix import PosixStore
from archive.backbone.stores import Store
from archive.config import Config
from archive.faults import UsageFault

MAIN = "main"
"""Name of the store that new files come into; it is in the archive's home unless the setting says otherwise."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_FORM = "A store is told as name=file:///folder or name=s3://bucket/prefix; ?readonly after it says that nobody writes."


def open_stores(config: Config) -> Mapping[str, Store]:
    """The stores of an archive by name; ``MAIN`` is always among them. None is looked into yet.

    Raises:
        UsageFault: the setting is wrong.
    """
    stores: dict[str, Store] = {}
    for told in config.stores:
        name, _, url = told.partition("=")
        if not _NAME.fullmatch(name) or name in stores:
            raise _wrong(told, "its name is no name" if name not in stores else "its name is taken")
        stores[name] = _store(told, name, url)
    stores.setdefault(MAIN, PosixStore(config.store, MAIN))
    return stores


def _store(told: str, name: str, url: str) -> Store:
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            return _posix(told, name, unquote(parts.path), parts.netloc, parts.query)
    raise _wrong(told, "no stores of its kind are known")


def _posix(told: str, name: str, folder: str, host: str, options: str) -> PosixStore:
    if host or not folder.startswith("/"):
        raise _wrong(told, "its folder is not told from the root")
    if options not in ("", "readonly"):
        raise _wrong(told, f"'{options}' is no option of it")
    return PosixStore(Path(folder), name, writable=not options)


def _wrong(told: str, why: str) -> UsageFault:
    return UsageFault(f"The setting stores is wrong: {told}: {why}.", _FORM)
