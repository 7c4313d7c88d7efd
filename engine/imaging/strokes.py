"""Hint strokes: the map a model sees, and the strokes as the flats need them, pixel by pixel in exact colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_coverage
from engine.imaging.flood import INK, flood

COVERAGE_GAIN = 3.0
"""Thin strokes on a large canvas would fade when it shrinks; a third of a pixel covered already counts as painted."""
OPAQUE = 128
"""Alpha from which a pixel counts as painted."""
MAX_COLOURS = 4096
SLIP_SHARE = 0.15
"""A part of a stroke with less than this share of it in a region, and most of it in another, slipped."""


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
    if height >= box_h:
        return np.asarray(small, np.float32)
    coverage = small[..., 3:]
    boosted = np.minimum(1.0, coverage * COVERAGE_GAIN)
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


@dataclass(frozen=True)
class Flooded:
    """Strokes flooded over a drawing.

    Attributes:
        colour: HxW int32, index into ``palette`` of the stroke that reaches every pixel first.
        palette: Kx3 uint8.
        ys, xs: pixels of the strokes off the ink, by which a region counts as hinted.
    """

    colour: NDArray[np.int32]
    palette: NDArray[np.uint8]
    ys: NDArray[np.int64]
    xs: NDArray[np.int64]


def flood_strokes(
    levels: NDArray[np.uint8], regions: NDArray[np.int32], strokes: Strokes, canvas: tuple[int, int]
) -> Flooded | None:
    """Flood strokes over a drawing; one that slips over a line by a little does not colour the neighbour.

    Args:
        levels: HxW ``flood.landscape`` of the drawing.
        regions: HxW region numbers.
        strokes: painted pixels in canvas coordinates.
        canvas: height and width of the canvas they were painted on.

    Returns:
        None when nothing is painted.
    """
    if len(strokes.ys) == 0:
        return None
    h, w = levels.shape
    ys, xs = strokes.ys * h // canvas[0], strokes.xs * w // canvas[1]
    clear = levels[ys, xs] < INK
    speaks = _without_slips(strokes, regions[ys, xs].astype(np.int64))
    markers = np.zeros((h, w), np.int32)
    markers[ys[speaks], xs[speaks]] = strokes.colour[speaks] + 1
    # A stroke on nothing but ink means the spot black under it.
    seen = np.bincount(strokes.piece, clear) > 0
    told = speaks & (clear | ~seen[strokes.piece])
    return Flooded(flood(levels, markers) - 1, strokes.palette, ys[told], xs[told])


def _without_slips(strokes: Strokes, region: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the painted pixels that speak for the region they lie in, leaving out slips over a line."""
    regions = int(region.max()) + 1
    code, index, counts = np.unique(strokes.piece * regions + region, return_inverse=True, return_counts=True)
    piece = code // regions
    total = np.bincount(strokes.piece)[piece]
    most = np.zeros(int(strokes.piece.max()) + 1, np.int64)
    np.maximum.at(most, piece, counts)
    slipped = (counts < SLIP_SHARE * total) & (most[piece] > 0.5 * total)
    return np.asarray(~slipped[index], np.bool_)
