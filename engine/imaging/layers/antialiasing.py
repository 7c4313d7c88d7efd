"""Antialiased edges between flats: how far each pixel at a border belongs to the colour on its other side."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SIGMA = 1.25
"""Standard deviation of the Gaussian by which a border is straightened, in pixels of the segments."""
REACH = 3
"""Pixels of the segments that count on each side."""
STRAIGHT = (0.8, 0.95)
"""Steepness of a border, as part of a straight one's: below the first it is left as it is, from the second on smoothed.
Slivers, tips and places where many colours meet are less steep; they would lose area, and the thinnest would vanish."""
SOLID = 0.25
"""Paper below which ink hides a border, so that it may stay crisp: fewer colours are made up."""


@dataclass(frozen=True)
class Blend:
    """Pixels at borders and what is mixed in there.

    Attributes:
        y, x: N rows and columns.
        other: N segments on the other side.
        share: N float32 in (0, 1], how much of the pixel is theirs.
    """

    y: NDArray[np.intp]
    x: NDArray[np.intp]
    other: NDArray[np.int32]
    share: NDArray[np.float32]


def blend_borders(
    labels: NDArray[np.int32],
    colours: NDArray[np.uint32],
    shape: tuple[int, int],
    rows: tuple[int, int],
    paper: NDArray[np.float32],
) -> Blend:
    """Find how to antialias the borders between colours in some rows of the canvas.

    The two colours that meet at a pixel are told apart by +1 and -1 around it, smoothed by a Gaussian. Where that is 0
    the border runs without its steps, and value by gradient is the distance to it in pixels, which half a pixel more or
    less turns into the covered part of the pixel. The Gaussian is taken of the segments' own pixels at the exact place
    of each pixel of the canvas, so that on a larger canvas, too, a border is smooth and one pixel wide.

    Args:
        labels: hxw segments, of the whole frame.
        colours: a number per segment, the same for the same colour.
        shape: height and width of the frame on the canvas, at least h and w.
        rows: first row, and last and one.
        paper: their lineart, 1 = paper, rows x width; borders under solid ink are left crisp.

    Returns:
        The pixels that change; their places are relative to the first row.
    """
    (h, w), (height, width), (start, end) = labels.shape, shape, rows
    at_y, at_x = (np.arange(start, end) + 0.5) * h / height - 0.5, (np.arange(width) + 0.5) * w / width - 0.5
    row = (np.arange(start, end) * 2 + 1) * h // (2 * height)
    column = (np.arange(width) * 2 + 1) * w // (2 * width)
    top, bottom = int(row[0]) - REACH, int(row[-1]) + REACH + 1
    # Beyond the frame its edge goes on.
    near_rows = np.clip(np.arange(top, bottom), 0, h - 1)
    near = np.pad(labels[near_rows], ((0, 0), (REACH, REACH)), mode="edge")
    seen = colours.take(near)
    touched = _touches_another(seen)[REACH:-REACH, REACH:-REACH]
    if h != height or w != width:
        touched = touched.take(row - row[0], axis=0).take(column, axis=1)
    y, x = np.nonzero(touched & (paper >= SOLID))
    if not len(y):
        return Blend(y, x, np.zeros(0, np.int32), np.zeros(0, np.float32))
    stride = seen.shape[1]
    place = (row.take(y) - top) * stride + column.take(x) + REACH
    flat, own = seen.ravel(), seen.ravel().take(place)
    partner = _partner(flat, place, own, stride)
    theirs = flat.take(partner)
    weights_y, slopes_y = _gaussian(at_y - row)
    weights_x, slopes_x = _gaussian(at_x - column)
    value, down, right = (np.zeros(len(y), np.float32) for _ in range(3))
    for dy in range(2 * REACH + 1):
        value_y, slope_y = weights_y[:, dy].take(y), slopes_y[:, dy].take(y)
        across, along = np.zeros(len(y), np.float32), np.zeros(len(y), np.float32)
        for dx in range(2 * REACH + 1):
            tap = flat.take(place + ((dy - REACH) * stride + dx - REACH))
            sign = (tap == own).astype(np.float32)
            sign -= tap == theirs
            across += sign * weights_x[:, dx].take(x)
            along += sign * slopes_x[:, dx].take(x)
        value += across * value_y
        down += across * slope_y
        right += along * value_y
    # From pixels of the segments to those of the canvas.
    down *= np.float32(h / height)
    right *= np.float32(w / width)
    steepness = np.sqrt(down * down + right * right)
    covered = 0.5 + value / np.maximum(steepness, np.float32(1e-6))
    share = np.clip(1 - covered, 0, 1) * _straightness(value, steepness, (h / height + w / width) / 2)
    kept = np.flatnonzero(share > 1 / 512)
    return Blend(y[kept], x[kept], near.ravel().take(partner[kept]), share[kept].astype(np.float32))


def _touches_another(colours: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Mark the pixels that have another colour at most two rows and columns away."""
    differs = np.zeros(colours.shape, np.uint8)
    differs[:, 1:] |= colours[:, 1:] != colours[:, :-1]
    differs[:, :-1] |= differs[:, 1:]
    down = colours[1:] != colours[:-1]
    differs[1:] |= down
    differs[:-1] |= down
    return np.asarray(cv2.dilate(differs, np.ones((3, 3), np.uint8)), np.bool_)


def _partner(
    flat: NDArray[np.uint32], place: NDArray[np.intp], own: NDArray[np.uint32], stride: int
) -> NDArray[np.intp]:
    """The nearest neighbour of each pixel, within two, that has another colour; itself where there is none."""
    steps = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy or dx]
    found = place
    for dy, dx in sorted(steps, key=lambda step: (-(step[0] ** 2 + step[1] ** 2), step)):
        there = place + (dy * stride + dx)
        found = np.where(flat.take(there) != own, there, found)
    return found


def _gaussian(offset: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of the pixels around N places, Nx(2 REACH + 1), and how these change with the place."""
    distance = np.arange(-REACH, REACH + 1) - offset[:, None]
    weights = np.exp(distance**2 * (-0.5 / SIGMA**2))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32), (weights * distance / SIGMA**2).astype(np.float32)


def _straightness(value: NDArray[np.float32], steepness: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """How far to trust a border, 0 to 1: whether it is about as steep as a straight one would be at that value."""
    # A straight border has value erf(t / (SIGMA sqrt 2)) and slope sqrt(2 / pi) / SIGMA exp(-t^2 / (2 SIGMA^2)) at the
    # distance t. Winitzki's approximation of erf turned round gives t from the value, within 0.4 %.
    logarithm = np.log(np.maximum(1 - value * value, np.float32(1e-6)))
    half = 2 / (np.pi * 0.147) + logarithm / 2
    squared = np.sqrt(half * half - logarithm / 0.147) - half
    expected = scale * np.sqrt(2 / np.pi) / SIGMA * np.exp(-squared)
    low, high = STRAIGHT
    return np.asarray(np.clip((steepness / expected - low) / (high - low), 0, 1), np.float32)
