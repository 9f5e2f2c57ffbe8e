"""From the settings to stores: which there are, of which kind, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from archive.backbone.posix import PosixStore
from archive.backbone.s3 import S3Place, S3Store
from archive.backbone.stores import Store
from archive.config import Config
from archive.faults import UsageFault

MAIN = "main"
"""Name of the store that new files come into; it is in the archive's home unless the setting says otherwise."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_CACHED = 20 * 10**9  # bytes of copies of a bucket's files that programs have read
_PATIENCE = 60
_FORM = (
    "A store is told as name=file:///folder or name=s3://bucket/prefix?endpoint=URL; docs/stores.md tells all options."
)


def open_stores(config: Config) -> Mapping[str, Store]:
    """The stores of an archive by name; ``MAIN`` is always among them. None is looked into yet.

    Raises:
        UsageFault: the setting is wrong.
    """
    stores: dict[str, Store] = {}
    for told in config.stores:
        name, _, url = told.partition("=")
        if not _NAME.fullmatch(name):
            raise _wrong(told, f"'{name}' is no name for a store")
        if name in stores:
            raise _wrong(told, f"there are two stores called '{name}'")
        stores[name] = _store(config, told, name, url)
    stores.setdefault(MAIN, PosixStore(config.store, MAIN))
    for name in config.copies:
        if name == MAIN or name not in stores or not stores[name].writable:
            raise UsageFault(
                f"The setting copies names '{name}', which is no other store that takes files.",
                f"Stores: {', '.join(stores)}. See the setting stores.",
            )
    return stores


def _store(config: Config, told: str, name: str, url: str) -> Store:
    parts = urlsplit(url)
    options = _Options(told, dict(parse_qsl(parts.query, keep_blank_values=True)))
    writable = not options.flag("readonly")
    match parts.scheme:
        case "file" if not parts.netloc and parts.path.startswith("/"):
            store: Store = PosixStore(Path(unquote(parts.path)), name, writable=writable)
        case "s3" if parts.netloc:
            folder = config.scratch_folder / "stores" / name
            cached = options.number("cached", _CACHED)
            store = S3Store(_s3_place(parts, options), folder, name, writable=writable, cached=cached)
        case _:
            raise _wrong(told, "it does not say where files are")
    store.medium = options.text("domain")
    options.end()
    return store


def _s3_place(parts: SplitResult, options: _Options) -> S3Place:
    key, secret = _keys(options)
    return S3Place(
        bucket=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint=options.text("endpoint"),
        region=options.text("region") or "us-east-1",
        key=key,
        secret=secret,
        virtual_hosts=options.flag("virtual_hosts"),
        copy=options.one_of("copy", "multipart", "header"),
        checked=options.flag("checked"),
        patience=options.number("patience", _PATIENCE),
    )


def _keys(options: _Options) -> tuple[str | None, str | None]:
    """Key and secret from a file as Amazon's tools have it; None leaves it to the environment."""
    file = options.text("credentials")
    profile = options.text("profile") or "default"
    if file is None:
        return None, None
    read = RawConfigParser()
    try:
        read.read_string(Path(file).read_text(encoding="utf-8"))
        return read[profile]["aws_access_key_id"], read[profile]["aws_secret_access_key"]
    except (OSError, UnicodeDecodeError, KeyError, ConfigParserError):
        raise options.wrong(f"{file} is no file with the keys of '{profile}'") from None


class _Options:
    """What stands behind the question mark of a store's URL, each taken once."""

    def __init__(self, told: str, given: dict[str, str]) -> None:
        self._told = told
        self._given = given

    def text(self, name: str) -> str | None:
        return self._given.pop(name, None) or None

    def flag(self, name: str) -> bool:
        return self.one_of(name, "no", "", "yes") != "no"

    def number(self, name: str, usual: int) -> int:
        text = self._given.pop(name, str(usual))
        if not (text.isascii() and text.isdigit()):
            raise self.wrong(f"{name}={text} is no whole number")
        return int(text)

    def one_of(self, name: str, usual: str, *others: str) -> str:
        found = self._given.pop(name, usual)
        if found not in (usual, *others):
            raise self.wrong(f"{name} is not '{found}'")
        return found

    def end(self) -> None:
        """Refuse what nobody has taken."""
        for name in self._given:
            raise self.wrong(f"'{name}' is no option of it")

    def wrong(self, why: str) -> UsageFault:
        return _wrong(self._told, why)


def _wrong(told: str, why: str) -> UsageFault:
    return UsageFault(f"The setting stores is wrong: {told}: {why}.", _FORM)
