"""Finds where a form is cut off: the hem of a sleeve, the base of a cone, the flat end of a rod.

A smooth form's outline has no corners. Where a short, straight piece of an outline lies between two corners with longer
sides beyond both, what it bounds goes straight up to it, and does not turn away there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.form.bodies import GROUND, Labels

SCALE = 0.35
"""Length over which a corner's angle is taken, as a part of the body's radius,"""
LEAST_SCALE = 4.0
"""and at least, in pixels."""
LEAST_TURN, MOST_TURN = 50.0, 130.0
"""Degrees by which an outline turns at such a corner."""
SHARP = 0.75
"""Part of that turn which half the length shows as well: less is a bend."""
LONGEST = 3.2
"""Longest end in radii of the body: a rod's is 2."""
SIDES = 1.25
"""How much longer the outline must run on beyond both corners without another one."""
STRAIGHT = 0.92
"""Least distance between the corners, relative to the outline between them."""
LEAST_RADIUS = 4.0


def find_ends(labels: Labels, radii: NDArray[np.float32], boxes: list[tuple[int, int, int, int]]) -> NDArray[np.bool_]:
    """Mark the pixels of bodies along their cut ends, HxW.

    Args:
        labels: HxW bodies, 0 = ground.
        radii: per body, of its largest disc, in pixels.
        boxes: per body, its bounding box.
    """
    out = np.zeros(labels.shape, np.bool_)
    for number in np.flatnonzero(radii >= LEAST_RADIUS).tolist():
        if number == GROUND:
            continue
        top, left, bottom, right = boxes[number]
        mask = (labels[top:bottom, left:right] == number).view(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not outlines:
            continue
        outline = np.asarray(max(outlines, key=len), np.int64)[:, 0]
        for piece in _ends(outline, float(radii[number])):
            out[piece[:, 1] + top, piece[:, 0] + left] = True
    return out


def _ends(outline: NDArray[np.int64], radius: float) -> list[NDArray[np.int64]]:
    """The pieces of a closed outline, Nx2 (x, y), that are cut ends of a body of a radius."""
    scale = max(LEAST_SCALE, SCALE * radius)
    n = len(outline)
    if n < 8 * scale:
        return []
    steps = np.hypot(*np.diff(outline, axis=0, append=outline[:1]).T)
    along = np.concatenate([[0], np.cumsum(steps)])
    whole = _turns(outline, along, scale)
    half = _turns(outline, along, scale / 2)
    sharp = (np.abs(whole) >= LEAST_TURN) & (whole > 0) & (whole <= MOST_TURN) & (half >= SHARP * whole)
    corners = _peaks(np.where(sharp, whole, 0), along, scale)
    # What turns inwards or to a point ends a side, too.
    others = _peaks(np.where(np.abs(whole) >= LEAST_TURN, np.abs(whole), 0), along, scale)
    stops = sorted({*corners, *others})
    if len(corners) < 2:
        return []
    found = []
    for place, first in enumerate(stops):
        second = stops[(place + 1) % len(stops)]
        if first not in corners or second not in corners or first == second:
            continue
        length = (along[second] - along[first]) % along[-1]
        if length > LONGEST * radius or np.hypot(*(outline[second] - outline[first])) < STRAIGHT * length:
            continue
        before = (along[first] - along[stops[place - 1]]) % along[-1] or along[-1]
        after = (along[stops[(place + 2) % len(stops)]] - along[second]) % along[-1] or along[-1]
        if min(before, after) >= SIDES * length:
            numbers = np.arange(first, second if second > first else second + n) % n
            found.append(outline[numbers])
    return found


def _turns(outline: NDArray[np.int64], along: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Degrees by which a closed outline turns at each point, over a length before and after; outwards is positive."""
    total = along[-1]
    points = np.vstack([outline, outline[:1]]).astype(np.float64)

    def at(length: NDArray[np.float64]) -> NDArray[np.float64]:
        where = length % total
        return np.stack([np.interp(where, along, points[:, axis]) for axis in (0, 1)], axis=1)

    here = at(along[:-1])
    came, goes = here - at(along[:-1] - scale), at(along[:-1] + scale) - here
    cross = came[:, 0] * goes[:, 1] - came[:, 1] * goes[:, 0]
    # OpenCV runs along outer outlines so that on the canvas, whose y points down, a turn outwards is to the left.
    return np.asarray(-np.degrees(np.arctan2(cross, (came * goes).sum(axis=1))))


def _peaks(values: NDArray[np.float64], along: NDArray[np.float64], reach: float) -> list[int]:
    """Places of the highest values of a closed row, none nearer to another than a length."""
    total = along[-1]
    found: list[int] = []
    for place in np.argsort(-values, kind="stable").tolist():
        if values[place] <= 0:
            break
        gaps = [abs(along[place] - along[other]) for other in found]
        if all(min(gap, total - gap) > reach for gap in gaps):
            found.append(place)
    return found
