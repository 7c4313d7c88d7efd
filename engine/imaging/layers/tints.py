"""The colours of shadow and light on each flat colour, chosen in OKLab: cooler in shadow, warmer in light.

Hue turns by the shorter way, so that skin's shadow goes by red, as painters let it, and a leaf's by blue-green; neither
becomes grey or blue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.imaging.color import oklab_to_srgb, srgb_to_oklab

COOL, WARM = 285.0, 75.0
"""Hues of OKLab in degrees that shadow and light turn to."""
SHADOW_TURN, LIGHT_TURN = 16.0, 10.0
"""Degrees they turn by at full strength."""
OPPOSITE = 40.0
"""Degrees from the opposite hue within which a hue turns less, as both ways are as long there."""
DARKER = 0.27
"""Part of its OKLab lightness that a colour loses in full shadow."""
BRIGHTER = 0.26
"""Part of what is missing to white that it gains in full light."""
RICHER = 1.12
"""Chroma of a shadow relative to that of the colour made darker."""
GREY_TINT, GREYISH = 0.022, 0.05
"""Chroma that greys gain, and the chroma from which colours no longer do."""
NEARLY_BLACK = np.float32(2 / 255)
"""Added to channels before they are divided, as quotients of next to nothing mean nothing."""
NEUTRAL_SHADOW, NEUTRAL_LIGHT = 0.62, 0.22
"""The same for all colours: factor in shadow, and part of what is missing to white in light."""


def shadow_factors(palette: NDArray[np.uint8], depth: float, *, tinted: bool) -> NDArray[np.float32]:
    """What full shadow multiplies each colour by.

    Args:
        palette: Nx3 sRGB.
        depth: 0 = no shadow, 1 = as usual, up to 2.
        tinted: by each colour's own hue; else the same grey for all.

    Returns:
        Nx3 in [0, 1].
    """
    if not tinted:
        return np.full(palette.shape, max(0.05, 1 - (1 - NEUTRAL_SHADOW) * depth), np.float32)
    flat = np.divide(palette, 255, dtype=np.float32)
    lab = srgb_to_oklab(flat)
    kept = max(0.1, 1 - DARKER * depth)
    target = _turned(lab, COOL, SHADOW_TURN * min(depth, 1), kept * (1 + (RICHER - 1) * min(depth, 1)), depth)
    target[:, 0] = lab[:, 0] * kept
    factor = (oklab_to_srgb(target) + NEARLY_BLACK) / (flat + NEARLY_BLACK)
    return np.asarray(np.clip(factor, 0, 1), np.float32)


def light_amounts(palette: NDArray[np.uint8], depth: float, *, tinted: bool) -> NDArray[np.float32]:
    """What full light adds to each colour by Screen; arguments and result as of ``shadow_factors``."""
    if not tinted:
        return np.full(palette.shape, min(0.9, NEUTRAL_LIGHT * depth), np.float32)
    flat = np.divide(palette, 255, dtype=np.float32)
    lab = srgb_to_oklab(flat)
    gained = min(0.95, BRIGHTER * depth)
    target = _turned(lab, WARM, LIGHT_TURN * min(depth, 1), 1 - 0.25 * gained, depth)
    target[:, 0] = lab[:, 0] + gained * (1 - lab[:, 0])
    amount = (oklab_to_srgb(target) - flat) / (1 - flat + NEARLY_BLACK)
    return np.asarray(np.clip(amount, 0, 1), np.float32)


def _turned(lab: NDArray[np.float32], hue: float, turn: float, richer: float, depth: float) -> NDArray[np.float32]:
    """Nx3 OKLab with the hue turned towards another by so many degrees, and a tint of it in greys; lightness kept."""
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    own = np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))
    way = (hue - own + 180) % 360 - 180
    amount = np.minimum(np.abs(way), turn) * np.minimum(1, (180 - np.abs(way)) / OPPOSITE) * np.sign(way)
    angle = np.radians(own + amount)
    tint = GREY_TINT * depth * np.exp(-chroma / GREYISH)
    a = chroma * richer * np.cos(angle) + tint * np.cos(np.radians(hue))
    b = chroma * richer * np.sin(angle) + tint * np.sin(np.radians(hue))
    return np.stack([lab[:, 0], a, b], axis=1).astype(np.float32)
