"""The contact sheet of a batch: all its pictures, small, with their names."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from engine.errors import ColorizeError
from engine.imaging.files import reading, writing

Pixels = NDArray[np.uint8]

CELL = 192
"""Pixels of the longer side of a small picture."""
GAP = 8
TEXT = 18
COLUMNS = 8
PER_PAGE = 96
GROUND, INK, WARNING = (88, 88, 88), (230, 230, 230), (255, 170, 150)
LETTERS = 26
"""Of a name under a picture; of a longer one the end is shown, where frames differ."""


class Sheet:
    """Small copies of the pictures of a batch, a few kilobytes each."""

    def __init__(self) -> None:
        self._small: dict[Path, bytes] = {}

    def add(self, path: Path, picture: Pixels) -> None:
        """Keep a small copy of a picture, uint8 HxWx3 or HxWx4."""
        step = max(1, max(picture.shape[:2]) // (2 * CELL))
        self._small[path] = _packed(Image.fromarray(np.ascontiguousarray(picture[::step, ::step])))

    def write(self, path: Path, pictures: list[tuple[str, Path, str]]) -> list[Path]:
        """Write the sheet.

        Args:
            path: of the first page; others get a number behind the name.
            pictures: label, file, and a word to show instead of the picture, or empty. Files of which there is no
                small copy are read.

        Returns:
            The pages.

        Raises:
            ColorizeError: one cannot be written.
        """
        pages = []
        for number, start in enumerate(range(0, len(pictures), PER_PAGE), 1):
            page = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
            writing.write_png(page, np.asarray(self._page(pictures[start : start + PER_PAGE])))
            pages.append(page)
        return pages

    def _page(self, pictures: list[tuple[str, Path, str]]) -> Image.Image:
        columns = min(COLUMNS, max(1, round(len(pictures) ** 0.5 + 0.49)))
        rows = -(-len(pictures) // columns)
        page = Image.new("RGB", (GAP + columns * (CELL + GAP), GAP + rows * (CELL + TEXT + GAP)), GROUND)
        draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=12)
        for place, (label, path, word) in enumerate(pictures):
            left = GAP + place % columns * (CELL + GAP)
            top = GAP + place // columns * (CELL + TEXT + GAP)
            small = None if word else self._look(path)
            if small is None:
                draw.rectangle((left, top, left + CELL - 1, top + CELL - 1), outline=WARNING)
                draw.text((left + CELL // 2, top + CELL // 2), word or "not there", WARNING, font, "mm")
            else:
                page.paste(small, (left + (CELL - small.width) // 2, top + (CELL - small.height) // 2))
            name = label if len(label) <= LETTERS else "..." + label[-LETTERS:]
            draw.text((left + CELL // 2, top + CELL + TEXT // 2), name, INK, font, "mm")
        return page

    def _look(self, path: Path) -> Image.Image | None:
        kept = self._small.get(path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of large pictures, which are ours
                with Image.open(path if kept is None else io.BytesIO(kept)) as image:
                    image.draft("RGB", (2 * CELL, 2 * CELL))
                    return Image.open(io.BytesIO(_packed(image))).convert("RGB")
        except (OSError, ValueError, SyntaxError, ColorizeError):
            return None


def _packed(image: Image.Image) -> bytes:
    """A small JPEG of a picture, on white."""
    small = image.convert("RGBA")
    small.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    reading.on_white(small).save(file, "JPEG", quality=90)
    return file.getvalue()
