"""Waists and gaps: where two areas are one, and where the end of a line keeps them apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.imaging.regions.segmentation import find_regions

SIZES = (256, 512, 1024)


class Sheet:
    """White paper to draw on, in units of 1/256 of its side."""

    def __init__(self, size: int) -> None:
        self.size, self.scale = size, size / 256
        self._paper = np.full((size, size), 255, np.uint8)

    def _at(self, *values: float) -> tuple[int, ...]:
        return tuple(round(value * self.scale) for value in values)

    def circle(self, x: float, y: float, radius: float, ink: int = 0, *, filled: bool = False) -> Sheet:
        """Draw a circle of ``ink``, from 0 to 255."""
        thickness = -1 if filled else self._at(2)[0]
        cv2.circle(self._paper, self._at(x, y), self._at(radius)[0], ink, thickness)
        return self

    def line(self, *points: tuple[float, float]) -> Sheet:
        """Draw straight lines from point to point."""
        path = np.array([self._at(*point) for point in points], np.int32)
        cv2.polylines(self._paper, [path], False, 0, self._at(2)[0])
        return self

    def erase(self, x: float, y: float, radius: float) -> Sheet:
        """Make a disc white again."""
        return self.circle(x, y, radius, 255, filled=True)

    @property
    def labels(self) -> Labels:
        """The regions of what is drawn."""
        return Labels(find_regions((self._paper / np.float32(255)).astype(np.float32)), self.scale)


class Labels:
    """Regions by place, in the units of the sheet."""

    def __init__(self, labels: NDArray[np.int32], scale: float) -> None:
        self._labels, self._scale = labels, scale

    def __getitem__(self, place: tuple[float, float]) -> int:
        x, y = place
        return int(self._labels[round(y * self._scale), round(x * self._scale)])


def hourglass(size: int, opening: float) -> Sheet:
    """Two chambers, around (70, 128) and (186, 128), in one closed outline that narrows to ``opening`` between them."""
    half = opening / 2 + 1
    above = [(20, 60), (110, 60), (128, 128 - half), (146, 60), (236, 60)]
    below = [(x, 256 - y) for x, y in reversed(above)]
    return Sheet(size).line(*above, *below, above[0])


LEFT, RIGHT, OUTSIDE = (70, 128), (186, 128), (128, 20)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opening", [2, 5, 12])
def test_a_closed_area_with_a_waist_is_one_region(size: int, opening: float) -> None:
    labels = hourglass(size, opening).labels
    assert labels[LEFT] == labels[RIGHT] != labels[OUTSIDE]


@pytest.mark.parametrize("size", SIZES)
def test_a_line_that_nearly_reaches_across_parts_an_area(size: int) -> None:
    sheet = hourglass(size, 20).line((128, 117), (128, 132))
    labels = sheet.labels
    assert labels[LEFT] != labels[RIGHT]


@pytest.mark.parametrize("size", SIZES)
def test_a_figure_near_the_edge_does_not_cut_the_background(size: int) -> None:
    sheet = Sheet(size).circle(128, 128, 120)
    labels = sheet.labels
    assert labels[6, 6] == labels[250, 6] == labels[6, 250] == labels[250, 250] != labels[128, 128]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gap", [3, 6, 10])
def test_a_gap_is_closed_also_where_the_background_has_waists(size: int, gap: float) -> None:
    sheet = Sheet(size).circle(80, 128, 62).circle(200, 128, 40).erase(80, 66, gap / 2)
    labels = sheet.labels
    assert labels[80, 128] != labels[6, 6]
    assert labels[200, 128] != labels[6, 6]
    assert labels[6, 6] == labels[250, 6] == labels[250, 250]


@pytest.mark.parametrize("size", SIZES)
def test_the_end_of_a_line_beside_a_wide_waist_belongs_to_its_own_gap(size: int) -> None:
    # The gap in the circle is much narrower than the way between the circle and the edge, which it is beside.
    sheet = Sheet(size).circle(128, 100, 75).erase(128, 25, 3)
    labels = sheet.labels
    assert labels[128, 100] != labels[6, 6]
    assert labels[6, 6] == labels[250, 6]


@pytest.mark.parametrize("size", SIZES)
def test_dots_do_not_cut_what_they_lie_on(size: int) -> None:
    sheet = Sheet(size).circle(128, 128, 100)
    for x in range(48, 210, 20):
        for y in range(48, 210, 20):
            sheet.circle(x, y, 1.5, filled=True)
    labels = sheet.labels
    places = [(x, y) for x in range(78, 180, 20) for y in range(78, 180, 20)]
    assert len({labels[place] for place in places}) == 1
    assert labels[places[0]] != labels[6, 6]


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), circles=st.integers(1, 12))
def test_closed_shapes_are_never_cut(seed: int, circles: int) -> None:
    rng = np.random.default_rng(seed)
    sheet = np.full((200, 260), 255, np.uint8)
    for _ in range(circles):
        centre, radius = rng.integers(0, 200, 2).tolist(), int(rng.integers(12, 70))
        cv2.circle(sheet, centre, radius, 255, -1)
        cv2.circle(sheet, centre, radius, 0, 2)
    labels = find_regions((sheet / np.float32(255)).astype(np.float32))
    _, areas, stats, _ = cv2.connectedComponentsWithStats((sheet > 128).astype(np.uint8), connectivity=4)
    for area in range(1, len(stats)):
        if stats[area, cv2.CC_STAT_AREA] >= 40:
            assert len(np.unique(labels[np.asarray(areas) == area])) == 1
