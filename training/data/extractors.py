"""Linearts from finished pictures, by name: pure functions on tensors that run on the training device.

A network that has seen one kind of line fails on all others, so ``default`` draws every lineart from a family: xDoG
soft and hard, ink lifted from the picture with its spot blacks, strokes along region borders, or the artist's own line;
then gaps, thickness, grain, grey or faint ink and scan blur. ``thesis`` is the one setting of the thesis (method
section 1); in it solid blacks vanish inside their outline, because a flat area of any grey v has D = (1 - gamma) v,
which is never below eps. A model trained on it alone has never seen a spot black or a soft pencil line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.chance import Chance, Rows, SampleChance, rand, randn

THESIS_SIGMAS = (0.3, 0.4, 0.5)
THESIS = {"k": 4.5, "gamma": 0.95, "eps": -0.1, "phi": 1e9}
WIDEST = 2.6
"""Largest standard deviation of a blur, in pixels; wider ones are cut to it."""
LIFT_REACH = 3
"""Half the width in pixels of a line that ``lifted_ink`` finds."""


@dataclass(frozen=True)
class LineSource:
    """What a lineart is drawn from.

    Attributes:
        grey: Bx1xHxW lightness of the illustration in [0, 1].
        lifted: Bx1xHxW its ``lifted_ink``.
        labels: BxHxW flat regions.
        line: Bx1xHxW the artist's own lineart in [0, 1], 1 = paper, used where ``has_line``.
        has_line: B booleans.
    """

    grey: Tensor
    lifted: Tensor
    labels: Tensor
    line: Tensor
    has_line: Tensor


Extractor = Callable[[LineSource, Chance], Tensor]
"""Draws Bx1xHxW lineart in [0, 1], 1 = paper."""


def to_grey(rgb: Tensor) -> Tensor:
    """Lightness of Bx3xHxW sRGB in [0, 1] by Rec. 601 weights: Bx1xHxW in [0, 1]."""
    return (rgb * torch.tensor([0.299, 0.587, 0.114], device=rgb.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


Bound = float | Callable[[Tensor], float] | None
"""How wide the blurs of other samples are: at most so much, or as this function of B widths says, None = not more."""


def blur(x: Tensor, sigma: Tensor, most: Bound = None) -> Tensor:
    """Gaussian blur of BxCxHxW with a standard deviation per sample (B values, at most ``WIDEST`` px).

    The kernel reaches 2.5 standard deviations: of the widest in the batch on a CPU, of ``WIDEST`` on a GPU, so that
    nothing waits for the device, and of ``most`` when it is a number: then a sample does not depend on its neighbours,
    to the last bit, which convolutions do not promise. A function says how wide the widest is in a batch of which these
    samples are a part.
    """
    b, c, h, w = x.shape
    alone = isinstance(most, float)
    if isinstance(most, float):
        widest = most
    elif x.device.type == "cpu":
        widest = most(sigma) if most is not None else float(sigma.max())
    else:
        widest = 2.8
    radius = max(1, int(widest * 2.5 + 0.5))
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma.reshape(b, 1) ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    if alone:
        return _correlate(_correlate(x, kernel, 3), kernel, 2)
    kernel = kernel.repeat_interleave(c, 0)
    y = x.reshape(1, b * c, h, w)
    y = F.conv2d(F.pad(y, (radius, radius, 0, 0), "replicate"), kernel[:, None, None, :], groups=b * c)
    y = F.conv2d(F.pad(y, (0, 0, radius, radius), "replicate"), kernel[:, None, :, None], groups=b * c)
    return y.reshape(b, c, h, w)


def _correlate(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Correlate BxCxHxW along an axis with one kernel per sample, BxK, tap by tap."""
    reach = kernel.shape[1] // 2
    pad = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
    padded = F.pad(x, pad, "replicate")
    out = torch.zeros_like(x)
    for tap in range(kernel.shape[1]):
        out += kernel[:, tap].view(-1, 1, 1, 1) * padded.narrow(axis, tap, x.shape[axis])
    return out


def xdog(grey: Tensor, sigma: Tensor, k: Tensor, gamma: Tensor, eps: Tensor, phi: Tensor, most: Bound = None) -> Tensor:
    """Extended difference of Gaussians (Winnemoeller 2012): Bx1xHxW grey in [0, 1] to lineart in [0, 1].

    ``D = G_sigma - gamma G_(k sigma)``; paper where ``D >= eps``, else ``1 + tanh(phi (D - eps))``. ``most`` bounds
    ``sigma`` as in ``blur``.
    """
    wide = WIDEST if isinstance(most, float) else most
    d = blur(grey, sigma, most) - gamma * blur(grey, (sigma * k).clamp_max(WIDEST), wide)
    return torch.where(d >= eps, torch.ones_like(d), 1 + torch.tanh(phi * (d - eps))).clamp(0, 1)


