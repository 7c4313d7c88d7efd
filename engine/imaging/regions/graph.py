"""Regions of a drawing as a graph: what a network is told of each region, and which ones touch.

All is measured at one working size, whatever the size of the drawing, so that what a network learnt from small pictures
holds for large canvases.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_labels, resize_picture

SHORT_SIDE, LONG_SIDE = 256, 512
"""The working picture has this short side, or a smaller one where the long side would be longer than this."""
MOST_REGIONS = 500
"""Of more regions the smallest are taken together with their largest neighbour."""
CELL = 4
"""Side in working pixels of the cells over which regions gather features."""
GEOMETRY = (
    "log_area",
    "x",
    "y",
    "width",
    "height",
    "fill",
    "compactness",
    "border",
    "touches_border",
    "ink",
    "elongation",
    "direction_cos",
    "direction_sin",
    "share",
    "corner_x",
    "corner_y",
)
"""Columns of ``RegionGraph.geometry``. Lengths and places are in short sides of the picture, places from its centre."""


@dataclass(frozen=True)
class RegionGraph:
    """The regions of one drawing at working size; N regions in h x w pixels.

    Attributes:
        ink: hxw float32 in [0, 1], 0 = paper.
        labels: hxw int32, region numbers from 0; each of the N has a pixel.
        member: region number here of every region of the drawing that the graph was built from.
        area: N float32, share of the picture.
        geometry: NxG float32, see ``GEOMETRY``.
        edges: Ex2 int32, pairs of regions that touch, the lower number first.
        lengths: E float32, pixel sides that the two share.
        cells: Px2 int32, region and cell, for every cell of ``CELL`` x ``CELL`` pixels that a region reaches into;
            cells are numbered row by row in a picture that is ``cell_columns`` cells wide.
        shares: P float32, part of the region's pixels in the cell; they add up to 1 per region.
    """

    ink: NDArray[np.float32]
    labels: NDArray[np.int32]
    member: NDArray[np.int32]
    area: NDArray[np.float32]
    geometry: NDArray[np.float32]
    edges: NDArray[np.int32]
    lengths: NDArray[np.float32]
    cells: NDArray[np.int32]
    shares: NDArray[np.float32]

    @property
    def count(self) -> int:
        """Number of regions."""
        return int(self.area.size)

    @property
    def cell_columns(self) -> int:
        """Cells in a row."""
        return -(-int(self.labels.shape[1]) // CELL)


def working_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the working picture of a drawing, which has the same aspect as nearly as pixels allow."""
    scale = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink_labels(labels: NDArray[np.int32], height: int, width: int) -> NDArray[np.int32]:
    """Resize HxW labels from 0 to height x width; a region that would vanish keeps one pixel.

    Only of several that would vanish in the same pixel, all but one do.
    """
    h, w = labels.shape
    small: NDArray[np.int32] = resize_labels(labels, height, width).copy()
    lost = np.ones(int(labels.max()) + 1, np.bool_)
    lost[small] = False
    lost &= np.bincount(labels.ravel(), minlength=len(lost)) > 0
    if lost.any():
        at = np.flatnonzero(lost.take(labels.ravel()))
        number = labels.ravel()[at]
        order = np.argsort(number, kind="stable")
        at, number = at[order], number[order]
        starts = np.flatnonzero(np.diff(number, prepend=-1))
        middle = at[(starts + np.append(starts[1:], len(at))) // 2]
        small[middle // w * height // h, middle % w * width // w] = labels.ravel()[middle]
    return small


def find_edges(labels: NDArray[np.int32], count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Pairs of ``count`` regions that touch in HxW labels, Ex2 with the lower number first, and their E pixel sides."""
    pairs = []
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        differ = a != b
        one, other = a[differ].astype(np.int64), b[differ].astype(np.int64)
        pairs.append(np.minimum(one, other) * count + np.maximum(one, other))
    codes, lengths = np.unique(np.concatenate(pairs), return_counts=True)
    return np.stack([codes // count, codes % count], 1).astype(np.int32), lengths.astype(np.float32)


def build_graph(lineart: NDArray[np.float32], labels: NDArray[np.int32], most: int = MOST_REGIONS) -> RegionGraph:
    """Measure the regions of a drawing at working size.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
        labels: HxW region numbers from 0.
        most: regions that are kept; the smallest of more are taken together with their largest neighbour.
    """
    height, width = working_size(*labels.shape)
    return measure_graph(resize_picture(lineart, height, width), shrink_labels(labels, height, width), labels, most)


def measure_graph(
    lineart: NDArray[np.float32],
    small: NDArray[np.int32],
    labels: NDArray[np.int32] | None = None,
    most: int = MOST_REGIONS,
) -> RegionGraph:
    """As ``build_graph``, of a drawing that has its working size already.

    Args:
        lineart: hxw in [0, 1], 1 = paper.
        small: hxw region numbers from 0; some may be missing.
        labels: the labels at full size, from which regions without a pixel here are placed; None = ``small``.
        most: as in ``build_graph``.
    """
    number = _group(small, most)
    if (labels is not None and len(number) <= labels.max()) or (number < 0).any():
        number = _place_lost(number, small, small if labels is None else labels)
    own = number.take(small)
    count = int(own.max()) + 1
    pixels = np.bincount(own.ravel(), minlength=count).astype(np.float32)
    edges, lengths = find_edges(own, count)
    ink = np.clip(1 - lineart, 0, 1)
    geometry = _geometry(own, ink, pixels, edges, lengths)
    cells, shares = _cells(own, pixels)
    return RegionGraph(ink, own, number, pixels / np.float32(own.size), geometry, edges, lengths, cells, shares)


def _group(small: NDArray[np.int32], most: int) -> NDArray[np.int32]:
    """New number of every region, -1 where it has no pixel; the smallest share the one of their largest neighbour."""
    area = np.bincount(small.ravel())
    kept = np.flatnonzero(area)
    number = np.full(len(area), -1, np.int32)
    if len(kept) > most:
        order = kept[np.argsort(-area[kept], kind="stable")]
        into = np.arange(len(area))
        edges, _ = find_edges(small, len(area))
        both = np.concatenate([edges, edges[:, ::-1]])
        # The last one written is the largest neighbour.
        both = both[np.argsort(area[both[:, 1]], kind="stable")]
        largest = np.full(len(area), order[0])
        largest[both[:, 0]] = both[:, 1]
        for region in order[most:][::-1]:
            target = largest[region]
            into[region] = target if area[target] > area[region] else order[0]
        for region in order[most:]:
            # Larger ones come first, so that theirs is settled.
            into[region] = into[into[region]]
        kept = np.sort(order[:most])
        number[kept] = np.arange(len(kept))
        dropped = order[most:]
        # Ties of area may leave a chain that ends in a dropped region.
        number[dropped] = np.where(number[into[dropped]] >= 0, number[into[dropped]], number[order[0]])
        return number
    number[kept] = np.arange(len(kept))
    return number


def _place_lost(number: NDArray[np.int32], small: NDArray[np.int32], labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give regions without a working pixel the number of the one that has the pixel they would lie in."""
    h, w = labels.shape
    full = np.full(int(labels.max()) + 1, -1, np.int32)
    full[: len(number)] = number[: len(full)]
    lost = np.flatnonzero((full < 0).take(labels.ravel()))
    owner = small[lost // w * small.shape[0] // h, lost % w * small.shape[1] // w]
    full[labels.ravel()[lost]] = number[owner]
    return np.maximum(full, 0)


def _geometry(
    labels: NDArray[np.int32],
    ink: NDArray[np.float32],
    pixels: NDArray[np.float32],
    edges: NDArray[np.int32],
    lengths: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The columns of ``GEOMETRY`` for N regions with so many ``pixels`` in hxw labels."""
    h, w = labels.shape
    count, flat, side = len(pixels), labels.ravel(), float(min(h, w))
    y, x = (a.ravel() for a in np.mgrid[0:h, 0:w].astype(np.float32))

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.bincount(flat, values, count) / pixels, np.float32)

    cx, cy = mean(x), mean(y)
    dx, dy = x - cx.take(flat), y - cy.take(flat)
    # 1/12 is the variance of a pixel itself.
    xx, yy, xy = mean(dx * dx) + 1 / 12, mean(dy * dy) + 1 / 12, mean(dx * dy)
    spread = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    elongation = spread / (xx + yy)
    direction = np.arctan2(2 * xy, xx - yy)
    low, high = np.zeros((2, count), np.float32), np.zeros((2, count), np.float32)
    for axis, (places, order) in enumerate(((y, flat), (x.reshape(h, w).T.ravel(), labels.T.ravel()))):
        # The last one written is the one that counts.
        low[axis, order[::-1]] = places[::-1]
        high[axis, order] = places
    height, width = high - low + 1
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    at_rim = np.bincount(rim, minlength=count).astype(np.float32)
    around = np.bincount(edges.ravel(), np.repeat(lengths, 2), count).astype(np.float32) + at_rim
    columns = {
        "log_area": np.log(pixels / labels.size) / 4 + 1,
        "x": (cx + 0.5 - w / 2) / side,
        "y": (cy + 0.5 - h / 2) / side,
        "width": width / side,
        "height": height / side,
        "fill": pixels / (width * height),
        "compactness": np.log(around**2 / (4 * np.pi * pixels) + 1e-3) / 3,
        "border": at_rim / max(1, len(rim)),
        "touches_border": (at_rim > 0) * 1.0,
        "ink": mean(ink.ravel()),
        "elongation": elongation,
        "direction_cos": elongation * np.cos(direction),
        "direction_sin": elongation * np.sin(direction),
        "share": np.sqrt(pixels / labels.size),
        "corner_x": w / side / 2,
        "corner_y": h / side / 2,
    }
    return np.stack([np.broadcast_to(columns[name], (count,)) for name in GEOMETRY], 1).astype(np.float32)


def _cells(labels: NDArray[np.int32], pixels: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """``RegionGraph.cells`` and ``RegionGraph.shares`` of hxw labels with so many ``pixels`` per region."""
    h, w = labels.shape
    columns = -(-w // CELL)
    cell = (np.arange(h) // CELL * columns)[:, None] + np.arange(w) // CELL
    total = columns * -(-h // CELL)
    codes, sizes = np.unique(labels.ravel().astype(np.int64) * total + cell.ravel(), return_counts=True)
    pairs = np.stack([codes // total, codes % total], 1).astype(np.int32)
    return pairs, (sizes / pixels[pairs[:, 0]]).astype(np.float32)


def pad_ink(ink: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Extend hxw ink to height x width at the bottom and right by paper."""
    down, right = height - ink.shape[0], width - ink.shape[1]
    return np.asarray(cv2.copyMakeBorder(ink, 0, down, 0, right, cv2.BORDER_CONSTANT, value=0.0), np.float32)
