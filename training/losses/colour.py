"""OKLab for tensors, with gradients that stay finite at black; the matrices are those of ``engine.imaging.color``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from engine.imaging.color import LMS_TO_OKLAB, LMS_TO_RGB, OKLAB_TO_LMS, RGB_TO_LMS

_DARKEST = 1e-4
"""Linear light under which the cube root is not followed, or its gradient explodes."""


def _mix(x: Tensor, matrix: NDArray[np.float32]) -> Tensor:
    """A 3x3 matrix times the channels of Bx3xHxW."""
    weights = torch.as_tensor(np.ascontiguousarray(matrix), dtype=x.dtype, device=x.device)
    mixed: Tensor = (weights @ x.flatten(2)).view(x.shape)
    return mixed


def _forward(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """OKLab of sRGB in [-1, 1], and what ``_pull_back`` needs: x in [0, 1] and beyond, curved part, cube roots."""
    x = (rgb + 1) / 2
    inside = x.clamp(0, 1)
    curved = ((inside.clamp_min(0.04) + 0.055) / 1.055).pow_(2.4)
    linear = torch.where(inside <= 0.04045, inside / 12.92, curved)
    lms = _mix(linear, RGB_TO_LMS).clamp_min_(_DARKEST).pow_(1 / 3)
    lab = _mix(lms, LMS_TO_OKLAB)
    lab[:, :1] += (x - inside).mean(1, keepdim=True)
    return lab, x, curved, lms


def _pull_back(slope: Tensor, x: Tensor, curved: Tensor, lms: Tensor) -> Tensor:
    """The gradient in sRGB of a gradient in OKLab, by what ``_forward`` kept."""
    # Of the cube root y the derivative is 1 / (3 y^2), and 0 where darkness was cut off; of the curve 2.4 c / t.
    deep = lms <= _DARKEST ** (1 / 3) * (1 + 1e-6)
    at_lms = (_mix(slope, LMS_TO_OKLAB.T) / (3 * lms * lms)).masked_fill_(deep, 0)
    at_linear = _mix(at_lms, RGB_TO_LMS.T)
    steep = torch.where(x <= 0.04045, 1 / 12.92, 2.4 * curved / (x + 0.055))
    return torch.where((x < 0) | (x > 1), slope[:, :1] / 3, at_linear * steep) / 2


class _Oklab(torch.autograd.Function):
    """OKLab with a gradient written out, which takes no powers again and keeps three tensors."""

    @staticmethod
    def forward(ctx: Any, rgb: Tensor) -> Tensor:
        lab, *kept = _forward(rgb)
        ctx.save_for_backward(*kept)
        return lab

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return _pull_back(slope, *ctx.saved_tensors)


class _OklabOfSum(torch.autograd.Function):
    """OKLab of a sum, twice: gradients of the first reach the first summand alone, those of the second the second."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        lab, *kept = _forward(first + second)
        ctx.save_for_backward(*kept)
        return lab, lab.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_first: Tensor, of_second: Tensor) -> tuple[Tensor, Tensor]:
        return _pull_back(of_first, *ctx.saved_tensors), _pull_back(of_second, *ctx.saved_tensors)


def to_oklab(rgb: Tensor) -> Tensor:
    """Convert Bx3xHxW sRGB in [-1, 1] to OKLab; values beyond the range continue linearly, so gradients never die."""
    # Cube roots of half precision would be no measure of colour.
    with torch.autocast(rgb.device.type, enabled=False):
        lab: Tensor = _Oklab.apply(rgb) if rgb.requires_grad else _forward(rgb)[0]  # type: ignore[no-untyped-call]
    return lab


def to_oklab_apart(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """OKLab of the sum of two Bx3xHxW, once with the gradient to ``first`` and once with that to ``second`` alone."""
    with torch.autocast(first.device.type, enabled=False):
        both: tuple[Tensor, Tensor] = _OklabOfSum.apply(first, second)  # type: ignore[no-untyped-call]
    return both


def from_oklab(lab: Tensor) -> Tensor:
    """Convert Bx3xHxW OKLab to sRGB in [-1, 1], clipped to the gamut."""
    linear = _mix(_mix(lab, OKLAB_TO_LMS) ** 3, LMS_TO_RGB).clamp(0, 1)
    srgb = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-6) ** (1 / 2.4) - 0.055)
    return srgb * 2 - 1


def rotate_hue(rgb: Tensor, angle: Tensor) -> Tensor:
    """Rotate the hue of Bx3xHxW sRGB in [-1, 1] by Bx1xHxW radians, lightness and chroma kept."""
    lab = to_oklab(rgb)
    cos, sin = angle.cos(), angle.sin()
    a = lab[:, 1:2] * cos - lab[:, 2:3] * sin
    b = lab[:, 1:2] * sin + lab[:, 2:3] * cos
    turned = from_oklab(torch.cat([lab[:, 0:1], a, b], 1))
    return torch.where(angle.abs() > 1e-6, turned, rgb)
