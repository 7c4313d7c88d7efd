"""OKLab for tensors, with gradients that stay finite at black; the matrices are those of ``engine.imaging.color``."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.imaging.color import LMS_TO_OKLAB, LMS_TO_RGB, OKLAB_TO_LMS, RGB_TO_LMS

_DARKEST = 1e-4
"""Linear light under which the cube root is not followed, or its gradient explodes."""


def _mix(x: Tensor, matrix: NDArray[np.float32]) -> Tensor:
    return F.conv2d(x, torch.as_tensor(matrix, dtype=x.dtype, device=x.device)[:, :, None, None])


def to_oklab(rgb: Tensor) -> Tensor:
    """Convert Bx3xHxW sRGB in [-1, 1] to OKLab; values beyond the range continue linearly, so gradients never die."""
    x = (rgb + 1) / 2
    inside = x.clamp(0, 1)
    linear = torch.where(inside <= 0.04045, inside / 12.92, ((inside.clamp_min(0.04) + 0.055) / 1.055) ** 2.4)
    lms = _mix(linear, RGB_TO_LMS).clamp_min(_DARKEST) ** (1 / 3)
    lab = _mix(lms, LMS_TO_OKLAB)
    beyond = x - inside
    return lab + beyond.mean(1, keepdim=True) * torch.tensor([1.0, 0, 0], device=x.device).view(1, 3, 1, 1)


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
