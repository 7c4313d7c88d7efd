"""Colour spaces on numpy arrays: sRGB, OKLab and CIELAB, and the CIEDE2000 difference.

Distances inside the engine are taken in OKLab (Ottosson 2020), reported differences in CIEDE2000 (Sharma et al. 2005).
"""

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

# Linear sRGB -> XYZ (D65, IEC 61966-2-1), rows divided by the white point.
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    dtype=np.float64,
) / np.array([[0.95047], [1.0], [1.08883]])


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


def srgb_to_cielab(rgb: Float) -> Float:
    """Convert ``(..., 3)`` sRGB in [0, 1] to CIELAB under D65."""
    xyz = srgb_to_linear(rgb).astype(np.float64) @ _RGB_TO_XYZ.T
    delta = 6 / 29
    f = np.where(xyz > delta**3, np.cbrt(xyz), xyz / (3 * delta**2) + 4 / 29)
    lab = np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)
    return lab.astype(np.float32)


def ciede2000(rgb1: Float, rgb2: Float) -> Float:
    """CIEDE2000 difference of two ``(..., 3)`` sRGB arrays in [0, 1] (Sharma, Wu, Dalal 2005). 1 is just visible."""
    lab1, lab2 = srgb_to_cielab(rgb1).astype(np.float64), srgb_to_cielab(rgb2).astype(np.float64)
    l1, a1, b1 = lab1[..., 0], lab1[..., 1], lab1[..., 2]
    l2, a2, b2 = lab2[..., 0], lab2[..., 1], lab2[..., 2]
    c_bar = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c_bar**7 / (c_bar**7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    chromatic = (c1 * c2) > 0
    dh = np.where(chromatic, (h2 - h1 + 180) % 360 - 180, 0.0)
    dl, dc = l2 - l1, c2 - c1
    dbig_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh) / 2)
    l_bar, c_bar = (l1 + l2) / 2, (c1 + c2) / 2
    h_bar = np.where(chromatic, (h1 + dh / 2) % 360, h1 + h2)
    t = (
        1
        - 0.17 * np.cos(np.radians(h_bar - 30))
        + 0.24 * np.cos(np.radians(2 * h_bar))
        + 0.32 * np.cos(np.radians(3 * h_bar + 6))
        - 0.20 * np.cos(np.radians(4 * h_bar - 63))
    )
    sl = 1 + 0.015 * (l_bar - 50) ** 2 / np.sqrt(20 + (l_bar - 50) ** 2)
    sc, sh = 1 + 0.045 * c_bar, 1 + 0.015 * c_bar * t
    rotation = np.sin(np.radians(60 * np.exp(-(((h_bar - 275) / 25) ** 2))))
    rt = -2 * np.sqrt(c_bar**7 / (c_bar**7 + 25.0**7)) * rotation
    out = np.sqrt(np.maximum((dl / sl) ** 2 + (dc / sc) ** 2 + (dbig_h / sh) ** 2 + rt * dc / sc * dbig_h / sh, 0))
    return np.asarray(out, np.float32)
