"""Queries that are well formed but mean nothing: each is refused at its place, with words that help."""

from __future__ import annotations

import pytest

from archive.adql import parse, resolve
from archive.faults import UsageFault
from tests.adql.pairs import Example, examples
from tests.adql.tables import CATALOG


@pytest.mark.parametrize("example", examples("refused"), ids=str)
def test_refused(example: Example) -> None:
    query = parse(example.text, example.language)
    with pytest.raises(UsageFault) as caught:
        resolve(query, CATALOG)
    fault = caught.value
    assert example.errors
    for fragment in example.errors:
        assert fragment in str(fault)
    assert fault.message.startswith("line ")
    if example.at is not None:
        assert fault.message.startswith("line {}, column {}: ".format(*example.at))


@pytest.mark.parametrize("example", examples("valid"), ids=str)
def test_valid(example: Example) -> None:
    bound = resolve(parse(example.text, example.language), CATALOG)
    names = [column.name.lower() for column in bound.columns]
    assert len(set(names)) == len(names)
    assert all(names)
    if example.rows:
        assert len(names) == len(example.rows[0])
