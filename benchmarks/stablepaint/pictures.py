"""Sheets of StablePaint for the eye: strength by seed, and what it paints into and around a finished picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import Frame, resize_picture
from engine.imaging.files.reading import Lineart
from engine.imaging.files.writing import compose
from engine.pipeline import Job, JobSettings, Pipeline
from training.evaluation import metrics
from training.evaluation.heldout import Picture
from training.evaluation.sheets import Row, over_lineart, write_sheets

Pixels = NDArray[np.uint8]

STRENGTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SEEDS = 4
FEW = 6
"""Strokes on the sheets that have any."""
FREE = 0.8
BLANK = np.full((8, 8, 3), 96, np.uint8)


def draw_variations(pipeline: Pipeline, job: Job) -> tuple[list[Pixels], list[Pixels]]:
    """Draw the variations of a job without a mask.

    Returns:
        The colour layers, and the network's own pictures of the same sampling, enlarged to the canvas; HxWx3 each.
    """
    own: dict[int, Pixels] = {}

    def look(place: int, small: Pixels, _: Frame) -> None:
        # The last look is at the finished picture.
        own[place] = np.ascontiguousarray(small[..., :3])

    layers = pipeline.vary(job, look=look)
    network = [resize_picture(own[i], *job.lineart.shape) for i in range(len(layers))]
    return [one.colour[..., :3] for one in layers], network


def write_strength_sheets(folder: Path, pipeline: Pipeline, picture: Picture, seed: int) -> list[Path]:
    """Write a sheet with ``FEW`` strokes and one with none, of the colour layer and of the network's own picture.

    A row per strength, a column per seed; the first column shows lineart with strokes, original and lineart.
    """
    files = []
    for count in (FEW, 0):
        hints = picture.draw_hints(seed, count)
        given = [over_lineart(picture.lineart, hints), picture.original] + [BLANK] * (len(STRENGTHS) - 2)
        rows: dict[str, list[Row]] = {"colour": [], "network": []}
        for strength, first in zip(STRENGTHS, given, strict=True):
            settings = JobSettings(seed=seed, strength=strength, variations=SEEDS)
            job = Job(picture.lineart, hints if count else None, settings=settings)
            for kind, made in zip(rows, draw_variations(pipeline, job), strict=True):
                seen = [metrics.with_ink(one, picture.lineart) for one in made]
                rows[kind].append((f"strength {strength:g}", [first, *seen]))
        columns = ["hints, original", *[f"seed {seed + i}" for i in range(SEEDS)]]
        for kind, lines in rows.items():
            files += write_sheets(folder, f"strength-{picture.key}-{count:02d}-{kind}", columns, lines)
    return files


def _middle(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark a rectangle of half the height and half the width in the middle of HxW."""
    h, w = shape[:2]
    out = np.zeros((h, w), np.bool_)
    out[h // 4 : h - h // 4, w // 4 : w - w // 4] = True
    return out


def paint_parts(pipeline: Pipeline, picture: Picture, seed: int) -> tuple[list[Row], int]:
    """Paint the middle of a finished picture anew, and all round its middle, as if the canvas had been enlarged.

    Returns:
        A row per case (inside and around, each with ``FEW`` strokes and with none): what is given, the original, the
        best guess, and three seeds at strength ``FREE``; and the largest byte difference where nothing may change.
    """
    rows, worst = [], 0
    middle = _middle(picture.lineart.shape)
    ink = np.zeros((*middle.shape, 4), np.uint8)
    ink[..., 3] = np.rint((1 - picture.lineart) * 255)
    drawing = Lineart(picture.lineart, ink)
    for what, area in (("inside", middle), ("around", ~middle)):
        mask = np.where(area, 255, 0).astype(np.uint8)
        context = np.dstack([picture.original, 255 - mask])
        context[area] = 0
        for count in (FEW, 0):
            hints = picture.draw_hints(seed, count, mask)
            shown = np.where(area[..., None], over_lineart(picture.lineart, hints), picture.original)
            cells: list[Any] = [shown, picture.original]
            for strength, seeds in ((0.0, 1), (FREE, 3)):
                strokes = hints if count else None
                settings = JobSettings(seed=seed, strength=strength, variations=seeds)
                job = Job(picture.lineart, strokes, mask, context, settings)
                for layers in pipeline.vary(job):
                    ready = compose(layers.colour, drawing, context)[..., :3]
                    worst = max(worst, metrics.outside_difference(ready, picture.original, mask))
                    cells.append(ready)
            rows.append((f"{picture.key}: {what}, {count} strokes", cells))
    return rows, worst


def write_parts(folder: Path, rows: list[Row], seed: int) -> list[Path]:
    """Write the sheet of what ``paint_parts`` made."""
    columns = ["given", "original", "strength 0", *[f"strength {FREE:g}, seed {seed + i}" for i in range(3)]]
    return write_sheets(folder, "parts", columns, rows)
