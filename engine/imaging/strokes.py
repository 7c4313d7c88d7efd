"""Hint strokes: the map a model sees, and the strokes as the flats need them, pixel by pixel in exact colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import mean_rows, resize_coverage
from engine.imaging.regions.flood import INK, flood

COVERAGE_GAIN = 3.0
"""Thin strokes on a large canvas would fade when it shrinks; a third of a pixel covered already counts as painted."""
OPAQUE = 128
"""Alpha from which a pixel counts as painted."""
ALPHA_BITS = 24
"""Bits of a pixel below its alpha when its four bytes are one number."""
AT_ONCE = 1 << 20
"""Pixels of a hint layer that is shrunk as a whole."""
ROWS_AT_A_TIME = 32
"""Rows of a larger one that are shrunk together."""
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
    if height >= box_h or width > box_w or box_h * box_w <= AT_ONCE:
        out = resize_coverage(_premultiply_painted(hints), height, width)
    else:
        out = _shrunk(hints, height, width)
    if height < box_h:
        coverage = out[..., 3]
        gain = np.minimum(coverage * COVERAGE_GAIN, 1)
        gain /= np.maximum(coverage, 1e-6)
        out *= _fourfold(gain)
    return out


def _shrunk(hints: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """``_premultiply`` and the area mean of a large layer that is mostly empty."""
    box_h, box_w = hints.shape[:2]
    painted = _words(hints) >= 1 << ALPHA_BITS
    out = np.zeros((height, width, 4), np.float32)
    first, shares = mean_rows(box_h, height)
    step = max(1, ROWS_AT_A_TIME * height // box_h)
    for start in range(0, height, step):
        rows = slice(start, start + step)
        source = slice(int(first[start]), int(first[rows][-1]) + shares.shape[1])
        # Of these rows, only the columns with paint are worth the arithmetic.
        columns = np.flatnonzero(painted[source].any(axis=0))
        if len(columns) == 0:
            continue
        part = _premultiply(hints[source].take(columns, axis=1))
        part = part.reshape(len(part), -1)
        wide = np.zeros((len(first[rows]), box_w, 4), np.float32)
        for row, at, share in zip(wide, first[rows] - source.start, shares[rows], strict=True):
            used = part[at : at + len(share)]
            # No matrix product: BLAS would wake its own threads beside OpenCV's and the network's.
            row[columns] = np.einsum("s,sn->n", share[: len(used)], used).reshape(-1, 4)
        out[rows] = resize_coverage(wide, len(wide), width)
    return out


def _words(hints: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """HxW pixels of an HxWx4 layer as one number each, alpha above blue, green and red."""
    whole = hints if hints.strides[2] == 1 else np.ascontiguousarray(hints)
    return np.asarray(whole.view("<u4")[..., 0])


def _premultiply(hints: NDArray[np.uint8]) -> NDArray[np.float32]:
    """HxWx4 RGB in [-1, 1] times coverage, and coverage."""
    out = hints.astype(np.float32)
    coverage = np.divide(out[..., 3], 255, dtype=np.float32)
    out /= 127.5
    out -= 1
    out *= _fourfold(coverage)
    out[..., 3] = coverage
    return out


def _premultiply_painted(hints: NDArray[np.uint8]) -> NDArray[np.float32]:
    """``_premultiply`` of a layer that is mostly empty: memory under what is not painted is not even touched."""
    out = np.zeros(hints.shape, np.float32)
    words = _words(hints)
    places = np.flatnonzero(words >= 1 << ALPHA_BITS)
    if len(places):
        pixels = words.reshape(-1).take(places).view(np.uint8).reshape(1, -1, 4)
        # As numbers of sixteen bytes they are put in their places ten times as fast as four by four.
        out.reshape(-1, 4).view(np.complex128)[places] = _premultiply(pixels)[0].view(np.complex128)
    return out


def _fourfold(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """HxW as HxWx4; numpy itself is slow to spread values over a short last axis."""
    return np.asarray(cv2.merge([values] * 4), np.float32)


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
    words = _words(hints)
    painted = words >= OPAQUE << ALPHA_BITS
    places = np.flatnonzero(painted)
    ys = places // hints.shape[1]
    xs = places - ys * hints.shape[1]
    rgb = words.reshape(-1).take(places) & ((1 << ALPHA_BITS) - 1)
    # Neighbours in a row that are of one colour are of one stroke, too: what is to be sorted is looked up once for all.
    apart = xs == 0
    apart[:1] = True
    apart[1:] |= (places[1:] - places[:-1] != 1) | (rgb[1:] != rgb[:-1])
    heads = np.flatnonzero(apart)
    lengths = np.diff(heads, append=len(places))
    first = rgb[heads].astype(np.int64)
    palette, colour = _palette((first & 255) << 16 | first & 255 << 8 | first >> 16, lengths)
    _, parts = cv2.connectedComponents(painted.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    part = parts.ravel().take(places[heads]).astype(np.int64)
    _, piece = np.unique(part * (len(palette) + 1) + colour, return_inverse=True)
    return Strokes(ys, xs, np.repeat(colour, lengths), np.repeat(piece.astype(np.int64), lengths), palette)


def _palette(code: NDArray[np.int64], pixels: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Exact colours of a layer; a textured brush with very many is coarsened to the commonest colour per bin.

    Args:
        code: N colours, R << 16 | G << 8 | B.
        pixels: how many are of each.

    Returns:
        Kx3 colours, and for each of the N its index.
    """
    values, index = np.unique(code, return_inverse=True)
    if len(values) > MAX_COLOURS:
        counts = np.bincount(index, pixels)
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
