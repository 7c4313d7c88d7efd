"""Simulated artists: hint strokes inside flat regions, and masks that say where to colour (method section 1)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator

NO_HINTS = 0.20
ALL_HINTS = 0.05
MAX_STROKES = 60
OVERSHOOT = 0.15
WHOLE_PICTURE = 0.40


def draw_count(rng: Rng) -> int:
    """How many strokes one sample gets: 0, -1 for the whole flat picture, else log-uniform in 1..60."""
    u = rng.random()
    if u < NO_HINTS:
        return 0
    if u < NO_HINTS + ALL_HINTS:
        return -1
    return int(np.exp(rng.uniform(0, np.log(MAX_STROKES + 1))))


def _polyline(rng: Rng, inside: NDArray[np.bool_], depth: NDArray[np.float32]) -> NDArray[np.int32]:
    """Waypoints of one stroke: starts deep in the region, wanders by up to a third of the picture."""
    ys, xs = np.nonzero(inside)
    weight = depth[ys, xs].astype(np.float64)
    first = int(rng.choice(len(ys), p=weight / weight.sum()))
    reach = rng.uniform(0.02, 0.35) * max(inside.shape)
    near = np.nonzero((np.abs(ys - ys[first]) < reach) & (np.abs(xs - xs[first]) < reach))[0]
    rest = rng.choice(near, int(rng.integers(0, 4)))
    order = [first, *rest.tolist()]
    return np.stack([xs[order], ys[order]], axis=1).astype(np.int32)


def draw_hints(
    rng: Rng,
    labels: NDArray[np.int32],
    palette: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    count: int,
    unit: float,
) -> NDArray[np.uint8]:
    """Draw hint strokes on an empty layer.

    Args:
        rng: source of chance.
        labels: HxW region numbers.
        palette: Nx3 colour of every region.
        mask: HxW, 255 where the picture is to be coloured; strokes stay inside.
        count: number of strokes; -1 gives the whole flat picture.
        unit: pixels here per pixel of a picture with a short side of 512.

    Returns:
        HxWx4 RGBA, alpha 255 where painted.
    """
    h, w = labels.shape
    out = np.zeros((h, w, 4), np.uint8)
    allowed = mask > 0
    if count == 0 or not allowed.any():
        return out
    if count < 0:
        out[..., :3] = palette[labels]
        out[..., 3] = np.where(allowed, 255, 0)
        out[~allowed] = 0
        return out
    areas = np.bincount(labels[allowed], minlength=len(palette)).astype(np.float64)
    chance = np.sqrt(areas) * (areas >= 4)
    if chance.sum() == 0:
        return out
    chosen = rng.choice(len(palette), count, p=chance / chance.sum())
    for region in chosen:
        inside = (labels == region) & allowed
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
        deep = depth >= min(float(depth.max()), 3.0 * unit)
        if not deep.any():
            continue
        points = _polyline(rng, deep, depth)
        width = max(1, round(float(np.exp(rng.uniform(np.log(2), np.log(24)))) * unit))
        stroke = np.zeros((h, w), np.uint8)
        if len(points) == 1 or rng.random() < 0.2:
            cv2.circle(stroke, points[0].tolist(), max(1, width // 2), 255, -1)
        else:
            cv2.polylines(stroke, [points.reshape(-1, 1, 2)], False, 255, width)
        painted = (stroke > 0) & allowed
        if rng.random() >= OVERSHOOT:
            painted &= inside
        colour = palette[region].astype(np.float32) + rng.normal(0, 3, 3)
        out[painted, :3] = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
        out[painted, 3] = 255
    return out


def draw_mask(rng: Rng, labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Draw where to colour: the whole picture, a union of regions, a lasso or broad strokes. HxW, 255 = colour here."""
    h, w = labels.shape
    kind = rng.random()
    full = np.full((h, w), 255, np.uint8)
    if kind < WHOLE_PICTURE:
        return full
    mask = np.zeros((h, w), np.uint8)
    if kind < 0.6:
        regions = np.unique(labels)
        take = rng.choice(regions, max(1, int(len(regions) * rng.uniform(0.1, 0.7))), replace=False)
        mask[np.isin(labels, take)] = 255
        reach = int(rng.integers(0, 5))
        mask = np.asarray(cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)
    elif kind < 0.85:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 14))))
        radius = rng.uniform(0.15, 0.6, len(angles)) * min(h, w)
        centre = rng.uniform(0.2, 0.8, 2) * (w, h)
        points = np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], 1)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32).reshape(-1, 1, 2)], 255)
    else:
        for _ in range(int(rng.integers(1, 5))):
            points = (rng.uniform(0, 1, (int(rng.integers(2, 5)), 2)) * (w, h)).astype(np.int32)
            cv2.polylines(mask, [points.reshape(-1, 1, 2)], False, 255, int(rng.uniform(0.06, 0.25) * min(h, w)))
    # A mask with next to nothing in it teaches nothing.
    return mask if mask.mean() > 255 * 0.04 else full
