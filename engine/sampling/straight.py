"""Deterministic samplers along the straight path; the defaults, since four to eight steps are enough for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from engine.sampling.path import Denoise, Kept, OnStep, keep


def euler(
    denoise: Denoise, start: Tensor, times: Sequence[float], kept: Kept | None = None, on_step: OnStep | None = None
) -> Tensor:
    """Follow the velocity of BxCxHxW in Euler's steps.

    Args:
        denoise: knows the target.
        start: the sample at ``times[0]``.
        times: falling, in (0, 1], the last one 0; n + 1 for n steps.
        kept: what is known already.
        on_step: looks on.
    """
    x = start
    for number, (t, after) in enumerate(pairwise(times)):
        x = keep(x, t, kept)
        clean = denoise(x, t)
        # At the last step this is the estimate itself.
        x = clean + (x - clean) * (after / t)
        if on_step is not None:
            on_step(number + 1, len(times) - 1, keep(clean, 0.0, kept))
    return keep(x, times[-1], kept)


def heun(
    denoise: Denoise, start: Tensor, times: Sequence[float], kept: Kept | None = None, on_step: OnStep | None = None
) -> Tensor:
    """Follow the velocity of BxCxHxW by Heun, second order: two calls a step, one in the last (Karras et al. 2022).

    Takes what ``euler`` takes.
    """
    x = start
    for number, (t, after) in enumerate(pairwise(times)):
        x = keep(x, t, kept)
        clean = denoise(x, t)
        velocity = (x - clean) / t
        there = x + (after - t) * velocity
        if after > 0:
            there = keep(there, after, kept)
            clean = denoise(there, after)
            velocity = (velocity + (there - clean) / after) / 2
        x = x + (after - t) * velocity
        if on_step is not None:
            on_step(number + 1, len(times) - 1, keep(clean, 0.0, kept))
    return keep(x, times[-1], kept)
