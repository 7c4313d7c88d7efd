"""What StablePaint's three networks are taught, as modules that give the loss terms of a part of a batch.

All terms are plain means over the samples, so that parts of a batch add up, or the colour terms of ``losses``.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelOutputs
from engine.models.stablepaint import StablePaint
from engine.sampling.noise import grid_sizes, mix_noise
from training.data.chance import Chance, rand, randn
from training.losses.colour import to_oklab
from training.losses.oklab import total_loss
from training.runs.config import LossWeights
from training.runs.parts import Part

NEAR = 0.1
"""Errors in [-1, 1] below which the reconstruction loss turns from absolute to squared: PSNR counts squares."""


@dataclass(frozen=True)
class PaintLossWeights:
    """Weights of the terms.

    Attributes:
        colour: of the VAE's OKLab errors, which are about a fifth of those in [-1, 1],
        slopes: of its errors of the slopes,
        flat: of its flat picture,
        divergence: and of the KL term per latent number; it keeps the posterior's deviation near a tenth of the
            latent's.
        latent: of the context encoder's error in the latent,
        colours: and in the decoded pictures.
    """

    colour: float = 3.0
    slopes: float = 0.5
    flat: float = 0.4
    divergence: float = 5e-4
    latent: float = 2.0
    colours: float = 0.25


def picture_error(picture: Tensor, truth: Tensor, weights: PaintLossWeights) -> Tensor:
    """Smooth L1 in sRGB and in OKLab, and L1 of the slopes, of Bx3xHxW pictures in [-1, 1]."""
    error = picture - truth
    dx, dy = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    slopes = dx.abs().mean() + dy.abs().mean()
    colour = (to_oklab(picture) - to_oklab(truth)).abs().sum(1).mean()
    return F.smooth_l1_loss(picture, truth, beta=NEAR) + weights.colour * colour + weights.slopes * slopes


class VaeLearner(nn.Module):
    """Round trip of the illustration, its flat version beside it, and a small KL."""

    def __init__(self, net: StablePaint, weights: PaintLossWeights) -> None:
        super().__init__()
        self.vae, self.weights = net.vae, weights

    def forward(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        """The rebuilt pictures and the terms."""
        truth, flat_truth = part.batch.target, part.batch.flat
        posterior = self.vae.encode(truth)
        latent = posterior.draw(randn(part.chance, *posterior.mean.shape))
        flat, shaded = (x.float() for x in self.vae.decode_raw(latent))
        terms = {
            "picture": picture_error(shaded, truth, self.weights),
            "flat": self.weights.flat * F.smooth_l1_loss(flat, flat_truth, beta=NEAR),
            "divergence": self.weights.divergence * posterior.divergence().float(),
        }
        return shaded, terms


class ContextLearner(nn.Module):
    """The guess of the illustration's latent: squared error there, and StencilTorch's colour losses on its pictures.

    The squared error makes the guess the mean of the latents that fit, round which the denoiser's path lies.
    """

    def __init__(self, net: StablePaint, weights: PaintLossWeights, colours: LossWeights) -> None:
        super().__init__()
        self.context, self.frozen = net.context, [net]
        self.weights, self.colours = weights, colours

    def forward(self, part: Part) -> dict[str, Tensor]:
        """The terms."""
        net, batch = self.frozen[0], part.batch
        with torch.no_grad():
            guides = net.guides(batch.inputs)
            truth = net.vae.latent(batch.target).float()
        guess = self.context(guides).float()
        painted = net.paint(guess)
        out = ModelOutputs(painted.flat.float(), painted.shaded.float())
        _, terms = total_loss(out, batch, self.colours, 0.5, part.over)
        error = ((guess - truth) ** 2 * (1 - guides.known)).mean()
        return {"latent": self.weights.latent * error, **{k: self.weights.colours * t for k, t in terms.items()}}


class DenoiserLearner(nn.Module):
    """The velocity of the difference to the guess, on the straight path, where nothing is known yet.

    A fifth of the samples have no hints at all (``strokes.NO_HINTS``), and guess and guides are then made without any:
    that is what guidance needs, so no more are dropped.
    """

    def __init__(self, net: StablePaint) -> None:
        super().__init__()
        self.denoiser, self.frozen = net.denoiser, [net]

    def forward(self, part: Part) -> dict[str, Tensor]:
        """The term."""
        net, batch = self.frozen[0], part.batch
        with torch.no_grad():
            guides = net.guides(batch.inputs)
            guess = net.context(guides)
            difference = (net.vae.latent(batch.target) - guess).float()
            t = draw_times(part.chance, len(difference))
            rows, channels, height, width = difference.shape
            white = randn(part.chance, rows, channels, height, width)
            grids = [randn(part.chance, rows, channels, *size) for size in grid_sizes(height, width)]
            noise = mix_noise(white, grids)
            share = t.view(-1, 1, 1, 1)
            x = (1 - share) * difference + share * noise
            conditions = net.conditions(guides, guess)
        velocity = self.denoiser(x, conditions, t)
        return {"velocity": ((velocity - (noise - difference)) ** 2 * (1 - guides.known)).mean()}


def draw_times(chance: Chance, count: int) -> Tensor:
    """Times in (0, 1): logit-normal (Esser et al. 2024), a fifth uniform, so that both ends are seen as well."""
    even = rand(chance, count, 1)[:, 0]
    middle = torch.sigmoid(randn(chance, count, 1)[:, 0])
    return torch.where(rand(chance, count, 1)[:, 0] < 0.2, even, middle).clamp(1e-3, 1 - 1e-4)


class Judge(nn.Module):
    """The VAE's critic: strided convolutions and a score per patch of about 40 px, without normalisation."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        widths = [3, width, 2 * width, 4 * width]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.score = nn.Conv2d(widths[-1], 1, 3, 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Score Bx3xHxW pictures in [-1, 1]: Bx1x(H/8)x(W/8), higher is more like the illustrations."""
        x = picture
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        score: Tensor = self.score(x)
        return score


def hinge_critic(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """E[max(0, 1 - C(real))] + E[max(0, 1 + C(fake))], halved (Lim and Ye 2017)."""
    return (F.relu(1 - on_real).mean() + F.relu(1 + on_fake).mean()) / 2


def adaptive_weight(rebuilt: Tensor, opinion: Tensor, last: Tensor) -> Tensor:
    """|grad L_rec| / (|grad L_gan| + 1e-6) at the decoder's last layer (Esser et al. 2021), at most 10^4, detached."""
    (a,) = torch.autograd.grad(rebuilt, last, retain_graph=True)
    (b,) = torch.autograd.grad(opinion, last, retain_graph=True)
    weight: Tensor = (a.norm() / (b.norm() + 1e-6)).clamp(max=1e4).detach()
    return weight
