"""Counts the framed panels of a comic page by cutting it along its gutters (recursive XY cut)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 384
"""Short side at which gutters are looked for, in pixels."""
TOLERANCE = 28
"""Levels by which a gutter's colour may vary, as JPEG and paper do."""
DIRT = 0.015
"""Share of a gutter's line that may be something else."""
LEAST_AREA = 0.02
"""A panel covers this share of the page or more."""
LEAST_SIDE = 0.12
"""A panel's sides are this share of the page's short side or more."""
FRAMED = 0.85
"""Share of each side of a panel along which it ends in a straight line."""

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]


def count_panels(rgb: NDArray[np.uint8]) -> int:
    """Count the panels of a page: uint8 HxWx3.

    The page is cut along lines of its gutter colour: white, black, or the colour of its own edge. A piece counts when
    it is a rectangle filled up to its four sides, as a panel is, and a figure on white is not.

    Returns:
        The most panels that one gutter colour gives; 1 for a picture that fills its own edges.
    """
    scale = SIDE / min(rgb.shape[:2])
    if scale < 1:
        size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    colours = {(255, 255, 255), (0, 0, 0), tuple(int(c) for c in np.median(rim, axis=0))}
    return max(_count(rgb, colour) for colour in colours)


def _count(rgb: NDArray[np.uint8], colour: tuple[int, ...]) -> int:
    ground = np.array(colour, np.int16)
    filled = np.abs(rgb.astype(np.int16) - ground).max(axis=-1) > TOLERANCE
    height, width = filled.shape
    total, stack = 0, [(0, height, 0, width)]
    while stack:
        top, bottom, left, right = box = _trim(filled, stack.pop())
        if bottom - top < LEAST_SIDE * min(filled.shape) or right - left < LEAST_SIDE * min(filled.shape):
            continue
        if (bottom - top) * (right - left) < LEAST_AREA * filled.size:
            continue
        pieces = _cut(filled, box)
        if pieces:
            stack += pieces
        else:
            total += _is_framed(filled[top:bottom, left:right])
    return total


def _trim(filled: Mask, box: Box) -> Box:
    top, bottom, left, right = box
    part = filled[top:bottom, left:right]
    rows, columns = (np.flatnonzero(part.mean(axis=axis) > DIRT) if part.size else np.empty(0, int) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return top, top, left, left
    return top + int(rows[0]), top + int(rows[-1]) + 1, left + int(columns[0]), left + int(columns[-1]) + 1


def _cut(filled: Mask, box: Box) -> list[Box]:
    """Cut a box along all its gutters, across first; nothing where there are none."""
    top, bottom, left, right = box
    part = filled[top:bottom, left:right]
    for axis, start in ((1, top), (0, left)):
        gutter = part.mean(axis=axis) <= DIRT
        edges = np.flatnonzero(np.diff(np.concatenate([[True], gutter, [True]]).astype(np.int8)))
        runs = [(start + int(a), start + int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        if len(runs) > 1:
            return [(a, b, left, right) if axis == 1 else (top, bottom, a, b) for a, b in runs]
    return []


def _is_framed(part: Mask) -> bool:
    """Does it reach its bounding box nearly everywhere along all four sides?"""
    depth = 4
    sides = (
        part[:depth].any(axis=0),
        part[-depth:].any(axis=0),
        part[:, :depth].any(axis=1),
        part[:, -depth:].any(axis=1),
    )
    return min(float(s.mean()) for s in sides) >= FRAMED
