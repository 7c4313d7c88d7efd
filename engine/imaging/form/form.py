"""From the lines and regions of a drawing to its form, at a working size; no hint and no network has a part in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_labels
from engine.imaging.form.bodies import GROUND, Labels, boxes_of, find_bodies, inner_radii
from engine.imaging.form.ends import find_ends
from engine.imaging.form.inflation import Surface, inflate
from engine.imaging.form.junctions import Order, behind_all, find_order

WORKING_SIDE = 512
"""Long side in pixels that forms are found at; a smaller drawing stays as it is."""


@dataclass(frozen=True)
class Form:
    """What is known of a drawing's form, at the working size.

    Attributes:
        bodies: hxw int32 from 0, 0 = ground.
        surface: heights and normals.
        order: which bodies are in front of which.
        of_region: per region of the drawing its body.
        radii: per body, of its largest disc, in working pixels.
        boxes: per body top, left, bottom and right of its bounding box, ends exclusive; zeros where there is none.
    """

    bodies: Labels
    surface: Surface
    order: Order
    of_region: NDArray[np.int32]
    radii: NDArray[np.float32]
    boxes: list[tuple[int, int, int, int]]

    @property
    def figure(self) -> NDArray[np.bool_]:
        """hxw, where there is something to be lit."""
        return np.asarray(self.bodies != GROUND)


def find_form(regions: Labels, ink: NDArray[np.bool_], side: int = WORKING_SIDE) -> Form:
    """Find the form of a drawing.

    Args:
        regions: HxW int32, the drawing's regions numbered from 0 without holes, by its lines alone.
        ink: HxW, the pixels of its lines.
        side: long side of the working size, in pixels.
    """
    h, w = regions.shape
    scale = min(1.0, side / max(h, w))
    size = (max(1, round(h * scale)), max(1, round(w * scale)))
    seen = resize_labels(regions, *size)
    small = _renumbered(seen)
    covered = cv2.resize(ink.view(np.uint8) * np.uint8(255), size[::-1], interpolation=cv2.INTER_AREA)
    lines = np.asarray(covered > 0.3 * 255)
    bodies = find_bodies(small)
    line = line_width(lines)
    order = find_order(bodies.labels, line)
    count = bodies.count
    labels = np.where(behind_all(bodies.labels, order, count).take(bodies.labels), GROUND, bodies.labels)
    bodies = replace(bodies, labels=labels)
    radii = inner_radii(labels, count)
    of_region = _bodies_of_regions(regions, seen, labels)
    boxes = boxes_of(labels)
    ends = find_ends(labels, radii, boxes)
    surface = inflate(bodies, lines, order, ends, radii, line)
    return Form(labels, surface, order, of_region, radii, boxes)


def _bodies_of_regions(regions: Labels, seen: Labels, bodies: Labels) -> NDArray[np.int32]:
    """The body of each region: HxW regions, and hxw regions and bodies of the working size."""
    out = np.full(int(regions.max()) + 1, -1, np.int32)
    out[seen.ravel()] = bodies.ravel()
    lost = np.flatnonzero(out < 0)
    if len(lost):
        # Too small to show at the working size: they belong to what is there.
        is_lost = np.zeros(len(out), np.bool_)
        is_lost[lost] = True
        ys, xs = np.divmod(np.flatnonzero(is_lost.take(regions.ravel())), regions.shape[1])
        h, w = bodies.shape
        out[regions[ys, xs]] = bodies[ys * h // regions.shape[0], xs * w // regions.shape[1]]
    return out


def _renumbered(labels: Labels) -> Labels:
    """The same labels without holes in the numbering."""
    used = np.bincount(labels.ravel()) > 0
    return np.asarray((np.cumsum(used) - 1).astype(np.int32).take(labels))


def line_width(ink: NDArray[np.bool_]) -> float:
    """Width of a drawing's lines in pixels, at least 1."""
    if not ink.any():
        return 1.0
    depth = np.minimum(cv2.distanceTransform(ink.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3), sum(ink.shape))
    # Black areas count no more than lines do: only the middles of both.
    middle = depth[ink & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))]
    return max(1.0, 2 * float(np.median(middle)) - 1)
