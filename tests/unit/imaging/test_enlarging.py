"""Shading brought to full size: as smooth as bilinear inside a segment, and nothing from across a border."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.imaging.layers.enlarging import Enlargement


def enlarged(field: np.ndarray, labels: np.ndarray, segments: np.ndarray, step: int) -> np.ndarray:
    """All strips of a field at the size of the segments."""
    height, width = segments.shape
    whole = Enlargement(field, labels, height, width)
    starts = range(0, height, step)
    return np.concatenate([whole.rows(y, min(y + step, height), segments[y : y + step]) for y in starts])[..., :3]


@pytest.mark.parametrize(("height", "width"), [(40, 60), (41, 67), (7, 5), (1, 9)])
def test_inside_a_segment_a_field_is_enlarged_bilinearly_whatever_the_strips(height: int, width: int) -> None:
    field = np.random.default_rng(1).normal(0, 9, (11, 13, 3)).astype(np.float32)
    labels, segments = np.full((11, 13), 4, np.int32), np.full((height, width), 4, np.int32)
    expected = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    for step in (1, 3, height):
        assert np.allclose(enlarged(field, labels, segments, step), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (6, 6)])
def test_no_shading_crosses_the_border_of_a_segment(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, shape).astype(np.int32)
    tones = np.array([[10, 0, 0], [0, 20, 0], [0, 0, -30]], np.float32)
    segments = cv2.resize(labels, (50, 40), interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.allclose(enlarged(tones[labels], labels, segments, 9), tones[segments], atol=0.01)


def test_a_segment_too_small_for_the_field_gets_no_shading() -> None:
    labels, segments = np.zeros((4, 4), np.int32), np.zeros((16, 16), np.int32)
    segments[5, 6] = 1
    out = enlarged(np.full((4, 4, 3), 7, np.float32), labels, segments, 16)
    assert not out[5, 6].any()
    assert np.allclose(out[segments == 0], 7)
