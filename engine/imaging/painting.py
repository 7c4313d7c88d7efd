"""Paints flats and shading on the canvas, strip by strip, so that memory beyond the layers themselves stays bounded."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import Frame
from engine.imaging.flats import Flats
from engine.imaging.shading import STRIP, enlarge_strip

PAINTERS = 4
"""Strips painted at the same time at most; each needs some 100 MB on the largest canvases."""


def paint_layers(
    frame: Frame,
    flats: Flats,
    shading: tuple[NDArray[np.float32], NDArray[np.int32]],
    shape: tuple[int, ...],
    mask: NDArray[np.uint8] | None,
    check: Callable[[], None],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint the flats, and flats and shading together, each HxWx4 with alpha and colour 0 outside the frame and mask.

    Args:
        frame: where on the canvas.
        flats: segments and their colours.
        shading: ``shading_field`` and the segments at its size.
        shape: of the canvas.
        mask: HxW, or None for everywhere.
        check: called before each strip; what it raises ends the painting.
    """
    h, w = shape
    flat_layer, colour_layer = np.zeros((h, w, 4), np.uint8), np.zeros((h, w, 4), np.uint8)
    field, small = shading
    sh, sw = flats.labels.shape
    columns = (np.arange(frame.width) * 2 + 1) * sw // (2 * frame.width)
    palette = flats.palette.astype(np.float32)
    # Four bytes at a time are copied much faster than three.
    packed = np.pad(flats.palette, ((0, 0), (0, 1)), constant_values=255).view(np.uint32)[:, 0]

    def paint(start: int) -> None:
        check()
        end = min(start + STRIP, frame.height)
        rows = (np.arange(start, end) * 2 + 1) * sh // (2 * frame.height)
        segments = flats.labels[rows]
        if sw != frame.width:
            segments = segments.take(columns, axis=1)
        shaded = enlarge_strip(field, small, segments, (start, end), frame.height)
        shaded += palette.take(segments, axis=0)
        # OpenCV rounds and saturates, but takes the absolute value first.
        colour = cv2.cvtColor(cv2.convertScaleAbs(np.maximum(shaded, 0, out=shaded)), cv2.COLOR_RGB2RGBA)
        there = (slice(frame.y + start, frame.y + end), slice(frame.x, frame.x + frame.width))
        flat_layer[there] = packed.take(segments).view(np.uint8).reshape(colour.shape)
        colour_layer[there] = colour
        if mask is not None:
            for layer in (flat_layer[there], colour_layer[there]):
                layer[..., 3] = mask[there]
                layer[mask[there] == 0] = 0

    with ThreadPoolExecutor(min(PAINTERS, os.cpu_count() or 1)) as pool:
        list(pool.map(paint, range(0, frame.height, STRIP)))
    return flat_layer, colour_layer
