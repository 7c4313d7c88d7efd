"""How long jobs will take, and the engine's codes in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """A time that passes when told."""

    now = 100.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from colorize.engine import jobs

    clock = Clock()
    monkeypatch.setattr(jobs, "time", clock)
    return clock


def new_job(**body: Any) -> Any:
    from colorize.engine.jobs import Job

    return Job("1", {"width": 1000, "height": 1000, **body}, [], lambda _: None)


def run(job: Any, clock: Clock, *seconds: float) -> None:
    """Have a job reach its first step, and the next after so many seconds each."""
    job.progress("regions", 0, len(seconds))
    for step, length in enumerate(seconds, 1):
        clock.now += length
        job.progress("colours", step, len(seconds))


def test_a_job_like_an_earlier_one_is_estimated_by_it(clock: Clock) -> None:
    from colorize.engine.jobs import Pace

    pace, first, second = Pace(), new_job(), new_job()
    run(first, clock, 1, 8, 1)
    pace.learn(first)
    assert pace.left(second) < 0  # it has not begun
    second.progress("waiting", 0, 1)
    assert pace.left(second) < 0
    second.progress("regions", 0, 3)
    assert pace.left(second) == 10
    clock.now += 2  # slower than the first
    second.progress("colours", 1, 3)
    assert pace.left(second) == 9
    clock.now += 4
    assert pace.left(second) == 5
    clock.now += 40
    assert pace.left(second) == 0
    other = new_job(width=500)
    other.progress("regions", 0, 3)
    assert pace.left(other) < 0


def test_variations_and_steps_are_estimated_by_jobs_with_as_many(clock: Clock) -> None:
    from colorize.engine.jobs import Pace

    pace, first = Pace(), new_job(variations=4, steps=4, strength=0.5, guidance=1.0)
    run(first, clock, 1, 2, 2, 2, 2, 3, 3, 3, 3)
    pace.learn(first)

    def left(**body: Any) -> float:
        job = new_job(**{"variations": 4, "steps": 4, "strength": 0.5, "guidance": 1.0, **body})
        job.progress("regions", 0, 14)
        return float(pace.left(job))

    assert left() == left(strength=0.9) == 21
    # Twice the rounds with guidance, none without strength.
    assert left(variations=2) == left(steps=8) == left(guidance=3.0) == left(strength=0.0) == -1


def test_the_first_of_its_kind_is_estimated_by_its_steps(clock: Clock) -> None:
    from colorize.engine.jobs import Pace

    pace, job = Pace(), new_job()
    job.progress("sampling", 0, 10)
    assert pace.left(job) < 0
    clock.now += 3
    job.progress("sampling", 1, 10)
    assert pace.left(job) == 27
    job.progress("done", 10, 10)
    assert pace.left(job) == 0


def test_a_job_that_stood_still_teaches_nothing(clock: Clock) -> None:
    from colorize.engine.jobs import Pace

    pace, first, second = Pace(), new_job(), new_job()
    run(first, clock, 1)
    first.halt()
    run(first, clock, 100)
    pace.learn(first)
    second.progress("regions", 0, 1)
    assert pace.left(second) < 0


@pytest.mark.parametrize(("step", "total"), [(None, None), ("1", []), (-3, 5), (7, 5), (1, -1)])
def test_nonsense_from_the_engine_is_no_progress_but_no_harm(step: Any, total: Any) -> None:
    job = new_job()
    job.progress("x", step, total)
    assert 0 <= job.step <= job.total


def test_every_code_of_the_protocol_has_a_cause_and_a_remedy(app: Any) -> None:  # noqa: ARG001
    from colorize.engine import words

    table = (ROOT / "docs" / "protocol.md").read_text().split("## Errors")[1].split("## Limits")[0]
    codes = set(re.findall(r"`([a-z]+_[a-z]+|busy|failed|refused|closed)`", table))
    assert {"worker_lost", "too_large", "engine_gone", "closed"} <= codes
    for code in codes | {"something_new"}:
        cause, remedy = words.error(code, "the engine's own words", "its hint")
        assert cause
        assert remedy
    assert words.error("something_new", "its own\nwords", "its hint") == ("its own words", "its hint")
    assert "something_new" in words.error("something_new")[0]


def test_every_stage_of_the_engine_has_words(app: Any) -> None:  # noqa: ARG001
    from colorize.engine import words

    from engine.pipeline import STAGES

    for stage in (*STAGES, "loading", "waiting", "done", ""):
        assert words.stage(stage) != stage
    assert words.stage("something new") == "something new"
