"""Turns packed crops into training batches on the training device: linearts of many hands, hue rotation, inputs.

A network that has seen one kind of line fails on all others, so every sample draws its lineart from a family: xDoG soft
and hard, ink lifted from the picture with its spot blacks, strokes along region borders, or the artist's own line; then
gaps, thickness, grain, grey or faint ink and scan blur (method section 1).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.imaging.regions import find_regions
from engine.models.base import ModelInputs
from training.colour import rotate_hue


@dataclass(frozen=True)
class TrainingBatch:
    """Inputs and truths of one step.

    Attributes:
        inputs: what the model sees.
        target: Bx3xHxW illustration in [-1, 1].
        flat: Bx3xHxW simplified illustration in [-1, 1].
        weight: Bx1xHxW in [0, 1]: inside the mask and off the ink, where colour can be judged.
        hinted: Bx1xHxW in [0, 1]: where strokes lie inside their own region.
        regions: Bx(H/2)x(W/2) int64, regions of the lineart.
    """

    inputs: ModelInputs
    target: Tensor
    flat: Tensor
    weight: Tensor
    hinted: Tensor
    regions: Tensor


def _uniform(n: int, low: float, high: float, device: torch.device, gen: torch.Generator) -> Tensor:
    return (torch.rand(n, 1, 1, 1, device=device, generator=gen) * (high - low)) + low


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of BxCxHxW with a standard deviation per sample (B values, at most 2.6 px)."""
    b, c, h, w = x.shape
    radius = max(1, int(float(sigma.max()) * 2.5 + 0.5)) if x.device.type == "cpu" else 7
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma.reshape(b, 1) ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    kernel = kernel.repeat_interleave(c, 0)
    y = x.reshape(1, b * c, h, w)
    y = F.conv2d(F.pad(y, (radius, radius, 0, 0), "replicate"), kernel[:, None, None, :], groups=b * c)
    y = F.conv2d(F.pad(y, (0, 0, radius, radius), "replicate"), kernel[:, None, :, None], groups=b * c)
    return y.reshape(b, c, h, w)


def xdog(grey: Tensor, sigma: Tensor, k: Tensor, gamma: Tensor, eps: Tensor, phi: Tensor) -> Tensor:
    """Extended difference of Gaussians (Winnemoeller 2012): Bx1xHxW grey in [0, 1] to lineart in [0, 1]."""
    d = blur(grey, sigma) - gamma * blur(grey, (sigma * k).clamp_max(2.6))
    return torch.where(d >= eps, torch.ones_like(d), 1 + torch.tanh(phi * (d - eps))).clamp(0, 1)


def _dilate(x: Tensor, reach: int) -> Tensor:
    """Maximum over a square window; rows and columns apart, which is much faster on a CPU."""
    size = 2 * reach + 1
    return F.max_pool2d(F.max_pool2d(x, (1, size), 1, (0, reach)), (size, 1), 1, (reach, 0))


def lifted_ink(grey: Tensor, reach: int) -> Tensor:
    """Ink that is darker than its surroundings within ``reach`` px, and spot blacks; Bx1xHxW ink amount in [0, 1]."""
    closed = -_dilate(-_dilate(grey, reach), reach)
    valley = ((closed - grey) * 2.2 - 0.12).clamp(0, 1)
    spots = ((0.16 - grey) * 12).clamp(0, 1)
    return torch.maximum(valley, spots)


