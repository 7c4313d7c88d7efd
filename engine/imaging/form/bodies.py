"""Puts regions together to bodies: what an artist would shade as one form, and what is the ground behind them.

Paper between hatching is no form of its own, nor is a button or an eye: they belong to what is around them. Ground is
what the picture's edges cut over a large share.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.regions.groups import Groups

Labels = NDArray[np.int32]

GROUND = 0
"""Number of the ground among the bodies."""
GROUND_EDGE = 0.12
"""Share of the picture's edge from which a region that holds one of its corners is ground."""
SLIVER = 0.011
"""Radius of the largest disc in a region, as a part of the root of the picture's area, under which it is no form."""
ON_GROUND = 0.55
"""A sliver with more than this share of its outline on the ground is a thin limb of its own."""
SPECK = 0.0004
"""Part of the picture's area under which such a limb is a mark on the ground."""
LIKE = 1.7
"""Slivers go together before they join what is no sliver: a border with another one counts so much more."""
ENCLOSED = 0.75
"""Share of its outline by which a region must lie against one body to lie on it, if it is not wholly within,"""
SLIGHT = 0.15
"""and the most it may have of their common area; a larger one is a form of its own, or a hole."""
RING = 0.95
"""Share of its outline by which a larger one lies against one body to be a hole in it, or to lie in one."""
ROUNDS = 8


@dataclass(frozen=True)
class Bodies:
    """Which body each pixel belongs to.

    Attributes:
        labels: HxW int32 from 0, 0 = ground (there may be none).
        laid: HxW bool, regions that lie on a body as details, as a button on a coat.
        sliver: HxW bool, regions that are no form of their own, as between hatching.
    """

    labels: Labels
    laid: NDArray[np.bool_]
    sliver: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Bodies and the ground."""
        return int(self.labels.max()) + 1


@dataclass(frozen=True)
class Borders:
    """Pairs of touching labels, ``one`` < ``other``, and the length of their common border in pixel edges."""

    one: NDArray[np.int64]
    other: NDArray[np.int64]
    length: NDArray[np.float64]

    def both_ways(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Every pair twice, from either side."""
        return (
            np.concatenate([self.one, self.other]),
            np.concatenate([self.other, self.one]),
            np.concatenate([self.length, self.length]),
        )


