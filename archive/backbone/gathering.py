"""From the paths of a command to the files that are meant: folders walked, stores recognised, digests looked up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from archive.backbone.endpoint import Endpoint
from archive.backbone.posix import PosixStore
from archive.backbone.receiving import Request, Terms
from archive.backbone.sources import Digest, LocalFile, Source, Stored, unreadable
from archive.backbone.stores import Store
from archive.faults import UsageFault

_SHOWN = 5  # files named in one message


def copied(paths: Iterable[Path], terms: Terms, digests: Mapping[Path, Digest] | None = None) -> list[Request]:
    """Requests to copy files; folders are walked, and what they hold is called by its path from beside the folder.

    Hidden files, such as those that other programs are still writing, are left out. ``digests`` are looked up by the
    whole paths of files.

    Raises:
        UsageFault: a path leads nowhere, or a file has no digest though others have.
    """
    found = [(name, path) for given in paths for name, path in _walked(Path(given))]
    chosen = _digests([path for _, path in found], digests)
    return [Request(name, LocalFile(path), terms, chosen.get(path)) for name, path in found]


def adopted(
    endpoint: Endpoint, paths: Iterable[Path], terms: Terms, digests: Mapping[Path, Digest] | None = None
) -> list[Request]:
    """Requests for files that lie below a store, to stay where they are; they are called by their paths in it.

    A path is one of this machine, or ``store:path``.

    Raises:
        UsageFault: a path leads nowhere or into no store, or a file has no digest though others have.
    """
    requests: list[Request] = []
    for given in paths:
        store, path = _in_store(endpoint, given)
        below = [path] if path and store.size(path) is not None else list(store.paths(path))
        if not below:
            raise UsageFault(f"There is no file {given}.", "Give the path of a file or a folder that holds some.")
        requests += (_request(store, each, terms, digests) for each in below if not _hidden(each))
    return requests


def listed_digests(text: str) -> Mapping[Path, Digest]:
    """The digests of a list as ``sha256sum`` writes it; paths in it are told from where the list is.

    Raises:
        UsageFault: the list cannot be read; tells the line.
    """
    path = Path(text)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UsageFault(
            f"'{text}' is neither a digest nor a list of them.", "Write sha256:<hex>, or a file."
        ) from None
    found = {}
    for number, line in enumerate(lines, start=1):
        digits, _, name = line.partition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            digest = Digest.read(digits.lstrip("\\"))
        except UsageFault:
            raise UsageFault(f"{path}, line {number}: there is no digest.", "Write it as sha256sum does.") from None
        found[_whole(path.parent / name.removeprefix(" ").removeprefix("*"))] = digest
    return found


def _walked(given: Path) -> Iterator[tuple[str, Path]]:
    """The name and the place of each file."""
    path = _whole(given)
    if not path.is_dir():
        yield path.name, path
        return
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                place = Path(folder) / name
                yield place.relative_to(path.parent).as_posix(), place


def _refuse(error: OSError) -> None:
    raise unreadable(error.filename, error)


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are: files are called as they are given


def _digests(paths: Sequence[Path], digests: Mapping[Path, Digest] | None) -> dict[Path, Digest]:
    if digests is None:
        return {}
    without = [path for path in paths if path not in digests]
    if without:
        names = ", ".join(map(str, without[:_SHOWN])) + (" ..." if len(without) > _SHOWN else "")
        raise UsageFault(f"The list has no digest for {len(without)} files: {names}.", "Add them to the list.")
    return {path: digests[path] for path in paths}


def _in_store(endpoint: Endpoint, given: Path) -> tuple[Store, str]:
    name, colon, below = str(given).partition(":")
    if colon and name in endpoint.stores:
        return endpoint.stores[name], below.strip("/")
    path = _whole(given)
    for store in endpoint.stores.values():
        if isinstance(store, PosixStore) and path.is_relative_to(_whole(store.root)):
            return store, path.relative_to(_whole(store.root)).as_posix().removeprefix(".")
    known = ", ".join(endpoint.stores)
    raise UsageFault(
        f"{given} lies in no store of this archive (there are: {known}).",
        "Only what lies in a store can be adopted: see the setting stores, or leave out --adopt to have it copied.",
    )


def _request(store: Store, path: str, terms: Terms, digests: Mapping[Path, Digest] | None) -> Request:
    source: Source = Stored(store, path)
    if digests is None or not isinstance(store, PosixStore):
        return Request(path, source, terms)
    place = _whole(store.place(path))
    return Request(path, source, terms, _digests([place], digests).get(place))


def _hidden(path: str) -> bool:
    return any(each.startswith(".") for each in path.split("/"))
