"""How the learning rate goes, and how many steps an epoch is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.runs.config import Phase


def trapezoid(step: int, steps: int, warmup: int, warmdown: float) -> float:
    """Part of the peak learning rate at a step: a linear rise, a plateau, a linear fall to almost 0.

    While a rate follows a cosine the length of a run must be known from its first step; on the plateau it need not,
    so a run can be made longer (Hagele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training
    Durations", section 3).

    Args:
        step: from 0.
        steps: in all.
        warmup: steps of the rise.
        warmdown: part of all steps in which the rate falls, in [0, 1].

    Returns:
        A factor in (0, 1].
    """
    fall = round(steps * warmdown)
    rising = (step + 1) / warmup if step < warmup else 1.0
    falling = (steps - step) / fall if fall and step > steps - fall else 1.0
    return min(rising, falling)


def steps_of(epochs: float, length: int, phases: Sequence[Phase]) -> int:
    """Steps in which a run sees ``epochs`` times ``length`` samples, at least 1.

    Args:
        epochs: how often each sample is to be seen.
        length: samples of an epoch.
        phases: with the batches they have.

    Raises:
        ValueError: it would be no whole epoch's part: ``epochs`` is not above 0.
    """
    if epochs <= 0:
        raise ValueError(f"{epochs} epochs are none; give --epochs a number above 0")
    begins = [0.0, *(p.until for p in phases)]
    batch = sum((p.until - begin) * p.batch for begin, p in zip(begins, phases, strict=False))
    return max(1, round(epochs * length / batch))
