"""Flooding over drawings: widest passages first, lines last, every pixel labelled."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.imaging.regions.flood import INK, flood, landscape, level_of, reached


def two_marks(shape: tuple[int, int], first: tuple[int, int], second: tuple[int, int]) -> np.ndarray:
    markers = np.zeros(shape, np.int32)
    markers[first], markers[second] = 1, 2
    return markers


def test_two_labels_meet_at_the_gap_in_a_line_however_far_it_is_from_them() -> None:
    drawing = np.ones((200, 300), np.float32)
    drawing[:, 200:203] = 0
    drawing[90:102, 200:203] = 1
    labels = flood(landscape(drawing, 1.0), two_marks(drawing.shape, (100, 20), (100, 280)))
    # By distance alone the second would reach far into the room on the left.
    assert (labels[:, :198] == 1).all()
    assert (labels[:, 206:] == 2).all()


@pytest.mark.parametrize(("h", "w"), [(1000, 1200), (1001, 1201)])
def test_on_a_large_picture_labels_meet_at_a_gap_and_marks_of_a_single_pixel_keep_theirs(h: int, w: int) -> None:
    drawing = np.ones((h, w), np.float32)
    drawing[:, 800:803] = 0
    drawing[480:500, 800:803] = 1
    markers = two_marks(drawing.shape, (490, 20), (490, w - 1))
    markers[31, 33], markers[h - 1, 601] = 3, 4
    labels = flood(landscape(drawing, h / 512), markers)
    assert (labels[markers > 0] == markers[markers > 0]).all()
    assert (labels[:, 806:] == 2).all()
    assert not (labels[:, :798] == 2).any()


def test_a_line_is_crossed_where_nothing_else_leads() -> None:
    drawing = np.ones((100, 100), np.float32)
    cv2.circle(drawing, (50, 50), 20, 0.0, 2)
    markers = np.zeros(drawing.shape, np.int32)
    markers[5, 5] = 7
    assert (flood(landscape(drawing, 1.0), markers) == 7).all()


def test_of_two_lines_the_fainter_one_is_crossed() -> None:
    drawing = np.ones((60, 120), np.float32)
    drawing[:, 40:43], drawing[:, 80:83] = 0.0, 0.45
    labels = flood(landscape(drawing, 1.0), two_marks(drawing.shape, (30, 20), (30, 100)))
    assert labels[30, 60] == 2


def test_open_paper_lies_low_and_dark_ink_highest() -> None:
    drawing = np.ones((100, 100), np.float32)
    drawing[:, 50:52], drawing[:, 90:92] = 0.0, 0.4
    levels = landscape(drawing, 1.0)
    assert levels[50, 20] == 0
    assert levels[50, 49] == level_of(1.0)
    assert levels[50, 50] == 255
    assert INK < levels[50, 90] < 255


def test_a_stroke_reaches_through_wide_passages_first() -> None:
    drawing = np.ones((120, 120), np.float32)
    drawing[:, 60:62] = 0
    drawing[50:60, 60:62] = 1
    levels = landscape(drawing, 1.0)
    marked = np.zeros(drawing.shape, np.bool_)
    marked[20, 20] = True
    assert not reached(levels, marked, level_of(8.0))[20, 100]
    assert reached(levels, marked, level_of(2.0))[20, 100]


def test_nothing_marked_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is marked"):
        flood(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.int32))


@settings(max_examples=60)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 6), st.integers(0, 1 << 30))
def test_every_pixel_gets_a_label_that_was_marked_and_marks_keep_theirs(h: int, w: int, marks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawing = rng.choice([0.0, 0.5, 1.0], (h, w), p=[0.1, 0.1, 0.8]).astype(np.float32)
    markers = np.zeros((h, w), np.int32)
    for label in range(1, marks + 1):
        markers[rng.integers(0, h), rng.integers(0, w)] = label
    levels = landscape(drawing, float(rng.uniform(0.2, 5)))
    labels = flood(levels, markers)
    assert labels.shape == (h, w)
    assert np.isin(labels, markers[markers > 0]).all()
    assert (labels[markers > 0] == markers[markers > 0]).all()
    assert np.array_equal(labels, flood(levels, markers))
