"""How sure a mean or a difference is: bootstrap intervals over pictures and over groups of them, paired rank tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]
"""Mean, lower and upper end."""

ROUNDS = 10_000
LEVEL = (2.5, 97.5)
"""Percentiles between which 95 % lie."""
AT_ONCE = 4_000_000
"""Numbers drawn at once, 32 MB."""
FEWEST_GROUPS = 5
"""With fewer groups an interval over groups says nothing."""
_NONE = (float("nan"),) * 3


class Spread:
    """How differences of very many pixels are spread, counted in steps of 0.001, whatever their number."""

    STEPS = 1000
    """Steps per unit."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)

    def add(self, steps: NDArray[np.integer], counts: NDArray[np.integer] | None = None) -> None:
        """Count values by their number of steps; each once, or as often as ``counts`` says."""
        weights = None if counts is None else counts.astype(np.float64)
        found = np.bincount(steps, weights, minlength=len(self._counts)).astype(np.int64)
        found[: len(self._counts)] += self._counts
        self._counts = found

    def join(self, other: Spread) -> None:
        """Count what another has counted, too."""
        steps = np.flatnonzero(other._counts)
        self.add(steps, other._counts[steps])

    def percentile(self, share: float) -> float:
        """The value under which ``share`` percent lie, to 0.001; NaN without values."""
        total = int(self._counts.sum())
        if total == 0:
            return float("nan")
        # As numpy does: between the two nearest values by rank.
        rank = share / 100 * (total - 1)
        below = np.cumsum(self._counts)
        low, high = (int(np.searchsorted(below, place, side="right")) for place in (np.floor(rank), np.ceil(rank)))
        return float(low + (high - low) * (rank - np.floor(rank))) / self.STEPS


def in_steps(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """N differences of at least 0 as whole steps of ``Spread``, 1-D."""
    return np.rint(values.astype(np.float64) * Spread.STEPS).astype(np.int64)


def bootstrap_mean(values: Floats, seed: int = 0, rounds: int = ROUNDS) -> Interval:
    """Mean of paired differences with its 95 % bootstrap interval (percentiles), NaNs left out.

    Returns:
        ``(mean, low, high)``; all NaN without values.
    """
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return _NONE
    rng = np.random.default_rng(seed)
    step = max(1, AT_ONCE // len(values))
    means = [
        values[rng.integers(0, len(values), (min(step, rounds - start), len(values)))].mean(axis=1)
        for start in range(0, rounds, step)
    ]
    low, high = np.percentile(np.concatenate(means), LEVEL)
    return float(values.mean()), float(low), float(high)


def bootstrap_groups(values: Floats, groups: Sequence[str], seed: int = 0, rounds: int = ROUNDS) -> Interval:
    """The same with whole groups drawn, since pictures of one book or artist are not independent.

    Each round draws as many groups as there are, with replacement, and takes the mean over all their values (the
    cluster bootstrap; Davison & Hinkley 1997, section 3.8).

    Args:
        values: one per picture.
        groups: the group of each.
        seed: of the draws.
        rounds: how many.

    Returns:
        ``(mean, low, high)``; the ends are NaN with fewer than ``FEWEST_GROUPS`` groups.
    """
    known = np.isfinite(values)
    values = values[known]
    if len(values) == 0:
        return _NONE
    _, member = np.unique(np.array(groups)[known], return_inverse=True)
    sums, counts = np.bincount(member, values), np.bincount(member)
    if len(counts) < FEWEST_GROUPS:
        return float(values.mean()), float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(counts), (rounds, len(counts)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), LEVEL)
    return float(values.mean()), float(low), float(high)


def signed_rank(gaps: Floats) -> float:
    """Two-sided p of the Wilcoxon signed-rank test that paired differences lie around 0 (ties by Pratt's rule).

    Returns:
        A number in [0, 1]; 1 when all differences are 0, NaN without any.
    """
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) == 0:
        return float("nan")
    if not gaps.any():
        return 1.0
    return float(wilcoxon(gaps, zero_method="pratt").pvalue)
