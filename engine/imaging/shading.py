"""Shading: what the model adds over the flats, brought to full size without crossing lines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from engine.imaging.flats import segment_medians

LIGHTNESS_RANGE = 0.09
CHROMA_RANGE = 0.012
"""Largest change of OKLab lightness and of a or b that shading may make; the rest would be bleeding."""
OPINION = 0.04
"""A change of OKLab chroma about this large is no light or shade but another idea of the colour, and is left out."""
SMOOTH = 1.2
"""Standard deviation of the smoothing, in pixels of the model's answer."""
STRIP = 256
NO_INK_WEIGHT = 0.02


def _limit(x: NDArray[np.float32], largest: float) -> NDArray[np.float32]:
    return np.asarray(np.tanh(x / largest) * largest, np.float32)


def _settle(field: NDArray[np.float32], weight: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Normalised Gaussian smoothing: pixels of weight 0 take the value of their surroundings."""
    top = cv2.GaussianBlur(field * weight[..., None], (0, 0), sigma)
    bottom = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    return np.asarray(top / np.maximum(bottom, 1e-5), np.float32)


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
    flat = np.divide(palette, 255, dtype=np.float32)
    base, lab_base = flat.take(labels, axis=0), srgb_to_oklab(flat).take(labels, axis=0)
    lab = srgb_to_oklab(np.clip(base + change, 0, 1)) - lab_base
    count = len(palette)
    centre, seen = segment_medians(lab, labels, paper > 0.5, count)
    residual = lab - centre.take(labels, axis=0)
    opinion = (residual[..., 1:] ** 2).sum(-1) / OPINION**2
    residual *= (np.exp(-opinion) * (gain * seen).astype(np.float32).take(labels))[..., None]
    residual[..., 0] = _limit(residual[..., 0], LIGHTNESS_RANGE)
    residual[..., 1:] = _limit(residual[..., 1:], CHROMA_RANGE)
    # Pixels next to ink carry a little of it: they would leave a dark halo.
    clear = cv2.erode(paper, np.ones((3, 3), np.uint8))
    weight = np.where(clear > 0.5, clear, 0).astype(np.float32)
    wide = _settle(residual, weight, 3 * SMOOTH)
    residual = np.where(weight[..., None] > 0, residual, wide)
    residual = _settle(residual, np.maximum(weight, NO_INK_WEIGHT), SMOOTH)
    return np.asarray((oklab_to_srgb(lab_base + residual) - base) * 255, np.float32)


def enlarge_strip(
    field: NDArray[np.float32],
    labels: NDArray[np.int32],
    segments: NDArray[np.int32],
    rows: tuple[int, int],
    height: int,
) -> NDArray[np.float32]:
    """Enlarge rows of a shading field to full size, taking from each neighbour only where it is of the same segment.

    Args:
        field: hxwx3, the field at the model's size.
        labels: hxw segments at the model's size.
        segments: rows x width segments at full size, for the rows wanted.
        rows: first row and end at full size.
        height: full height.

    Returns:
        rows x width x 3.
    """
    h, w = labels.shape
    width = segments.shape[1]
    ys = np.clip((np.arange(rows[0], rows[1]) + 0.5) * h / height - 0.5, 0, h - 1)
    xs = np.clip((np.arange(width) + 0.5) * w / width - 0.5, 0, w - 1)
    y0, x0 = np.minimum(ys.astype(np.int64), max(h - 2, 0)), np.minimum(xs.astype(np.int64), max(w - 2, 0))
    fy, fx = (ys - y0).astype(np.float32), (xs - x0).astype(np.float32)
    y1, x1 = np.minimum(y0 + 1, h - 1), np.minimum(x0 + 1, w - 1)
    maps = (
        np.broadcast_to(xs.astype(np.float32), segments.shape),
        np.broadcast_to(ys.astype(np.float32)[:, None], segments.shape),
    )
    out = np.asarray(cv2.remap(field, maps[0], maps[1], cv2.INTER_LINEAR), np.float32)
    # Only next to a border may a neighbour be of another segment.
    taps = [(y0, x0), (y0, x1), (y1, x0), (y1, x1)]
    first, last = labels[y0[0] : y1[-1] + 1], y0 - y0[0]
    same = np.ones(first.shape, np.bool_)
    same[:, :-1] &= first[:, :-1] == first[:, 1:]
    same[:-1] &= first[:-1] == first[1:]
    same[:-1, :-1] &= first[:-1, :-1] == first[1:, 1:]
    single = np.where(same, first, -1)
    my, mx = np.nonzero(single.take(last, axis=0).take(x0, axis=1) != segments)
    total = np.zeros((len(my), 3), np.float32)
    weights = np.full(len(my), 1e-6, np.float32)
    own = segments[my, mx]
    for (ty, tx), wy, wx in zip(taps, (1 - fy, 1 - fy, fy, fy), (1 - fx, fx, 1 - fx, fx), strict=True):
        sy, sx = ty[my], tx[mx]
        weight = (wy[my] * wx[mx] + 0.01) * (labels[sy, sx] == own)
        total += field[sy, sx] * weight[:, None]
        weights += weight
    out[my, mx] = total / weights[:, None]
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
