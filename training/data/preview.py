"""Sheets of every step of the data recipe for chosen pictures, labelled, so that a person can judge the recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from torch import Tensor

from engine.errors import ColorizeError
from engine.imaging.files.reading import on_white
from training.data.chance import SampleChance
from training.data.dataset import Cutter, Picture, Recipe, sample
from training.data.extractors import EXTRACTORS
from training.data.flats import L0_LAMBDA, Smoothing, flatten, simplify
from training.data.l0 import smooth
from training.data.strokes import SCHEMES
from training.data.synthesis import line_source

SHORT_SIDE = 320
"""Pixels to which ``training pack`` resizes by default; flats depend on it."""
DRAWS = 3
"""How often a step that draws by chance is shown."""
GAP, LABEL, TITLE = 8, 20, 24
PAPER, FRAME, TEXT = (244, 244, 246), (190, 190, 196), (40, 40, 46)

Cell = tuple[str, NDArray[np.uint8]]
"""A label and a square HxWx3 picture."""


@dataclass(frozen=True)
class View:
    """What a sheet shows.

    Attributes:
        size: side of a cell in pixels; crops are cut in this size.
        scheme: hint scheme to show, None = all.
        smoothing: how flats are found.
        seed: of the run.
        epoch: the first one shown.
    """

    size: int = 256
    scheme: str | None = None
    smoothing: Smoothing = "opencv"
    seed: int = 1
    epoch: int = 0


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture on white, HxWx3 with a short side of ``SHORT_SIDE`` px, cropped to 2:1 as ``training pack`` does.

    Raises:
        ColorizeError: it cannot be read.
    """
    try:
        with Image.open(path) as stored:
            image = on_white(stored)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as e:
        raise ColorizeError(f"{path} cannot be read as a picture", "give PNG, JPEG or WebP files") from e
    scale = SHORT_SIDE / min(image.size)
    image = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.LANCZOS)
    return np.asarray(image)[: 2 * SHORT_SIDE, : 2 * SHORT_SIDE]


