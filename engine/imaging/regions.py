"""Finds the regions an artist means in real, gappy line art.

A trapped ball (Zhang et al. 2009) of falling radius is rolled over the paper: where a large ball fits, a region is
born; as the ball shrinks, regions grow and meet. Two that meet only at a much smaller radius than they were born at are
joined by a gap in a line and stay apart; two that meet right away are one shape with a waist or a corner.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 4_000_000
"""Larger drawings are segmented at this size: region borders lie under the ink, where a pixel more does not show."""
LARGEST_BALL = 1 / 36
"""Radius of the first ball, as a part of the short side."""
SHRINK = 1.5
PERSISTENCE = 2
"""A region that meets another less than this many radii after its birth is part of it."""
LEAST_AREA = 10.0
"""Regions under this many pixels, in a drawing with a short side of 512, are left to their neighbours."""


def find_ink(lineart: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark the pixels that act as walls: dark ones, and faint pencil lines that are darker than the paper around them.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
    """
    grey = np.clip(lineart * 255, 0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    dark = grey < np.clip(threshold, 110, 200)
    reach = 2 * max(1, round(min(grey.shape) / 256)) + 1
    hat = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((reach, reach), np.uint8))
    return np.asarray(dark | (hat > 40), np.bool_)


def nearest_label(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give every pixel labelled 0 the label of the nearest labelled pixel. All zero stays all zero."""
    empty = labels == 0
    if not empty.any() or empty.all():
        return labels
    _, index = cv2.distanceTransformWithLabels(
        empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lut = np.zeros(int(index.max()) + 1, np.int32)
    lut[index[~empty]] = labels[~empty]
    return np.asarray(lut[index], np.int32)


def _meetings(parts: NDArray[np.int32], labels: NDArray[np.int32], n_parts: int, n_labels: int) -> NDArray[np.int64]:
    """Pairs (part, label) that share a pixel, as a Kx2 array sorted by part; label 0 is left out."""
    width = n_labels + 1
    code = parts[labels > 0].astype(np.int64) * width + labels[labels > 0]
    if n_parts * width <= 50_000_000:
        seen = np.zeros(n_parts * width, np.bool_)
        seen[code] = True
        found = np.flatnonzero(seen)
    else:
        found = np.unique(code)
    return np.stack([found // width, found % width], axis=1)


class _Growth:
    """State of the shrinking ball: labels so far, the level each was born at, and which were merged into which."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels = np.zeros(shape, np.int32)
        self.born = [0]

    def step(self, level: int, free: NDArray[np.bool_], least: float) -> None:
        """Let a ball for which ``free`` is open roll; new regions need ``least`` pixels."""
        n_parts, parts, stats, _ = cv2.connectedComponentsWithStats(free.astype(np.uint8), connectivity=4)
        pairs = _meetings(parts, self.labels, n_parts, len(self.born) - 1)
        owner = np.zeros(n_parts, np.int32)
        merged = np.arange(len(self.born), dtype=np.int32)
        shared: set[int] = set()
        allowed: list[tuple[int, int]] = []
        bounds = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
        for start, end in itertools.pairwise([*bounds.tolist(), len(pairs)]):
            group = pairs[start:end, 1]
            part = int(pairs[start, 0])
            oldest = int(min(group, key=lambda k: (self.born[k], k)))
            kept = [int(k) for k in group if k == oldest or level - self.born[k] >= PERSISTENCE]
            for k in group:
                if int(k) not in kept:
                    merged[k] = oldest
            owner[part] = oldest
            if len(kept) > 1:
                shared.add(part)
                allowed += [(part, k) for k in kept]
        fresh = [p for p in range(1, n_parts) if owner[p] == 0 and stats[p, cv2.CC_STAT_AREA] >= least]
        for p in fresh:
            self.born.append(level)
            owner[p] = len(self.born) - 1
        self.labels = merged[self.labels]
        open_ = free & (self.labels == 0)
        if shared:
            is_shared = np.zeros(n_parts, np.bool_)
            is_shared[list(shared)] = True
            contested = open_ & is_shared[parts]
            near = nearest_label(self.labels)
            width = len(self.born)
            fits = np.isin(parts[contested].astype(np.int64) * width + near[contested], [p * width + k for p, k in allowed])
            self.labels[open_ & ~is_shared[parts]] = owner[parts[open_ & ~is_shared[parts]]]
            self.labels[contested] = np.where(fits, near[contested], owner[parts[contested]])
        else:
            self.labels[open_] = owner[parts[open_]]


def find_regions(lineart: NDArray[np.float32]) -> NDArray[np.int32]:
    """Split a drawing into regions, closing gaps in its lines.

    Args:
        lineart: HxW in [0, 1], 1 = paper.

    Returns:
        HxW int32, regions numbered from 0 without holes in the numbering. Ink belongs to the nearest region; a drawing
        without paper is one region.
    """
    h, w = lineart.shape
    if h * w > MAX_PIXELS:
        scale = (MAX_PIXELS / (h * w)) ** 0.5
        size = (max(1, int(w * scale)), max(1, int(h * scale)))
        small = find_regions(cv2.resize(lineart, size, interpolation=cv2.INTER_AREA))
        return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_NEAREST_EXACT), np.int32)
    paper = (~find_ink(lineart)).astype(np.uint8)
    # The border of the canvas is no wall: a ball may hang over it.
    depth = cv2.distanceTransform(paper, cv2.DIST_L2, cv2.DIST_MASK_5)
    if not paper.any():
        return np.zeros((h, w), np.int32)
    least = max(3.0, LEAST_AREA * (min(h, w) / 512) ** 2)
    growth = _Growth((h, w))
    radius, level = max(1.0, min(h, w) * LARGEST_BALL), 0
    while radius > 1.0:
        growth.step(level, depth > radius, 1)
        radius, level = radius / SHRINK, level + 1
    growth.step(level, paper > 0, least)
    labels = nearest_label(growth.labels)
    used = np.zeros(len(growth.born), np.bool_)
    used[labels] = True
    number = (np.cumsum(used) - 1).astype(np.int32)
    return np.asarray(number[labels], np.int32)
