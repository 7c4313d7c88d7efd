"""Losses in OKLab, one function per term of the recipe.

The robust distance is Charbonnier's (Charbonnier et al. 1994) raised to a power below one: where nobody hinted, many
colours would do, and a plain mean or median of them is grey; a concave distance settles for one of them (compare the
rebalancing of Zhang et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.base import ModelOutputs
from training.colour import to_oklab
from training.data.synthesis import TrainingBatch

SCALES = (4, 16)
SCALE_WEIGHTS = (0.7, 0.5)
CHROMA_BOOST = 6.0
"""A saturated pixel (OKLab chroma 0.2) counts 1 + 6 * 0.2 = 2.2 times a grey one."""
POWER = 0.5


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; the guide (flat) weight falls from ``guide_start`` to ``guide_end`` over the run."""

    shaded: float = 1.0
    guide_start: float = 1.5
    guide_end: float = 0.7
    shading: float = 1.0
    gradient: float = 0.4
    hint: float = 1.0


def robust(a: Tensor, b: Tensor) -> Tensor:
    """Bx1xHxW distance of two Bx3xHxW OKLab pictures: (|a-b|^2 + e^2)^(POWER/2), scaled so that 0.1 costs about 1."""
    squared = ((a - b) ** 2).sum(1, keepdim=True)
    return ((squared + 1e-4) ** (POWER / 2)) * 3.2


def multiscale(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Weighted robust distance of two Bx3xHxW OKLab pictures (``b`` the truth) at full, quarter and sixteenth size."""
    chroma = (b[:, 1:] ** 2).sum(1, keepdim=True).sqrt()
    w = weight * (1 + CHROMA_BOOST * chroma)
    total = (robust(a, b) * w).sum() / w.sum().clamp_min(1.0)
    for scale, share in zip(SCALES, SCALE_WEIGHTS, strict=True):
        small = F.avg_pool2d(w, scale)
        mean_error = F.avg_pool2d((a - b) * w, scale) / small.clamp_min(1e-4)
        total = total + share * (
            robust(mean_error, torch.zeros_like(mean_error)) * small
        ).sum() / small.sum().clamp_min(1.0)
    return total


def reduce(picture: Tensor, factor: int) -> Tensor:
    """Area-reduce BxCxHxW by a whole factor, to the size the model answers in."""
    return F.avg_pool2d(picture, factor) if factor > 1 else picture


def gradient(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """L1 between the spatial differences over 2 px of two OKLab pictures: shading must follow the form, softly."""
    error = a - b
    dx, dy = error[..., :, 2:] - error[..., :, :-2], error[..., 2:, :] - error[..., :-2, :]
    wx, wy = weight[..., :, 2:] * weight[..., :, :-2], weight[..., 2:, :] * weight[..., :-2, :]
    x = (dx.abs() * wx).sum() / wx.sum().clamp_min(1.0)
    y = (dy.abs() * wy).sum() / wy.sum().clamp_min(1.0)
    return (x + y) * 2


def shading_error(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Squared error between two OKLab shadings (shaded less flat), so that 0.1 costs about 0.3.

    The concave distances settle for the commonest shading, which is none; a square settles for the mean, which is soft
    light and shade that follows the form.
    """
    return ((a - b) ** 2 * weight).sum() / weight.sum().clamp_min(1.0) * 30


def hint_fidelity(a: Tensor, b: Tensor, hinted: Tensor) -> Tensor:
    """L1 in OKLab under the strokes."""
    return ((a - b).abs().sum(1, keepdim=True) * hinted).sum() / hinted.sum().clamp_min(1.0) * 5


def total_loss(
    out: ModelOutputs, batch: TrainingBatch, weights: LossWeights, progress: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """All terms for one batch; ``progress`` in [0, 1] anneals the guide. Returns the sum and the terms for the log."""
    guide = weights.guide_start + (weights.guide_end - weights.guide_start) * progress
    shaded, flat = to_oklab(out.shaded), to_oklab(out.flat)
    factor = batch.target.shape[-1] // out.shaded.shape[-1]
    with torch.no_grad():
        true_shaded, true_flat = to_oklab(reduce(batch.target, factor)), to_oklab(reduce(batch.flat, factor))
        weight, hinted = F.avg_pool2d(batch.weight, factor), F.avg_pool2d(batch.hinted, factor)
    terms = {
        "shaded": weights.shaded * multiscale(shaded, true_shaded, weight),
        "flat": guide * multiscale(flat, true_flat, weight),
        "shading": weights.shading * shading_error(shaded - flat.detach(), true_shaded - true_flat, weight),
        "gradient": weights.gradient * gradient(shaded, true_shaded, weight),
        "hint": weights.hint * hint_fidelity(flat, true_flat, hinted),
    }
    return torch.stack(list(terms.values())).sum(), terms
