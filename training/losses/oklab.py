"""Losses in OKLab, one function per term of the recipe.

The robust distance is Charbonnier's (Charbonnier et al. 1994) raised to a power below one: where nobody hinted, many
colours would do, and a plain mean or median of them is grey; a concave distance settles for one of them (compare the
rebalancing of Zhang et al. 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.base import ModelOutputs
from training.data.synthesis import TrainingBatch
from training.losses.colour import to_oklab, to_oklab_apart
from training.runs.config import LossWeights
from training.runs.parts import Over, alone

SCALES = (4, 16)
SCALE_WEIGHTS = (0.7, 0.5)
CHROMA_BOOST = 6.0
"""A saturated pixel (OKLab chroma 0.2) counts 1 + 6 * 0.2 = 2.2 times a grey one."""
MATERIAL = 0.06
"""OKLab chroma distance from a region's mean at which a pixel begins to count as another material."""
SHADING_LIMITS = (0.15, 0.05, 0.05)
"""Largest change of L, a and b that counts as light and shade."""


def robust(error: Tensor) -> Tensor:
    """Bx1xHxW size of Bx3xHxW errors in OKLab: (|error|^2 + e^2)^(1/4), scaled so that 0.1 costs about 1."""
    squared = (error * error).sum(1, keepdim=True)
    # Two square roots take a fraction of the time of a power.
    return (squared + 1e-4).sqrt().sqrt() * 3.2


