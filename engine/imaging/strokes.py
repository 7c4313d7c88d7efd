"""Hint strokes: the map a model sees, and the strokes as the flats need them, pixel by pixel in exact colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_coverage

COVERAGE_GAIN = 3.0
"""Thin strokes on a large canvas would fade when it shrinks; a third of a pixel covered already counts as painted."""
OPAQUE = 128
"""Alpha from which a pixel counts as painted."""
MAX_COLOURS = 4096


def hint_map(hints: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """Make the model's hint map.

    Args:
        hints: HxWx4 sRGB with straight alpha.
        height: of the map.
        width: of the map.

    Returns:
        height x width x 4 float32: premultiplied RGB in [-1, 1], and coverage in [0, 1].
    """
    box_h, box_w = hints.shape[:2]
    out = np.zeros((height, width, 4), np.float32)
    alpha = hints[..., 3]
    if not alpha.any():
        return out
    # Shrinking in strips keeps the float copy of a poster-sized canvas small.
    if height * width < box_h * box_w and box_h > 1024:
        shrunk = np.empty((box_h, width, 4), np.float32)
        for start in range(0, box_h, 512):
            shrunk[start : start + 512] = resize_coverage(
                _premultiply(hints[start : start + 512]), min(512, box_h - start), width
            )
        small = resize_coverage(shrunk, height, width)
    else:
        small = resize_coverage(_premultiply(hints), height, width)
    coverage = small[..., 3:]
    boosted = np.minimum(1.0, coverage * COVERAGE_GAIN) if height < box_h else coverage
    return np.asarray(small * (boosted / np.maximum(coverage, 1e-6)), np.float32)


def _premultiply(hints: NDArray[np.uint8]) -> NDArray[np.float32]:
    out = np.zeros(hints.shape, np.float32)
    # Hint layers are mostly empty: only painted pixels are worth the arithmetic.
    ys, xs = np.nonzero(hints[..., 3])
    painted = hints[ys, xs].astype(np.float32)
    coverage = painted[:, 3:] / 255
    out[ys, xs] = np.concatenate([(painted[:, :3] / 127.5 - 1) * coverage, coverage], axis=1)
    return out


@dataclass(frozen=True)
class Strokes:
    """Painted pixels of a hint layer.

    Attributes:
        ys, xs: positions of the painted pixels.
        colour: index into ``palette`` per painted pixel.
        piece: number of the connected stroke of one colour, per painted pixel.
        palette: Kx3 uint8, exact colours as painted.
    """

    ys: NDArray[np.int64]
    xs: NDArray[np.int64]
    colour: NDArray[np.int64]
    piece: NDArray[np.int64]
    palette: NDArray[np.uint8]


def collect_strokes(hints: NDArray[np.uint8]) -> Strokes:
    """Collect the painted pixels of an HxWx4 hint layer; soft brushes keep their colours, up to ``MAX_COLOURS``."""
    painted = hints[..., 3] >= OPAQUE
    ys, xs = np.nonzero(painted)
    rgb = hints[ys, xs, :3].astype(np.int64)
    palette, colour = _palette((rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2])
    _, parts = cv2.connectedComponents(painted.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    _, piece = np.unique(parts[ys, xs].astype(np.int64) * (len(palette) + 1) + colour, return_inverse=True)
    return Strokes(ys, xs, colour, piece.astype(np.int64), palette)


def _palette(code: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Exact colours of a layer; a textured brush with very many is coarsened to the commonest colour per bin."""
    values, index, counts = np.unique(code, return_inverse=True, return_counts=True)
    if len(values) > MAX_COLOURS:
        bins = (values >> 20 & 15) << 8 | (values >> 12 & 15) << 4 | values >> 4 & 15
        order = np.lexsort((-counts, bins))
        kept, first = np.unique(bins[order], return_index=True)
        index = np.searchsorted(kept, bins)[index]
        values = values[order][first]
    palette = np.stack([values >> 16, values >> 8 & 255, values & 255], axis=1).astype(np.uint8)
    return palette.reshape(-1, 3), index.astype(np.int64).reshape(-1)
