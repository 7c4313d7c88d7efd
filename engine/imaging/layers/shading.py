"""Shading: what the model adds over the flats, brought to full size without crossing lines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from engine.imaging.layers.flats import segment_medians

LIGHTNESS_RANGE = 0.09
CHROMA_RANGE = 0.012
"""Largest change of OKLab lightness and of a or b that shading may make; the rest would be bleeding."""
OPINION = 0.04
"""A change of OKLab chroma about this large is no light or shade but another idea of the colour, and is left out."""
SMOOTH = 1.2
"""Standard deviation of the smoothing, in pixels of the model's answer."""
STRIP = 256
NO_INK_WEIGHT = 0.02


def _limit(x: NDArray[np.float32], largest: float) -> None:
    x /= np.float32(largest)
    np.tanh(x, out=x)
    x *= np.float32(largest)


def _smooth(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def shading_field(
    change: NDArray[np.float32],
    labels: NDArray[np.int32],
    palette: NDArray[np.uint8],
    gain: NDArray[np.float32],
    paper: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Find what to add to the flats, at the model's size.

    The median of every segment is taken out, so that a hinted colour stays what it is, and ink does not count, so that
    no dark halo is left along the lines.

    Args:
        change: hxwx3 change of sRGB in [-1, 1], what the model adds to its own flat picture. What it is unsure of in
            colour is in both of its pictures and cancels out.
        labels: hxw segments.
        palette: Nx3 colour per segment.
        gain: N strengths of the shading, one per segment.
        paper: hxw in [0, 1], 1 = no ink.

    Returns:
        hxwx3 change of sRGB bytes, in [-255, 255].
    """
    # An index of another type would be converted at every look-up.
    index = labels.astype(np.intp)
    flat = np.divide(palette, 255, dtype=np.float32)
    base, lab_base = flat.take(index, axis=0), srgb_to_oklab(flat).take(index, axis=0)
    shaded = base + change
    lab = srgb_to_oklab(np.clip(shaded, 0, 1, out=shaded))
    lab -= lab_base
    centre, seen = segment_medians(lab, labels, paper > 0.5, len(palette))
    lab -= centre.take(index, axis=0)
    # From here on plane by plane: numpy is slow to spread values over a short last axis.
    residual = [np.ascontiguousarray(lab[..., channel]) for channel in range(3)]
    a, b = residual[1:]
    strength = np.exp((a * a + b * b) * np.float32(-1 / OPINION**2))
    strength *= (gain * seen).astype(np.float32).take(index)
    for plane, largest in zip(residual, (LIGHTNESS_RANGE, CHROMA_RANGE, CHROMA_RANGE), strict=True):
        plane *= strength
        _limit(plane, largest)
    # Pixels next to ink carry a little of it: they would leave a dark halo. They take the value of their surroundings.
    clear = cv2.erode(paper, np.ones((3, 3), np.uint8))
    weight = np.asarray(cv2.threshold(clear, 0.5, 0, cv2.THRESH_TOZERO)[1], np.float32)
    near, unknown = np.maximum(_smooth(weight, 3 * SMOOTH), np.float32(1e-5)), weight == 0
    slight = np.maximum(weight, np.float32(NO_INK_WEIGHT))
    total = _smooth(slight, SMOOTH)
    for plane in residual:
        np.divide(_smooth(plane * weight, 3 * SMOOTH), near, out=plane, where=unknown)
        plane *= slight
        np.divide(_smooth(plane, SMOOTH), total, out=plane)
    lab_base += cv2.merge(residual)
    out = oklab_to_srgb(lab_base)
    out -= base
    out *= 255
    return out


def shading_layer(flats: NDArray[np.uint8], colour: NDArray[np.uint8], *, clipped: bool = False) -> NDArray[np.uint8]:
    """The layer that, laid normally over ``flats``, gives ``colour`` (to within rounding): dark and light, half clear.

    Args:
        flats: HxWx4 RGBA.
        colour: HxWx4 RGBA with the same alpha.
        clipped: the layer will be laid with the alpha below it kept, as Krita's "inherit alpha" does, so that soft
            edges are right, too. Its alpha then says by how much it covers, wherever there is anything to cover.

    Returns:
        HxWx4 RGBA; alpha is the least that reaches the colour, times the alpha of the layers unless clipped.
    """
    out = np.zeros_like(colour)
    for start in range(0, colour.shape[0], STRIP):
        f = flats[start : start + STRIP, :, :3].astype(np.float32)
        c = colour[start : start + STRIP, :, :3].astype(np.float32)
        change = c - f
        room = np.where(change > 0, 255 - f, f)
        need = np.where(change != 0, np.abs(change) / np.maximum(room, 1), 0).max(axis=2)
        alpha = np.ceil(need * 255)
        paint = f + change * 255 / np.maximum(alpha, 1)[..., None]
        part = out[start : start + STRIP]
        part[..., :3] = np.clip(np.rint(paint), 0, 255) * (alpha > 0)[..., None]
        covered = colour[start : start + STRIP, :, 3]
        part[..., 3] = alpha * (covered > 0) if clipped else np.rint(alpha * (covered.astype(np.float32) / 255))
    return out
