"""Frozen dataclasses as compact JSON and back, by their type hints: what was parsed once need not be parsed again.

A dataclass becomes the list of its fields, a mapping a list of pairs, an enumeration its value; where a hint leaves
open which of several dataclasses it is, its place among them comes first. What is written carries no names, so it is
read only by a program whose classes have the same ``shape``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

_Step = Callable[[Any], Any]
_PLAIN = (str, int, float, bool, NoneType)


def packed(value: Any, kind: Any) -> Any:
    """``value``, which is of ``kind``, as what JSON knows."""
    return _both(kind)[0](value)


def unpacked(kind: type[T], data: Any) -> T:
    """What ``packed`` made into ``data``."""
    decode: _Step = _both(kind)[1]  # type: ignore[arg-type]
    value: T = decode(data)
    return value


@cache
def shape(kind: Any) -> str:
    """A hash of the fields of ``kind`` and of all classes in it."""
    seen: dict[str, list[str]] = {}
    _look_through(kind, seen)
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:16]


def _look_through(hint: Any, seen: dict[str, list[str]]) -> None:
    if isinstance(hint, type) and is_dataclass(hint) and hint.__qualname__ not in seen:
        hints = _hints(hint)
        seen[hint.__qualname__] = [f"{name}: {of}" for name, of in hints.items()]
        for of in hints.values():
            _look_through(of, seen)
    for of in get_args(hint):
        _look_through(of, seen)


def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


@cache
def _both(hint: Any) -> tuple[_Step, _Step]:
    """How values of ``hint`` are packed and unpacked."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _same, _same
    if isinstance(hint, type) and issubclass(hint, Enum):
        return (lambda value: value.value), {member.value: member for member in hint}.__getitem__
    if is_dataclass(hint):
        return _of_class(hint)
    if origin in (Union, UnionType):
        return _of_union(arguments)
    if origin is tuple:
        return _of_tuple(arguments)
    if origin is not None and issubclass(origin, Mapping):
        return _of_mapping(*arguments)
    raise TypeError(f"{hint} cannot be packed.")


def _same(value: Any) -> Any:
    return value


def _of_class(kind: Any) -> tuple[_Step, _Step]:
    """Its fields are looked at when they are first needed: a class may hold its own kind."""
    return (lambda value: _plan(kind)[0](value)), (lambda data: _plan(kind)[1](data))


@cache
def _plan(kind: Any) -> tuple[_Step, _Step]:
    steps = {name: _both(hint) for name, hint in _hints(kind).items()}
    packs = [(name, pack) for name, (pack, _) in steps.items()]
    unpacks = [(at, unpack) for at, (_, unpack) in enumerate(steps.values()) if unpack is not _same]

    def unpack_all(data: Any) -> Any:
        values = list(data)
        for at, unpack in unpacks:
            values[at] = unpack(values[at])
        return kind(*values)

    return (lambda value: [pack(getattr(value, name)) for name, pack in packs]), unpack_all


def _of_union(arguments: tuple[Any, ...]) -> tuple[_Step, _Step]:
    others = [hint for hint in arguments if hint not in _PLAIN]
    if not others:
        return _same, _same
    if len(others) == 1 and len(arguments) == 2 and NoneType in arguments:
        pack, unpack = _both(others[0])
        return (
            lambda value: None if value is None else pack(value),
            lambda data: None if data is None else unpack(data),
        )
    if len(others) < len(arguments):
        raise TypeError(f"{arguments} cannot be packed.")
    steps = [_both(hint) for hint in others]

    def pack_one(value: Any) -> Any:
        at = others.index(type(value))
        return [at, steps[at][0](value)]

    return pack_one, lambda data: steps[data[0]][1](data[1])


def _of_tuple(arguments: tuple[Any, ...]) -> tuple[_Step, _Step]:
    if arguments[-1] is Ellipsis:
        pack, unpack = _both(arguments[0])
        if unpack is _same:
            return list, tuple
        return (lambda value: [pack(each) for each in value]), lambda data: tuple([unpack(each) for each in data])
    steps = [_both(hint) for hint in arguments]
    return (
        lambda value: [pack(each) for (pack, _), each in zip(steps, value, strict=True)],
        lambda data: tuple([unpack(each) for (_, unpack), each in zip(steps, data, strict=True)]),
    )


def _of_mapping(key: Any, value: Any) -> tuple[_Step, _Step]:
    pack, unpack = _of_tuple((key, value))
    return (
        lambda mapping: [pack(pair) for pair in mapping.items()],
        lambda data: dict([unpack(pair) for pair in data]),
    )
