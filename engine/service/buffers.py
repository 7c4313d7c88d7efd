"""Turns the buffers of a message into the arrays a job takes, and layers into buffers."""

from __future__ import annotations

import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import ColorizeError
from engine.imaging.files.reading import ink_to_paper
from engine.protocol.messages import CHANNELS, Buffer

Pixels = NDArray[np.uint8]


def picture(buffer: Buffer) -> Pixels:
    """The pixels of a buffer, HxW or HxWx4 in RGBA; they may be read-only.

    Raises:
        ProtocolError: they cannot be unpacked.
    """
    flat = np.frombuffer(buffer.pixels(), np.uint8)
    if CHANNELS[buffer.order] == 1:
        return flat.reshape(buffer.height, buffer.width)
    pixels = flat.reshape(buffer.height, buffer.width, 4)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)) if buffer.order == "BGRA8" else pixels


def paper(buffer: Buffer) -> NDArray[np.float32]:
    """Lineart as a job takes it: float32 HxW, 1 = paper.

    Grey pixels are the paper themselves; RGBA is ink of any colour on white or transparent, read as from a file.
    """
    pixels = picture(buffer)
    if pixels.ndim == 2:
        return np.asarray(np.divide(pixels, np.float32(255), dtype=np.float32))
    return ink_to_paper(pixels)


def strokes(buffer: Buffer, width: int, height: int) -> Pixels:
    """Hints on a transparent canvas, HxWx4: the buffer may be a part of the canvas and may reach over its edges.

    Raises:
        ColorizeError: they cover all of the canvas.
        ProtocolError: they cannot be unpacked.
    """
    pixels = _on_canvas(buffer, width, height)
    # A row or two nearly always tell.
    if pixels[0, :, 3].min() == 255 and pixels[-1, :, 3].min() == 255 and pixels[..., 3].min() == 255:
        raise ColorizeError(
            "the hints are opaque everywhere, so strokes and ground cannot be told apart",
            "paint the strokes on a transparent layer",
        )
    return pixels


def coverage(buffer: Buffer, width: int, height: int) -> Pixels:
    """A mask on the canvas, HxW; like strokes it may be a part of the canvas, and is 0 elsewhere.

    Raises:
        ProtocolError: it cannot be unpacked.
    """
    return _on_canvas(buffer, width, height)


def _on_canvas(buffer: Buffer, width: int, height: int) -> Pixels:
    pixels = picture(buffer)
    if (buffer.x, buffer.y, buffer.width, buffer.height) == (0, 0, width, height):
        return pixels
    canvas = np.zeros((height, width, *pixels.shape[2:]), np.uint8)
    left, top = max(0, buffer.x), max(0, buffer.y)
    right, bottom = min(width, buffer.x + buffer.width), min(height, buffer.y + buffer.height)
    if right > left and bottom > top:
        part = pixels[top - buffer.y : bottom - buffer.y, left - buffer.x : right - buffer.x]
        canvas[top:bottom, left:right] = part
    return canvas


def packed(layer: Pixels, *, compress: bool, order: str, trim: bool) -> tuple[tuple[int, int, int, int], str, Any]:
    """A layer as it travels.

    Args:
        layer: HxWx4, RGBA.
        compress: as zlib.
        order: ``RGBA8`` or ``BGRA8``.
        trim: only the smallest rectangle that holds all that is not transparent; one pixel where all is.

    Returns:
        Its rectangle (x, y, width, height) on the canvas, the codec and the bytes.
    """
    x, y, w, h = 0, 0, layer.shape[1], layer.shape[0]
    if trim:
        x, y, w, h = cv2.boundingRect(np.ascontiguousarray(layer[..., 3]))
        w, h = max(1, w), max(1, h)
        layer = layer[y : y + h, x : x + w]
    whole = np.ascontiguousarray(layer)
    if order == "BGRA8":
        whole = np.asarray(cv2.cvtColor(whole, cv2.COLOR_RGBA2BGRA), np.uint8)
    data = whole.reshape(-1).data
    return (x, y, w, h), *(("zlib", zlib.compress(data, 1)) if compress else ("raw", data))
