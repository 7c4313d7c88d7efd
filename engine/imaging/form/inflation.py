"""Inflates bodies: one Poisson equation for the squares of their heights, so that a disc becomes a sphere.

With -laplace(u) = 4 and u = 0 on the outline, sqrt(u) is the half sphere over a disc and, up to one factor, the half
ellipsoid over an ellipse and the half cylinder over a strip. The factor makes each body as high as it is wide there.
Normals turn away at outlines (Johnston 2002), but not where something in front cuts a body off, nor at a gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.form.bodies import GROUND, Bodies, Labels, rings
from engine.imaging.form.junctions import Order
from engine.imaging.form.multigrid import Grid, Plane, solve

UNSURE = 0.2
"""A line between two bodies of which neither is known to be in front bounds them by way of a gap of so many radii."""
MARKING = 0.5
"""Conductance across a line drawn on one form."""
OPEN_LINE = 0.35
"""How much a line that parts nothing holds a form down, relative to the form's own curvature."""
HATCHING = 0.018
"""Distance between lines, as a part of the root of the picture's area, under which they are hatching or texture."""
HATCHED_FROM, HATCHED_TO = 0.65, 1.1
"""Density of lines, in units of such hatching, from which they bound and bend forms less, and no longer."""
SMOOTHED = 0.02
"""Standard deviation of the smoothing of normals there, as a part of the root of the picture's area."""
RELIEF, LEAST_DETAIL = 0.3, 3.0
"""Slope at the foot of details that lie on a form, and the least radius in pixels of one that has any."""
FURTHEST = 2.0
"""Long sides of the picture after which a form without any outline has come to an end."""


@dataclass(frozen=True)
class Surface:
    """Heights and what they were made with.

    Attributes:
        height: HxW in pixels, 0 on the ground.
        normals: HxWx3 unit vectors x right, y up, z towards the viewer; (0, 0, 1) on the ground.
        forms: HxW int32, bodies whose form goes on in one another as one; 0 = ground.
    """

    height: Plane
    normals: Plane
    forms: Labels


@dataclass(frozen=True)
class _Relations:
    """How each pair of bodies meets, as tables over their numbers.

    Attributes:
        hold: [a, b] how firmly a's outline towards b is one, in [0, 1].
        tie: [a, b] conductance between them.
    """

    hold: Plane
    tie: Plane


def _relations(count: int, order: Order, radii: NDArray[np.float32]) -> _Relations:
    soft = 1 / (0.5 + UNSURE * np.maximum(radii, 1))
    hold = np.repeat(soft[:, None].astype(np.float32), count, axis=1)
    tie = np.zeros((count, count), np.float32)
    hold[:, GROUND] = 2
    for front, behind in order.front:
        hold[front, behind], hold[behind, front] = 2, 0
    for one, other in order.markings:
        hold[one, other] = hold[other, one] = 0
        tie[one, other] = tie[other, one] = MARKING
    return _Relations(hold, tie)


