"""Averages of the weights along a run, several at once, of which the one with the least held-out loss is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

Weights = dict[str, Tensor]


def power(width: float) -> float:
    """The exponent gamma of a power-function average, from its width relative to the length of the training.

    The profile t^gamma over [0, 1] has the standard deviation
    sigma = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)) (Karras et al. 2024, "Analyzing and Improving the Training
    Dynamics of Diffusion Models", section 3.1), here solved for gamma.

    Raises:
        ValueError: no average is that wide; the widest, of all weights alike, has 1 / sqrt(12).
    """
    if not 0 < width < 1 / math.sqrt(12):
        raise ValueError(f"an average cannot be {width} of a training wide; it must lie between 0 and 0.288")
    inverse = width**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


class Averages:
    """Power-function averages of a network's weights: beta(t) = (1 - 1/t)^(gamma + 1) at update t = 1, 2, ...

    Their memory grows with the training, so they need no constant that fits its length, and forget the beginning
    (Karras et al. 2024, section 3.1).

    Args:
        network: whose weights and buffers are averaged.
        widths: standard deviation of each average's profile, relative to the length of the training so far.

    Attributes:
        tensors: the averages, by width.
        count: updates since ``restart``.
        chosen: width of the one to be used.
    """

    def __init__(self, network: nn.Module, widths: Sequence[float]) -> None:
        if not widths:
            raise ValueError("a run keeps at least one average")
        self.network = network
        self.powers = {width: power(width) for width in widths}
        self.chosen = widths[0]
        self.restart()

    def restart(self) -> None:
        """Begin anew with the weights as they are."""
        self.count = 0
        self.tensors: dict[float, Weights] = {width: self._present() for width in self.powers}

    def _present(self) -> Weights:
        return {k: t.detach().clone() for k, t in self.network.state_dict().items()}

    @property
    def best(self) -> Weights:
        """The chosen average."""
        return self.tensors[self.chosen]

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights in; whole numbers, such as counts of batches, are copied."""
        self.count += 1
        present = self.network.state_dict()
        floats = [k for k, t in present.items() if t.is_floating_point()]
        for width, average in self.tensors.items():
            decay = (1 - 1 / self.count) ** (self.powers[width] + 1)
            get_ema_multi_avg_fn(decay)([average[k] for k in floats], [present[k] for k in floats], None)  # type: ignore[no-untyped-call]
            for key in present.keys() - set(floats):
                average[key].copy_(present[key])

    def choose(self, losses: dict[float, float]) -> None:
        """Take the average with the least finite loss; where none is finite nothing changes."""
        finite = {width: loss for width, loss in losses.items() if math.isfinite(loss)}
        if finite:
            self.chosen = min(finite, key=lambda width: finite[width])
