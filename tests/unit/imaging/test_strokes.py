"""What becomes of a hint layer on its way to the model and to the flats."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.imaging.canvas import padded_planes
from engine.imaging.strokes import collect_strokes, hint_map


def soft_layer(height: int, width: int) -> np.ndarray:
    """Round soft strokes of a few colours."""
    rng = np.random.default_rng(height)
    layer = np.zeros((height, width, 4), np.uint8)
    for _ in range(6):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(layer, (x, y), height // 12, (*rng.integers(0, 256, 3).tolist(), 255), -1)
    layer[..., 3] = cv2.GaussianBlur(layer[..., 3], (0, 0), height / 60)
    return layer


@pytest.mark.parametrize(("height", "width"), [(1200, 1600), (1237, 911), (1024, 1024)])
@pytest.mark.parametrize("work", [(512, 600), (300, 301)])
def test_a_large_layer_shrinks_as_its_premultiplied_area_mean(height: int, width: int, work: tuple[int, int]) -> None:
    hints = soft_layer(height, width)
    coverage = hints[..., 3:].astype(np.float32) / 255
    whole = np.concatenate([(hints[..., :3].astype(np.float32) / 127.5 - 1) * coverage, coverage], axis=2)
    mean = cv2.resize(whole, work[::-1], interpolation=cv2.INTER_AREA)
    out = hint_map(hints, *work)
    assert np.allclose(out[..., 3], np.minimum(1, 3 * mean[..., 3]), atol=1e-5)
    painted = mean[..., 3] > 0.01
    ratio = (out[..., 3] / np.maximum(mean[..., 3], 1e-6))[painted]
    assert np.allclose(out[painted, :3], mean[painted, :3] * ratio[:, None], atol=1e-5)


def test_the_memory_layout_of_a_layer_does_not_matter() -> None:
    hints = soft_layer(90, 70)
    other = np.ascontiguousarray(hints.transpose(2, 0, 1)).transpose(1, 2, 0)
    window = np.pad(hints, ((3, 5), (2, 7), (0, 0)))[3:-5, 2:-7]
    for same in (other, window):
        assert np.array_equal(hint_map(same, 40, 30), hint_map(hints, 40, 30))
        assert np.array_equal(collect_strokes(same).piece, collect_strokes(hints).piece)


def test_strokes_at_both_ends_of_neighbouring_rows_are_two() -> None:
    hints = np.zeros((6, 9, 4), np.uint8)
    hints[2, 7:] = hints[3, :2] = (9, 8, 7, 255)
    strokes = collect_strokes(hints)
    assert len(strokes.palette) == 1
    assert strokes.ys.tolist() == [2, 2, 3, 3]
    assert strokes.xs.tolist() == [7, 8, 0, 1]
    assert strokes.piece[0] == strokes.piece[1] != strokes.piece[2] == strokes.piece[3]


def test_parts_of_one_stroke_in_two_colours_are_two_pieces() -> None:
    hints = np.zeros((4, 8, 4), np.uint8)
    hints[1, 1:4], hints[1, 4:7] = (1, 2, 3, 255), (3, 2, 1, 200)
    strokes = collect_strokes(hints)
    assert strokes.palette[strokes.colour].tolist() == [[1, 2, 3]] * 3 + [[3, 2, 1]] * 3
    assert len(set(strokes.piece.tolist())) == 2


def test_planes_are_padded_with_the_last_row_and_column() -> None:
    picture = np.random.default_rng(0).random((3, 5, 4), np.float32)
    planes = padded_planes(picture, 4, 7)
    assert planes.shape == (4, 4, 7)
    assert np.array_equal(planes[:, :3, :5], picture.transpose(2, 0, 1))
    assert np.array_equal(planes[:, 3, 5:], np.repeat(picture[2, 4][:, None], 2, axis=1))