def inflate(
    bodies: Bodies,
    ink: NDArray[np.bool_],
    order: Order,
    ends: NDArray[np.bool_],
    radii: NDArray[np.float32],
    line: float,
) -> Surface:
    """Find heights and normals of bodies.

    Args:
        bodies: which body is where.
        ink: HxW, where there are lines.
        order: who is in front.
        ends: HxW, pixels of bodies along which they are cut off.
        radii: per body, of its largest disc, in pixels.
        line: width of the lines in pixels.
    """
    count, labels = len(radii), bodies.labels
    texture = _texture(ink)
    texture[bodies.sliver] = 1
    relations = _relations(count, order, radii)
    for one, other in rings(labels, count):
        relations.hold[one, other] = relations.hold[other, one] = 2
    near_ink = cv2.dilate(ink.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_)
    figure = labels != GROUND
    hold = np.zeros(labels.shape, np.float32)
    pulls, ties = [], []
    for axis in (1, 0):
        first, second = _sides(axis)
        a, b = labels[first], labels[second]
        tie = (figure[first] & (a == b)).astype(np.float32)
        at = np.flatnonzero(a != b)
        ones, others = a.ravel().take(at), b.ravel().take(at)
        inked = near_ink[first].ravel().take(at) | near_ink[second].ravel().take(at)
        # Where a gap was closed, the form goes on.
        gap = ~inked & (ones != GROUND) & (others != GROUND)
        drawn = np.minimum(texture[first].ravel().take(at), texture[second].ravel().take(at))
        drawn = np.where(gap, 1, drawn * ((ones != GROUND) & (others != GROUND)))
        tie.ravel()[at] = np.maximum(drawn, relations.tie[ones, others])
        pull = np.zeros((2, *tie.shape), np.float32)
        pull[0].ravel()[at] = np.where(
            ones == GROUND, 0, relations.hold[ones, others] * (1 - drawn) * ~ends[first].ravel().take(at)
        )
        pull[1].ravel()[at] = np.where(
            others == GROUND, 0, relations.hold[others, ones] * (1 - drawn) * ~ends[second].ravel().take(at)
        )
        hold[first] += pull[0]
        hold[second] += pull[1]
        pulls.append(pull)
        ties.append(tie)
    bent = _open_lines(bodies, ink, texture, radii, line)
    # Nothing holds a body that the picture's edge and others in front bound alone.
    held = hold + bent + np.float32(1 / (FURTHEST * max(labels.shape)) ** 2)
    whole = _joined(labels, ties, count).take(labels)
    u = solve(Grid(ties[0], ties[1], np.where(figure, held, np.float32(1)), whole), 4 * figure.astype(np.float32))
    np.maximum(u, 0, out=u)
    u *= _scales(whole, u, hold, count)
    gradient = [_slope(u, pull, tie, axis) for pull, tie, axis in zip(pulls, ties, (1, 0), strict=True)]
    height = np.sqrt(u)
    normals = np.empty((*labels.shape, 3), np.float32)
    # The slope of sqrt(u) is that of u over twice its height.
    normals[..., 0], normals[..., 1], normals[..., 2] = -gradient[0], gradient[1], 2 * height + np.float32(1e-6)
    normals[~figure] = (0, 0, 1)
    normals /= np.sqrt((normals * normals).sum(axis=2, keepdims=True))
    _lay_details(normals, bodies.laid)
    _smooth_texture(normals, texture, figure)
    normals /= np.sqrt((normals * normals).sum(axis=2, keepdims=True))
    return Surface(height, normals, whole)


