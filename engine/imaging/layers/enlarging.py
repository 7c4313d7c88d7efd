"""Brings a shading field to full size without crossing lines, some rows of the canvas at a time."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_WEIGHT = 0.01
"""Added to the weight of each neighbour of the same segment, so that a far one counts where it is alone."""


def between(size: int, full: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of ``full`` pixels the one of ``size`` before it, and how far it is on the way to the next."""
    at = np.clip((np.arange(full) + 0.5) * size / full - 0.5, 0, size - 1)
    before = np.minimum(at.astype(np.int64), max(size - 2, 0))
    return before, (at - before).astype(np.float32)


class Enlargement:
    """A shading field at full size; where segments meet, a pixel takes only from neighbours of its own segment.

    Args:
        field: hxwx3, the field at the model's size.
        labels: hxw segments at the model's size.
        height: full height.
        width: full width.
    """

    def __init__(self, field: NDArray[np.float32], labels: NDArray[np.int32], height: int, width: int) -> None:
        h, w = labels.shape
        self._width = width
        # Four channels are handled faster than three. Enlarging is separable, and rows of a strip could not be
        # enlarged by themselves: their pixels would lie elsewhere.
        four = cv2.cvtColor(field, cv2.COLOR_RGB2RGBA)
        self._tall = cv2.resize(four, (w, height), interpolation=cv2.INTER_LINEAR)
        (self._top, self._down), (self._left, self._right) = between(h, height), between(w, width)
        self._steps = (0, min(1, w - 1), w * min(1, h - 1), w * min(1, h - 1) + min(1, w - 1))
        self._labels, self._planes = labels.ravel(), np.ascontiguousarray(field.reshape(-1, 3).T)
        same = np.ones((h, w), np.bool_)
        same[:, :-1] &= labels[:, :-1] == labels[:, 1:]
        same[:-1] &= labels[:-1] == labels[1:]
        same[:-1, :-1] &= labels[:-1, :-1] == labels[1:, 1:]
        self._whole = np.where(same, labels, np.int32(-1))
        """The segment of all four neighbours, or -1."""

    def rows(self, start: int, end: int, segments: NDArray[np.int32]) -> NDArray[np.float32]:
        """Enlarge some rows.

        Args:
            start: first row at full size.
            end: last row and one.
            segments: their segments, rows x width.

        Returns:
            rows x width x 4, the fourth channel 1.
        """
        out = np.asarray(
            cv2.resize(self._tall[start:end], (self._width, end - start), interpolation=cv2.INTER_LINEAR), np.float32
        )
        top = self._top[start:end]
        # Several rows of the canvas lie between the same two of the field.
        whole = self._whole[top[0] : top[-1] + 1].take(self._left, axis=1).take(top - top[0], axis=0)
        places = np.flatnonzero(whole != segments)
        if len(places):
            y, x = np.divmod(places, self._width)
            values = self.of_segments(y + start, x, segments.ravel().take(places))
            flat = out.reshape(-1, 4)
            for channel, plane in enumerate(values):
                flat[places, channel] = plane
        return out

    def of_segments(self, y: NDArray[np.int64], x: NDArray[np.int64], own: NDArray[np.int32]) -> NDArray[np.float32]:
        """Value of N pixels at full size from those of their four neighbours that are of a given segment, as 3xN."""
        first = self._top.take(y) * self._whole.shape[1] + self._left.take(x)
        down, right = self._down.take(y), self._right.take(x)
        up, left = 1 - down, 1 - right
        total, weights = np.zeros((3, len(own)), np.float32), np.full(len(own), 1e-6, np.float32)
        for step, part in zip(self._steps, (up * left, up * right, down * left, down * right), strict=True):
            place = first + step
            part += np.float32(LEAST_WEIGHT)
            part *= self._labels.take(place) == own
            weights += part
            for plane, values in zip(total, self._planes, strict=True):
                plane += values.take(place) * part
        total /= weights
        return total
