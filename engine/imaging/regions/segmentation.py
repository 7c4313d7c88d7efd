"""Finds the regions an artist means in real, gappy line art.

A trapped ball (Zhang et al. 2009) of falling radius is rolled over the paper: where a large ball fits, a region is
born; as the ball shrinks, regions grow and meet. Two that meet only at a much smaller radius than they were born at are
joined by a gap in a line and stay apart; two that meet right away are one shape with a waist or a corner. So are those
that no line's end parts (``waists``).

Where the largest gap to be closed is given, the first ball is the smallest one that cannot pass it: what that ball
cannot leave is a region for good, and smaller balls only find the areas in which it has no room.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import highest_of_four, resize_labels, resize_picture
from engine.imaging.regions.waists import join_waists

MAX_PIXELS = 4_000_000
"""Larger drawings are segmented at this size: region borders lie under the ink, where a pixel more does not show."""
LARGEST_BALL = 1 / 36
"""Radius of the first ball, as a part of the short side."""
SHRINK = 1.7
SHRINK_BELOW_GAP = 1.4
"""The same for balls smaller than a given gap: what is narrower than the gap is to come apart at a slighter waist."""
PERSISTENCE = 2
"""A region that meets another less than this many radii after its birth is part of it."""
COARSE = (8, 4, 2)
ROUND_ENOUGH = 1.6
"""Large balls roll on a canvas shrunk by these factors, as long as their radius there is at least this many pixels."""
LEAST_AREA = 10.0
"""Regions under this many pixels, in a drawing with a short side of 512, are left to their neighbours."""
SMALLEST_BALL, SMALLEST_PART = 1.2, 1 / 850
"""Radius, in pixels and as a part of the short side, under which no ball rolls; the paper itself comes after."""
EXACT_PIXELS = 1_000_000
"""On canvases with more, open paper between two regions is shared out in steps of 2 px."""
FOR_GOOD = -1000
"""Level of birth of regions that are never merged."""


def find_ink(lineart: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the pixels that act as walls: dark ones, and faint pencil lines that are darker than the paper around them.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
    """
    grey = np.clip(lineart * 255, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = grey <= np.clip(threshold, 110, 200)
    reach = 2 * max(1, round(min(grey.shape) / 200)) + 1
    hat = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((reach, reach), np.uint8))
    return np.asarray(dark | (hat > 40), np.bool_)


