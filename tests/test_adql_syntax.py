"""The syntax of ADQL: the examples in ``tests/adql``, and what cannot be written into a file."""

from __future__ import annotations

import pytest

from archive.adql import parse
from archive.faults import UsageFault
from tests.adql.pairs import Example, examples

VALID = examples("valid")
INVALID = examples("invalid")


@pytest.mark.parametrize("example", VALID, ids=str)
def test_valid(example: Example) -> None:
    assert parse(example.text, example.language).text == example.text


@pytest.mark.parametrize("example", INVALID, ids=str)
def test_invalid(example: Example) -> None:
    with pytest.raises(UsageFault) as caught:
        parse(example.text, example.language)
    fault = caught.value
    assert example.errors
    for fragment in example.errors:
        assert fragment in str(fault)
    if example.at is not None:
        assert fault.message.startswith("line {}, column {}: ".format(*example.at))
