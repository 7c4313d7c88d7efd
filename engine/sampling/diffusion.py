"""The thesis's samplers: DDPM in 1,000 steps and DDIM, which can skip, for any network of the straight path.

Conversion. A diffusion state is u = sqrt(a) x_0 + sqrt(1 - a) e, with a the product of (1 - beta) up to its step.
Divided by sqrt(a) + sqrt(1 - a) it is x = (1 - t) x_0 + t e with t = sqrt(1 - a) / (sqrt(a) + sqrt(1 - a)): a point of
the straight path with the same x_0 and e. So E[x_0 | u] = D(x, t) for the D of the straight path; from it
e = (u - sqrt(a) x_0) / sqrt(1 - a), and v = e - x_0. In the other direction, a network that predicts e at (u, a) has
D = (u - sqrt(1 - a) e) / sqrt(a), and one that predicts v at (x, t) has D = x - t v and e = x + (1 - t) v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from engine.sampling.path import Denoise, Draw, Kept, OnStep, keep

FIRST_BETA, LAST_BETA = 1e-4, 0.02


@dataclass(frozen=True)
class Schedule:
    """Noise by step, 0 = clean.

    Attributes:
        kept: sqrt(a), what is left of the clean sample, for the steps 0 to T.
        noise: sqrt(1 - a) for the same.
    """

    kept: tuple[float, ...]
    noise: tuple[float, ...]

    @property
    def last(self) -> int:
        """T."""
        return len(self.kept) - 1

    def time(self, step: int) -> float:
        """Time on the straight path that has the same noise for the signal."""
        return self.noise[step] / (self.kept[step] + self.noise[step])

    def step_of(self, time: float) -> int:
        """The step, from 1 to T, whose time is nearest."""
        return min(range(1, self.last + 1), key=lambda step: abs(self.time(step) - time))

    def skipping(self, first: int, steps: int) -> list[int]:
        """Up to ``steps`` + 1 steps evenly spaced from ``first`` down to 0; fewer where ``first`` is less."""
        return sorted({round(first * i / steps) for i in range(steps + 1)}, reverse=True)


def linear_schedule(steps: int = 1000) -> Schedule:
    """Ho et al.'s (2020) linear beta from 1e-4 to 0.02 over T steps, worked out in float64."""
    beta = torch.linspace(FIRST_BETA, LAST_BETA, steps, dtype=torch.float64)
    a = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)])
    return Schedule(tuple(a.sqrt().tolist()), tuple((1 - a).sqrt().tolist()))


def ddim(
    denoise: Denoise,
    start: Tensor,
    schedule: Schedule,
    steps: Sequence[int],
    draw: Draw,
    eta: float = 0.0,
    kept: Kept | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample BxCxHxW with DDIM (Song et al. 2021): the next step may be any earlier one.

    Args:
        denoise: knows the target, on the straight path.
        start: the sample at ``schedule.time(steps[0])`` of the straight path.
        schedule: noise by step.
        steps: falling from T or less, the last one 0; step 1 is a step like any other.
        draw: fresh noise; not called where ``eta`` is 0.
        eta: 0 is deterministic, 1 has DDPM's noise.
        kept: what is known already.
        on_step: looks on.
    """
    x = start
    for number, (step, after) in enumerate(pairwise(steps)):
        t = schedule.time(step)
        x = keep(x, t, kept)
        clean = denoise(x, t)
        noise = (x - (1 - t) * clean) / t
        fresh = 0.0
        if eta > 0 and after > 0:
            share = schedule.kept[step] / schedule.kept[after]
            fresh = eta * schedule.noise[after] / schedule.noise[step] * max(0.0, 1 - share**2) ** 0.5
        u = schedule.kept[after] * clean + max(0.0, schedule.noise[after] ** 2 - fresh**2) ** 0.5 * noise
        if fresh > 0:
            u = u + fresh * draw(u)
        x = u / (schedule.kept[after] + schedule.noise[after])
        if on_step is not None:
            on_step(number + 1, len(steps) - 1, keep(clean, 0.0, kept))
    return keep(x, 0.0, kept)


def ddpm(
    denoise: Denoise,
    start: Tensor,
    schedule: Schedule,
    first: int,
    draw: Draw,
    kept: Kept | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Sample BxCxHxW by DDPM (Ho et al. 2020): every step from ``first`` down to and including 1, by the posterior.

    Takes what ``ddim`` takes. The mean of the posterior is (sqrt(a') beta x_0 + sqrt(1 - beta) (1 - a') u) / (1 - a),
    its variance beta (1 - a') / (1 - a), with a' of the step before.
    """
    u = start * (schedule.kept[first] + schedule.noise[first])
    for step in range(first, 0, -1):
        t, scale = schedule.time(step), schedule.kept[step] + schedule.noise[step]
        u = keep(u / scale, t, kept) * scale
        clean = denoise(u / scale, t)
        share = schedule.kept[step] / schedule.kept[step - 1]
        beta, rest, before = 1 - share**2, schedule.noise[step] ** 2, schedule.noise[step - 1] ** 2
        u = (schedule.kept[step - 1] * beta * clean + share * before * u) / rest
        if before > 0:
            u = u + (beta * before / rest) ** 0.5 * draw(u)
        if on_step is not None:
            on_step(first - step + 1, first, keep(clean, 0.0, kept))
    return keep(u, 0.0, kept)
