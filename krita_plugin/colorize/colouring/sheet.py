"""The variations of one job: which part of a result belongs to each, and all of them side by side in one picture."""

from __future__ import annotations

from typing import Any, Tuple

from ..qt import QtCore, QtGui

GAP_PIXELS = 6
"""Pixels between two of them."""

Rect = Tuple[float, float, float, float]
"""Left, top, width, height in pixels of the image."""


def split(body: dict[str, Any], buffers: list[Any]) -> list[tuple[int, list[Any]]]:
    """The seed and the layers of each variation of a result; a new one begins where a role comes again.

    Args:
        body: of the result, with ``seeds``; where they are missing the first is ``seed``, and each next one more.
        buffers: all layers of the first variation, then all of the second, and so on.
    """
    groups: list[list[Any]] = []
    for buffer in buffers:
        if not groups or any(buffer.role == known.role for known in groups[-1]):
            groups.append([])
        groups[-1].append(buffer)
    seeds, first = body.get("seeds") or [], body.get("seed", 0)
    return [(seeds[n] if n < len(seeds) else first + n, group) for n, group in enumerate(groups)]


class Sheet:
    """A picture of the canvas for each variation, in rows, on a transparent ground; of one variation just that."""

    def __init__(self, width: int, height: int, count: int, longest: int) -> None:
        """White pictures.

        Args:
            width: of the canvas in pixels.
            height: of the canvas in pixels.
            count: how many variations.
            longest: pixels of the longer side of the sheet.
        """

        def room(columns: int) -> float:
            rows = -(-count // columns)
            across = (longest - (columns - 1) * GAP_PIXELS) / (columns * width)
            return min(across, (longest - (rows - 1) * GAP_PIXELS) / (rows * height))

        self.columns = max(range(1, count + 1), key=room)
        self.scale = min(1.0, room(self.columns))
        self.lines: QtGui.QImage | None = None
        """A QImage of the lineart, as large as one picture; multiplied over what has no lines yet."""
        self._wide, self._high = max(1, round(width * self.scale)), max(1, round(height * self.scale))
        wide = self.columns * (self._wide + GAP_PIXELS) - GAP_PIXELS
        high = -(-count // self.columns) * (self._high + GAP_PIXELS) - GAP_PIXELS
        self.image = QtGui.QImage(wide, high, QtGui.QImage.Format.Format_ARGB32_Premultiplied)
        self.image.fill(QtCore.Qt.GlobalColor.transparent)
        for place in range(count):
            self.draw(place, None)

    def draw(self, place: int, image: QtGui.QImage | None, rect: Rect | None = None) -> None:
        """Show a picture of a variation.

        Args:
            place: which one, from 0.
            image: a QImage of all that is known of it, or None.
            rect: where it lies on the canvas, which stays white around it and gets the lines; without it the image is
                the whole canvas, lines and all.
        """
        row, column = divmod(place, self.columns)
        painter = QtGui.QPainter(self.image)
        painter.translate(column * (self._wide + GAP_PIXELS), row * (self._high + GAP_PIXELS))
        whole = QtCore.QRectF(0, 0, self._wide, self._high)
        painter.fillRect(whole, QtCore.Qt.GlobalColor.white)
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        if image is not None:
            at = whole if rect is None else QtCore.QRectF(*(value * self.scale for value in rect))
            painter.setClipRect(whole)
            painter.drawImage(at, image)
        if rect is not None and self.lines is not None:
            painter.setCompositionMode(QtGui.QPainter.CompositionMode.CompositionMode_Multiply)
            painter.drawImage(whole, self.lines)
        painter.end()
