"""Tells from where lines meet who is in front of whom.

Where the outline of something in front passes over another outline, the line behind ends at it in a T: the outline on
top runs on smoothly, and its side without a line belongs to what is in front (Kanizsa 1979; Sykora et al. 2014 take
such junctions for the depth order, too). A line that ends so at the ground's side of an outline is no outline of
anything, but a marking on one form, as a hem or a belt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.imaging.form.bodies import GROUND, Labels, find_borders

STRAIGHT = 40.0
"""Degrees from 180 at which the two sides of a junction no longer are one line."""
LEAST_SECTOR = 25.0
"""Degrees between two lines at least for a junction to be clear."""
SPAN = 8.0
"""Pixels over which the direction of a line is taken."""
CLEAR = 0.9
"""Mean length of the unit vectors along a line above which it has one direction."""
SURE = 0.5
"""Votes from which, and by which, one side must have more than the other."""


BEHIND_ALL = 0.65
"""Share of its outline along which others are in front of a body from which it is seen through a gap: ground."""


@dataclass(frozen=True)
class Order:
    """What junctions say of pairs of bodies.

    Attributes:
        front: set of (a, b): a is in front of b.
        markings: set of (a, b), a < b: the line between them is drawn on one form.
    """

    front: frozenset[tuple[int, int]]
    markings: frozenset[tuple[int, int]]


def _places(labels: Labels) -> NDArray[np.int64]:
    """Corners between pixels where three labels meet, Nx2 (y, x): the corner is up and left of that pixel."""
    a, b, c, d = labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]
    borders = (a != b).astype(np.uint8) + (b != d) + (d != c) + (c != a)
    ys, xs = np.nonzero(borders >= 3)
    quads = np.sort(np.stack([a[ys, xs], b[ys, xs], c[ys, xs], d[ys, xs]]), axis=0)
    three = (np.diff(quads, axis=0) != 0).sum(axis=0) == 2
    return np.stack([ys[three] + 1, xs[three] + 1], axis=1).astype(np.int64)


def _sectors(labels: Labels, y: int, x: int, near: float) -> dict[int, float] | None:
    """Angles in degrees that each of three labels takes around a corner; None where the picture is not clear."""
    reach = int(near + SPAN) + 1
    top, left = max(0, y - reach), max(0, x - reach)
    box = labels[top : y + reach, left : x + reach]
    found: dict[tuple[int, int], list[NDArray[np.float64]]] = {}
    here = set(np.unique(labels[y - 1 : y + 1, x - 1 : x + 1]).tolist())
    for dy, dx in ((0, 1), (1, 0)):
        before, after = box[: box.shape[0] - dy, : box.shape[1] - dx], box[dy:, dx:]
        ys, xs = np.nonzero(before != after)
        py, px = ys + top + (0.5 + 0.5 * dy) - y, xs + left + (0.5 + 0.5 * dx) - x
        distance = np.hypot(py, px)
        ring = (distance > near) & (distance <= near + SPAN)
        ones, others = before[ys, xs][ring], after[ys, xs][ring]
        units = np.stack([px, -py])[:, ring] / distance[ring]
        for pair in set(zip(ones.tolist(), others.tolist(), strict=True)):
            if pair[0] in here and pair[1] in here:
                key = (min(pair), max(pair))
                found.setdefault(key, []).append(units[:, (ones == pair[0]) & (others == pair[1])])
    if len(found) != 3:
        return None
    angles = []
    for pair, parts in found.items():
        mean = np.concatenate(parts, axis=1).mean(axis=1)
        if np.hypot(*mean) < CLEAR:
            return None
        angles.append((float(np.degrees(np.arctan2(mean[1], mean[0]))) % 360, pair))
    angles.sort()
    out = {}
    for (angle, pair), (following, other) in zip(angles, [*angles[1:], angles[0]], strict=True):
        (own,) = set(pair) & set(other)
        out[own] = (following - angle) % 360
    return out if len(out) == 3 else None


def find_order(labels: Labels, line: float) -> Order:
    """Let the junctions of bodies vote.

    Args:
        labels: HxW bodies, 0 = ground.
        line: width of the lines in pixels.
    """
    votes: dict[tuple[int, int], float] = {}
    marked: dict[tuple[int, int], float] = {}
    for y, x in _places(labels).tolist():
        sectors = _sectors(labels, y, x, 1.2 * line)
        if sectors is None or min(sectors.values()) < LEAST_SECTOR:
            continue
        front = min(sectors, key=lambda label: abs(sectors[label] - 180))
        weight = 1 - abs(sectors[front] - 180) / STRAIGHT
        if weight <= 0:
            continue
        behind = [label for label in sectors if label != front]
        if front == GROUND:
            pair = (min(behind), max(behind))
            marked[pair] = marked.get(pair, 0.0) + weight
            continue
        for label in behind:
            votes[front, label] = votes.get((front, label), 0.0) + weight
    sure = {
        pair
        for pair, weight in votes.items()
        if GROUND not in pair and weight - votes.get(pair[::-1], 0.0) - marked.get((min(pair), max(pair)), 0.0) >= SURE
    }
    drawn = {
        pair for pair, weight in marked.items() if weight - votes.get(pair, 0.0) - votes.get(pair[::-1], 0.0) >= SURE
    }
    return Order(frozenset(sure), frozenset(drawn))


def behind_all(labels: Labels, order: Order, count: int) -> NDArray[np.bool_]:
    """Which of ``count`` bodies are ground seen between others: nearly all around them is in front of them."""
    borders = find_borders(labels, count)
    outline, behind = np.zeros(count), np.zeros(count)
    for one, other, length in zip(*(values.tolist() for values in borders.both_ways()), strict=True):
        outline[one] += length
        behind[one] += length * ((other, one) in order.front)
    return np.asarray((outline > 0) & (behind >= BEHIND_ALL * outline))
