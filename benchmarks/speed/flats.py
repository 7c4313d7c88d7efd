"""How right flats are where one knows: closed areas with a stroke each, once with whole lines and once with gaps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.drawing import draw_lineart
from benchmarks.speed.gmic import Gmic
from benchmarks.speed.tools import SEED
from engine.models.checkpoint import LoadedModel
from engine.pipeline import Job, Pipeline

LEAST_AREA = 0.0005
"""Part of the canvas below which an area gets no stroke and does not count."""
GAPS = 60
WIDEST = 10.0
"""Gap in pixels of a canvas with a short side of 512."""
OFF_INK = 1.5
"""Pixels nearer to a line do not count: there everybody paints under the ink in another way."""
SAME = 2
"""Levels of 255 that a colour may be off."""
KINDS = ("closed", "gappy")


@dataclass(frozen=True)
class Areas:
    """A drawing whose flats are known.

    Attributes:
        closed: HxW in [0, 1], whole lines.
        gappy: the same with gaps.
        hints: HxWx4, a round stroke in the middle of each area.
        truth: HxWx3, the colour of the stroke all over its area.
        counts: HxW, the pixels that are looked at.
    """

    closed: NDArray[np.float32]
    gappy: NDArray[np.float32]
    hints: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    counts: NDArray[np.bool_]

    def lineart(self, kind: str) -> NDArray[np.float32]:
        """One of ``KINDS``."""
        return self.closed if kind == "closed" else self.gappy

    def right(self, flats: NDArray[np.uint8]) -> float:
        """Part of the pixels that count whose colour, HxWx3, is right."""
        off = np.abs(flats[..., :3].astype(np.int16) - self.truth).max(axis=2)
        return float((off <= SAME)[self.counts].mean())


def draw_areas(size: int, seed: int) -> Areas:
    """Draw a square of ``size`` pixels: the areas are what overlapping closed shapes are cut into by their outlines."""
    rng = np.random.default_rng([seed, size])
    closed = draw_lineart(size, size, seed, curves=0, gaps=0)
    paper = (closed > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(paper, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(paper, connectivity=4)
    palette = np.full((count, 3), 255, np.uint8)
    hints = np.zeros((size, size, 4), np.uint8)
    known = np.zeros(count, np.bool_)
    for number in range(1, count):
        inside = np.where(labels == number, depth, 0)
        y, x = (int(i) for i in np.unravel_index(int(inside.argmax()), inside.shape))
        if stats[number, cv2.CC_STAT_AREA] < LEAST_AREA * size * size or inside[y, x] < 3:
            continue
        known[number], palette[number] = True, rng.integers(0, 256, 3)
        radius = max(1, int(min(inside[y, x] * 0.6, size / 64)))
        cv2.circle(hints, (x, y), radius, (*palette[number].tolist(), 255), -1)
    gappy = closed.copy()
    ys, xs = np.nonzero(closed < 0.25)
    for i in rng.choice(len(ys), min(GAPS, len(ys)), replace=False):
        width = rng.uniform(2, WIDEST) * size / 512
        cv2.circle(gappy, (int(xs[i]), int(ys[i])), max(1, round(width / 2)), 1.0, -1)
    return Areas(closed, gappy, hints, palette[labels], known[labels] & (depth > OFF_INK))


def measure_flats(model: LoadedModel, size: int, drawings: int, gmic: Gmic | None) -> dict[str, dict[str, float]]:
    """Mean part of the pixels that is right, by kind of drawing and then by who coloured it."""
    pipeline = Pipeline(model)
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    for number in range(drawings):
        areas = draw_areas(size, SEED + number)
        for kind in KINDS:
            lineart = areas.lineart(kind)
            pictures = {"ours": pipeline.run(Job(lineart, areas.hints)).flats}
            if gmic is not None:
                gmic.write(lineart, areas.hints)
                for name in ("gmic_smart", "gmic_propagation"):
                    picture = gmic.colour(name)
                    if picture is not None:
                        pictures[name] = picture
            for name, picture in pictures.items():
                found[kind].setdefault(name, []).append(areas.right(picture))
    return {kind: {name: float(np.mean(values)) for name, values in rows.items()} for kind, rows in found.items()}
