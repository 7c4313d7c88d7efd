"""How light found from the lines alone agrees with the light a painter chose, beside the network's own shading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import resize_picture
from engine.imaging.color import srgb_to_oklab
from engine.imaging.layers.light import LightSettings, Lit
from engine.pipeline import Job, Pipeline
from engine.pipeline.drawing import find_drawing
from engine.pipeline.lighting import find_drawing_form
from training.evaluation.heldout import Picture, list_pictures, load_picture

DIRECTIONS = 12
HINTS = 16
"""Strokes that the network is given."""
LEAST_LIGHT = 0.02
"""Standard deviation of OKLab lightness within regions from which a picture has light worth finding."""
Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Correlations with the true light within regions.

    Attributes:
        picture: its key.
        ours: of the soft light at the best of ``DIRECTIONS``.
        network: of the network's shading; NaN where it has none.
    """

    picture: str
    ours: float
    network: float


def within_regions(values: Plane, labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> Plane:
    """The kept values of HxW less the mean of their region."""
    kept, of = values[keep], labels[keep]
    count = int(labels.max()) + 1
    mean = np.bincount(of, kept, count) / np.maximum(np.bincount(of, minlength=count), 1)
    return np.asarray(kept - mean.take(of), np.float32)


def correlation(a: Plane, b: Plane) -> float:
    """Of two rows with a mean of 0; 0 where one of them is constant."""
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.dot(a, b)) / length if length > 1e-9 else 0.0


def soft_tone(lit: Lit, azimuth: float) -> Plane:
    """Tones of the soft light from a direction, hxw at the working size."""
    steps = lit.tones(LightSettings(azimuth=azimuth))
    return np.asarray(sum(step.value * np.clip(step.plane + 0.5, 0, 1) for step in steps), np.float32)


def agreement(picture: Picture, pipeline: Pipeline, seed: int) -> Agreement | None:
    """Measure one picture; None where it has hardly any light."""
    keep = ~picture.ink
    lightness = np.ascontiguousarray(srgb_to_oklab(np.divide(picture.original, 255, dtype=np.float32))[..., 0])
    truth = within_regions(lightness, picture.labels, keep)
    if float(truth.std()) < LEAST_LIGHT:
        return None
    h, w = picture.lineart.shape
    lit = Lit(find_drawing_form(find_drawing(picture.lineart)))
    found = []
    for azimuth in np.arange(DIRECTIONS) * 360 / DIRECTIONS:
        tone = resize_picture(soft_tone(lit, float(azimuth)), h, w)
        found.append(correlation(within_regions(tone, picture.labels, keep), truth))
    layers = pipeline.run(Job(picture.lineart, picture.draw_hints(seed, HINTS)))
    flat, shaded = (
        np.ascontiguousarray(srgb_to_oklab(np.divide(layer[..., :3], 255, dtype=np.float32))[..., 0])
        for layer in (layers.flats, layers.colour)
    )
    network = correlation(within_regions(shaded - flat, picture.labels, keep), truth)
    return Agreement(picture.key, max(found), network)


def agreements(art: Path, cache: Path, pipeline: Pipeline, limit: int | None, seed: int = 0) -> list[Agreement]:
    """Measure the test pictures of a folder with ``manifest.csv``; ``limit`` takes that many, spread evenly."""
    found = []
    for index, source in list_pictures(art, ("test",), limit):
        one = agreement(load_picture(index, source, cache), pipeline, seed)
        if one is not None:
            found.append(one)
    return found
