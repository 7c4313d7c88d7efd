"""Region finding on drawings with gaps, waists, spot blacks and odd sizes."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.imaging.regions import find_regions


def paper(h: int = 256, w: int = 256) -> np.ndarray:
    return np.ones((h, w), np.float32)


def test_a_closed_circle_is_two_regions() -> None:
    drawing = paper()
    cv2.circle(drawing, (128, 128), 60, 0.0, 2)
    labels = find_regions(drawing)
    assert labels.max() == 1
    assert labels[128, 128] != labels[5, 5]


def test_a_gap_in_a_circle_is_closed() -> None:
    drawing = paper()
    cv2.ellipse(drawing, (128, 128), (60, 60), 0, 6, 354, 0.0, 2)
    assert drawing[128, 188] == 1.0
    labels = find_regions(drawing)
    assert labels[128, 128] != labels[5, 5]


def test_a_wide_opening_is_not_closed() -> None:
    drawing = paper()
    cv2.ellipse(drawing, (128, 128), (60, 60), 0, 0, 180, 0.0, 2)
    labels = find_regions(drawing)
    assert labels[128, 128] == labels[5, 5]


def test_the_corners_of_a_rectangle_belong_to_it() -> None:
    drawing = paper()
    cv2.rectangle(drawing, (40, 60), (200, 180), 0.0, 2)
    labels = find_regions(drawing)
    assert labels.max() == 1
    assert len(np.unique(labels[63:178, 43:198])) == 1


def test_a_faint_pencil_line_is_a_wall() -> None:
    drawing = paper()
    drawing[:, 127:130] = 0.7
    labels = find_regions(drawing)
    assert labels[100, 20] != labels[100, 230]


def test_white_paper_and_solid_ink_are_one_region_each() -> None:
    assert find_regions(paper(64, 64)).max() == 0
    assert find_regions(np.zeros((64, 64), np.float32)).max() == 0


def test_a_poster_sized_drawing_keeps_its_size_and_regions() -> None:
    drawing = paper(2600, 2300)
    cv2.circle(drawing, (1150, 1300), 700, 0.0, 8)
    labels = find_regions(drawing)
    assert labels.shape == drawing.shape
    assert labels.max() == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 12), st.integers(0, 1 << 30))
def test_every_pixel_gets_a_label_and_no_number_is_skipped(h: int, w: int, lines: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawing = np.ones((h, w), np.float32)
    for _ in range(lines):
        a, b = rng.integers(0, [w, h]), rng.integers(0, [w, h])
        cv2.line(drawing, a.tolist(), b.tolist(), float(rng.uniform(0, 0.6)), int(rng.integers(1, 4)))
    labels = find_regions(drawing)
    assert labels.shape == (h, w)
    assert labels.min() == 0
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert np.array_equal(labels, find_regions(drawing))