def border_ink(labels: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Strokes along region borders whose width swells with ``noise``; BxHxW labels to Bx1xHxW ink in [0, 1]."""
    lab = labels[:, None]
    edge = torch.zeros_like(lab, dtype=torch.float32)
    edge[..., :, 1:] = torch.maximum(edge[..., :, 1:], (lab[..., :, 1:] != lab[..., :, :-1]).float())
    edge[..., 1:, :] = torch.maximum(edge[..., 1:, :], (lab[..., 1:, :] != lab[..., :-1, :]).float())
    soft = blur(edge, sigma) * sigma.clamp_min(0.7) * 2.5
    return ((soft - 0.35 - 0.35 * noise) * 3).clamp(0, 1)


def smooth_noise(b: int, h: int, w: int, cell: int, device: torch.device, gen: torch.Generator) -> Tensor:
    """Bx1xHxW noise in about [-1, 1] whose blobs are ``cell`` pixels wide."""
    small = torch.randn(b, 1, max(2, h // cell), max(2, w // cell), device=device, generator=gen)
    return F.interpolate(small, (h, w), mode="bicubic", align_corners=False) * 0.6


def draw_lineart(
    grey: Tensor, lifted: Tensor, labels: Tensor, line: Tensor, has_line: Tensor, gen: torch.Generator
) -> Tensor:
    """Draw one lineart per sample.

    Args:
        grey: Bx1xHxW lightness of the illustration in [0, 1].
        lifted: Bx1xHxW its ``lifted_ink``.
        labels: BxHxW flat regions.
        line: Bx1xHxW real lineart in [0, 1], used where ``has_line``.
        has_line: B booleans.
        gen: source of chance, on the device.

    Returns:
        Bx1xHxW in [0, 1], 1 = paper.
    """
    b, _, h, w = grey.shape
    dev = grey.device

    def u(low: float, high: float) -> Tensor:
        return _uniform(b, low, high, dev, gen)

    def chance(p: float) -> Tensor:
        return u(0, 1) < p

    sigma = u(0.35, 1.1)
    phi = torch.where(chance(0.5), u(8, 40), u(200, 2000))
    sketch = 1 - xdog(grey, sigma, torch.where(chance(0.5), 1.6, 4.0), u(0.95, 0.99), u(-0.03, 0.003), phi)
    swell = smooth_noise(b, h, w, 24, dev, gen)
    borders = border_ink(labels, swell, u(0.4, 1.3))
    pick = u(0, 1)
    both = torch.maximum(lifted, borders * u(0.6, 1))
    ink = torch.where(pick < 0.35, sketch, torch.where(pick < 0.6, borders, torch.where(pick < 0.68, lifted, both)))
    ink = torch.where(has_line.view(-1, 1, 1, 1), 1 - line, ink)
    # A hand's faults: missing stretches, thicker or thinner pen, faint or grey ink, grain, scanner blur.
    holes = (smooth_noise(b, h, w, 6, dev, gen) > u(0.75, 1.6)) & chance(0.6)
    ink = torch.where(holes, torch.zeros_like(ink), ink)
    ink = torch.where(chance(0.15), _dilate(ink, 1), ink)
    grain = torch.rand(ink.shape, device=dev, generator=gen)
    ink = torch.where(chance(0.2), ink * (1 - 0.6 * grain), ink)
    ink = torch.where(chance(0.3), blur(ink, u(0.3, 0.9)), ink)
    strength = torch.where(chance(0.35), u(0.4, 1.0), torch.ones_like(pick))
    return (1 - ink * strength - (grain * 0.04) * chance(0.2)).clamp(0, 1)


def lineart_regions(lineart: Tensor) -> Tensor:
    """Find the regions of Bx1xHxW lineart in [0, 1] at half its size, on the CPU: Bx(H/2)x(W/2) int64."""
    halves = (-F.max_pool2d(-lineart, 2))[:, 0].cpu().numpy()
    with ThreadPoolExecutor(min(len(halves), os.cpu_count() or 1)) as pool:
        found = list(pool.map(find_regions, halves))
    return torch.from_numpy(np.stack(found)).to(lineart.device, torch.int64)


def make_batch(raw: dict[str, Tensor], gen: torch.Generator) -> TrainingBatch:
    """Finish a batch of ``Crops`` on its device; ``gen`` must live on the same device."""

    def image(name: str) -> Tensor:
        return raw[name].float() / 127.5 - 1

    device = raw["target"].device
    grey = ((raw["target"].float() / 255) * torch.tensor([0.299, 0.587, 0.114], device=device).view(1, 3, 1, 1)).sum(
        1, keepdim=True
    )
    line = raw["line"][:, None].float() / 255
    lifted = lifted_ink(grey, 3)
    lineart = draw_lineart(grey, lifted, raw["labels"], line, raw["has_line"], gen)
    target = image("target")
    turned = raw["angle"].flatten(1).abs().amax(1) > 0
    if bool(turned.any()):
        target[turned] = rotate_hue(target[turned], raw["angle"][turned][:, None])
    flat = image("flat")
    coverage = raw["hints"][:, 3:].float() / 255
    hints = torch.cat([(raw["hints"][:, :3].float() / 127.5 - 1) * coverage, coverage], 1)
    mask = raw["mask"][:, None].float() / 255
    known = (1 - mask) * raw["context"].view(-1, 1, 1, 1).float()
    inputs = ModelInputs(lineart * 2 - 1, hints, mask, target, known)
    # Lines of the picture itself are no colour to learn, whether this lineart shows them or not.
    ink = torch.maximum(1 - lineart, lifted)
    weight = mask * (1 - _dilate(ink, 2)).clamp(0, 1)
    own = (hints[:, :3] - flat * coverage).abs().amax(1, keepdim=True) < 0.12
    return TrainingBatch(inputs, target, flat, weight, coverage * own.float(), lineart_regions(lineart))
