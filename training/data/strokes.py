"""Simulated artists: hint strokes by scheme, and masks that say where to colour.

``default`` paints inside flat regions with wide and narrow strokes and some overshoot. ``paintstorch`` and
``stenciltorch`` are the thesis's short round strokes on a map of a quarter of the crop's size, anywhere; they differ in
where the colour comes from: the illustration, or the simplified illustration, whose tones have no light and shadow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator

NO_HINTS = 0.20
ALL_HINTS = 0.05
MAX_STROKES = 60
OVERSHOOT = 0.15
WHOLE_PICTURE = 0.40

MAP_CELL = 4
"""Pixels of a 512 px crop per pixel of the thesis's hint map."""
MOST_BRUSH_STROKES = 10
THICKEST = 4
MOST_WAYPOINTS = 5
WIDEST_BOX = 10
"""The thesis's ranges, in pixels of the hint map: 0-10 strokes, thickness 1-4, 1-5 waypoints, a box of up to 10."""


def draw_count(rng: Rng) -> int:
    """How many strokes one sample gets: 0, -1 for the whole flat picture, else log-uniform in 1..60."""
    u = rng.random()
    if u < NO_HINTS:
        return 0
    if u < NO_HINTS + ALL_HINTS:
        return -1
    return int(np.exp(rng.uniform(0, np.log(MAX_STROKES + 1))))


@dataclass(frozen=True)
class _Area:
    """Where strokes in one region may begin.

    Attributes:
        ys, xs: places deep in the region, in the picture.
        share: of these places, up to each, by their depth.
    """

    ys: NDArray[np.int64]
    xs: NDArray[np.int64]
    share: NDArray[np.float64]


def _area(labels: NDArray[np.int32], allowed: NDArray[np.bool_], region: int, unit: float) -> _Area:
    """Find a region's box and where it is deep."""
    whole = (labels == region) & allowed
    x, y, w, h = cv2.boundingRect(whole.view(np.uint8))
    # The nearest pixel outside a region lies in the ring round its box, if not in the box.
    window = (slice(max(0, y - 1), y + h + 1), slice(max(0, x - 1), x + w + 1))
    inside = np.ascontiguousarray(whole[window])
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 3)
    ys, xs = np.nonzero(depth >= min(float(depth.max()), 3.0 * unit))
    weight = depth[ys, xs].astype(np.float64)
    share = np.cumsum(weight / weight.sum())
    return _Area(ys + window[0].start, xs + window[1].start, share / share[-1])


