"""``DataId``: what a dataset is of, as keys and values: ``exposure=123,instrument=LSSTCam``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from archive.faults import UsageFault

_KEY = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class DataId:
    """Keys and their values in the order of the keys, so that each is written in one way only."""

    values: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Self:
        """The data id of these values.

        Raises:
            UsageFault: there are none, a key is not written as keys are, or a value cannot be seen.
        """
        if not values:
            raise UsageFault("There is no data id.", "Say what it is of: KEY=VALUE, such as exposure=123.")
        for key, value in values.items():
            if not _KEY.fullmatch(key):
                raise UsageFault(f"'{key}' is no key of a data id.", "Write it in small letters, digits and '_'.")
            if not value.strip() or not value.isprintable():
                raise UsageFault(f"'{key}' has no value.", f"Write {key}=VALUE, with signs that can be seen.")
        return cls(tuple(sorted((key, value.strip()) for key, value in values.items())))

    @classmethod
    def read(cls, text: str) -> Self:
        """The data id that ``str`` wrote."""
        pairs = (each.partition("=") for each in text.split(","))
        return cls.of({key: unquote(value) for key, _, value in pairs})

    def __str__(self) -> str:
        return ",".join(f"{key}={quote(value, safe=' :+()[]')}" for key, value in self.values)

    def get(self, key: str) -> str | None:
        """The value of ``key``, if it has one."""
        return dict(self.values).get(key)