def multiscale(a: Tensor, b: Tensor, weight: Tensor, over: Over = alone, name: str = "") -> Tensor:
    """Weighted robust distance of two Bx3xHxW OKLab pictures (``b`` the truth) at full, quarter and sixteenth size."""
    chroma = (b[:, 1:] ** 2).sum(1, keepdim=True).sqrt()
    w = weight * (1 + CHROMA_BOOST * chroma)
    error = a - b
    total = (robust(error) * w).sum() / over(f"{name}1", w.sum())
    weighted, small, before = error * w, w, 1
    for scale, share in zip(SCALES, SCALE_WEIGHTS, strict=True):
        # The means of larger squares are made of those of smaller ones.
        small, weighted = reduce(small, scale // before), reduce(weighted, scale // before)
        before = scale
        distance = (robust(weighted / small.clamp_min(1e-4)) * small).sum()
        total = total + share * distance / over(f"{name}{scale}", small.sum())
    return total


def reduce(picture: Tensor, factor: int) -> Tensor:
    """Area-reduce BxCxHxW by a whole factor, to the size the model answers in."""
    if factor == 2 and not picture.requires_grad and picture.shape[-1] % 2 == 0 == picture.shape[-2] % 2:
        # A quarter of the time of torch's pooling on a CPU; its gradient would take longer.
        rows = picture[..., ::2, :] + picture[..., 1::2, :]
        return (rows[..., ::2] + rows[..., 1::2]) / 4
    return F.avg_pool2d(picture, factor) if factor > 1 else picture


def _mean_within(values: Tensor, regions: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of BxCxHxW values over every region, laid out as the picture again.

    There are at most as many regions as pixels, so their numbers make room for all without asking the device.
    """
    b, c, h, w = values.shape
    room = h * w
    index = (regions + room * torch.arange(b, device=regions.device).view(b, 1, 1)).flatten()
    weighted = (values * weight).transpose(0, 1).reshape(c, -1)
    sums = weighted.new_zeros(c, b * room).index_add(1, index, weighted)
    total = weighted.new_zeros(b * room).index_add(0, index, weight.flatten()).clamp_min(1e-3)
    return (sums / total)[:, index].reshape(c, b, h, w).transpose(0, 1)


@torch.no_grad()
def true_shading(lab: Tensor, regions: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Light and shade of an illustration: what varies within a region of the lineart, other materials left out.

    Args:
        lab: Bx3xHxW OKLab of the illustration.
        regions: BxHxW region numbers.
        weight: Bx1xHxW in [0, 1], where colour can be judged.

    Returns:
        Bx3xHxW change from the region's mean, limited, and the weight without pixels of another material.
    """
    chroma = lab[:, 1:]
    off = ((chroma - _mean_within(chroma, regions, weight)) ** 2).sum(1, keepdim=True)
    weight = weight * torch.exp(-off / MATERIAL**2)
    change = lab - _mean_within(lab, regions, weight)
    limits = torch.tensor(SHADING_LIMITS, device=lab.device).view(1, 3, 1, 1)
    return change.clamp(-limits, limits), weight


def shading_errors(
    residual: Tensor, truth: Tensor, regions: Tensor, weight: Tensor, over: Over = alone
) -> tuple[Tensor, Tensor]:
    """Squared error of a shading and of its slopes over 2 px; an error of 0.1 costs about 1.

    The concave distances would settle for the commonest shading, which is none; a square settles for the mean, which is
    soft light and shade that follows the form.
    """
    error = residual - _mean_within(residual, regions, weight) - truth
    dx, dy = error[..., :, 2:] - error[..., :, :-2], error[..., 2:, :] - error[..., :-2, :]
    wx, wy = weight[..., :, 2:] * weight[..., :, :-2], weight[..., 2:, :] * weight[..., :-2, :]

    def mean(name: str, values: Tensor, w: Tensor) -> Tensor:
        return (values**2 * w).sum() / over(name, w.sum()) * 100

    return mean("depth", error, weight), mean("across", dx, wx) + mean("down", dy, wy)


def hint_fidelity(a: Tensor, b: Tensor, hinted: Tensor, over: Over = alone) -> Tensor:
    """L1 of Bx3xHxW in OKLab under the strokes."""
    return ((a - b).abs().sum(1, keepdim=True) * hinted).sum() / over("hint", hinted.sum()) * 5


def shading_alone(out: ModelOutputs) -> Tensor:
    """The shaded picture, from which gradients reach the shading alone.

    For critic and reader: they push whole areas towards other hues, away from the hints that the flat picture follows.
    """
    return out.flat.detach() + (out.shaded - out.flat)


def total_loss(
    out: ModelOutputs, batch: TrainingBatch, weights: LossWeights, progress: float, over: Over = alone
) -> tuple[Tensor, dict[str, Tensor]]:
    """All terms for one batch; ``progress`` in [0, 1] anneals the guide. Returns the sum and the terms for the log.

    Of a part of a batch, ``over`` says what the terms are divided by.
    """
    guide = weights.guide(progress)
    # One layout for all: elementwise work on two is several times slower.
    out = ModelOutputs(out.flat.contiguous(), out.shaded.contiguous())
    flat = to_oklab(out.flat)
    factor = batch.target.shape[-1] // out.shaded.shape[-1]
    # The shading has losses of its own: it is cut out of the distance of the shaded picture, and the flat out of them.
    residual = out.shaded - out.flat
    shaded, lit = to_oklab_apart(out.flat, residual)
    light = lit - flat.detach()
    with torch.no_grad():
        true_shaded, true_flat = to_oklab(reduce(batch.target, factor)), to_oklab(reduce(batch.flat, factor))
        weight, hinted = reduce(batch.weight, factor), reduce(batch.hinted, factor)
        shrink = out.shaded.shape[-1] // batch.regions.shape[-1]
        judged = reduce(weight, shrink)
        truth, judged = true_shading(reduce(true_shaded, shrink), batch.regions, judged)
    depth, slope = shading_errors(reduce(light, shrink), truth, batch.regions, judged, over)
    terms = {
        "shaded": weights.shaded * multiscale(shaded, true_shaded, weight, over, "shaded"),
        "flat": guide * multiscale(flat, true_flat, weight, over, "flat"),
        "shading": weights.shading * depth,
        "gradient": weights.gradient * slope,
        "hint": weights.hint * hint_fidelity(flat, true_flat, hinted, over),
    }
    return torch.stack(list(terms.values())).sum(), terms


@torch.no_grad()
def weight_sums(batch: TrainingBatch, factor: int) -> dict[str, Tensor]:
    """The sums of weights that ``total_loss`` divides by, of a batch or a part of one.

    Args:
        batch: the samples.
        factor: the whole factor by which the model's pictures are smaller than its inputs.
    """
    sums: dict[str, Tensor] = {}

    def note(name: str, local: Tensor) -> Tensor:
        sums[name] = local
        return local.clamp_min(1.0)

    # What is painted does not change the weights.
    nothing = torch.zeros_like(reduce(batch.target, factor))
    total_loss(ModelOutputs(nothing, nothing), batch, LossWeights(), 0.0, note)
    return sums
