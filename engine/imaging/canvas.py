"""Canvas geometry: which part of the canvas a job works on, at what size, and the one way to resize each kind of array.

Everything is defined by pixel centres: area means for shrinking pictures and coverage, bicubic for enlarging pictures,
nearest for labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CONTEXT_MARGIN = 0.25
"""Part of the mask's longer side that is added around it, for the model to see what it joins."""
LEAST_MARGIN = 16
LARGEST_ZOOM = 4.0
"""A frame is enlarged at most this much to reach the working size."""
LONGEST = 3.0
"""The long working side is at most this many wanted sizes: banners are worked on at a smaller scale."""


@dataclass(frozen=True)
class Frame:
    """A window of the canvas and the size it is worked on at.

    Attributes:
        y, x: top left corner on the canvas, in pixels.
        height, width: size on the canvas.
        work_height, work_width: size at working resolution, before padding.
        padded_height, padded_width: the same, padded at the bottom and right to the model's stride.
    """

    y: int
    x: int
    height: int
    width: int
    work_height: int
    work_width: int
    padded_height: int
    padded_width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the frame in a canvas array."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def scale(self) -> float:
        """Working pixels per canvas pixel."""
        return min(self.work_height, self.work_width) / min(self.height, self.width)


def mask_box(mask: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Bounding box ``(top, left, bottom, right)``, ends exclusive, of an HxW mask with at least one pixel set."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def choose_frame(shape: tuple[int, int], mask: NDArray[np.uint8] | None, size: int, stride: int) -> Frame:
    """Choose the window and working size of a job.

    Args:
        shape: canvas height and width.
        mask: HxW, nonzero where to colour, with at least one such pixel; None = everywhere.
        size: wanted short side at working resolution, in pixels.
        stride: what the padded size must be a multiple of.
    """
    h, w = shape
    top, left, bottom, right = (0, 0, h, w) if mask is None else mask_box(mask)
    if mask is not None:
        margin = max(LEAST_MARGIN, round(CONTEXT_MARGIN * max(bottom - top, right - left)))
        top, left = max(0, top - margin), max(0, left - margin)
        bottom, right = min(h, bottom + margin), min(w, right + margin)
    fh, fw = bottom - top, right - left
    scale = min(size / min(fh, fw), LONGEST * size / max(fh, fw), LARGEST_ZOOM)
    wh, ww = max(1, round(fh * scale)), max(1, round(fw * scale))
    return Frame(top, left, fh, fw, wh, ww, -(-wh // stride) * stride, -(-ww // stride) * stride)


def _resize(array: NDArray[Any], height: int, width: int, growing: int) -> NDArray[Any]:
    """Area mean where the array shrinks, the OpenCV interpolation ``growing`` where it grows."""
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else growing
    return np.asarray(cv2.resize(array, (width, height), interpolation=interpolation), array.dtype)


def resize_picture(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize HxW or HxWxC, float or uint8: area mean to shrink, bicubic to grow (floats are not clipped)."""
    return _resize(array, height, width, cv2.INTER_CUBIC)


def resize_coverage(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resize HxW or HxWxC coverage or premultiplied colour: area mean where it shrinks, bilinear where it grows."""
    return _resize(array, height, width, cv2.INTER_LINEAR)


def resize_labels(labels: NDArray[np.int32], height: int, width: int) -> NDArray[np.int32]:
    """Resize HxW integer labels to the nearest pixel centre."""
    if labels.shape[:2] == (height, width):
        return labels
    return np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.int32)


def mean_rows(height: int, shrunk: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The area mean over rows: which rows go into each, and how much of them, as where OpenCV shrinks a picture.

    Args:
        height: rows there are.
        shrunk: rows that are wanted.

    Returns:
        Per wanted row the first that goes into it, and the shares of that and those after it, 0 for some at the end.
    """
    scale = height / shrunk
    top = np.arange(shrunk)[:, None] * scale
    first = top.astype(np.int64)
    row = first + np.arange(int(scale) + 2)
    share = np.minimum(top + scale, row + 1) - np.maximum(top, row)
    # OpenCV leaves out such slivers, too.
    share[share <= 1e-3] = 0
    return first[:, 0], (share / scale).astype(np.float32)


def highest_of_four(values: NDArray[Any]) -> NDArray[Any]:
    """The highest of each 2x2 pixels of an HxW array, at half its size; an odd last row or column is doubled."""
    padded = np.pad(values, [(0, side % 2) for side in values.shape], mode="edge")
    rows = np.maximum(padded[::2], padded[1::2])
    return np.asarray(np.maximum(rows[:, ::2], rows[:, 1::2]))


def pad_to(array: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Repeat the last row and column of HxW or HxWxC until it is height x width."""
    down, right = height - array.shape[0], width - array.shape[1]
    if not down and not right:
        return array
    return np.asarray(cv2.copyMakeBorder(array, 0, down, 0, right, cv2.BORDER_REPLICATE), array.dtype)


def padded_planes(array: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """HxW or HxWxC as Cxheightxwidth, padded as by ``pad_to``."""
    padded = pad_to(array, height, width)
    if padded.ndim == 2:
        return padded[None]
    # OpenCV takes pixels apart much faster than numpy transposes.
    out = np.empty((padded.shape[2], height, width), np.float32)
    for channel, plane in enumerate(out):
        cv2.extractChannel(padded, channel, dst=plane)
    return out
