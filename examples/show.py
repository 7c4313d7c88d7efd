"""Colours examples with the installed model and puts lineart, strokes and result side by side in one picture."""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from engine import DEFAULT_MODEL
from engine.imaging.files.reading import read_context, read_hints, read_lineart, read_mask
from engine.imaging.files.writing import compose
from engine.models.checkpoint import find_weights, load_model
from engine.pipeline import Job, Pipeline

HERE = Path(__file__).resolve().parent
WIDTH = 420
GAP = 8


def row(pipeline: Pipeline, folder: Path) -> Image.Image:
    """Colour one example: three pictures in a row, each ``WIDTH`` pixels wide."""
    lineart = read_lineart(folder / "lineart.png")
    hints = read_hints(folder / "hints.png", lineart.size)
    with_context = (folder / "context.png").exists()
    mask = read_mask(folder / "mask.png", lineart.size) if (folder / "mask.png").exists() else None
    context = read_context(folder / "context.png", lineart.size) if with_context else None
    layers = pipeline.run(Job(lineart.paper, hints, mask, context))
    paper = Image.open(folder / "lineart.png").convert("RGB")
    strokes = paper.copy()
    strokes.paste(Image.fromarray(hints), mask=Image.fromarray(hints[..., 3]))
    result = Image.fromarray(compose(layers.colour, lineart, context)).convert("RGB")
    height = round(WIDTH * paper.height / paper.width)
    sheet = Image.new("RGB", (3 * WIDTH + 2 * GAP, height), "white")
    for number, picture in enumerate((paper, strokes, result)):
        small = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (number * (WIDTH + GAP), 0))
    return sheet


def main() -> None:
    """Write OUT from the named examples, all of them when none is named."""
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/show.py OUT.png [EXAMPLE ...]")
    names = sys.argv[2:] or sorted(p.parent.name for p in HERE.glob("*/lineart.png"))
    pipeline = Pipeline(load_model(find_weights(DEFAULT_MODEL)))
    rows = [row(pipeline, HERE / name) for name in names]
    sheet = Image.new("RGB", (rows[0].width, sum(r.height + GAP for r in rows) - GAP), "white")
    top = 0
    for picture in rows:
        sheet.paste(picture, (0, top))
        top += picture.height + GAP
    sheet.save(sys.argv[1])


if __name__ == "__main__":
    main()
