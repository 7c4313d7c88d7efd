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

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_labels, resize_picture
from engine.imaging.waists import join_waists

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
ROUND_ENOUGH = 2.0
"""Large balls roll on a canvas shrunk by these factors, as long as their radius there is at least this many pixels."""
LEAST_AREA = 10.0
"""Regions under this many pixels, in a drawing with a short side of 512, are left to their neighbours."""
SMALLEST_BALL = 1.2
"""Radius in pixels under which no ball rolls any more; the paper itself comes after."""
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
    """The drawing itself, or one of ``MAX_PIXELS`` where it is larger."""
    h, w = lineart.shape
    if h * w <= MAX_PIXELS:
        return lineart
    scale = (MAX_PIXELS / (h * w)) ** 0.5
    return resize_picture(lineart, max(1, int(h * scale)), max(1, int(w * scale)))


def scaled_gap(gap: float | None, lineart: NDArray[np.float32], small: NDArray[np.float32]) -> float | None:
    """A gap in pixels of ``lineart`` in pixels of the same drawing at another size."""
    return None if gap is None else gap * min(small.shape) / min(lineart.shape)


def nearest_label(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every pixel labelled 0 the label of the nearest labelled pixel. All zero stays all zero."""
    empty = labels == 0
    if not empty.any() or empty.all():
        return labels
    _, index = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lut = np.zeros(int(index.max()) + 1, np.int32)
    full = np.flatnonzero(~empty)
    lut[index.ravel().take(full)] = labels.ravel().take(full)
    return np.asarray(lut.take(index), np.int32)


def _meetings(parts: NDArray[np.int32], labels: NDArray[np.int32], n_parts: int, n_labels: int) -> NDArray[np.int64]:
    """Pairs (part, label) that share a pixel, as a Kx2 array sorted by part; part and label 0 are left out."""
    width = n_labels + 1
    code = parts.astype(np.int64) * width + labels
    if n_parts * width <= 50_000_000:
        seen = np.zeros(n_parts * width, np.bool_)
        seen[code.ravel()] = True
        found = np.flatnonzero(seen)
    else:
        found = np.unique(code)
    pairs = np.stack([found // width, found % width], axis=1)
    return np.asarray(pairs[(pairs > 0).all(axis=1)], np.int64)


class _Growth:
    """State of the shrinking ball: labels so far, the level each was born at, and which were merged into which."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels = np.zeros(shape, np.int32)
        self.born = [0]

    def step(
        self,
        level: int,
        free: NDArray[np.bool_],
        least: float,
        depth: NDArray[np.float32] | None = None,
        *,
        for_good: bool = False,
    ) -> None:
        """Let a ball for which ``free`` is open roll; the canvas may have grown since the last one.

        Args:
            level: number of the ball, the largest is 0.
            free: HxW, where the ball's centre may be.
            least: pixels a new region needs.
            depth: for the largest ball, the depth in its radii: far deeper regions count as born that much earlier.
            for_good: the regions born now stay apart from each other.
        """
        if self.labels.shape != free.shape:
            self.labels = resize_labels(self.labels, *free.shape) * free
        n_parts, found = cv2.connectedComponents(free.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
        parts: NDArray[np.int32] = np.asarray(found, np.int32)
        pairs = _meetings(parts, self.labels, n_parts, len(self.born) - 1)
        owner = np.zeros(n_parts, np.int32)
        merged = np.arange(len(self.born), dtype=np.int32)
        shared: dict[int, list[int]] = {}
        bounds = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
        for start, end in itertools.pairwise([*bounds.tolist(), len(pairs)]):
            part, group = int(pairs[start, 0]), pairs[start:end, 1].tolist()
            oldest = min(group, key=lambda k: (self.born[k], k)) if len(group) > 1 else group[0]
            owner[part] = oldest
            kept = [k for k in group if k == oldest or level - self.born[k] >= PERSISTENCE]
            if len(kept) < len(group):
                merged[[k for k in group if k not in kept]] = oldest
            if len(kept) > 1:
                shared[part] = kept
        area = np.bincount(parts.ravel(), minlength=n_parts)
        fresh = np.flatnonzero((owner == 0) & (area >= least))
        fresh = fresh[fresh > 0]
        owner[fresh] = np.arange(len(self.born), len(self.born) + len(fresh))
        if depth is not None:
            self.born += self._earlier_births(parts, fresh, depth)
        else:
            self.born += [FOR_GOOD if for_good else level] * len(fresh)
        if (merged != np.arange(len(merged))).any():
            self.labels = merged.take(self.labels)
        # Only the paper that came within reach with this ball is to be given away.
        shell = np.flatnonzero((self.labels == 0) & free)
        part_of = parts.ravel().take(shell)
        offered = owner.take(part_of)
        if shared:
            row = np.zeros(n_parts, np.int32)
            row[list(shared)] = np.arange(1, len(shared) + 1)
            fits = np.zeros((len(shared) + 1, len(self.born)), np.bool_)
            for number, kept in enumerate(shared.values(), 1):
                fits[number, kept] = True
            disputed = np.flatnonzero(row.take(part_of))
            near = nearest_label(self.labels).ravel().take(shell[disputed])
            fit = fits[row.take(part_of[disputed]), near]
            offered[disputed[fit]] = near[fit]
        self.labels.ravel()[shell] = offered

    @staticmethod
    def _earlier_births(parts: NDArray[np.int32], fresh: NDArray[np.int64], depth: NDArray[np.float32]) -> list[int]:
        deepest = np.ones(int(parts.max()) + 1, np.float32)
        np.maximum.at(deepest, parts.ravel(), depth.ravel())
        return [-int(math.log(deepest[part]) / math.log(SHRINK)) for part in fresh]


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
    paper = depth > 0
    if not paper.any():
        return np.zeros((h, w), np.int32)
    least = max(3.0, LEAST_AREA * (min(h, w) / 512) ** 2)
    growth = _Growth((1, 1))
    level = _roll_freely(growth, depth) if gap is None else _roll_below(growth, depth, gap)
    growth.step(level, paper, least)
    if gap is None:
        growth.labels = join_waists(growth.labels, depth, len(growth.born)).take(growth.labels)
    labels = nearest_label(growth.labels)
    used = np.zeros(len(growth.born), np.bool_)
    used[labels] = True
    number = (np.cumsum(used) - 1).astype(np.int32)
    return np.asarray(number.take(labels), np.int32)


def _roll_freely(growth: _Growth, depth: NDArray[np.float32]) -> int:
    """Roll balls of falling radius over HxW paper, large ones on a coarser canvas; returns the next level."""
    h, w = depth.shape
    radius, level = max(SMALLEST_BALL, min(h, w) * LARGEST_BALL), 0
    while radius >= SMALLEST_BALL:
        factor = next((f for f in COARSE if radius >= ROUND_ENOUGH * f), 1)
        size = (max(1, w // factor), max(1, h // factor))
        coarse = depth if factor == 1 else cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST_EXACT)
        coarse = np.asarray(coarse, np.float32)
        growth.step(level, coarse > radius, 1, coarse / radius if level == 0 else None)
        radius, level = radius / SHRINK, level + 1
    return level


def _roll_below(growth: _Growth, depth: NDArray[np.float32], gap: float) -> int:
    """Roll balls that cannot pass a gap of so many pixels, the largest first; returns the next level.

    All at full size: on a coarser one the passage that decides, a pixel or two wide for the first ball, could be lost.
    """
    # Between square ends of a line the distance from pixel centre to pixel centre is one more than the paper is wide.
    radius, level = (gap + 1) / 2, 0
    while gap > 0 and (level == 0 or radius >= SMALLEST_BALL):
        growth.step(level, depth > radius, 1, for_good=level == 0)
        radius, level = radius / SHRINK_BELOW_GAP, level + 1
    return level
