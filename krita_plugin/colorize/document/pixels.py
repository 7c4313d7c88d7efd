"""Pixels of Krita's layers as the engine takes them (8-bit sRGB, BGRA or one byte a pixel), and back.

Krita converts between colour models, depths and profiles, so colours are managed as everywhere else in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Tuple

from krita import Document, Krita, Node, Selection

from ..qt import QtCore, QtGui
from .timing import krita_call

SRGB = "sRGB-elle-V2-srgbtrc.icc"
BUILT_IN = (SRGB, "sRGB built-in")
COVERAGE_MASKS = ("selectionmask", "transparencymask", "filtermask", "transformmask", "colorizemask")
"""Node types whose pixels are one byte each."""

PIECE_BYTES = 1 << 18
"""Bytes looked at together."""

Rect = Tuple[int, int, int, int]
"""Left, top, width, height in pixels of the image."""


@dataclass(frozen=True)
class Picture:
    """Pixels of a rectangle of the image.

    Attributes:
        data: anything with the buffer protocol; rows from the top, no padding.
        x, y, width, height: the rectangle.
        order: ``BGRA8`` (straight alpha, sRGB) or ``L8``.
    """

    data: Any
    x: int
    y: int
    width: int
    height: int
    order: str = "BGRA8"

    @property
    def view(self) -> memoryview:
        """The bytes, without a copy."""
        return memoryview(self.data).cast("B")

    @property
    def empty(self) -> bool:
        """Whether it paints nothing at all."""
        view, step = self.view, PIECE_BYTES
        blank = bytes(step)
        for start in range(0, len(view), step):
            piece = bytes(view[start : start + step])
            # Comparing is much faster than picking out the alpha, and mostly enough.
            if piece != blank[: len(piece)] and (self.order == "L8" or any(piece[3::4])):
                return False
        return True

    def image(self) -> QtGui.QImage:
        """A QImage that looks at the same memory; it must not outlive this picture. BGRA8 only."""
        return QtGui.QImage(self.view, self.width, self.height, self.width * 4, QtGui.QImage.Format.Format_ARGB32)  # type: ignore[call-overload, no-any-return]  # any buffer


def alpha_bytes(bgra: memoryview) -> bytes:
    """The alpha of BGRA pixels."""
    return bytes(bgra[3::4])


def canvas(document: Document) -> Rect:
    """The image's rectangle."""
    return (0, 0, document.width(), document.height())


def painted(node: Node, document: Document) -> Rect | None:
    """The part of the canvas a layer may paint on; None where it paints nothing there."""
    return _on_canvas(node.bounds(), document)


def _on_canvas(bounds: QtCore.QRect | Selection, document: Document) -> Rect | None:
    """The part on the canvas of anything that has x, y, width and height."""
    left, top = max(0, bounds.x()), max(0, bounds.y())
    right = min(document.width(), bounds.x() + bounds.width())
    bottom = min(document.height(), bounds.y() + bounds.height())
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def is_plain(node: Node | Document) -> bool:
    """Whether the pixels of a layer or a document are such as the engine takes."""
    return bool(node.colorModel() == "RGBA" and node.colorDepth() == "U8" and node.colorProfile() in BUILT_IN)


_conversion_documents: list[Document] = []


@contextlib.contextmanager
def conversion_document() -> Iterator[Document]:
    """A hidden document for conversions: in the artist's own they would be steps to undo. One inside another is shared.

    It must not outlive the operation: Krita crashes at its end if one is left.
    """
    if _conversion_documents:
        yield _conversion_documents[-1]
        return
    document = Krita.instance().createDocument(8, 8, "Colorize", "RGBA", "U8", SRGB, 72.0)
    document.setBatchmode(True)
    _conversion_documents.append(document)
    try:
        yield document
    finally:
        _conversion_documents.remove(document)
        document.setModified(False)
        document.close()


