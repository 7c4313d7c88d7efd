"""Draws variations of examples: a row without strokes, and one with those of the commonest colour of the example."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.imaging.files.reading import read_hints, read_lineart
from engine.imaging.files.writing import compose
from engine.models.checkpoint import find_weights, load_model
from engine.pipeline import Job, JobSettings, Pipeline

HERE = Path(__file__).resolve().parent
MODEL = "stablepaint"
STRENGTH = 0.8
VARIATIONS = 4
SETTINGS = JobSettings(strength=STRENGTH, variations=VARIATIONS)
WIDTH = 260
GAP = 8


def commonest(hints: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Only the strokes of the colour that covers most; HxWx4."""
    colours, counts = np.unique(hints[hints[..., 3] == 255], axis=0, return_counts=True)
    same = (hints == colours[counts.argmax()]).all(axis=2)
    return np.where(same[..., None], hints, 0).astype(np.uint8)


def row(pipeline: Pipeline, folder: Path, *, strokes: bool) -> Image.Image:
    """The strokes on the drawing, and its variations beside it, each ``WIDTH`` pixels wide."""
    lineart = read_lineart(folder / "lineart.png")
    hints = commonest(read_hints(folder / "hints.png", lineart.size)) if strokes else None
    results = pipeline.vary(Job(lineart.paper, hints, settings=SETTINGS))
    paper = Image.open(folder / "lineart.png").convert("RGB")
    if hints is not None:
        paper.paste(Image.fromarray(hints), mask=Image.fromarray(hints[..., 3]))
    pictures = [paper, *(Image.fromarray(compose(r.colour, lineart, None)).convert("RGB") for r in results)]
    height = round(WIDTH * paper.height / paper.width)
    sheet = Image.new("RGB", (len(pictures) * (WIDTH + GAP) - GAP, height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), (number * (WIDTH + GAP), 0))
    return sheet


def main() -> None:
    """Write OUT from the named examples."""
    if len(sys.argv) < 3:
        sys.exit("usage: python examples/vary.py OUT.png EXAMPLE [EXAMPLE ...]")
    pipeline = Pipeline(load_model(find_weights(MODEL)))
    rows = [row(pipeline, HERE / name, strokes=strokes) for name in sys.argv[2:] for strokes in (False, True)]
    sheet = Image.new("RGB", (rows[0].width, sum(r.height + GAP for r in rows) - GAP), "white")
    top = 0
    for picture in rows:
        sheet.paste(picture, (0, top))
        top += picture.height + GAP
    sheet.quantize(256).save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
