"""Jobs on a model that samples: variations, strength, previews, stopping, and what lies outside the mask."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from likeness import nearest
from numpy.typing import NDArray

from engine.errors import ColorizeError
from engine.models.checkpoint import load_model
from engine.pipeline import Cancelled, Job, JobSettings, Pipeline
from engine.protocol.settings import SettingError

SIDE = 96


@pytest.fixture(scope="module")
def pipeline(small_stablepaint: Path) -> Pipeline:
    return Pipeline(load_model(small_stablepaint))


@pytest.fixture(scope="module")
def plain(small_weights: Path) -> Pipeline:
    return Pipeline(load_model(small_weights))


def drawing() -> NDArray[np.float32]:
    """Three rooms side by side."""
    line = np.ones((SIDE, SIDE), np.float32)
    line[:, 31:34] = line[:, 63:66] = 0
    return line


def hints() -> NDArray[np.uint8]:
    """A stroke in the first room."""
    made = np.zeros((SIDE, SIDE, 4), np.uint8)
    made[40:50, 8:24] = (200, 30, 40, 255)
    return made


JOB = Job(drawing(), hints(), settings=JobSettings(size=SIDE, seed=7, strength=1.0, steps=3, variations=3))


def test_variations_differ_where_nothing_was_said_and_agree_where_a_stroke_was(pipeline: Pipeline) -> None:
    results = pipeline.vary(JOB.with_settings(variations=6))
    assert len(results) == 6
    far = []
    for one, other in combinations(results, 2):
        assert np.array_equal(one.flats[40:50, 8:24], other.flats[40:50, 8:24])
        far.append(np.abs(one.colour[:, 36:].astype(int) - other.colour[:, 36:]).max())
    # Any two of them may be alike by chance.
    assert np.median(far) > 2
    assert all(np.array_equal(r.flats[45, 16], (200, 30, 40, 255)) for r in results)


def test_the_same_seed_gives_the_same_bytes_and_each_variation_is_that_of_its_seed(pipeline: Pipeline) -> None:
    first, again = pipeline.vary(JOB), pipeline.vary(JOB)
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a.colour, b.colour)
    for place in range(len(first)):
        # A batch is summed in another order than a single picture.
        alone = pipeline.run(JOB.with_settings(seed=7 + place, variations=1))
        assert nearest(alone.colour, [made.colour for made in first]) == place


def test_run_gives_the_first_variation(pipeline: Pipeline) -> None:
    assert np.array_equal(pipeline.run(JOB).colour, pipeline.run(JOB.with_settings(variations=1)).colour)


def test_without_strength_all_seeds_agree(pipeline: Pipeline) -> None:
    first, second, _ = pipeline.vary(JOB.with_settings(strength=0.0))
    assert np.array_equal(first.colour, second.colour)


def test_progress_counts_the_steps_of_the_sampling_and_of_each_variation(pipeline: Pipeline) -> None:
    seen: list[tuple[str, int, int]] = []
    pipeline.vary(JOB.with_settings(steps=4, variations=2), lambda *step: seen.append(step))
    assert [done for _, done, _ in seen] == [0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert {total for *_, total in seen} == {10}
    assert seen[0][0] == "regions"
    assert [stage for stage, *_ in seen[-5:]] == ["flats", "shading", "flats", "shading", "done"]


def test_every_variation_is_seen_while_it_is_drawn_and_at_the_end(pipeline: Pipeline) -> None:
    seen: list[tuple[int, tuple[int, ...]]] = []
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, 66:] = 255
    masked: list[NDArray[np.uint8]] = []

    def look(variation: int, picture: NDArray[np.uint8], _: object) -> None:
        seen.append((variation, picture.shape))
        masked.append(picture)

    pipeline.vary(replace(JOB.with_settings(variations=2), mask=mask), look=look)
    assert [variation for variation, _ in seen] == [0, 1] * 3
    assert seen[0][1][0] * 8 <= seen[-1][1][0] * 2
    assert all(shape[2] == 4 for _, shape in seen)
    assert all(not picture[:, 0, :].any() for picture in masked)


def test_many_steps_are_not_looked_at_one_by_one(pipeline: Pipeline) -> None:
    seen: list[int] = []
    pipeline.run(JOB.with_settings(steps=100), look=lambda variation, *_: seen.append(variation))
    assert 8 <= len(seen) <= 17


@pytest.mark.parametrize("after", [2, 3, 4])
def test_a_job_stops_at_the_next_step_once_cancelled(pipeline: Pipeline, after: int) -> None:
    seen: list[tuple[str, int, int]] = []
    with pytest.raises(Cancelled):
        pipeline.vary(JOB.with_settings(steps=50), lambda *step: seen.append(step), lambda: len(seen) >= after)
    assert len(seen) == after


def test_more_canvas_is_painted_in_one_go_with_what_is_there(pipeline: Pipeline) -> None:
    """Out-painting: the canvas has grown to the right, the mask is what is new."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, 48:] = 255
    before = np.zeros((SIDE, SIDE, 4), np.uint8)
    before[:, :48] = (30, 160, 90, 255)
    for layers in pipeline.vary(replace(JOB, hints=None, mask=mask, context=before)):
        assert not layers.colour[:, :48].any()
        assert not layers.flats[:, :48].any()
        assert (layers.colour[:, 48:, 3] == 255).all()
        # The middle room goes on across the border of the mask, so it goes on in its colour.
        assert np.abs(layers.flats[40, 55, :3].astype(int) - (30, 160, 90)).max() <= 25


def test_numbers_that_make_no_sense_are_refused() -> None:
    for wrong, words in (
        ({"strength": 1.5}, "'strength' should be a number from 0 to 1$"),
        ({"steps": 0}, "'steps' should be a number from 1 to 1000$"),
        ({"guidance": -1.0}, "'guidance' should be a number from 0 to 20$"),
        ({"variations": 0}, "'variations' should be a number from 1 to 8$"),
        ({"variations": 9}, "'variations' should be a number from 1 to 8$"),
    ):
        with pytest.raises(SettingError, match=words):
            JOB.with_settings(**wrong)


def test_a_model_that_does_not_sample_says_so(plain: Pipeline) -> None:
    with pytest.raises(ColorizeError, match="no strength and no variations"):
        plain.vary(Job(drawing(), settings=JobSettings(size=64, strength=0.5, variations=2)))
    with pytest.raises(ColorizeError, match="no steps"):
        plain.run(Job(drawing(), settings=JobSettings(size=64, steps=4)))
    assert len(plain.vary(Job(drawing(), settings=JobSettings(size=64, seed=3)))) == 1


def test_the_seed_may_be_the_largest_there_is(pipeline: Pipeline) -> None:
    made = [layers.colour for layers in pipeline.vary(JOB.with_settings(seed=2**63 - 1))]
    assert [nearest(pipeline.run(JOB.with_settings(seed=s)).colour, made) for s in (2**63 - 1, 0, 1)] == [0, 1, 2]