def _sides(axis: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Index of all pixels but the last along an axis, and of all but the first."""
    everything, first, second = slice(None), slice(None, -1), slice(1, None)
    return ((everything, first), (everything, second)) if axis else ((first, everything), (second, everything))


def _slope(u: Plane, pull: Plane, tie: Plane, axis: int) -> Plane:
    """Derivative of u along an axis, from the values on both sides of each pixel that belong to it."""
    out = np.zeros_like(u)
    first, second = _sides(axis)
    step = tie * (u[second] - u[first])
    out[first] += step - pull[0] * u[first]
    out[second] += step + pull[1] * u[second]
    out *= np.float32(0.5)
    return out


def _texture(ink: NDArray[np.bool_]) -> Plane:
    """How far lines around each pixel are hatching or texture, HxW in [0, 1]."""
    edges = np.zeros(ink.shape, np.float32)
    edges[:, 1:] += ink[:, 1:] != ink[:, :-1]
    edges[1:] += ink[1:] != ink[:-1]
    spacing = HATCHING * ink.size**0.5
    side = int(4 * spacing) | 1
    # A line has two edges, and over all directions 4 / pi crossings of the grid a pixel.
    density = cv2.blur(edges, (side, side)) * np.float32(spacing * np.pi / 8)
    return np.asarray(np.clip((density - HATCHED_FROM) / (HATCHED_TO - HATCHED_FROM), 0, 1), np.float32)


def _lay_details(normals: Plane, laid: NDArray[np.bool_]) -> None:
    """Give what lies on a form a slight relief of its own, a flat dome; in place."""
    depth = cv2.distanceTransform(laid.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    count, parts = cv2.connectedComponents(laid.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    numbers, radius = np.asarray(parts, np.int32), np.zeros(count, np.float32)
    np.maximum.at(radius, numbers.ravel(), depth.ravel())
    radius[radius < LEAST_DETAIL] = 0
    widest = radius.take(numbers)
    left = np.maximum(widest - depth, 0)
    # A flat dome of this height over its outline, without the steep foot that would look like a seam.
    rise = np.where(widest > 0, RELIEF * left / np.maximum(widest, 1), 0).astype(np.float32) * laid
    down, right = cv2.Sobel(depth, cv2.CV_32F, 0, 1, scale=1 / 8), cv2.Sobel(depth, cv2.CV_32F, 1, 0, scale=1 / 8)
    normals[..., 0] -= rise * right * normals[..., 2]
    normals[..., 1] += rise * down * normals[..., 2]


def _smooth_texture(normals: Plane, texture: Plane, figure: NDArray[np.bool_]) -> None:
    """Let normals in hatched areas follow the larger form; in place."""
    sigma = SMOOTHED * figure.size**0.5
    weight = figure.astype(np.float32)
    side = 2 * int(np.ceil(2 * sigma)) + 1
    share = cv2.GaussianBlur(texture * weight, (side, side), sigma / 2)
    total = np.maximum(cv2.GaussianBlur(weight, (side, side), sigma), np.float32(1e-3))
    wide = cv2.GaussianBlur(normals * weight[..., None], (side, side), sigma) / total[..., None]
    share = np.clip(2 * share, 0, 1)[..., None] * weight[..., None]
    normals += share * (wide - normals)


def _open_lines(
    bodies: Bodies, ink: NDArray[np.bool_], texture: Plane, radii: NDArray[np.float32], line: float
) -> Plane:
    """How much lines within bodies hold them down, HxW."""
    labels = bodies.labels
    # The outline of what lies on a form is no fold in it.
    border = bodies.laid.astype(np.uint8)
    for before, after, here, there in (
        (labels[:, :-1], labels[:, 1:], border[:, :-1], border[:, 1:]),
        (labels[:-1], labels[1:], border[:-1], border[1:]),
    ):
        differ = before != after
        here[differ] = 1
        there[differ] = 1
    reach = 2 * int(np.ceil(line)) + 1
    beside = cv2.dilate(border, np.ones((reach, reach), np.uint8)).view(np.bool_)
    inside = (ink & ~beside).astype(np.float32)
    weight = (1 - texture) * inside
    per_pixel = np.float32(OPEN_LINE / max(line, 1)) / np.maximum(radii, 1)
    return np.asarray(weight * per_pixel.take(labels), np.float32)


def _scales(whole: Labels, u: Plane, hold: Plane, count: int) -> Plane:
    """What makes the highest point of each form as high as its largest disc is wide, HxW."""
    # A disc may lie over what does not hold.
    free = (hold < 0.5).view(np.uint8)
    depth = np.minimum(cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_5) + 0.5, sum(u.shape), dtype=np.float32)
    wide, high = np.zeros(count, np.float32), np.zeros(count, np.float32)
    np.maximum.at(wide, whole.ravel(), depth.ravel())
    np.maximum.at(high, whole.ravel(), u.ravel())
    scale = np.where(high > 0, np.minimum(wide * wide / np.maximum(high, 1e-6), 1.5), 1).astype(np.float32)
    return scale.take(whole)


def _joined(labels: Labels, ties: list[Plane], count: int) -> Labels:
    """For each body the least of those its form goes on in."""
    group = np.arange(count)
    pairs = []
    for tie, a, b in ((ties[0], labels[:, :-1], labels[:, 1:]), (ties[1], labels[:-1], labels[1:])):
        at = np.flatnonzero((tie > 0) & (a != b))
        pairs.append(np.stack([a.ravel().take(at), b.ravel().take(at)]))
    found = np.unique(np.concatenate(pairs, axis=1), axis=1)
    for _ in range(count):
        low = np.minimum(group[found[0]], group[found[1]])
        before = group.copy()
        np.minimum.at(group, found[0], low)
        np.minimum.at(group, found[1], low)
        if np.array_equal(before, group):
            break
    return group.astype(np.int32)
