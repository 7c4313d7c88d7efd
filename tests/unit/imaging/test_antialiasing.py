"""Antialiased borders between flats, against the area that each colour really covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.imaging.layers.antialiasing import blend_borders

SIDE = 48
Inside = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def sampled(inside: Inside, side: int = SIDE) -> NDArray[np.int32]:
    """Segment 1 where the middle of a pixel is inside a shape, else 0."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    return inside(y, x).astype(np.int32)


def covered(inside: Inside, scale: int) -> NDArray[np.float64]:
    """The part of each pixel of a canvas ``scale`` times as large that a shape covers, by 16x16 samples."""
    at = (np.arange(SIDE * scale * 16) + 0.5) / (16 * scale) - 0.5
    found = inside(at[:, None], at[None])
    return found.reshape(SIDE * scale, 16, SIDE * scale, 16).mean(axis=(1, 3))


def smooth(labels: NDArray[np.int32], scale: int = 1, strip: int | None = None) -> NDArray[np.float64]:
    """How much of segment 1 each pixel of the canvas has, of two segments 0 and 1."""
    side = labels.shape[0] * scale
    made = np.kron(labels, np.ones((scale, scale)))
    for start in range(0, side, strip or side):
        end = min(side, start + (strip or side))
        paper = np.ones((end - start, side), np.float32)
        found = blend_borders(labels, np.array([7, 9], np.uint32), (side, side), (start, end), paper)
        rows = found.y + start
        made[rows, found.x] += found.share * (found.other - made[rows, found.x])
    return made


def half_plane(angle: float, shift: float) -> Inside:
    """All to one side of a line through about the middle."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return lambda y, x: (x - SIDE / 2 - shift) * cosine + (y - SIDE / 2) * sine > 0


@settings(max_examples=20)
@given(st.floats(10, 38), st.sampled_from([1, 2, 3]))
def test_a_slanting_border_is_covered_as_by_a_straight_line_at_any_scale(degrees: float, scale: int) -> None:
    inner = slice(6 * scale, -6 * scale)
    off, jagged, area = [], [], []
    # With slopes like 1 to 2 the same pixels stand for lines up to half a pixel apart: only the mean over them is to be
    # had, whatever is drawn.
    for shift in np.arange(8) / 8:
        shape = half_plane(np.radians(degrees), shift)
        labels, truth = sampled(shape), covered(shape, scale)
        made = smooth(labels, scale)
        off.append(np.abs(made - truth)[inner, inner].sum())
        jagged.append(np.abs(np.kron(labels, np.ones((scale, scale))) - truth)[inner, inner].sum())
        area.append((made - truth)[inner, inner].sum() / (SIDE - 12) / scale**2)
    assert np.mean(off) < 0.6 * np.mean(jagged)
    # What one side loses the other wins: the border does not move, in pixels of the segments.
    assert abs(np.mean(area)) < 0.06


@pytest.mark.parametrize("width", [1, 2, 3, 7])
@pytest.mark.parametrize("scale", [1, 2])
def test_an_upright_stripe_stays_as_it_is_however_thin(width: int, scale: int) -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    labels[:, 20 : 20 + width] = 1
    made = smooth(labels, scale)
    assert np.abs(made - np.kron(labels, np.ones((scale, scale)))).max() < 0.02


@pytest.mark.parametrize("radius", [2, 4, 8, 20])
def test_a_dot_keeps_nearly_all_of_its_area(radius: int) -> None:
    labels = sampled(lambda y, x: (x - 23.3) ** 2 + (y - 23.6) ** 2 < radius**2)
    assert smooth(labels).sum() == pytest.approx(labels.sum(), rel=0.12)


def test_only_pixels_at_a_border_change_and_none_under_solid_ink() -> None:
    shape = half_plane(0.4, 0.2)
    labels = sampled(shape)
    paper = np.ones(labels.shape, np.float32)
    found = blend_borders(labels, np.array([1, 2], np.uint32), labels.shape, (0, SIDE), paper)
    distance = np.abs((found.x - SIDE / 2 - 0.2) * np.cos(0.4) + (found.y - SIDE / 2) * np.sin(0.4))
    assert len(found.y) > SIDE // 2
    assert distance.max() < 2
    assert (found.share > 0).all()
    assert (found.share <= 1).all()
    paper[:, : SIDE // 2] = 0.1
    hidden = blend_borders(labels, np.array([1, 2], np.uint32), labels.shape, (0, SIDE), paper)
    assert 0 < len(hidden.x) < len(found.x)
    assert hidden.x.min() >= SIDE // 2


def test_segments_of_one_colour_have_no_border_between_them() -> None:
    labels = sampled(half_plane(0.4, 0.2))
    found = blend_borders(
        labels, np.array([5, 5], np.uint32), labels.shape, (0, SIDE), np.ones(labels.shape, np.float32)
    )
    assert len(found.y) == len(found.share) == 0


@pytest.mark.parametrize("scale", [1, 3])
def test_strips_give_what_the_whole_gives(scale: int) -> None:
    labels = sampled(lambda y, x: (x - 23.3) ** 2 + (y - 20.6) ** 2 < 17**2)
    assert np.array_equal(smooth(labels, scale), smooth(labels, scale, strip=17))
