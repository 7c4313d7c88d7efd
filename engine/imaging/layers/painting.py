"""Paints flats and shading on the canvas, strip by strip, so that memory beyond the layers themselves stays bounded."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import Frame
from engine.imaging.layers.antialiasing import blend_borders
from engine.imaging.layers.enlarging import Enlargement
from engine.imaging.layers.flats import Flats

PAINTERS = 4
"""Strips painted at the same time at most."""
STRIP_PIXELS = 1 << 18
LEAST_ROWS = 16
"""Pixels of a strip at most, and its rows at least."""


def paint_layers(
    frame: Frame,
    flats: Flats,
    shading: tuple[NDArray[np.float32], NDArray[np.int32]],
    shape: tuple[int, ...],
    mask: NDArray[np.uint8] | None,
    check: Callable[[], None],
    paper: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Paint the flats, and flats and shading together, each HxWx4 with alpha and colour 0 outside the frame and mask.

    Args:
        frame: where on the canvas.
        flats: segments and their colours.
        shading: ``shading_field`` and the segments at its size.
        shape: of the canvas.
        mask: HxW, or None for everywhere.
        check: called before each strip; what it raises ends the painting.
        paper: HxW lineart of the frame, 1 = paper, to antialias borders that no ink hides; None = crisp borders.
    """
    h, w = shape
    flat_layer, colour_layer = np.zeros((h, w, 4), np.uint8), np.zeros((h, w, 4), np.uint8)
    # Four bytes at a time are copied much faster than three.
    packed = np.pad(flats.palette, ((0, 0), (0, 1)), constant_values=255).view(np.uint32)[:, 0]
    flat_words, colour_words = flat_layer.view(np.uint32)[..., 0], colour_layer.view(np.uint32)[..., 0]
    sh, sw = flats.labels.shape
    rows = (np.arange(frame.height) * 2 + 1) * sh // (2 * frame.height)
    columns = (np.arange(frame.width) * 2 + 1) * sw // (2 * frame.width)
    field = Enlargement(*shading, frame.height, frame.width)
    painters = min(PAINTERS, os.cpu_count() or 1)
    step = max(LEAST_ROWS, min(STRIP_PIXELS // frame.width, -(-frame.height // painters)))

    def antialias(
        part: tuple[int, int], segments: NDArray[np.int32], flat: NDArray[np.uint8], colour: NDArray[np.float32]
    ) -> None:
        assert paper is not None  # noqa: S101 (for the type checker)
        blend = blend_borders(flats.labels, packed, (frame.height, frame.width), part, paper[part[0] : part[1]])
        place, share = blend.y * frame.width + blend.x, blend.share[:, None]
        own = flats.palette.take(segments.ravel().take(place), axis=0).astype(np.float32)
        mixed = own + share * (flats.palette.take(blend.other, axis=0) - own)
        # Each side brings its own light and shade.
        flat, colour = flat.reshape(-1, 4), colour.reshape(-1, 4)
        shade = colour[place, :3] - own
        shade += share * (field.of_segments(blend.y + part[0], blend.x, blend.other).T - shade)
        flat[place, :3], colour[place, :3] = np.rint(mixed), mixed + shade

    def paint(start: int) -> None:
        check()
        end = min(start + step, frame.height)
        # Rows of the canvas that show the same row of the segments are looked up once.
        first, last = rows[start], rows[end - 1] + 1
        segments = flats.labels[first:last]
        if sw != frame.width:
            segments = segments.take(columns, axis=1)
        flat = packed.take(segments)
        if sh != frame.height:
            again = rows[start:end] - first
            segments, flat = segments.take(again, axis=0), flat.take(again, axis=0)
        colour = field.rows(start, end, segments)
        cv2.accumulate(flat.view(np.uint8).reshape(colour.shape), colour)
        if paper is not None:
            antialias((start, end), segments, flat.view(np.uint8).reshape(colour.shape), colour)
        there = (slice(frame.y + start, frame.y + end), slice(frame.x, frame.x + frame.width))
        flat_words[there] = flat
        # OpenCV rounds and saturates, but takes the absolute value first. Alpha is more than 255 before.
        cv2.convertScaleAbs(np.maximum(colour, 0, out=colour), dst=colour_layer[there])
        if mask is not None:
            flat_layer[there][..., 3] = colour_layer[there][..., 3] = mask[there]
            for words in (flat_words, colour_words):
                np.copyto(words[there], 0, where=mask[there] == 0)

    with ThreadPoolExecutor(painters) as pool:
        list(pool.map(paint, range(0, frame.height, step)))
    return flat_layer, colour_layer