def _polyline(rng: Rng, area: _Area, side: int) -> NDArray[np.int32]:
    """Waypoints of one stroke: starts deep in the region, wanders by up to a third of the picture's longer ``side``."""
    first = int(np.searchsorted(area.share, rng.random(), side="right"))
    reach = rng.uniform(0.02, 0.35) * side
    near = np.nonzero((np.abs(area.ys - area.ys[first]) < reach) & (np.abs(area.xs - area.xs[first]) < reach))[0]
    rest = rng.choice(near, int(rng.integers(0, 4)))
    order = [first, *rest.tolist()]
    return np.stack([area.xs[order], area.ys[order]], axis=1).astype(np.int32)


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
    areas_of: dict[int, _Area] = {}
    rgba = np.full(4, 255, np.uint8)
    for region in chosen.tolist():
        if region not in areas_of:
            areas_of[region] = _area(labels, allowed, region, unit)
        area = areas_of[region]
        points = _polyline(rng, area, max(h, w))
        width = max(1, round(float(np.exp(rng.uniform(np.log(2), np.log(24)))) * unit))
        window = _room(points, width, h, w)
        origin = (window[1].start, window[0].start)
        stroke = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
        if len(points) == 1 or rng.random() < 0.2:
            cv2.circle(stroke, (points[0] - origin).tolist(), max(1, width // 2), 255, -1)
        else:
            cv2.polylines(stroke, [(points - origin).astype(np.int32).reshape(-1, 1, 2)], False, 255, width)
        painted = (stroke > 0) & allowed[window]
        if rng.random() >= OVERSHOOT:
            painted &= labels[window] == region
        rgba[:3] = np.clip(np.rint(palette[region].astype(np.float32) + rng.normal(0, 3, 3)), 0, 255)
        out[window][painted] = rgba
    return out


def _room(points: NDArray[np.int32], width: int, height: int, across: int) -> tuple[slice, slice]:
    """The part of a ``height`` x ``across`` picture that a stroke of a width through some points can touch."""
    reach = width // 2 + 2
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    rows = slice(max(0, top - reach), min(height, bottom + reach + 1))
    return rows, slice(max(0, left - reach), min(across, right + reach + 1))


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


@dataclass(frozen=True)
class Sitter:
    """What strokes are drawn for.

    Attributes:
        image: HxWx3 uint8 illustration, in the colours it is to have.
        labels: HxW int32 region numbers.
        palette: Nx3 uint8 colour of every region, in the colours it is to have.
        mask: HxW uint8, 255 where the picture is to be coloured; strokes stay inside.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    palette: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Scheme:
    """A way to draw hints.

    Attributes:
        count: draws how many strokes a sample gets.
        draw: draws that many on an empty layer: (chance, sitter, count, pixels per pixel of a picture with a short side
            of 512) to HxWx4 RGBA, alpha 255 where painted. A count of -1 is the whole flat picture.
        from_image: colours come from the illustration itself.
    """

    count: Callable[[Rng], int]
    draw: Callable[[Rng, Sitter, int, float], NDArray[np.uint8]]
    from_image: bool


def _default(rng: Rng, sitter: Sitter, count: int, unit: float) -> NDArray[np.uint8]:
    return draw_hints(rng, sitter.labels, sitter.palette, sitter.mask, count, unit)


def _brush_count(rng: Rng) -> int:
    return int(rng.integers(0, MOST_BRUSH_STROKES + 1))


def brush(shape: tuple[int, int], points: NDArray[np.float64], thickness: int) -> NDArray[np.bool_]:
    """Draw a polyline with a round brush: pixels whose centre is within half the thickness.

    Args:
        shape: height and width.
        points: Nx2 waypoints (x, y), pixel centres at whole numbers.
        thickness: in pixels.
    """
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    painted = np.zeros(shape, np.bool_)
    for a, b in zip(points, points[1:] if len(points) > 1 else points, strict=False):
        step = b - a
        along = ((xs - a[0]) * step[0] + (ys - a[1]) * step[1]) / max(float(step @ step), 1e-9)
        along = np.clip(along, 0, 1)
        reach = (xs - a[0] - along * step[0]) ** 2 + (ys - a[1] - along * step[1]) ** 2
        painted |= reach <= (thickness / 2) ** 2
    return painted


def _brush_strokes(rng: Rng, sitter: Sitter, count: int, unit: float, from_image: bool) -> NDArray[np.uint8]:
    """The thesis's strokes: each in one colour, that of the place where it begins, in the middle of its box.

    The public code reads that colour at the transposed place; ours is the right form.
    """
    h, w = sitter.labels.shape
    if count < 0:
        return draw_hints(rng, sitter.labels, sitter.palette, sitter.mask, count, unit)
    cell = max(1, round(MAP_CELL * unit))
    # Places of the map's pixels in the picture: their middles.
    ys, xs = (np.minimum(np.arange(0, n, cell) + cell // 2, n - 1) for n in (h, w))
    allowed = sitter.mask[np.ix_(ys, xs)] > 0
    small = np.zeros((len(ys), len(xs), 4), np.uint8)
    places = np.argwhere(allowed)
    for _ in range(count if len(places) else 0):
        y, x = places[int(rng.integers(len(places)))]
        box = rng.uniform(0, WIDEST_BOX)
        onward = rng.uniform(-box / 2, box / 2, (int(rng.integers(0, MOST_WAYPOINTS)), 2))
        waypoints = np.array([x, y]) + np.concatenate([np.zeros((1, 2)), onward])
        painted = brush(allowed.shape, waypoints, int(rng.integers(1, THICKEST + 1))) & allowed
        at = (ys[y], xs[x])
        small[painted, :3] = sitter.image[at] if from_image else sitter.palette[sitter.labels[at]]
        small[painted, 3] = 255
    out = np.ascontiguousarray(small.repeat(cell, 0).repeat(cell, 1)[:h, :w])
    out[sitter.mask == 0] = 0
    return out


def _paintstorch(rng: Rng, sitter: Sitter, count: int, unit: float) -> NDArray[np.uint8]:
    return _brush_strokes(rng, sitter, count, unit, from_image=True)


def _stenciltorch(rng: Rng, sitter: Sitter, count: int, unit: float) -> NDArray[np.uint8]:
    return _brush_strokes(rng, sitter, count, unit, from_image=False)


SCHEMES: dict[str, Scheme] = {
    "default": Scheme(draw_count, _default, from_image=False),
    "paintstorch": Scheme(_brush_count, _paintstorch, from_image=True),
    "stenciltorch": Scheme(_brush_count, _stenciltorch, from_image=False),
}
"""Hint schemes by name."""
