"""Floods labels over a drawing from marked pixels: the widest passages first, gaps late, lines last.

The drawing becomes a landscape: open paper lies low, paper between close lines higher, ink highest. A watershed (Meyer
1994) lets the labels rise in it, so that two that compete for a pixel meet at the narrowest place between them: at the
gap in a line, whatever its width. That is what Sykora et al. 2009 (LazyBrush) and Fourey et al. 2018 aim at, too.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import highest_of_four
from engine.imaging.regions.segmentation import distance_to_ink

OPEN = 14.0
"""Distance to the nearest ink, in units of 1/512 of the short side, from which paper counts as fully open."""
PER_HALVING = 8
"""Levels by which the landscape rises when that distance halves."""
INK = 128
"""Lowest level of ink."""
_FINE = 8
"""Distances are looked up in steps of 1/8 unit."""


def level_of(distance: float) -> int:
    """Level of paper that is ``distance`` units away from ink."""
    return int(np.clip(PER_HALVING * np.log2(OPEN / max(distance, 0.5)), 0, INK - 1))


LARGE = 1_000_000
"""A picture with more pixels is flooded at half size first, and then only near where labels met."""
_LEVELS = np.array([level_of(i / _FINE) for i in range(256)], np.uint8)


def landscape(
    lineart: NDArray[np.float32], unit: float, distance: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]:
    """Turn a drawing into levels: 0 open paper, rising towards lines, ``INK`` to 255 ink by its darkness.

    Args:
        lineart: HxW in [0, 1], 1 = paper.
        unit: pixels per unit; 1 for a picture with a short side of 512.
        distance: HxW ``distance_to_ink`` of it when the caller has it already.
    """
    distance = distance_to_ink(lineart) if distance is None else distance
    levels = cv2.LUT(cv2.convertScaleAbs(distance, alpha=_FINE / unit), _LEVELS)
    # cv2.convertScaleAbs rounds and saturates; darkness 0 maps to INK and 1 to 255.
    darkness = cv2.convertScaleAbs(lineart, alpha=-(255 - INK), beta=255)
    return np.asarray(np.where(distance == 0, np.maximum(darkness, INK), levels), np.uint8)


def flood(levels: NDArray[np.uint8], markers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Flood every pixel from the marked ones.

    Args:
        levels: HxW from ``landscape``.
        markers: HxW, labels from 1, 0 where nothing is marked. At least one pixel must be marked.

    Returns:
        HxW labels from 1.

    Raises:
        ValueError: nothing is marked.
    """
    h, w = levels.shape
    if not markers.any():
        raise ValueError("nothing is marked")
    if h * w > LARGE and markers.max() < np.iinfo(np.int16).max:
        markers = np.where(markers > 0, markers, _flooded_before(levels, markers))
    # OpenCV floods by the difference between neighbours. Levels on the white or on the black squares of a chessboard,
    # in two channels, make that difference the higher of both levels.
    board = np.zeros((h + 2, w + 2, 3), np.uint8)
    framed = np.pad(levels, 1, mode="edge")
    board[::2, ::2, 0], board[1::2, 1::2, 0] = framed[::2, ::2], framed[1::2, 1::2]
    board[::2, 1::2, 1], board[1::2, ::2, 1] = framed[::2, 1::2], framed[1::2, ::2]
    labels: NDArray[np.int32] = np.array(cv2.watershed(board, np.pad(markers, 1)), np.int32)[1:-1, 1:-1]
    _fill_seams(labels)
    return labels


def _flooded_before(levels: NDArray[np.uint8], markers: NDArray[np.int32]) -> NDArray[np.int32]:
    """Flood at half size; HxW labels where that leaves no doubt, 0 within some pixels of where two labels meet."""
    h, w = levels.shape
    small = flood(highest_of_four(levels), highest_of_four(markers)).astype(np.int16)
    around = np.ones((3, 3), np.uint8)
    sure = np.where(cv2.dilate(small, around) == cv2.erode(small, around), small, 0)
    return np.asarray(sure.repeat(2, axis=0).repeat(2, axis=1)[:h, :w], np.int32)


def _fill_seams(labels: NDArray[np.int32]) -> None:
    """Give the one pixel wide seams (-1) between labels to a neighbour; in place."""
    h, w = labels.shape
    while True:
        ys, xs = np.nonzero(labels <= 0)
        if len(ys) == 0:
            return
        best = np.zeros(len(ys), np.int32)
        for dy, dx in ((0, -1), (-1, 0), (0, 1), (1, 0)):
            y, x = np.clip(ys + dy, 0, h - 1), np.clip(xs + dx, 0, w - 1)
            best = np.where(best > 0, best, labels[y, x])
        labels[ys, xs] = best


def reached(levels: NDArray[np.uint8], marked: NDArray[np.bool_], highest: int) -> NDArray[np.bool_]:
    """Mark the pixels that a marked one reaches without rising above the level ``highest``; HxW bool."""
    low = levels <= highest
    count, parts = cv2.connectedComponents(low.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    touched = np.zeros(count, np.bool_)
    touched[np.asarray(parts)[marked]] = True
    touched[0] = False
    return np.asarray(touched[parts], np.bool_)
