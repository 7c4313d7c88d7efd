"""Forms found from lines: known solids, details that dent nothing, who is in front, and ground that stays flat."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.imaging.form import Form, find_form
from engine.imaging.form.multigrid import Grid, solve
from engine.imaging.regions.segmentation import find_ink, find_regions

SIZE = 256
SHIFT = 4


class Sheet:
    """White paper of SIZE x SIZE to draw smooth lines on."""

    def __init__(self, size: int = SIZE) -> None:
        self.paper = np.full((size, size), 255, np.uint8)

    def circle(self, x: float, y: float, radius: float, *, covering: bool = False) -> Sheet:
        """Draw a circle, over what is there or in front of it."""
        t = np.linspace(0, 2 * np.pi, 200)
        return self.line(np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], 1), covering=covering)

    def line(self, points: NDArray[np.float64], *, covering: bool = False) -> Sheet:
        """Draw a line through Nx2 points."""
        fixed = np.rint(points * (1 << SHIFT)).astype(np.int32)[:, None]
        if covering:
            cv2.fillPoly(self.paper, [fixed], 255, cv2.LINE_AA, SHIFT)
        cv2.polylines(self.paper, [fixed], False, 0, 2, cv2.LINE_AA, SHIFT)
        return self

    def form(self) -> Form:
        """The form of what was drawn, by the real regions."""
        lineart = np.divide(self.paper, 255, dtype=np.float32)
        return find_form(find_regions(lineart), find_ink(lineart))


def angles(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Degrees between unit vectors."""
    return np.asarray(np.degrees(np.arccos(np.clip((one * other).sum(axis=-1), -1, 1))), np.float32)


def sphere(x: float, y: float, radius: float, size: int = SIZE) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """True normals of a sphere, and where it is."""
    gy, gx = np.mgrid[:size, :size].astype(np.float32)
    u, v = (gx - x) / radius, (gy - y) / radius
    inside = u * u + v * v < 1
    return np.stack([u, -v, np.sqrt(np.maximum(1 - u * u - v * v, 0))], axis=2), inside


@settings(max_examples=20, deadline=None)
@given(st.floats(20, 110), st.floats(-10, 10), st.floats(-10, 10))
def test_a_circle_becomes_a_sphere(radius: float, dx: float, dy: float) -> None:
    x, y = 128 + dx, 128 + dy
    truth, inside = sphere(x, y, radius)
    found = Sheet().circle(x, y, radius).form()
    assert angles(found.surface.normals, truth)[inside].mean() < 6
    assert found.surface.height.max() == pytest.approx(radius, rel=0.12)


@pytest.mark.parametrize("turn", [0, 30, 90])
def test_a_rod_between_flat_ends_becomes_a_cylinder(turn: float) -> None:
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    corners = np.array([[-100, -28], [100, -28], [100, 28], [-100, 28], [-100, -28]], np.float64)
    found = Sheet().line(corners @ np.array([[c, s], [-s, c]]) + 128).form()
    gy, gx = np.mgrid[:SIZE, :SIZE].astype(np.float32) - 128
    along, across = gx * c + gy * s, (gy * c - gx * s) / 28
    inside = (np.abs(along) < 98) & (np.abs(across) < 1)
    deep = np.sqrt(np.maximum(1 - across**2, 0))
    truth = np.stack([-across * s, -across * c, deep], axis=2).astype(np.float32)
    assert angles(found.surface.normals, truth)[inside].mean() < 6


@settings(max_examples=10, deadline=None)
@given(st.floats(-40, 40), st.floats(-40, 40), st.floats(8, 22))
def test_a_button_dents_nothing(dx: float, dy: float, radius: float) -> None:
    plain = Sheet().circle(128, 128, 100).form()
    buttoned = Sheet().circle(128, 128, 100).circle(128 + dx, 128 + dy, radius).form()
    gy, gx = np.mgrid[:SIZE, :SIZE]
    beside = (np.hypot(gx - 128, gy - 128) < 96) & (np.hypot(gx - 128 - dx, gy - 128 - dy) > radius + 4)
    assert angles(plain.surface.normals, buttoned.surface.normals)[beside].max() < 3
    assert len(np.unique(buttoned.bodies)) == 2


def test_hatching_makes_no_bumps() -> None:
    truth, inside = sphere(128, 128, 100)
    sheet = Sheet().circle(128, 128, 100)
    for x in range(90, 170, 6):
        half = float(np.sqrt(100**2 - (x - 128) ** 2))
        sheet.line(np.array([[x, 128 - half], [x, 128 + half]], np.float64))
    found = sheet.form()
    within = inside & (truth[..., 2] > 0.3)
    assert angles(found.surface.normals, truth)[within].mean() < 15