def to_srgb(raw: QtCore.QByteArray, kind: tuple[str, str, str], rect: Rect) -> QtCore.QByteArray:
    """Raw pixels of a colour space (model, depth, profile) as BGRA8, by a layer that belongs to no image."""
    x, y, w, h = rect
    with krita_call("convert"), conversion_document() as document:
        aside = document.createNode("colorize", "paintlayer")
        aside.setColorSpace(*kind)
        aside.setPixelData(raw, x, y, w, h)
        aside.setColorSpace("RGBA", "U8", SRGB)
        return aside.pixelData(x, y, w, h)


def picture_of(raw: QtCore.QByteArray, owner: Node | Document, rect: Rect) -> Picture:
    """Raw pixels of a layer or a document, whatever its colours, as the engine takes them."""
    if not is_plain(owner):
        raw = to_srgb(raw, (owner.colorModel(), owner.colorDepth(), owner.colorProfile()), rect)
    return Picture(raw, *rect)


def read(node: Node, rect: Rect) -> Picture:
    """What a layer looks like by itself: with its masks and children, without its own opacity and visibility."""
    with krita_call("read"):
        raw = node.projectionPixelData(*rect)
    return picture_of(raw, node, rect)


def read_image(document: Document) -> Picture:
    """The image as it is shown."""
    with krita_call("read image"):
        raw = document.pixelData(*canvas(document))
    return picture_of(raw, document, canvas(document))


def read_coverage(document: Document, node: Node) -> Picture | None:
    """Where a layer (whatever its colours) or a mask covers the image, one byte a pixel; None where nowhere."""
    rect = painted(node, document)
    if rect is None:
        return None
    if node.type() in COVERAGE_MASKS:
        with krita_call("read"):
            data = node.pixelData(*rect)
        found = Picture(data, *rect, order="L8")
    else:
        found = Picture(alpha_bytes(read(node, rect).view), *rect, order="L8")
    return None if found.empty else found


def read_selection(document: Document) -> Picture | None:
    """The selection, one byte a pixel; None where there is none or it lies outside the image."""
    selection = document.selection()
    rect = _on_canvas(selection, document) if selection is not None else None
    if selection is None or rect is None:
        return None
    with krita_call("read"):
        data = selection.pixelData(*rect)
    found = Picture(data, *rect, order="L8")
    return None if found.empty else found


def fill(node: Node, picture: Picture) -> None:
    """Put pixels into a layer of any colour space. Only for layers of the plugin's own: there is no undo for it."""
    kind = (node.colorModel(), node.colorDepth(), node.colorProfile())
    rect = (picture.x, picture.y, picture.width, picture.height)
    data = picture.data if isinstance(picture.data, (bytes, QtCore.QByteArray)) else bytes(picture.view)
    if is_plain(node):
        with krita_call("write"):
            node.setPixelData(data, *rect)
        return
    with krita_call("convert"), conversion_document() as document:
        aside = document.createNode("colorize", "paintlayer")
        aside.setPixelData(data, *rect)
        aside.setColorSpace(*kind)
        raw = aside.pixelData(*rect)
    with krita_call("write"):
        node.setPixelData(raw, *rect)


def is_opaque(picture: Picture) -> bool:
    """Whether hardly any of a picture is see-through, so that nothing under it can be seen."""
    # A few thousand pixels, spread by a step that shares no factor with usual widths, tell.
    pixels = picture.width * picture.height
    step = max(1, pixels // 4099)
    sample = bytes(picture.view[3 :: 4 * step])
    return sum(a >= 250 for a in sample) >= 0.98 * len(sample)


def is_plain_paper(picture: Picture) -> bool:
    """Whether it is one opaque colour all over, such as a new image's background."""
    view = picture.view
    if view[3] != 255:
        return False
    row = bytes(view[:4]) * picture.width
    stride = len(row)
    # As bytes: comparing memoryviews takes one byte at a time.
    return all(bytes(view[i * stride : (i + 1) * stride]) == row for i in range(picture.height))
