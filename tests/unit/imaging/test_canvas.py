"""Frames, resizing and the hint map, by property."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.imaging.canvas import choose_frame, mask_box, pad_to, resize_coverage, resize_labels, resize_picture
from engine.imaging.strokes import collect_strokes, hint_map

sides = st.integers(8, 3000)


@st.composite
def masked_canvases(draw: st.DrawFn) -> tuple[int, int, tuple[int, int, int, int]]:
    h, w = draw(sides), draw(sides)
    top, left = draw(st.integers(0, h - 1)), draw(st.integers(0, w - 1))
    return h, w, (top, left, draw(st.integers(top + 1, h)), draw(st.integers(left + 1, w)))


@settings(max_examples=60)
@given(masked_canvases(), st.sampled_from([16, 32]), st.integers(64, 1024))
def test_a_frame_holds_the_mask_lies_on_the_canvas_and_fits_the_stride(
    case: tuple[int, int, tuple[int, int, int, int]], stride: int, size: int
) -> None:
    h, w, (top, left, bottom, right) = case
    mask = np.zeros((h, w), np.uint8)
    mask[top:bottom, left:right] = 255
    assert mask_box(mask) == (top, left, bottom, right)
    frame = choose_frame((h, w), mask, size, stride)
    assert 0 <= frame.y <= top
    assert 0 <= frame.x <= left
    assert bottom <= frame.y + frame.height <= h
    assert right <= frame.x + frame.width <= w
    assert frame.padded_height % stride == 0 == frame.padded_width % stride
    assert 0 <= frame.padded_height - frame.work_height < stride
    assert max(frame.work_height, frame.work_width) <= 3 * size + 1


def test_a_small_mask_on_a_huge_canvas_is_worked_on_closely() -> None:
    mask = np.zeros((5000, 7000), np.uint8)
    mask[2000:2300, 3000:3300] = 255
    frame = choose_frame((5000, 7000), mask, 512, 32)
    assert frame.height < 500
    assert frame.scale > 1


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.integers(0, 1 << 30))
def test_resizing_keeps_flat_values_and_the_set_of_labels(h: int, w: int, h2: int, w2: int, seed: int) -> None:
    flat = np.full((h, w), 0.375, np.float32)
    assert np.allclose(resize_picture(flat, h2, w2), 0.375, atol=1e-5)
    assert np.allclose(resize_coverage(flat, h2, w2), 0.375, atol=1e-5)
    labels = np.random.default_rng(seed).integers(0, 5, (h, w)).astype(np.int32)
    assert set(np.unique(resize_labels(labels, h2, w2))) <= set(np.unique(labels))
    padded = pad_to(labels, h + 3, w + 2)
    assert np.array_equal(padded[:h, :w], labels)
    assert (padded[h:, :w] == labels[-1]).all()


@settings(max_examples=30)
@given(st.integers(8, 80), st.integers(8, 80), st.integers(0, 1 << 30))
def test_the_hint_map_keeps_the_colour_of_every_stroke(h: int, w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 256, 3)
    hints = np.zeros((h, w, 4), np.uint8)
    y, x = rng.integers(0, h - 4), rng.integers(0, w - 4)
    hints[y : y + 4, x : x + 4] = (*colour, 255)
    out = hint_map(hints, max(4, h // 2), max(4, w // 2))
    assert out[..., 3].min() >= 0
    assert out[..., 3].max() <= 1 + 1e-5
    seen = out[..., 3] > 0.05
    assert seen.any()
    straight = out[seen][:, :3] / out[seen][:, 3:]
    assert np.abs(straight - (colour / 127.5 - 1)).max() < 0.02


def test_no_strokes_give_an_empty_map() -> None:
    assert not hint_map(np.zeros((40, 30, 4), np.uint8), 10, 10).any()


def test_a_huge_layer_gives_the_same_map_as_its_parts() -> None:
    hints = np.zeros((1500, 900, 4), np.uint8)
    hints[700:740, 300:500] = (10, 200, 30, 255)
    out = hint_map(hints, 150, 90)
    assert np.abs(out[71:73, 32:48, :3] - (np.array([10, 200, 30]) / 127.5 - 1)).max() < 0.02
    assert out[:69].max() == out[76:].max() == 0


def test_strokes_are_collected_in_exact_colours() -> None:
    hints = np.zeros((20, 20, 4), np.uint8)
    hints[2:5, 2:9] = (1, 2, 3, 255)
    hints[10:12, 3:5] = (200, 100, 50, 255)
    hints[15, 15] = (9, 9, 9, 40)
    strokes = collect_strokes(hints)
    assert len(strokes.ys) == 21 + 4
    assert {tuple(c) for c in strokes.palette.tolist()} == {(1, 2, 3), (200, 100, 50)}
    assert len(np.unique(strokes.piece)) == 2


def test_a_textured_brush_with_thousands_of_colours_is_coarsened() -> None:
    rng = np.random.default_rng(0)
    hints = np.concatenate([rng.integers(0, 256, (120, 120, 3)), np.full((120, 120, 1), 255)], 2).astype(np.uint8)
    strokes = collect_strokes(hints)
    assert len(strokes.palette) <= 4096
    used = strokes.palette[strokes.colour].astype(int)
    assert np.abs(used - hints[strokes.ys, strokes.xs, :3]).max() < 16
