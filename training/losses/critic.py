"""The conditional critic of the optional adversarial phase, as a Wasserstein critic with gradient penalty.

It sees lineart, hints and mask with the picture, or nothing would police hint fidelity.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelInputs
from engine.models.stenciltorch import ResNeXtBottleneck
from training.data.chance import Chance, rand

PENALTY = 10.0
DRIFT = 1e-3


class Critic(nn.Module):
    """Strided 3x3 convolutions from 1/2 to 1/16 and one score per 1/16 cell, averaged. No normalisation (WGAN-GP)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = [9, width, 2 * width, 4 * width, 4 * width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.score = nn.Conv2d(widths[-1], 1, 3, 1, 1)

    def forward(self, picture: Tensor, inputs: ModelInputs) -> Tensor:
        """Score Bx3xHxW pictures in [-1, 1]: B values, higher is more like the illustrations."""
        x = torch.cat([picture, inputs.lineart, inputs.hints, inputs.mask], 1)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        score: Tensor = self.score(x)
        return score.mean((1, 2, 3))


class ThesisCritic(nn.Module):
    """The critic of the thesis: SRGAN's strided stages with undilated ResNeXt blocks.

    It sees lineart, hints and mask too.

    Args:
        width: f of the thesis.
        cardinality: groups of the bottlenecks.
        features: channels of the local features that join at 1/16, as they do in the generator; 0 = none.
        look: gives them for a lineart; it belongs to the generator.
    """

    JOIN = 12
    """The layer that the features join before."""

    def __init__(
        self,
        width: int = 64,
        cardinality: int = 32,
        features: int = 0,
        look: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        widths = [9, width // 2, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths):
            more = features if len(layers) == self.JOIN else 0
            layers += [nn.Conv2d(a + more, b, 4, 2, 1), nn.LeakyReLU(0.2), ResNeXtBottleneck(b, cardinality, 1)]
        self.layers = nn.Sequential(*layers)
        # In a tuple, or its weights would be taken for the critic's.
        self.look = (look if features else None,)
        self.score = nn.Conv2d(widths[-1], 1, 3, 1, 1)

    def forward(self, picture: Tensor, inputs: ModelInputs) -> Tensor:
        """Score Bx3xHxW pictures in [-1, 1]: B values, higher is more like the illustrations."""
        x = self.layers[: self.JOIN](torch.cat([picture, inputs.lineart, inputs.hints, inputs.mask], 1))
        if self.look[0] is not None:
            x = torch.cat([x, self.look[0](inputs.lineart)], 1)
        score: Tensor = self.score(self.layers[self.JOIN :](x))
        return score.mean((1, 2, 3))


def critic_loss(critic: nn.Module, real: Tensor, fake: Tensor, inputs: ModelInputs, gen: Chance) -> Tensor:
    """E[C(fake)] - E[C(real)] + 10 E[(|grad C(x)| - 1)^2] + 1e-3 E[C(real)^2] (Gulrajani 2017)."""
    mix = rand(gen, real.shape[0], 1, 1, 1)
    between = (mix * real + (1 - mix) * fake.detach()).requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between, inputs).sum(), between, create_graph=True)
    penalty = ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
    on_real = critic(real, inputs)
    distance: Tensor = critic(fake.detach(), inputs).mean() - on_real.mean()
    total: Tensor = distance + PENALTY * penalty + DRIFT * (on_real**2).mean()
    return total
