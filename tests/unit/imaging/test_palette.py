"""Colours of flats stay few: guesses that look alike are one colour, those like a stroke the stroke's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import DEFAULT_MODEL
from engine.imaging.files.reading import read_hints, read_lineart
from engine.imaging.layers.palette import ALIKE, NEAR_STROKE, few_colours
from engine.models.checkpoint import find_weights, load_model
from engine.pipeline import Job, Pipeline

EXAMPLE = Path(__file__).parents[3] / "examples" / "straw_hat"


def lab(*rows: tuple[float, float, float]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 3)


def test_guesses_that_look_alike_take_the_colour_of_the_largest() -> None:
    guessed = lab((0.50, 0, 0), (0.51, 0, 0), (0.49, 0.01, 0), (0.8, 0, 0))
    colours, taken = few_colours(guessed, np.array([5, 90, 7, 1]), lab())
    np.testing.assert_array_equal(colours, guessed[[1, 1, 1, 3]])
    assert (taken == -1).all()


def test_a_guess_near_a_stroke_takes_its_colour_and_says_whose() -> None:
    strokes = lab((0.5, 0.1, 0), (0.5, 0.13, 0), (0.9, 0, 0))
    guessed = lab((0.5, 0.12, 0.01), (0.88, 0, 0), (0.2, 0, 0))
    colours, taken = few_colours(guessed, np.array([1, 1, 1]), strokes)
    assert taken.tolist() == [1, 2, -1]
    np.testing.assert_array_equal(colours, np.concatenate([strokes[[1, 2]], guessed[2:]]))


def test_nothing_to_guess_is_nothing() -> None:
    colours, taken = few_colours(lab(), np.zeros(0, np.int64), lab((0.5, 0, 0)))
    assert colours.shape == (0, 3)
    assert len(taken) == 0


def test_a_hatched_sketch_gets_hardly_more_colours_than_it_has_strokes_of() -> None:
    lineart = read_lineart(EXAMPLE / "lineart.png")
    hints = read_hints(EXAMPLE / "hints.png", lineart.size, EXAMPLE / "lineart.png")
    flats = Pipeline(load_model(find_weights(DEFAULT_MODEL))).run(Job(lineart.paper, hints)).flats[..., :3]
    stroked = np.unique(hints[hints[..., 3] > 127][:, :3], axis=0)
    found, pixels = np.unique(flats.reshape(-1, 3), axis=0, return_counts=True)
    assert len(found) <= 2 * len(stroked)
    of_strokes = (found[:, None] == stroked[None]).all(axis=2).any(axis=1)
    assert pixels[of_strokes].sum() > 0.9 * pixels.sum()


@settings(max_examples=60)
@given(count=st.integers(0, 60), strokes=st.integers(0, 5), seed=st.integers(0, 1 << 30))
def test_no_colour_moves_far_and_those_that_are_left_are_apart(count: int, strokes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    guessed = (rng.random((count, 3)) * (1, 0.2, 0.2)).astype(np.float32)
    hinted = (rng.random((strokes, 3)) * (1, 0.2, 0.2)).astype(np.float32)
    colours, taken = few_colours(guessed, rng.integers(1, 1000, count), hinted)
    moved = np.linalg.norm(colours - guessed, axis=1)
    assert (moved[taken >= 0] < NEAR_STROKE + 1e-5).all()
    assert (moved[taken < 0] < ALIKE + 1e-5).all()
    np.testing.assert_array_equal(colours[taken >= 0], hinted[taken[taken >= 0]])
    leaders = np.unique(colours[taken < 0], axis=0)
    apart = np.linalg.norm(leaders[:, None] - leaders[None], axis=2) + np.eye(len(leaders))
    assert (apart > ALIKE - 1e-5).all()
