"""A contact sheet of light on the examples, to be looked at: cel and soft, from the right and from the left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.imaging.files.reading import read_hints, read_lineart
from engine.imaging.files.writing import compose
from engine.pipeline import Job, Pipeline
from engine.protocol.settings import JobSettings

LIGHTS = (("cel", 45.0), ("cel", 135.0), ("soft", 45.0), ("soft", 135.0))
"""Style and azimuth of each column."""
GAP = 6
"""Pixels between pictures."""


def lit_pictures(pipeline: Pipeline, folder: Path) -> list[NDArray[np.uint8]]:
    """An example under each of ``LIGHTS``, HxWx3; its network runs once."""
    lineart = read_lineart(folder / "lineart.png")
    hints = read_hints(folder / "hints.png", lineart.size)
    out = []
    for style, azimuth in LIGHTS:
        settings = JobSettings(light=azimuth, light_style=style, light_tones=3)
        layers = pipeline.run(Job(lineart.paper, hints, settings=settings, lineart_digest=str(folder)))
        out.append(np.ascontiguousarray(compose(layers.colour, lineart)[..., :3]))
    return out


def make_sheet(pipeline: Pipeline, examples: list[Path], height: int) -> Image.Image:
    """A row per example, each picture ``height`` pixels high."""
    rows = []
    for folder in examples:
        pictures = [Image.fromarray(p) for p in lit_pictures(pipeline, folder)]
        width = round(pictures[0].width * height / pictures[0].height)
        row = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
        for place, picture in enumerate(pictures):
            row.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (place * (width + GAP), 0))
        rows.append(row)
    return _packed(rows, GAP)


def _packed(rows: list[Image.Image], gap: int) -> Image.Image:
    """Rows of one height below each other, and beside each other where they fit: those of one example stay together."""
    width, height = max(r.width for r in rows), rows[0].height
    lines: list[list[Image.Image]] = []
    for row in sorted(rows, key=lambda r: -r.width):
        fits = [line for line in lines if sum(r.width + 3 * gap for r in line) + row.width <= width]
        if fits:
            fits[0].append(row)
        else:
            lines.append([row])
    sheet = Image.new("RGB", (width, len(lines) * (height + gap) - gap), "white")
    for place, line in enumerate(lines):
        left = 0
        for row in line:
            sheet.paste(row, (left, place * (height + gap)))
            left += row.width + 3 * gap
    return sheet
