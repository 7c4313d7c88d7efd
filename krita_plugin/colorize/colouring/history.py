"""The results of this session: small pictures to look at, and the pixels, packed, to put into the document again."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, field
from typing import Any

from ..document.inputs import Inputs
from ..document.pixels import Picture
from ..qt import QtCore, QtGui

MAX_KEPT_BYTES = 384 * 1024 * 1024
"""Bytes of packed results that are kept; the oldest go first, but never the newest one."""
THUMBNAIL_SIDE = 384
"""Pixels of the longer side of the picture that stands for a result."""


@dataclass
class Result:
    """One result.

    Attributes:
        id: of the list.
        inputs: what it was made of; only its sizes and layers are kept, not its pixels.
        options: what was set, to be set again.
        pictures: by layer, while they are not packed.
        packed: the same as zlib.
        thumb: a QImage with the lines on it.
        node: id of the layer that was made of it, or empty.
        seed: of models that sample.
        seconds: it took.
        note: a word about how it ran, or empty.
    """

    id: str
    inputs: Inputs
    options: dict[str, Any]
    pictures: dict[str, Picture]
    thumb: QtGui.QImage
    seed: int = 0
    seconds: float = 0.0
    note: str = ""
    node: str = ""
    packed: dict[str, Picture] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return sum(len(p.data) for p in self.packed.values()) or sum(p.view.nbytes for p in self.pictures.values())


def pack(pictures: dict[str, Picture]) -> dict[str, Picture]:
    """The same pictures with their data as zlib."""
    return {
        role: Picture(zlib.compress(p.view, 1), p.x, p.y, p.width, p.height, p.order) for role, p in pictures.items()
    }


def unpack(packed: dict[str, Picture]) -> dict[str, Picture]:
    """What ``pack`` was given."""
    return {role: Picture(zlib.decompress(p.data), p.x, p.y, p.width, p.height, p.order) for role, p in packed.items()}


class History:
    """The results, newest first."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self._numbers = itertools.count(1)

    def next_id(self) -> str:
        """An id that no result has."""
        return str(next(self._numbers))

    def add(self, result: Result) -> None:
        """Keep a result; the oldest may have to go."""
        self.results.insert(0, result)
        self.trim()

    def trim(self) -> None:
        """Keep to the budget."""
        while len(self.results) > 1 and sum(r.size for r in self.results) > MAX_KEPT_BYTES:
            self.results.pop()

    def find(self, ident: str) -> Result | None:
        """The result of an id; None when it is not kept any more."""
        return next((r for r in self.results if r.id == ident), None)


def small_picture(inputs: Inputs, pictures: dict[str, Picture], longest: int) -> QtGui.QImage:
    """The result with its lines on white, as a QImage.

    Args:
        inputs: with the lineart's pixels.
        pictures: ``flats`` and ``shading``, or ``colour``.
        longest: pixels of the longer side.
    """
    scale = min(1.0, longest / max(inputs.width, inputs.height))
    image = _white(inputs, scale)
    painter = QtGui.QPainter(image)
    context = inputs.pictures.get("context")
    if context is not None:
        _draw(painter, context, scale)
    painter.drawImage(0, 0, _together(pictures, image.size(), scale))
    painter.setCompositionMode(QtGui.QPainter.CompositionMode.CompositionMode_Multiply)
    _draw(painter, inputs.pictures["lineart"], scale)
    painter.end()
    return image


def _together(pictures: dict[str, Picture], size: QtCore.QSize, scale: float) -> QtGui.QImage:
    """The layers of a result on a transparent QImage, the shading only where the flats are."""
    image = QtGui.QImage(size, QtGui.QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(QtCore.Qt.GlobalColor.transparent)
    painter = QtGui.QPainter(image)
    for role in ("flats", "shading", "colour"):
        if role in pictures:
            over = QtGui.QPainter.CompositionMode
            painter.setCompositionMode(
                over.CompositionMode_SourceAtop if role == "shading" else over.CompositionMode_SourceOver
            )
            _draw(painter, pictures[role], scale)
    painter.end()
    return image


def small_lines(inputs: Inputs, scale: float) -> QtGui.QImage:
    """The lineart on white, so much smaller, as a QImage."""
    image = _white(inputs, scale)
    painter = QtGui.QPainter(image)
    _draw(painter, inputs.pictures["lineart"], scale)
    painter.end()
    return image


def _white(inputs: Inputs, scale: float) -> QtGui.QImage:
    """A white QImage of the canvas's shape."""
    width, height = max(1, round(inputs.width * scale)), max(1, round(inputs.height * scale))
    image = QtGui.QImage(width, height, QtGui.QImage.Format.Format_RGB32)
    image.fill(QtCore.Qt.GlobalColor.white)
    return image


def _draw(painter: QtGui.QPainter, picture: Picture, scale: float) -> None:
    """Draw a picture smaller: coarsely to twice the size, then smoothly, which costs far less."""
    modes, aspect = QtCore.Qt.TransformationMode, QtCore.Qt.AspectRatioMode.IgnoreAspectRatio
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    image = picture.image()
    if picture.width > 2 * width or picture.height > 2 * height:
        image = image.scaled(2 * width, 2 * height, aspect, modes.FastTransformation)
    small = image.scaled(width, height, aspect, modes.SmoothTransformation)
    painter.drawImage(QtCore.QPointF(picture.x * scale, picture.y * scale), small)
