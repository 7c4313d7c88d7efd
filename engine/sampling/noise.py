"""Noise that is coarse as well as fine, so that a few steps are enough to choose the colours of large areas.

What is drawn differs from the guess mostly by whole areas, a dress of another colour. In white noise an area of N cells
has a mean of deviation 1 / sqrt(N) only: nearly all of the difference would have to grow out of next to nothing in the
first steps, and with four steps it does not, so that variations differ in blotches alone. Half of this noise's variance
lies in smooth noise that varies once to eight times over the picture. The path and the samplers need noise to be
normal, not white: all their formulas hold with the covariance of this noise in the place of the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

GRIDS = (1, 2, 4, 8)
"""Numbers over the shorter side of the picture, whatever its size, of each smooth part."""
COARSE = 0.5
"""Part of the variance that the smooth parts have together."""


def grid_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Rows and columns of the smooth parts for a map of so many; a map smaller than a grid goes without it."""
    short = min(height, width)
    return [(max(1, round(g * height / short)), max(1, round(g * width / short))) for g in GRIDS if g < short]


def mix_noise(white: Tensor, grids: Sequence[Tensor]) -> Tensor:
    """Lay smooth noise over white noise.

    Args:
        white: BxCxhxw, standard normal.
        grids: BxCxh'xw' each, standard normal, of the sizes of ``grid_sizes``.

    Returns:
        BxCxhxw, normal with mean 0 and variance 1 at every place.
    """
    if not grids:
        return white
    height, width = white.shape[-2:]
    mixed: Tensor = white * (1 - COARSE) ** 0.5
    for grid in grids:
        smooth = F.interpolate(grid, (height, width), mode="bilinear", align_corners=False)
        deviation = _deviation(grid.shape[-2], height)[:, None] * _deviation(grid.shape[-1], width)
        mixed = mixed + smooth / deviation.to(white) * (COARSE / len(grids)) ** 0.5
    return mixed


def _deviation(count: int, size: int) -> Tensor:
    """Deviation at ``size`` places of ``count`` standard normal numbers that were stretched over them."""
    weights = F.interpolate(torch.eye(count)[None], size, mode="linear", align_corners=False)[0]
    deviation: Tensor = (weights**2).sum(0).sqrt()
    return deviation
