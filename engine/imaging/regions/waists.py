"""Tells waists from gaps, where a shrinking ball has cut the paper in two, and joins what a waist holds together.

The ball knows only how wide a passage is. An artist also sees what bounds it: at a gap a line comes to an end; at a
waist, as between two arms or between a head and the picture's edge, the lines on both sides run on.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.regions.groups import Groups

WIDE = 8.0
"""Pixels, in a drawing with a short side of 512, from which a passage where no line ends joins what it lies between.

Narrower ones do so only if no line ends at any passage of the area: sketched lines hide some of their ends.
"""
TOUCHING = 2.0
"""Pixels from the ink at which a border has come to it."""
NEAR = 1.5
"""Circles around the place where a passage meets the ink have this radius, in widths of the line there,"""
REACH = 0.6
"""and this, in widths of the passage: a line that ends further away has nothing to do with it."""
FURTHEST = 20.0
"""Nor has one that ends further away than this, in pixels of a drawing with a short side of 512."""
LEAST_RADIUS = 4.0
BLUNT = 60.0
"""Degrees of such a circle that the end of a line covers at most; more is a corner of something black."""
SPECK = 4
"""Pixels of ink below which a mark does not count as a line."""


@dataclass(frozen=True)
class _Passage:
    """Where two regions meet on open paper.

    Attributes:
        one, other: the regions' labels.
        ys, xs: pixels along the border between them.
        width: of the passage in pixels, twice the greatest distance to ink on that border.
    """

    one: int
    other: int
    ys: NDArray[np.int64]
    xs: NDArray[np.int64]
    width: float


def join_waists(labels: NDArray[np.int32], depth: NDArray[np.float32], count: int) -> NDArray[np.int32]:
    """Find out which regions are one, for only a waist parts them.

    Args:
        labels: HxW, regions from 1; 0 is ink and what belongs to no region yet.
        depth: HxW distance to the nearest ink in pixels, 0 on it.
        count: labels, 0 included.

    Returns:
        For each label the least one of the regions it is one with.
    """
    wide = WIDE * min(depth.shape) / 512
    areas, joined = Groups(count), Groups(count)
    passages = _passages(labels, depth)
    for passage in passages:
        areas.join(passage.one, passage.other)
    by_area: dict[int, list[_Passage]] = {}
    for passage in passages:
        by_area.setdefault(areas.find(passage.one), []).append(passage)
    for members in by_area.values():
        members.sort(key=lambda passage: -passage.width)
        ends = False
        for passage in members:
            # One end is enough to know that the area has gaps; only wide passages matter from there on.
            if ends and passage.width < wide:
                break
            end = _line_end(depth, passage)
            ends |= end is True
            if end is False and passage.width >= wide:
                joined.join(passage.one, passage.other)
        if not ends:
            for passage in members:
                joined.join(passage.one, passage.other)
    return joined.least()


def _passages(labels: NDArray[np.int32], depth: NDArray[np.float32]) -> list[_Passage]:
    """All passages between neighbouring regions."""
    h, w = labels.shape
    width = int(labels.max()) + 1
    found = []
    for dy, dx in ((0, 1), (1, 0)):
        before, after = labels[: h - dy, : w - dx], labels[dy:, dx:]
        ys, xs = np.divmod(np.flatnonzero(before != after), w - dx)
        one, other = before[ys, xs].astype(np.int64), after[ys, xs].astype(np.int64)
        open_paper = (one > 0) & (other > 0)
        ys, xs, one, other = ys[open_paper], xs[open_paper], one[open_paper], other[open_paper]
        pair = np.minimum(one, other) * width + np.maximum(one, other)
        found += [(pair, ys, xs), (pair, ys + dy, xs + dx)]
    pair, ys, xs = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if len(pair) == 0:
        return []
    border = np.zeros((h, w), np.uint8)
    border[ys, xs] = 1
    # The same two regions may meet at several places.
    pieces, piece_at = cv2.connectedComponents(border, connectivity=8, ltype=cv2.CV_32S)
    key = pair * pieces + np.asarray(piece_at)[ys, xs]
    order = np.argsort(key, kind="stable")
    key, pair, ys, xs = key[order], pair[order], ys[order], xs[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    widths = 2 * np.maximum.reduceat(depth[ys, xs], starts)
    return [
        _Passage(int(pair[start] // width), int(pair[start] % width), ys[start:end], xs[start:end], float(wide))
        for (start, end), wide in zip(itertools.pairwise([*starts.tolist(), len(key)]), widths, strict=True)
    ]


def _line_end(depth: NDArray[np.float32], passage: _Passage) -> bool | None:
    """Whether a line ends at the passage; None where only one of its sides, or none, is known."""
    ys, xs = passage.ys, passage.xs
    near = depth[ys, xs]
    first = int(near.argmin())
    ends = _ink_beside(depth, int(ys[first]), int(xs[first]), both=passage.width <= 2 * TOUCHING)
    apart = (ys - ys[first]) ** 2 + (xs - xs[first]) ** 2 > (passage.width / 2) ** 2
    if apart.any():
        # The border's other end: as near to ink, but away from this one.
        second = int(np.where(apart, near, np.inf).argmin())
        ends += _ink_beside(depth, int(ys[second]), int(xs[second]))
    h, w = depth.shape
    at_edge = ys.min() == 0 or xs.min() == 0 or ys.max() == h - 1 or xs.max() == w - 1
    if any(_line_ends(depth, y, x, passage.width) for y, x in ends):
        return True
    return False if len(ends) + bool(at_edge) >= 2 else None


def _line_ends(depth: NDArray[np.float32], y: int, x: int, width: float) -> bool:
    """Whether a line ends near a pixel of ink, and leaves a gap of about ``width`` there and no narrower one."""
    least = max(LEAST_RADIUS, NEAR * _line_width(depth, y, x))
    reach = min(REACH * width, FURTHEST * min(depth.shape) / 512)
    radii = {least, max(least, reach)}
    # Twice as far out, too: close by, a sharp corner looks like an end.
    if not any(_ends_within(depth, y, x, radius) and _ends_within(depth, y, x, 2 * radius) for radius in radii):
        return False
    # With other ink much nearer than what is across, the end belongs to another gap.
    _, marks, own = _marks(depth, y, x, reach)
    return not any(size >= SPECK for number, size in enumerate(np.bincount(marks.ravel())) if number not in (0, own))


def _ink_beside(depth: NDArray[np.float32], y: int, x: int, *, both: bool = False) -> list[tuple[int, int]]:
    """The ink nearest to a pixel if it is at most ``TOUCHING`` away, and if ``both``, that furthest from it there."""
    reach = int(TOUCHING) + 1
    top, left = max(0, y - reach), max(0, x - reach)
    ys, xs = np.nonzero(depth[top : y + reach + 1, left : x + reach + 1] == 0)
    if depth[y, x] > TOUCHING or len(ys) == 0:
        return []
    places = [int(((ys + top - y) ** 2 + (xs + left - x) ** 2).argmin())]
    if both:
        places.append(int(((ys - ys[places[0]]) ** 2 + (xs - xs[places[0]]) ** 2).argmax()))
    return [(int(ys[place]) + top, int(xs[place]) + left) for place in places]


def _line_width(depth: NDArray[np.float32], y: int, x: int) -> float:
    """Width in pixels of the line that a pixel is part of."""
    reach = max(4, round(3 * min(depth.shape) / 512))
    top, left = max(0, y - 2 * reach), max(0, x - 2 * reach)
    ink = (depth[top : y + 2 * reach + 1, left : x + 2 * reach + 1] == 0).astype(np.uint8)
    inside = cv2.distanceTransform(ink, cv2.DIST_L2, cv2.DIST_MASK_3)
    near = inside[max(0, y - reach - top) : y + reach + 1 - top, max(0, x - reach - left) : x + reach + 1 - left]
    return 2 * float(near.max())


def _marks(depth: NDArray[np.float32], y: int, x: int, radius: float) -> tuple[tuple[int, int], NDArray[np.int32], int]:
    """What is drawn in a disc around an ink pixel.

    Returns:
        The upper left corner of a box around the disc, the connected pieces of ink in it, numbered from 1, and the
        number of the pixel's own.
    """
    reach = int(np.ceil(radius))
    top, left = max(0, y - reach), max(0, x - reach)
    box = depth[top : y + reach + 1, left : x + reach + 1] == 0
    rows, columns = np.ogrid[top - y : top - y + box.shape[0], left - x : left - x + box.shape[1]]
    disc = rows * rows + columns * columns <= radius * radius
    _, marks = cv2.connectedComponents((box & disc).astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    marks = np.asarray(marks, np.int32)
    return (top, left), marks, int(marks[y - top, x - left])


@lru_cache(256)
def _circle(count: int) -> NDArray[np.float64]:
    """So many points of a circle around 0 with a radius of 1, 2xN."""
    angles = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.sin(angles), np.cos(angles)])


def _ends_within(depth: NDArray[np.float32], y: int, x: int, radius: float) -> bool:
    """Whether a circle around an ink pixel cuts its line just once; what lies wholly within is a dot, not a line."""
    (top, left), marks, own = _marks(depth, y, x, radius + 1)
    circle = np.rint(_circle(max(24, int(7 * radius))) * radius).astype(np.int64)
    ys, xs = circle[0] + y - top, circle[1] + x - left
    inside = (ys >= 0) & (ys < marks.shape[0]) & (xs >= 0) & (xs < marks.shape[1])
    on = np.zeros(circle.shape[1], np.bool_)
    on[inside] = marks[ys[inside], xs[inside]] == own
    arcs = np.count_nonzero(on[1:] > on[:-1]) + int(on[0] > on[-1])
    return arcs == 1 and int(np.count_nonzero(on)) * 360 < BLUNT * len(on)