def otsu(x: Tensor, bins: int = 256) -> Tensor:
    """Threshold per sample that parts BxCxHxW in [0, 1] into the two classes of least variance within (Otsu 1979).

    Returns:
        Bx1x1x1: the border between two of ``bins`` equal bins of [0, 1]; values at or above it are the upper class.
        The middle one where several borders are as good, as between two far values.
    """
    b = x.shape[0]
    index = (x.reshape(b, -1) * bins).long().clamp(0, bins - 1)
    count = torch.zeros(b, bins, dtype=torch.float64, device=x.device)
    count.scatter_add_(1, index, torch.ones_like(index, dtype=torch.float64))
    value = torch.arange(bins, dtype=torch.float64, device=x.device)
    below = count.cumsum(1)[:, :-1]
    above = count.sum(1, keepdim=True) - below
    low = (count * value).cumsum(1)[:, :-1] / below.clamp_min(1)
    high = ((count * value).sum(1, keepdim=True) - (count * value).cumsum(1)[:, :-1]) / above.clamp_min(1)
    between = below * above * (high - low) ** 2
    best = (between >= between.amax(1, keepdim=True) * (1 - 1e-12)).double()
    border = (best * (value[:-1] + 1)).sum(1) / best.sum(1)
    return (border / bins).to(x.dtype).view(b, 1, 1, 1)


def dilate(x: Tensor, reach: int) -> Tensor:
    """Maximum of BxCxHxW over a square window of 2 reach + 1 px."""
    size = 2 * reach + 1
    if x.device.type == "cpu" and x.dtype == torch.float32:
        # The same numbers in a tenth of the time of torch's pooling.
        planes = x.detach().reshape(-1, *x.shape[2:]).numpy()
        window = np.ones((size, size), np.uint8)
        return torch.from_numpy(np.stack([cv2.dilate(plane, window) for plane in planes])).view(x.shape)
    return F.max_pool2d(F.max_pool2d(x, (1, size), 1, (0, reach)), (size, 1), 1, (reach, 0))


def lifted_ink(grey: Tensor, reach: int) -> Tensor:
    """Ink that is darker than its surroundings within ``reach`` px, and spot blacks; Bx1xHxW ink amount in [0, 1]."""
    closed = -dilate(-dilate(grey, reach), reach)
    valley = ((closed - grey) * 2.2 - 0.12).clamp(0, 1)
    spots = ((0.16 - grey) * 12).clamp(0, 1)
    return torch.maximum(valley, spots)


def border_ink(labels: Tensor, noise: Tensor, sigma: Tensor, most: Bound = None) -> Tensor:
    """Strokes along region borders whose width swells with ``noise``; BxHxW labels to Bx1xHxW ink in [0, 1]."""
    lab = labels[:, None]
    edge = torch.zeros_like(lab, dtype=torch.float32)
    edge[..., :, 1:] = torch.maximum(edge[..., :, 1:], (lab[..., :, 1:] != lab[..., :, :-1]).float())
    edge[..., 1:, :] = torch.maximum(edge[..., 1:, :], (lab[..., 1:, :] != lab[..., :-1, :]).float())
    soft = blur(edge, sigma, most) * sigma.clamp_min(0.7) * 2.5
    return ((soft - 0.35 - 0.35 * noise) * 3).clamp(0, 1)