class Sitting:
    """One picture with its flats, and the cells each step makes of it."""

    def __init__(self, name: str, image: NDArray[np.uint8], view: View) -> None:
        self.view = view
        self.image = image
        self.labels, self.palette = simplify(image, smoothing=view.smoothing)
        self.picture = Picture(name, image, self.labels.astype(np.uint16), self.palette, None, 1.0)

    def square(self, array: NDArray[Any], nearest: bool = False) -> NDArray[Any]:
        """Cut the middle square of HxW or HxWx3 and resize it to a cell."""
        h, w = array.shape[:2]
        side, size = min(h, w), self.view.size
        y, x = (h - side) // 2, (w - side) // 2
        way = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(array[y : y + side, x : x + side], (size, size), interpolation=way))

    def crop(self, scheme: str, turn: int) -> dict[str, Tensor]:
        """The sample that training makes of the picture in an epoch."""
        cutter = Cutter(self.view.size, (1.0, 1.0), Recipe(scheme))
        return sample(cutter, self.picture, self.view.seed, self.view.epoch + turn)

    def extract(self, name: str, raw: dict[str, Tensor]) -> NDArray[np.uint8]:
        """The lineart of one sample, HxWx3 uint8."""
        one = {key: t[None] for key, t in raw.items()}
        return _grey(EXTRACTORS[name](line_source(one), SampleChance(one["chance"]))[0, 0])

    def original(self) -> Cell:
        """The picture itself."""
        return "picture", self.square(self.image)

    def still(self, turn: int) -> dict[str, Tensor]:
        """The middle of the picture as a sample, with the chance of an epoch."""
        size = self.view.size
        return {
            "target": torch.from_numpy(self.square(self.image)).permute(2, 0, 1),
            "labels": torch.from_numpy(self.square(self.labels.astype(np.uint16), nearest=True).astype(np.int32)),
            "line": torch.full((size, size), 255, dtype=torch.uint8),
            "has_line": torch.tensor(False),
            "chance": self.crop("default", turn)["chance"],
        }

    def lineart(self) -> list[Cell]:
        """The picture by every extractor; ``default`` several times, as it is a family."""
        cells = [self.original()]
        for name in EXTRACTORS:
            turns = range(DRAWS if name == "default" else 1)
            cells += [(self._when(name, t, len(turns)), self.extract(name, self.still(t))) for t in turns]
        return cells

    def l0(self) -> list[Cell]:
        """L0 smoothing from weak to strong, and as OpenCV has it."""
        strengths = (L0_LAMBDA / 4, L0_LAMBDA, L0_LAMBDA * 4)
        opencv = f"opencv {L0_LAMBDA:g}", self.square(flatten(self.image, "opencv"))
        return [self.original(), *[self.smoothed(s) for s in strengths], opencv]

    def smoothed(self, strength: float) -> Cell:
        """L0 smoothing of one strength."""
        done = smooth(self.image / np.float32(255), strength).clip(0, 1)
        return f"l0 {strength:g}", self.square(np.rint(done * 255).astype(np.uint8))

    def regions(self) -> list[Cell]:
        """The flat regions in colours that tell neighbours apart, and their borders on the picture."""
        labels = self.square(self.labels.astype(np.uint16), nearest=True).astype(np.int32)
        hue = (np.arange(len(self.palette)) * 0.618034 * 180 % 180).astype(np.uint8)
        tone = (150 + np.arange(len(self.palette)) % 4 * 30).astype(np.uint8)
        hsv = np.stack([hue, np.full_like(hue, 110), tone], 1)[None]
        told = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)[0][labels]
        borders = np.zeros(labels.shape, np.bool_)
        borders[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        borders[1:] |= labels[1:] != labels[:-1]
        over = (self.square(self.image) * 0.4 + 153).astype(np.uint8)
        over[borders] = (200, 0, 60)
        return [self.original(), (f"{len(self.palette)} regions", told), ("their borders", over)]

    def flats(self) -> list[Cell]:
        """The simplified illustration, and what it leaves out."""
        flat = self.palette[self.labels]
        off = np.clip(self.image.astype(np.int16) - flat + 128, 0, 255).astype(np.uint8)
        colours = len(np.unique(self.palette, axis=0))
        return [
            self.original(),
            (f"flats, {colours} colours", self.square(flat, nearest=True)),
            ("picture - flats", self.square(off)),
        ]

    def masks(self) -> list[Cell]:
        """What a model is given: the picture outside the mask, the lineart inside."""
        cells = [self.original()]
        for turn in range(DRAWS * 2):
            raw = self.crop("default", turn)
            inside = raw["mask"].numpy()[..., None] > 0
            shown = np.where(inside, self.extract("default", raw), raw["target"].permute(1, 2, 0).numpy())
            part = f"{100 * inside.mean():.0f} %"
            cells.append((f"{self._when('mask', turn, 2)}, {part}", _outline(shown, inside[..., 0])))
        return cells

    def strokes(self) -> list[Cell]:
        """Hints by scheme over the faint flats, whose palette is another one in about half of the samples."""
        schemes = [self.view.scheme] if self.view.scheme else list(SCHEMES)
        cells = [self.original()]
        for name in schemes:
            for turn in range(DRAWS * 2 if self.view.scheme else DRAWS):
                raw = self.crop(name, turn)
                count = int(raw["count"])
                many = "whole flat" if count < 0 else f"{count} stroke{'s' * (count != 1)}"
                cells.append((f"{self._when(name, turn, 2)}: {many}", _over_flats(raw)))
        return cells

    def all(self) -> list[Cell]:
        """One or two cells of every step."""
        lines = [("thesis", self.extract("thesis", self.still(0)))]
        lines += [(self._when("default", t, 2), self.extract("default", self.still(t))) for t in range(2)]
        masks, strokes = self.masks()[1:], self.strokes()[1:]
        # The first draws that show something: a part left out, a stroke.
        mask = next((c for c in masks if not c[0].endswith(" 100 %")), masks[0])
        hints = []
        for name in [self.view.scheme] if self.view.scheme else list(SCHEMES):
            own = [c for c in strokes if c[0].startswith(f"{name},")]
            hints.append(next((c for c in own if not c[0].endswith(": 0 strokes")), own[0]))
        flats = [self.smoothed(L0_LAMBDA), self.regions()[1], self.flats()[1]]
        return [self.original(), *flats, *lines, mask, *hints]

    def _when(self, name: str, turn: int, many: int) -> str:
        return f"{name}, epoch {self.view.epoch + turn}" if many > 1 else name


STEPS: dict[str, Callable[[Sitting], list[Cell]]] = {
    "lineart": Sitting.lineart,
    "l0": Sitting.l0,
    "regions": Sitting.regions,
    "flats": Sitting.flats,
    "masks": Sitting.masks,
    "strokes": Sitting.strokes,
    "all": Sitting.all,
}
"""Cells of a row, by the name of the step."""


def _grey(lineart: Tensor) -> NDArray[np.uint8]:
    array = (lineart.clamp(0, 1) * 255).round().byte().numpy()
    return np.repeat(array[..., None], 3, axis=2)


def _outline(picture: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Mark the border of a mask, or one cannot tell a white picture from empty lineart."""
    edge = np.asarray(cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    out = picture.astype(np.uint8)
    out[edge > 0] = (230, 0, 120)
    return out


def _over_flats(raw: dict[str, Tensor]) -> NDArray[np.uint8]:
    """Hints with a thin outline, or one cannot see white ones, over the flats in faint colours."""
    base = 255 - (255 - raw["flat"].permute(1, 2, 0).numpy().astype(np.int16)) // 3
    hints = raw["hints"].permute(1, 2, 0).numpy()
    painted = hints[..., 3] > 0
    shown = np.where(painted[..., None], hints[..., :3], base).astype(np.uint8)
    around = cv2.dilate(painted.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    shown[around & ~painted] = TEXT
    return shown


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Any, width: int) -> str:
    """Shorten a text in the middle until it fits."""
    if draw.textlength(text, font) <= width:
        return text
    for keep in range(len(text) - 1, 1, -1):
        short = f"{text[: keep - keep // 2]}...{text[-(keep // 2) :]}"
        if draw.textlength(short, font) <= width:
            return short
    return ""


def lay_out(rows: list[tuple[str, list[Cell]]], size: int) -> Image.Image:
    """Put rows of (title, cells) on one sheet, every cell with its label above it."""
    columns = max(len(cells) for _, cells in rows)
    height = TITLE + LABEL + size + GAP
    sheet = Image.new("RGB", (GAP + columns * (size + GAP), GAP + len(rows) * height), PAPER)
    draw = ImageDraw.Draw(sheet)
    title_font, font = ImageFont.load_default(16), ImageFont.load_default(13)
    for r, (title, cells) in enumerate(rows):
        top = GAP + r * height
        draw.text((GAP, top), _fit(draw, title, title_font, sheet.width - 2 * GAP), TEXT, title_font)
        for c, (label, picture) in enumerate(cells):
            left = GAP + c * (size + GAP)
            draw.text((left, top + TITLE), _fit(draw, label, font, size), TEXT, font)
            place = top + TITLE + LABEL
            draw.rectangle((left - 1, place - 1, left + size, place + size), outline=FRAME)
            sheet.paste(Image.fromarray(picture), (left, place))
    return sheet


def make_sheet(
    paths: list[Path], step: str, view: View, tell: Callable[[str, int, int], None] = lambda *_: None
) -> Image.Image:
    """Draw the sheet of a step, a row per picture.

    Args:
        paths: picture files.
        step: key of ``STEPS``.
        view: how.
        tell: told of progress: the step, how many pictures are done, of how many.

    Raises:
        ColorizeError: a picture cannot be read.
    """
    rows = []
    for done, path in enumerate(paths):
        tell(f"drawing {step}", done, len(paths))
        # Two pictures of one name are two rows of one training key; that is how training would name them, too.
        rows.append((str(path), STEPS[step](Sitting(path.stem, read_picture(path), view))))
    return lay_out(rows, view.size)