def distance_to_ink(lineart: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of every pixel to the nearest ink in pixels, HxW, 0 on ink; huge where there is no ink at all."""
    paper = (~find_ink(lineart)).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(paper, cv2.DIST_L2, cv2.DIST_MASK_5), np.float32)


def at_segmentation_size(lineart: NDArray[np.float32]) -> NDArray[np.float32]:
    """The HxW drawing in [0, 1] itself, or one of ``MAX_PIXELS`` where it is larger."""
    h, w = lineart.shape
    if h * w <= MAX_PIXELS:
        return lineart
    scale = (MAX_PIXELS / (h * w)) ** 0.5
    return resize_picture(lineart, max(1, int(h * scale)), max(1, int(w * scale)))


def scaled_gap(gap: float | None, lineart: NDArray[np.float32], small: NDArray[np.float32]) -> float | None:
    """A gap in pixels of ``lineart`` in pixels of the same drawing at another size."""
    return None if gap is None else gap * min(small.shape) / min(lineart.shape)


def nearest_label(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every pixel labelled 0 in HxW int32 the label of the nearest labelled one. All zero stays all zero."""
    if labels.all() or not labels.any():
        return labels
    index, of_index = _nearest(labels)
    return np.asarray(of_index.take(index), np.int32)


def _nearest(labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """HxW number of the labelled pixel nearest to each, and the label of each such number. Some pixel is labelled."""
    empty = (labels == 0).view(np.uint8)
    _, index = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    # OpenCV numbers them from 1, row by row.
    return np.asarray(index, np.int32), np.concatenate([[0], labels[labels != 0]]).astype(np.int32)


def _nearest_at(labels: NDArray[np.int32], places: NDArray[np.int64]) -> NDArray[np.int32]:
    """The label nearest to each of some places of HxW labels, given by their number; on large canvases to 2 px."""
    h, w = labels.shape
    ys, xs = np.divmod(places, w)
    if h * w > EXACT_PIXELS:
        labels, ys, xs = highest_of_four(labels), ys // 2, xs // 2
    index, of_index = _nearest(labels)
    return np.asarray(of_index.take(index[ys, xs]), np.int32)


@dataclass
class _Region:
    """One of the labels of a ``_Growth``.

    Attributes:
        born: level of its birth.
        y, x: one of its pixels, as a part of height and width; a ball that fitted there once always will.
    """

    born: int
    y: float
    x: float


class _Growth:
    """State of the shrinking ball: the regions so far, their pixels, and which were merged into which."""

    def __init__(self) -> None:
        self._labels = np.zeros((1, 1), np.int32)
        self._regions = [_Region(0, 0, 0)]
        self._merged = [0]
        self._radius = math.inf

    @property
    def labels(self) -> NDArray[np.int32]:
        """HxW, regions from 1; 0 where no ball has come."""
        return np.array(self._merged, np.int32).take(self._labels)

    @property
    def count(self) -> int:
        """Labels that there may be, 0 included."""
        return len(self._merged)

    def step(self, level: int, depth: NDArray[np.float32], radius: float, least: float, *, for_good: bool) -> None:
        """Let a ball roll; the canvas may have grown since the last one.

        Args:
            level: number of the ball, the largest is 0.
            depth: HxW distance to the nearest ink.
            radius: of the ball, in the pixels of ``depth``.
            least: pixels a new region needs.
            for_good: the regions born now stay apart from each other.
        """
        if self._labels.shape != depth.shape:
            # Nothing lies between a pixel as far from ink as it was and the one it is copied from.
            scale = depth.shape[0] / self._labels.shape[0]
            self._labels = resize_labels(self._labels, *depth.shape) * (depth > self._radius * scale)
        self._radius = radius
        free = depth > radius
        count, found = cv2.connectedComponents(free.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
        parts: NDArray[np.int32] = np.asarray(found, np.int32)
        owner, shared = self._owners(level, parts, count)
        # Only the paper that came within reach with this ball is to be given away.
        shell = np.flatnonzero((self._labels == 0) & free)
        part_of = parts.ravel().take(shell)
        self._find_new(level, owner, (shell, part_of), depth, least, for_good=for_good)
        offered, lost = owner.take(part_of), np.zeros(0, np.int64)
        if shared:
            row = np.zeros(count, np.int32)
            row[list(shared)] = np.arange(1, len(shared) + 1)
            fits = np.zeros((len(shared) + 1, len(self._regions)), np.bool_)
            for number, kept in enumerate(shared.values(), 1):
                fits[number, kept] = True
            rows = row.take(part_of)
            disputed = np.flatnonzero(rows)
            near = np.array(self._merged, np.int32).take(_nearest_at(self._labels, shell[disputed]))
            fit = fits[rows[disputed], near]
            offered[disputed] = np.where(fit, near, 0)
            lost = disputed[~fit]
        self._labels.ravel()[shell] = offered
        if len(lost):
            self._reach_round(free, shell[lost], owner.take(part_of[lost]))

    def _reach_round(self, free: NDArray[np.bool_], places: NDArray[np.int64], owners: NDArray[np.int32]) -> None:
        """Label pixels that lie nearest to a region behind a line: like what they are connected with on their side.

        Args:
            free: HxW, where the ball's centre may be.
            places: numbers of the pixels.
            owners: oldest regions of their parts, for pixels that are connected with nothing else.
        """
        h, w = free.shape
        labels, alone = self._labels, np.zeros((h, w), np.uint8)
        alone.ravel()[places] = 1
        x, y, width, height = cv2.boundingRect(alone)
        count, blobs = cv2.connectedComponents(alone[y : y + height, x : x + width], connectivity=4, ltype=cv2.CV_32S)
        ys, xs = np.divmod(places, w)
        blob = np.asarray(blobs)[ys - y, xs - x].astype(np.int64)
        votes = []
        for dy, dx in ((0, -1), (-1, 0), (0, 1), (1, 0)):
            y_near, x_near = np.clip(ys + dy, 0, h - 1), np.clip(xs + dx, 0, w - 1)
            label = np.where(free[y_near, x_near], labels[y_near, x_near], 0)
            votes.append(blob[label > 0] * self.count + label[label > 0])
        pairs, sizes = np.unique(np.concatenate(votes), return_counts=True)
        order = np.argsort(sizes, kind="stable")
        chosen = np.zeros(count, np.int32)
        # The last one written is the most frequent neighbour.
        chosen[pairs[order] // self.count] = pairs[order] % self.count
        found = chosen.take(blob)
        labels.ravel()[places] = np.where(found > 0, found, owners)

    def _owners(
        self, level: int, parts: NDArray[np.int32], count: int
    ) -> tuple[NDArray[np.int32], dict[int, list[int]]]:
        """Merge regions that meet so soon that they are one.

        Returns:
            The oldest region of each of ``count`` parts, 0 = none; and all those of the parts that hold several.
        """
        h, w = parts.shape
        owner = np.zeros(count, np.int32)
        alive = np.array([k for k, into in enumerate(self._merged) if k == into and k > 0], np.int64)
        if len(alive) == 0:
            return owner, {}
        ys = (np.array([self._regions[k].y for k in alive]) * h).astype(np.int64)
        xs = (np.array([self._regions[k].x for k in alive]) * w).astype(np.int64)
        holding = parts[ys, xs]
        order = np.argsort(holding, kind="stable")
        holding, alive = holding[order], alive[order]
        shared: dict[int, list[int]] = {}
        into: dict[int, int] = {}
        bounds = np.flatnonzero(np.diff(holding, prepend=-1))
        for start, end in itertools.pairwise([*bounds.tolist(), len(alive)]):
            part, group = int(holding[start]), alive[start:end].tolist()
            if part == 0:
                continue
            oldest = min(group, key=lambda k: (self._regions[k].born, k))
            owner[part] = oldest
            kept = [k for k in group if k == oldest or level - self._regions[k].born >= PERSISTENCE]
            if len(kept) > 1:
                shared[part] = kept
            into.update(dict.fromkeys(set(group) - set(kept), oldest))
        self._merged = [into.get(k, k) for k in self._merged]
        return owner, shared

    def _find_new(
        self,
        level: int,
        owner: NDArray[np.int32],
        shell: tuple[NDArray[np.int64], NDArray[np.int32]],
        depth: NDArray[np.float32],
        least: float,
        *,
        for_good: bool,
    ) -> None:
        """Make regions of the parts that have no ``owner`` yet; ``shell`` is the numbers of pixels, and their parts."""
        new = np.flatnonzero(owner.take(shell[1]) == 0)
        if len(new) == 0:
            return
        new = new[np.argsort(shell[1][new], kind="stable")]
        places, parts = shell[0][new], shell[1][new]
        starts = np.flatnonzero(np.diff(parts, prepend=-1))
        sizes = np.diff(starts, append=len(parts))
        # Far deeper than this ball needs: a larger one, had there been any, would have found it before.
        deepest = np.maximum.reduceat(depth.ravel()[places], starts) if level == 0 else None
        h, w = depth.shape
        for number in np.flatnonzero(sizes >= least):
            born = FOR_GOOD if for_good else level
            if deepest is not None and self._radius > 0 and not for_good:
                born = -int(math.log(deepest[number] / self._radius) / math.log(SHRINK))
            y, x = divmod(int(places[starts[number]]), w)
            owner[parts[starts[number]]] = len(self._regions)
            self._merged.append(len(self._regions))
            self._regions.append(_Region(born, (y + 0.5) / h, (x + 0.5) / w))


def find_regions(
    lineart: NDArray[np.float32], distance: NDArray[np.float32] | None = None, gap: float | None = None
) -> NDArray[np.int32]:
    """Split a drawing into regions, closing gaps in its lines.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
        distance: HxW ``distance_to_ink`` of it when the caller has it already; of at most ``MAX_PIXELS``.
        gap: the widest opening in a line that is closed, in pixels of ``lineart``; a wider one never is. 0 = none;
            None = what is clearly narrower than the areas on both of its sides.

    Returns:
        HxW int32, regions numbered from 0 without holes in the numbering. Ink belongs to the nearest region; a drawing
        without paper is one region.
    """
    h, w = lineart.shape
    if h * w > MAX_PIXELS:
        small = at_segmentation_size(lineart)
        return resize_labels(find_regions(small, gap=scaled_gap(gap, lineart, small)), h, w)
    # The border of the canvas is no wall: a ball may hang over it.
    depth = distance_to_ink(lineart) if distance is None else distance
    if not depth.any():
        return np.zeros((h, w), np.int32)
    least = max(3.0, LEAST_AREA * (min(h, w) / 512) ** 2)
    growth = _Growth()
    level = _roll_freely(growth, depth) if gap is None else _roll_below(growth, depth, gap)
    growth.step(level, depth, 0, least, for_good=False)
    labels = growth.labels
    if not labels.any():
        return labels
    index, of_index = _nearest(labels)
    if gap is None:
        of_index = join_waists(labels, depth, growth.count).take(of_index)
    used = np.zeros(growth.count, np.bool_)
    used[of_index[1:]] = True
    number = (np.cumsum(used) - 1).astype(np.int32)
    return np.asarray(number.take(of_index).take(index), np.int32)


def _roll_freely(growth: _Growth, depth: NDArray[np.float32]) -> int:
    """Roll balls of falling radius over HxW paper, large ones on a coarser canvas; returns the next level."""
    h, w = depth.shape
    radius, level = max(SMALLEST_BALL, min(h, w) * LARGEST_BALL), 0
    while radius >= max(SMALLEST_BALL, min(h, w) * SMALLEST_PART):
        factor = next((f for f in COARSE if radius >= ROUND_ENOUGH * f), 1)
        size = (max(1, w // factor), max(1, h // factor))
        coarse = depth if factor == 1 else cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        growth.step(level, np.asarray(coarse, np.float32) / np.float32(factor), radius / factor, 1, for_good=False)
        radius, level = radius / SHRINK, level + 1
    return level


def _roll_below(growth: _Growth, depth: NDArray[np.float32], gap: float) -> int:
    """Roll balls that cannot pass a gap of so many pixels, the largest first; returns the next level.

    All at full size: on a coarser one the passage that decides, a pixel or two wide for the first ball, could be lost.
    """
    # Between square ends of a line the distance from pixel centre to pixel centre is one more than the paper is wide.
    radius, level = (gap + 1) / 2, 0
    while gap > 0 and (level == 0 or radius >= SMALLEST_BALL):
        growth.step(level, depth, radius, 1, for_good=level == 0)
        radius, level = radius / SHRINK_BELOW_GAP, level + 1
    return level