def smooth_noise(b: int, h: int, w: int, cell: int, chance: Chance) -> Tensor:
    """Bx1xHxW noise in about [-1, 1] whose blobs are ``cell`` pixels wide."""
    small = randn(chance, b, 1, max(2, h // cell), max(2, w // cell))
    return F.interpolate(small, (h, w), mode="bicubic", align_corners=False) * 0.6


class _Draw:
    """The draws of one batch: a value per sample, as Bx1x1x1."""

    def __init__(self, source: LineSource, chance: Chance) -> None:
        self.chance = chance
        self.size = len(source.grey)
        self.alone = isinstance(chance, SampleChance)

    def uniform(self, low: float, high: float) -> Tensor:
        return (rand(self.chance, self.size, 1, 1, 1) * (high - low)) + low

    def happens(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def most(self, sigma: float) -> Bound:
        """The bound of a blur: only samples with their own chance must not see the others' widths."""
        if isinstance(self.chance, Rows):
            return self.chance.widest
        return sigma if self.alone else None


def _sketch(source: LineSource, draw: _Draw, kind: str = "any") -> Tensor:
    """Ink by xDoG with settings of the family: ``soft``, ``hard`` or any."""
    u = draw.uniform
    sigma = u(0.35, 1.1)
    if kind == "any":
        phi = torch.where(draw.happens(0.5), u(8, 40), u(200, 2000))
    else:
        phi = u(8, 40) if kind == "soft" else u(200, 2000)
    k = torch.where(draw.happens(0.5), 1.6, 4.0)
    return 1 - xdog(source.grey, sigma, k, u(0.95, 0.99), u(-0.03, 0.003), phi, draw.most(1.1))


def _borders(source: LineSource, draw: _Draw) -> Tensor:
    b, _, h, w = source.grey.shape
    swell = smooth_noise(b, h, w, 24, draw.chance)
    return border_ink(source.labels, swell, draw.uniform(0.4, 1.3), draw.most(1.3))


def _faults(ink: Tensor, draw: _Draw) -> Tensor:
    """Ink to lineart with a hand's faults: missing stretches, thick, faint or grey ink, grain, scanner blur."""
    b, _, h, w = ink.shape
    u, happens = draw.uniform, draw.happens
    holes = (smooth_noise(b, h, w, 6, draw.chance) > u(0.75, 1.6)) & happens(0.6)
    ink = torch.where(holes, torch.zeros_like(ink), ink)
    ink = torch.where(happens(0.15), dilate(ink, 1), ink)
    grain = rand(draw.chance, *ink.shape)
    ink = torch.where(happens(0.2), ink * (1 - 0.6 * grain), ink)
    ink = torch.where(happens(0.3), blur(ink, u(0.3, 0.9), draw.most(0.9)), ink)
    strength = torch.where(happens(0.35), u(0.4, 1.0), torch.ones(b, 1, 1, 1, device=ink.device))
    return (1 - ink * strength - (grain * 0.04) * happens(0.2)).clamp(0, 1)


def draw_lineart(source: LineSource, chance: Chance) -> Tensor:
    """The ``default`` extractor: one of the family per sample, with the faults of a hand."""
    draw = _Draw(source, chance)
    sketch = _sketch(source, draw)
    borders = _borders(source, draw)
    pick = draw.uniform(0, 1)
    both = torch.maximum(source.lifted, borders * draw.uniform(0.6, 1))
    drawn = torch.where(pick < 0.6, borders, torch.where(pick < 0.68, source.lifted, both))
    ink = torch.where(pick < 0.35, sketch, drawn)
    ink = torch.where(source.has_line.view(-1, 1, 1, 1), 1 - source.line, ink)
    return _faults(ink, draw)


def _thesis_sigma(draw: _Draw) -> Tensor:
    pick = draw.uniform(0, len(THESIS_SIGMAS)).long().clamp_max(len(THESIS_SIGMAS) - 1)
    return torch.tensor(THESIS_SIGMAS, device=pick.device)[pick]


def thesis_lineart(source: LineSource, chance: Chance) -> Tensor:
    """The thesis's xDoG and Otsu's threshold; black on white, without faults, the artist's own line ignored."""
    sigma = _thesis_sigma(_Draw(source, chance))
    setting = {name: torch.full_like(sigma, value) for name, value in THESIS.items()}
    tone = xdog(source.grey, sigma, most=max(THESIS_SIGMAS), **setting)
    return (tone >= otsu(tone)).to(tone.dtype)


def thesis_code_lineart(source: LineSource, chance: Chance) -> Tensor:
    """What the thesis's public code draws with the same numbers: denser lines, down to D = 0 instead of eps.

    The code takes 1 below eps and ``1 - tanh(phi D)`` above it, which phi makes 2 up to D = 0 and 0 beyond, then Otsu's
    threshold and the opposite. It uses the narrowest sigma by default; here it is drawn as the text says.
    """
    draw = _Draw(source, chance)
    sigma = _thesis_sigma(draw)
    d = blur(source.grey, sigma, max(THESIS_SIGMAS)) - THESIS["gamma"] * blur(source.grey, sigma * THESIS["k"], WIDEST)
    tone = torch.where(d < THESIS["eps"], 0.5, (1 - torch.tanh(THESIS["phi"] * d)) / 2)
    return (tone < otsu(tone)).to(source.grey.dtype)


EXTRACTORS: dict[str, Extractor] = {
    "default": draw_lineart,
    "thesis": thesis_lineart,
    "thesis-code": thesis_code_lineart,
    "xdog-soft": lambda source, chance: 1 - _sketch(source, _Draw(source, chance), "soft"),
    "xdog-hard": lambda source, chance: 1 - _sketch(source, _Draw(source, chance), "hard"),
    "ink": lambda source, _: 1 - source.lifted,
    "borders": lambda source, chance: 1 - _borders(source, _Draw(source, chance)),
}
"""Extractors by name; those after ``thesis-code`` are the members of the ``default`` family, without faults."""
