"""How long the first light on a known drawing and a turn of its direction take."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.drawing import draw_lineart
from engine.imaging.canvas import Frame
from engine.imaging.layers.flats import Flats
from engine.imaging.layers.light import LightSettings
from engine.pipeline.drawing import find_drawing
from engine.pipeline.lighting import Lighting

SIZES = ((1024, 1024), (3508, 2480))
"""Height and width: what is promised of, and A4 at 300 dpi."""


@dataclass(frozen=True)
class Times:
    """Seconds, each the median.

    Attributes:
        height, width: of the canvas.
        style: of the light.
        first: from known regions to the first layers.
        turn: from a new direction to the layers.
    """

    height: int
    width: int
    style: str
    first: float
    turn: float


def measure(height: int, width: int, repeats: int) -> list[Times]:
    """Time both styles on a synthetic drawing."""
    drawing = find_drawing(draw_lineart(height, width, 0))
    frame = Frame(0, 0, height, width, height, width, height, width)
    count = int(drawing.regions.max()) + 1
    palette = np.random.default_rng(0).integers(0, 256, (count, 3)).astype(np.uint8)
    flats = Flats(drawing.regions, palette, np.zeros(count, np.bool_))
    out = []
    for style in ("soft", "cel"):
        first, turns = [], []
        for _ in range(repeats):
            started = time.perf_counter()
            lighting = Lighting(drawing, frame)
            made = lighting.paint(flats, LightSettings(style=style), (height, width), None, _go_on, clipped=False)
            first.append(time.perf_counter() - started)
            for azimuth in (10.0, 100.0, 190.0):
                light = LightSettings(azimuth=azimuth, style=style)
                started = time.perf_counter()
                lighting.paint(flats, light, (height, width), None, _go_on, clipped=False, flat_layer=made.flats)
                turns.append(time.perf_counter() - started)
        out.append(Times(height, width, style, statistics.median(first), statistics.median(turns)))
    return out


def _go_on() -> None:
    """Nobody stops it."""