def test_a_face_within_a_head_does_not_pillow() -> None:
    truth, inside = sphere(128, 128, 100)
    sheet = Sheet().circle(128, 128, 100)
    for x in (98, 158):
        sheet.circle(x, 110, 16).circle(x, 110, 8)
    sheet.line(np.array([[105, 170], [128, 178], [151, 170]], np.float64))
    assert angles(sheet.form().surface.normals, truth)[inside].mean() < 6


def test_what_the_outline_runs_on_around_is_in_front() -> None:
    found = Sheet().circle(150, 105, 60).circle(100, 150, 62, covering=True).form()
    front, behind = int(found.bodies[150, 100]), int(found.bodies[90, 165])
    assert (front, behind) in found.order.front
    assert (behind, front) not in found.order.front


def test_a_form_goes_on_behind_what_is_in_front() -> None:
    truth, inside = sphere(150, 105, 60)
    found = Sheet().circle(150, 105, 60).circle(100, 150, 62, covering=True).form()
    seen = inside & (found.bodies == found.bodies[90, 165])
    assert angles(found.surface.normals, truth)[seen].mean() < 20


def test_a_line_across_a_limb_that_ends_at_its_outline_parts_no_form() -> None:
    limb = np.array([[20, 100], [236, 100], [236, 156], [20, 156], [20, 100]], np.float64)
    found = Sheet().line(limb).line(np.array([[128, 100], [128, 156]], np.float64)).form()
    left, right = found.surface.forms[128, 60], found.surface.forms[128, 200]
    assert left == right != 0
    assert angles(found.surface.normals[128, 118], np.array([0, 0, 1], np.float32)) < 15


def test_the_ground_is_flat_and_ring_holes_are_not_the_ring() -> None:
    found = Sheet().circle(128, 128, 100).circle(128, 128, 55).form()
    ground = ~found.figure
    assert ground[0, 0]
    assert (found.surface.normals[ground] == (0, 0, 1)).all()
    assert found.bodies[128, 128] != found.bodies[128, 50]
    # The ring turns away at its inner edge, too.
    assert found.surface.normals[128, 128 - 60, 0] > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (8, 8), (40, 3), (33, 257)])
@pytest.mark.parametrize("paper", [0.0, 1.0])
def test_blank_black_and_tiny_drawings_have_a_form(shape: tuple[int, int], paper: float) -> None:
    lineart = np.full(shape, paper, np.float32)
    found = find_form(find_regions(lineart), find_ink(lineart))
    assert np.isfinite(found.surface.normals).all()
    assert found.bodies.shape == shape


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(40, 200), st.integers(40, 200))
def test_normals_are_unit_vectors_towards_the_viewer(seed: int, h: int, w: int) -> None:
    rng = np.random.default_rng(seed)
    paper = np.full((h, w), 255, np.uint8)
    for _ in range(rng.integers(1, 9)):
        centre = (int(rng.integers(0, w)), int(rng.integers(0, h)))
        cv2.circle(paper, centre, int(rng.integers(3, 60)), 0, int(rng.integers(1, 4)), cv2.LINE_AA)
        end = (int(rng.integers(0, w)), int(rng.integers(0, h)))
        cv2.line(paper, centre, end, 0, 1, cv2.LINE_AA)
    lineart = np.divide(paper, 255, dtype=np.float32)
    surface = find_form(find_regions(lineart), find_ink(lineart)).surface
    assert np.linalg.norm(surface.normals, axis=2) == pytest.approx(1, abs=1e-3)
    assert (surface.normals[..., 2] >= 0).all()
    assert (surface.height >= 0).all()


def test_a_large_drawing_has_the_form_of_a_small_one() -> None:
    small = Sheet().circle(128, 128, 90).form()
    big = np.full((1024, 1024), 255, np.uint8)
    cv2.circle(big, (512, 512), 360, 0, 8, cv2.LINE_AA)
    lineart = np.divide(big, 255, dtype=np.float32)
    large = find_form(find_regions(lineart), find_ink(lineart))
    assert max(large.bodies.shape) < 1024
    same = cv2.resize(large.surface.normals, (SIZE, SIZE))
    inside = sphere(128, 128, 84)[1]
    assert angles(same, small.surface.normals)[inside].mean() < 4


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 70), st.integers(3, 70), st.integers(0, 2**32 - 1))
def test_the_solver_solves(h: int, w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = np.zeros((h, w), np.int32)
    parts[:, w // 2 :] = 1
    tied = parts[:, :-1] == parts[:, 1:]
    grid = Grid(
        tied.astype(np.float32), np.ones((h - 1, w), np.float32), rng.uniform(0, 2, (h, w)).astype(np.float32), parts
    )
    true = rng.uniform(0, 1, (h, w)).astype(np.float32)
    u = solve(grid, grid.diagonal() * true - grid.neighbours(true))
    assert u == pytest.approx(true, abs=0.05)
