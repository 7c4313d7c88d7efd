"""What all samplers share: the straight path, what is kept while the rest is drawn, and how one looks on or stops.

On the straight path (Liu et al. 2022, Lipman et al. 2022) a sample x_t = (1 - t) x_0 + t e lies between the clean
x_0 at t = 0 and standard normal noise e at t = 1. A sampler knows the target only by ``Denoise``, the expected x_0
given x_t; the expected velocity e - x_0 is (x_t - E[x_0 | x_t]) / t, and the score of x_t is
((1 - t) E[x_0 | x_t] - x_t) / t^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
"""(x_t, t in (0, 1]) to the expected clean sample, of the same shape."""
OnStep = Callable[[int, int, Tensor], None]
"""Told (steps done, steps in all, present estimate of the clean sample); what it raises ends the sampling."""
Draw = Callable[[Tensor], Tensor]
"""Standard normal noise of the shape and on the device of what it is given."""


@dataclass(frozen=True)
class Kept:
    """The part of a sample that is known already, for in-painting and out-painting.

    Before each step it is put, with as much noise as belongs there, in place of what was drawn; so the rest is drawn to
    fit it.

    Attributes:
        clean: the known sample; only looked at where it is kept.
        where: 1 where it is known, 0 where it is to be drawn; broadcasts.
        noise: standard normal, the same for all steps, so that the known part moves along one straight line.
    """

    clean: Tensor
    where: Tensor
    noise: Tensor

    def put(self, x: Tensor, t: float) -> Tensor:
        """The BxCxHxW sample at time ``t`` with the known part in place."""
        known = (1 - t) * self.clean + t * self.noise
        return self.where * known + (1 - self.where) * x


def keep(x: Tensor, t: float, kept: Kept | None) -> Tensor:
    """Put what is known of BxCxHxW in place, if anything is."""
    return x if kept is None else kept.put(x, t)


def even_times(strength: float, steps: int) -> list[float]:
    """``steps`` + 1 times from ``strength`` down to 0, evenly spaced.

    Raises:
        ValueError: strength not in (0, 1] or no step.
    """
    if not 0 < strength <= 1 or steps < 1:
        raise ValueError(f"{steps} steps from {strength} lead nowhere")
    return [strength * (steps - i) / steps for i in range(steps)] + [0.0]