def find_borders(labels: Labels, count: int) -> Borders:
    """All pairs of touching labels of HxW ``labels`` in 0..count-1."""
    keys = []
    for before, after in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        at = np.flatnonzero(before != after)
        a, b = before.ravel().take(at).astype(np.int64), after.ravel().take(at).astype(np.int64)
        keys.append(np.minimum(a, b) * count + np.maximum(a, b))
    pairs, length = np.unique(np.concatenate(keys), return_counts=True)
    return Borders(pairs // count, pairs % count, length.astype(np.float64))


def _edge_contact(labels: Labels, count: int) -> NDArray[np.float64]:
    """Pixels of the picture's edge per label."""
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(edge, minlength=count).astype(np.float64)


def inner_radii(labels: Labels, count: int) -> NDArray[np.float32]:
    """Radius of the largest disc in each label, in pixels; the picture's edge bounds nothing."""
    out = np.zeros(count, np.float32)
    np.maximum.at(out, labels.ravel(), depth_inside(labels).ravel())
    return out


def depth_inside(labels: Labels) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest one of another label, HxW, in pixels; huge where there is one label."""
    same = np.ones(labels.shape, np.uint8)
    for before, after, here, there in (
        (labels[:, :-1], labels[:, 1:], same[:, :-1], same[:, 1:]),
        (labels[:-1], labels[1:], same[:-1], same[1:]),
    ):
        differ = before != after
        here[differ] = 0
        there[differ] = 0
    depth = cv2.distanceTransform(same, cv2.DIST_L2, cv2.DIST_MASK_5)
    # Where nothing ends, OpenCV's distances have no end either.
    return np.asarray(np.minimum(depth + 0.5, sum(labels.shape)), np.float32)


def _find_ground(labels: Labels, count: int) -> NDArray[np.bool_]:
    """Which labels are ground: those around a corner of the picture.

    What the lower edge alone cuts is a figure that goes on below it.
    """
    edge = _edge_contact(labels, count)
    out = np.zeros(count, np.bool_)
    out[labels[[0, 0, -1, -1], [0, -1, 0, -1]]] = True
    out &= edge >= GROUND_EDGE * edge.sum()
    elsewhere = np.zeros(count, np.bool_)
    # The lowest pixels of the sides belong to the corners.
    elsewhere[
        np.concatenate([labels[0], labels[: -labels.shape[0] // 50, 0], labels[: -labels.shape[0] // 50, -1]])
    ] = True
    return out & elsewhere


def boxes_of(labels: NDArray[np.int32]) -> list[tuple[int, int, int, int]]:
    """Bounding box (top, left, bottom, right), ends exclusive, of every label from 0; zeros where one is missing."""
    count = int(labels.max()) + 1
    h, w = labels.shape
    low, high = np.full((2, count), max(h, w)), np.full((2, count), -1)
    for axis, size in ((0, h), (1, w)):
        line = np.broadcast_to(np.arange(size)[:, None] if axis == 0 else np.arange(size)[None], labels.shape)
        np.minimum.at(low[axis], labels.ravel(), line.ravel())
        np.maximum.at(high[axis], labels.ravel(), line.ravel())
    there = high[0] >= 0
    boxes = np.where(there, np.stack([low[0], low[1], high[0] + 1, high[1] + 1]), 0)
    return [tuple(box) for box in boxes.T.tolist()]


def find_bodies(regions: Labels) -> Bodies:
    """Join regions to bodies.

    Args:
        regions: HxW int32 from 0 without holes in the numbering.
    """
    count = int(regions.max()) + 1
    ground = _find_ground(regions, count)
    # The ground is number 0 from here on, whether there is one or not.
    table = np.where(ground, 0, np.cumsum(~ground)).astype(np.int32)
    labels = table.take(regions)
    count = int(table.max()) + 1
    sliver = _slivers(labels, count).take(labels)
    for _ in range(ROUNDS):
        joined = _join_slivers(labels, count)
        if joined is None:
            break
        labels, count = joined.take(labels), int(joined.max()) + 1
    laid = np.zeros(regions.shape, np.bool_)
    for _ in range(ROUNDS):
        lying = _join_enclosed(labels, count)
        if lying is None:
            break
        joined, details = lying
        laid |= details.take(labels)
        labels, count = joined.take(labels), int(joined.max()) + 1
    return Bodies(labels, laid, sliver)


def _slivers(labels: Labels, count: int) -> NDArray[np.bool_]:
    out = inner_radii(labels, count) < SLIVER * labels.size**0.5
    out[GROUND] = False
    return np.asarray(out)


def _join_slivers(labels: Labels, count: int) -> NDArray[np.int32] | None:
    """One round of joining every sliver to one neighbour; the new number of each label, or None if nothing is left."""
    borders = find_borders(labels, count)
    areas = np.bincount(labels.ravel(), minlength=count)
    sliver = _slivers(labels, count)
    if not sliver.any():
        return None
    one, other, length = borders.both_ways()
    outline = np.bincount(one, length, count) + _edge_contact(labels, count)
    on_ground = np.bincount(one, length * (other == GROUND), count) / np.maximum(outline, 1)
    joining, changed = Groups(count), False
    limbs = sliver & (on_ground > ON_GROUND)
    for speck in np.flatnonzero(limbs & (areas < SPECK * labels.size)):
        joining.join(GROUND, int(speck))
        changed = True
    offers = sliver[one] & ~limbs[one] & (other != GROUND)
    one, other, length = one[offers], other[offers], length[offers] * np.where(sliver[other[offers]], LIKE, 1.0)
    order = np.lexsort((length, one))
    last = order[np.flatnonzero(np.diff(one[order], append=-1))]
    for a, b in zip(one[last].tolist(), other[last].tolist(), strict=True):
        joining.join(a, b)
        changed = True
    return joining.numbers() if changed else None


def _join_enclosed(labels: Labels, count: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]] | None:
    """Lay small regions on what is around them: the new number of each label, and which were laid; None = none."""
    borders = find_borders(labels, count)
    areas = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    edge = _edge_contact(labels, count)
    joining, laid = Groups(count), np.zeros(count, np.bool_)
    for around, within in _enclosures(borders, edge > 0, count):
        if around != GROUND and areas[within].sum() <= SLIGHT * (areas[within].sum() + areas[around]):
            laid[within] = True
            for label in within:
                joining.join(around, label)
    one, other, length = borders.both_ways()
    outline = np.bincount(one, length, count) + edge
    lies = (one != GROUND) & (other != GROUND) & (length >= ENCLOSED * outline[one])
    lies &= areas[one] <= SLIGHT * (areas[one] + areas[other])
    laid[one[lies]] = True
    for a, b in zip(one[lies].tolist(), other[lies].tolist(), strict=True):
        joining.join(a, b)
    return (joining.numbers(), laid) if laid.any() else None


def _enclosures(borders: Borders, outer: NDArray[np.bool_], count: int) -> list[tuple[int, list[int]]]:
    """What lies wholly within one label: pairs of that label and all those that only it connects with the outside.

    These are the labels behind articulation points of the graph of neighbours (Hopcroft and Tarjan 1973).

    Args:
        borders: of the labels.
        outer: per label, whether it touches the picture's edge; the ground is outside, too.
        count: labels.
    """
    near: list[list[int]] = [[] for _ in range(count + 1)]
    outside = count
    ties = [*zip(borders.one.tolist(), borders.other.tolist(), strict=True)]
    ties += [(outside, int(label)) for label in np.flatnonzero(outer | (np.arange(count) == GROUND))]
    for a, b in ties:
        near[a].append(b)
        near[b].append(a)
    met, low, order = [-1] * (count + 1), [0] * (count + 1), []
    met[outside], walk = 0, [(outside, -1, iter(near[outside]))]
    order.append(outside)
    found = []
    while walk:
        label, above, left = walk[-1]
        for other in left:
            if met[other] < 0:
                met[other] = low[other] = len(order)
                order.append(other)
                walk.append((other, label, iter(near[other])))
                break
            if other != above:
                low[label] = min(low[label], met[other])
        else:
            walk.pop()
            if above >= 0:
                low[above] = min(low[above], low[label])
                if above != outside and low[label] >= met[above]:
                    # All that was met since lies behind the label above.
                    found.append((above, order[met[label] :]))
    return found


def rings(labels: Labels, count: int) -> list[tuple[int, int]]:
    """Pairs of bodies of which the first has a large hole, and the second lies in it."""
    borders = find_borders(labels, count)
    one, other, length = borders.both_ways()
    outline = np.bincount(one, length, count) + _edge_contact(labels, count)
    hole = (one != GROUND) & (other != GROUND) & (length >= RING * outline[one])
    return [*zip(other[hole].tolist(), one[hole].tolist(), strict=True)]
