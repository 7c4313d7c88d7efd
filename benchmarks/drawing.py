"""Makes line drawings of any size out of nothing but a seed: curves, closed shapes with gaps, and strokes on them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SHAPES = 24
CURVES = 18
GAPS = 30
SHIFT = 4
"""Bits behind the point of the coordinates given to OpenCV."""


def _blob(rng: np.random.Generator, h: int, w: int) -> NDArray[np.int32]:
    """Outline of a rounded shape as Nx1x2 points."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    radius = np.full(180, rng.uniform(0.04, 0.22) * min(h, w))
    for wave in range(2, 6):
        radius *= 1 + rng.uniform(0, 0.25 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    centre = rng.uniform(0.05, 0.95, 2) * (w, h)
    points = np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)
    return np.asarray(np.rint(points * (1 << SHIFT))[:, None], np.int32)


def _curve(rng: np.random.Generator, h: int, w: int) -> NDArray[np.int32]:
    """A cubic Bezier curve as Nx1x2 points."""
    t = np.linspace(0, 1, 100)[:, None]
    start = rng.uniform(0, 1, 2) * (w, h)
    a, b, c, d = (start + rng.normal(0, 0.25 * k, 2) * min(h, w) for k in range(4))
    points = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return np.asarray(np.rint(points * (1 << SHIFT))[:, None], np.int32)


def draw_lineart(height: int, width: int, seed: int, curves: int = CURVES, gaps: int = GAPS) -> NDArray[np.float32]:
    """Draw overlapping closed shapes and loose curves with a pen of about 2 px at 512, and leave gaps in the lines.

    Returns:
        HxW in [0, 1], 1 = paper.
    """
    rng = np.random.default_rng(seed)
    scale = min(height, width) / 512
    paper = np.full((height, width), 255, np.uint8)
    for _ in range(SHAPES):
        outline, pen = _blob(rng, height, width), max(1, round(rng.uniform(1.5, 3) * scale))
        # Shapes in front hide what is behind them.
        cv2.fillPoly(paper, [outline], 255, cv2.LINE_AA, SHIFT)
        cv2.polylines(paper, [outline], True, 0, pen, cv2.LINE_AA, SHIFT)
    for _ in range(curves):
        cv2.polylines(paper, [_curve(rng, height, width)], False, 0, max(1, round(1.5 * scale)), cv2.LINE_AA, SHIFT)
    ys, xs = np.nonzero(paper[::4, ::4] < 64)
    for i in rng.choice(len(ys), min(gaps, len(ys)), replace=False):
        centre = (int(xs[i]) * 4, int(ys[i]) * 4)
        cv2.circle(paper, centre, max(1, round(rng.uniform(1, 4) * scale)), 255, -1, cv2.LINE_AA)
    return np.divide(paper, 255, dtype=np.float32)


def draw_strokes(height: int, width: int, count: int, seed: int) -> NDArray[np.uint8]:
    """Draw ``count`` opaque strokes of random colours, HxWx4."""
    rng = np.random.default_rng([seed, count])
    layer = np.zeros((height, width, 4), np.uint8)
    for _ in range(count):
        start = rng.uniform(0.05, 0.95, 2) * (width, height)
        end = start + rng.normal(0, 0.05, 2) * min(height, width)
        pen = max(2, round(rng.uniform(4, 14) * min(height, width) / 512))
        colour = (*rng.integers(0, 256, 3).tolist(), 255)
        cv2.line(layer, np.rint(start).astype(int).tolist(), np.rint(end).astype(int).tolist(), colour, pen)
    return layer
