"""Loss: what fraction of the files may be lost, given how many were looked at and how many of them are (0035).

LSE-61 allows one file in 100 000 to be lost (dataLossMax, DMS-REQ-0309). What was counted tells an upper limit: the
rate of loss at which so few losses, or fewer, would still be seen once in twenty times (Clopper and Pearson 1934,
Biometrika 26, 404). Without any loss that is nearly 3 / n, the "rule of three".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALLOWED = 1.0e-5
"""The fraction of files that may be lost: dataLossMax of DMS-REQ-0309."""

CONFIDENCE = 0.95
_STEPS = 100  # halvings: more than a double has digits


@dataclass(frozen=True, slots=True)
class Account:
    """``checked`` files were looked at, ``lost`` of them have no good copy; since when (as the ledger writes times)."""

    checked: int
    lost: int
    since: str | None

    @property
    def limit(self) -> float:
        """The upper limit of the loss rate, by the confidence."""
        return upper_limit(self.lost, self.checked, CONFIDENCE)

    @property
    def is_shown(self) -> bool:
        """Whether it is shown that no more is lost than may be."""
        return self.limit <= ALLOWED

    def __str__(self) -> str:
        if not self.checked:
            return "No file was read whole yet, so nothing is known: run 'archive verify --deep'."
        counted = f"{self.lost:,} of {self.checked:,} files have no good copy"
        shown = (
            f"With {CONFIDENCE:.0%} confidence a file is lost with a probability of at most {self.limit:.1e}; "
            f"{ALLOWED:.0e} is allowed (DMS-REQ-0309)"
        )
        if self.is_shown:
            return f"{counted}. {shown}: that is shown."
        if self.lost > ALLOWED * self.checked:
            return f"{counted}. {shown}: more is lost than that."
        more = needed(self.lost, ALLOWED, CONFIDENCE)
        return f"{counted}. {shown}: it takes {more:,} files with no further loss to show that."


def upper_limit(lost: int, checked: int, confidence: float) -> float:
    """The rate of loss at which ``lost`` or fewer of ``checked`` files are lost with probability 1 - ``confidence``.

    Raises:
        ValueError: more are lost than there are.
    """
    if not 0 <= lost <= checked:
        raise ValueError(f"{lost} of {checked} files cannot be lost")
    if lost == checked:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(lost, checked, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def needed(lost: int, rate: float, confidence: float) -> int:
    """How many files have to be looked at, no more than ``lost`` of them lost, until the limit is ``rate``."""
    low, high = lost + 1, lost + 2
    while upper_limit(lost, high, confidence) > rate:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if upper_limit(lost, middle, confidence) > rate:
            low = middle
        else:
            high = middle
    return high


def _at_most(lost: int, checked: int, rate: float) -> float:
    """The probability that of ``checked`` files ``lost`` or fewer are lost, each with probability ``rate``."""
    if rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 0.0
    kept = math.log1p(-rate)
    term = checked * kept  # the logarithm of the probability that none is
    total = math.exp(term)
    for number in range(1, lost + 1):
        term += math.log((checked - number + 1) / number) + math.log(rate) - kept
        total += math.exp(term)
    return min(total, 1.0)
