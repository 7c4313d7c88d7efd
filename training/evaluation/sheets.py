"""Contact sheets for the eye: one row per picture, one column per method, with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CELL = 256
GAP = 6
TEXT = 20
ROWS = 6
GROUND = (96, 96, 96)

Pixels = NDArray[np.uint8]
Row = tuple[str, list[Pixels]]


def over_lineart(lineart: NDArray[np.float32], hints: Pixels) -> Pixels:
    """Show HxWx4 strokes on HxW lineart in [0, 1] that is faded a little; HxWx3."""
    alpha = hints[..., 3:].astype(np.float32) / 255
    paper = np.repeat((64 + 191 * lineart)[..., None], 3, axis=2)
    return np.asarray(np.rint(hints[..., :3] * alpha + paper * (1 - alpha)), np.uint8)


def small(picture: Pixels) -> Pixels:
    """Scale HxWx3 down to fit a cell; a smaller one stays as it is."""
    image = Image.fromarray(picture)
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return np.asarray(image)


def write_sheets(folder: Path, name: str, columns: list[str], rows: list[Row]) -> list[Path]:
    """Write ``sheet-NAME-1.png`` and so on, ``ROWS`` rows each.

    Args:
        folder: where to.
        name: part of the file names.
        columns: titles.
        rows: label and one HxWx3 picture per column, of any size.

    Returns:
        The files.
    """
    font = ImageFont.load_default(size=14)
    files = []
    for page, start in enumerate(range(0, len(rows), ROWS), 1):
        part = rows[start : start + ROWS]
        size = (GAP + len(columns) * (CELL + GAP), TEXT + len(part) * (CELL + TEXT + GAP))
        sheet = Image.new("RGB", size, GROUND)
        draw = ImageDraw.Draw(sheet)
        for i, title in enumerate(columns):
            draw.text((GAP + i * (CELL + GAP), 2), title, (255, 255, 255), font)
        for j, (label, pictures) in enumerate(part):
            top = TEXT + j * (CELL + TEXT + GAP)
            draw.text((GAP, top + 1), label, (220, 220, 220), font)
            for i, picture in enumerate(pictures):
                image = Image.fromarray(small(picture))
                middle = ((CELL - image.width) // 2, (CELL - image.height) // 2)
                sheet.paste(image, (GAP + i * (CELL + GAP) + middle[0], top + TEXT + middle[1]))
        path = folder / f"sheet-{name}-{page}.png"
        sheet.save(path)
        files.append(path)
    return files
