"""Colour spaces on numpy arrays: sRGB and OKLab (Ottosson 2020), in which the engine takes all distances."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# Linear sRGB -> LMS and LMS' -> OKLab, from B. Ottosson, "A perceptual color space for image processing", 2020.
RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=np.float32,
)
LMS_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=np.float32,
)
OKLAB_TO_LMS = np.linalg.inv(LMS_TO_OKLAB.astype(np.float64)).astype(np.float32)
LMS_TO_RGB = np.linalg.inv(RGB_TO_LMS.astype(np.float64)).astype(np.float32)


def _copy(values: Float) -> Float:
    """A copy in C order, so that it reshapes without another; all that follows happens in it, for memory is slow."""
    return np.array(values, np.float32, order="C")


def _raise(base: Float, exponent: float) -> None:
    """Raise what is not negative to a power, in place; several times faster than numpy's."""
    if base.size:
        cv2.pow(base.reshape(-1, 1), exponent, base.reshape(-1, 1))


def srgb_to_linear(rgb: Float) -> Float:
    """Undo the sRGB transfer curve. ``rgb`` is any shape in [0, 1]."""
    out = _copy(rgb)
    dark = out <= 0.04045
    straight = out[dark] / np.float32(12.92)
    np.maximum(out, 0, out=out)
    out += np.float32(0.055)
    out /= np.float32(1.055)
    _raise(out, 2.4)
    out[dark] = straight
    return out


def linear_to_srgb(linear: Float) -> Float:
    """Apply the sRGB transfer curve; values outside [0, 1] are clipped first."""
    out = _copy(linear)
    _encode(out)
    return out


def _encode(linear: Float) -> None:
    np.clip(linear, 0, 1, out=linear)
    dark = linear <= 0.0031308
    straight = linear[dark] * np.float32(12.92)
    _raise(linear, 1 / 2.4)
    linear *= np.float32(1.055)
    linear -= np.float32(0.055)
    linear[dark] = straight


def srgb_to_oklab(rgb: Float) -> Float:
    """Convert ``(..., 3)`` sRGB in [0, 1] to OKLab (L in [0, 1], a and b about [-0.4, 0.4])."""
    linear = srgb_to_linear(rgb)
    lms = linear @ RGB_TO_LMS.T
    _raise(lms, 1 / 3)
    return np.matmul(lms, LMS_TO_OKLAB.T, out=linear)


def oklab_to_srgb(lab: Float) -> Float:
    """Convert ``(..., 3)`` OKLab to sRGB in [0, 1]; colours outside the gamut are clipped per channel."""
    root = np.asarray(lab @ OKLAB_TO_LMS.T, np.float32)
    lms = root * root
    lms *= root
    rgb = np.matmul(lms, LMS_TO_RGB.T, out=root)
    _encode(rgb)
    return rgb
