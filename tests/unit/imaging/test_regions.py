"""Region finding on drawings with gaps, waists, spot blacks and odd sizes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.imaging.regions.segmentation import find_regions


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


def test_a_slot_belongs_to_what_it_opens_to_and_not_to_the_oldest_region_there() -> None:
    drawing = paper(512, 512)
    # Sky and ground meet at a gap; a figure on the ground has a slot that only small balls get into.
    drawing[240:243] = 0
    drawing[240:243, 20:32] = 1
    figure = np.array([(300, 300), (340, 300), (340, 400), (347, 400), (347, 300), (390, 300), (390, 440), (300, 440)])
    cv2.polylines(drawing, [figure.astype(np.int32)], True, 0.0, 2)
    drawing[299:302, 341:347] = 1
    labels = find_regions(drawing)
    sky, ground, slot, inside = labels[100, 250], labels[480, 250], labels[380, 343], labels[420, 320]
    assert len({sky, ground, inside}) == 3
    assert slot == ground


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


@settings(max_examples=40)
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


def opened(shape: str, side: int, line: int, opening: int, at: tuple[int, int]) -> np.ndarray:
    """A circle or box with an opening so wide, with square ends, in its right side."""
    drawing = paper(2 * side, 2 * side + 40)
    x, y, reach = side + at[0], side + at[1], side // 2
    if shape == "circle":
        cv2.circle(drawing, (x, y), reach, 0.0, line)
    else:
        cv2.rectangle(drawing, (x - reach, y - reach), (x + reach, y + reach), 0.0, line)
    drawing[y - opening // 2 : y - opening // 2 + opening, x + reach // 2 :] = 1
    return drawing


@settings(max_examples=30)
@given(
    st.sampled_from(["circle", "box"]),
    st.sampled_from([120, 333, 700]),
    st.integers(2, 9),
    st.floats(0.01, 0.3),
    st.tuples(st.integers(-15, 15), st.integers(-15, 15)),
)
def test_a_given_gap_closes_what_is_narrower_and_nothing_that_is_wider(
    shape: str, side: int, line: int, share: float, at: tuple[int, int]
) -> None:
    opening = max(2, round(share * side))
    drawing, slack = opened(shape, side, line, opening, at), 2 + round(0.04 * opening)
    x, y = side + at[0], side + at[1]

    def apart(gap: float) -> bool:
        labels = find_regions(drawing, gap=gap)
        return bool(labels[y, x] != labels[2, 2])

    assert apart(opening + slack)
    assert apart(3 * opening + slack)
    assert not apart(max(0, opening - slack))
    assert not apart(0)


@pytest.mark.parametrize(
    ("opening", "gap", "wanted"), [(60, 70, True), (60, 50, False), (12, 24, True), (16, 0, False)]
)
def test_a_given_gap_is_of_the_canvas_also_where_regions_are_found_on_a_smaller_one(
    opening: int, gap: int, wanted: bool
) -> None:
    labels = find_regions(opened("box", 1800, 12, opening, (0, 0)), gap=gap)
    assert labels.shape == (3600, 3640)
    assert (labels[1800, 1800] != labels[5, 5]) == wanted


def test_a_closed_area_too_narrow_for_the_given_gap_is_still_a_region() -> None:
    drawing = paper(400, 400)
    cv2.circle(drawing, (200, 200), 120, 0.0, 3)
    cv2.rectangle(drawing, (185, 150), (195, 250), 0.0, 2)
    labels = find_regions(drawing, gap=60)
    assert len({int(labels[5, 5]), int(labels[200, 130]), int(labels[200, 190])}) == 3
    assert labels.max() == 2


@pytest.mark.parametrize("gap", [0, 1, 30, 1000])
def test_any_gap_leaves_blank_paper_ink_and_tiny_drawings_whole(gap: int) -> None:
    assert find_regions(paper(64, 64), gap=gap).max() == 0
    assert find_regions(np.zeros((64, 64), np.float32), gap=gap).max() == 0
    assert find_regions(np.eye(3, dtype=np.float32), gap=gap).shape == (3, 3)
