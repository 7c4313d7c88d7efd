"""What a training run is made of: its schedule, its averages, its guard against numbers that are not finite."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from engine.errors import ColorizeError
from training.runs.averages import Averages, power
from training.runs.config import Phase
from training.runs.finiteness import IN_A_ROW, LARGEST_HALF, Finiteness, not_finite
from training.runs.loop import Progress
from training.runs.progress import ProgressDisplay
from training.runs.schedule import steps_of, trapezoid

CPU = torch.device("cpu")


def test_the_rate_rises_stays_and_falls_to_almost_nothing() -> None:
    rates = [trapezoid(step, 100, 10, 0.2) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == [1.0] * 72
    assert rates[80:] == pytest.approx([(100 - step) / 20 for step in range(80, 100)])
    assert [trapezoid(step, 5, 0, 0.0) for step in range(5)] == [1.0] * 5


def test_a_longer_run_has_the_same_rate_until_the_shorter_one_falls() -> None:
    short, long = ([trapezoid(step, steps, 10, 0.25) for step in range(75)] for steps in (100, 400))
    assert short == long


def test_epochs_become_steps_by_the_mean_batch() -> None:
    phases = (Phase(0.5, 64, 8, 1.0, 1.0), Phase(1.0, 96, 4, 1.0, 1.0))
    assert steps_of(3, 120, phases) == 60
    assert steps_of(0.001, 10, phases) == 1
    with pytest.raises(ValueError, match="epochs"):
        steps_of(0, 10, phases)


@pytest.mark.parametrize("width", [0.02, 0.05, 0.1, 0.25])
def test_the_profile_of_an_average_is_as_wide_as_was_asked(width: float) -> None:
    steps = 4000
    average = Averages(nn.Linear(1, 1), (width,))
    weights = np.zeros(steps)
    for step in range(1, steps + 1):
        decay = (1 - 1 / step) ** (average.powers[width] + 1)
        weights *= decay
        weights[step - 1] += 1 - decay
    place = np.arange(steps) / steps
    mean = (weights * place).sum()
    assert weights.sum() == pytest.approx(1)
    assert math.sqrt((weights * (place - mean) ** 2).sum()) == pytest.approx(width, rel=0.01)


def test_an_average_wider_than_a_training_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.288"):
        power(0.3)


def test_averages_forget_how_they_began_and_the_least_loss_chooses() -> None:
    layer = nn.Linear(2, 2)
    averages = Averages(layer, (0.05, 0.1))
    with torch.no_grad():
        for value in (5.0, 7.0):
            layer.weight.fill_(value)
            averages.update()
    assert (averages.tensors[0.05]["weight"] > averages.tensors[0.1]["weight"]).all()
    assert 5 < averages.best["weight"].max() < 7
    averages.choose({0.05: 2.0, 0.1: 1.0})
    assert averages.chosen == 0.1
    averages.choose({0.05: math.nan, 0.1: math.inf})
    assert averages.chosen == 0.1


def _bad(value: float) -> Tensor:
    return torch.tensor(value)


def test_statistics_of_a_skipped_step_are_put_back() -> None:
    norm = nn.BatchNorm1d(2)
    watch = Finiteness({"net": norm}, CPU)
    before = {k: t.clone() for k, t in norm.state_dict().items()}
    watch.begin()
    norm(torch.tensor([[1.0, math.nan], [2.0, 3.0]]))
    watch.see(_bad(1.0))
    watch.end()
    assert all(torch.equal(t, before[k]) for k, t in norm.state_dict().items())
    watch.begin()
    norm(torch.tensor([[1.0, 2.0], [2.0, 3.0]]))
    watch.see(_bad(0.0))
    watch.end()
    assert not torch.equal(norm.running_mean, before["running_mean"])  # type: ignore[arg-type]
    assert watch.check(2) == 1
    assert watch.check(2) == 0
    assert watch.skipped == 1


def _run_through(bad: list[int], check_every: int) -> Finiteness:
    watch = Finiteness({}, CPU)
    for step, one in enumerate(bad, 1):
        watch.begin()
        watch.see(_bad(float(one)))
        watch.end()
        if step % check_every == 0:
            watch.check(step)
    return watch


def test_a_row_of_skipped_steps_ends_a_run_wherever_it_is_looked_at() -> None:
    row = [0] * 7 + [1] * IN_A_ROW + [0] * 3
    for every in (1, 2, 4, 5, 20):
        with pytest.raises(ColorizeError, match=f"{IN_A_ROW} in a row"):
            _run_through(row, every)
    short = [0] * 7 + [1] * (IN_A_ROW - 1) + [0] * 4
    assert _run_through(short, 4).skipped == IN_A_ROW - 1


def test_many_single_skipped_steps_end_a_run_and_few_do_not() -> None:
    with pytest.raises(ColorizeError, match="of the last 200"):
        _run_through([1, 0, 0] * 60, 20)
    assert _run_through([1, 0, 0, 0, 0, 0] * 400, 20).skipped == 400


def test_broken_tensors_are_named() -> None:
    tensors = {"a": torch.ones(3), "b": torch.tensor([1.0, math.nan]), "c": torch.tensor([7e4]), "n": torch.tensor([9])}
    assert not_finite(tensors) == ["b"]
    assert not_finite(tensors, LARGEST_HALF) == ["b", "c"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_speed_time_left_and_memory_from_the_first_step(terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200, soft_wrap=True)
    with ProgressDisplay(console) as display:
        display.show(Progress(1, 101, 16, 2.0, 128, 0, {}))
        display.say("left out [shard] 7")
        # A resumed run begins in the middle.
        told = display.describe(Progress(1, 101, 16, 2.0, 128, 3, {}))
    assert told.startswith("128 px, 8.0 samples/s, 0:03:20 left, ")
    assert "GB" in told
    assert told.endswith("3 skipped")
    assert "left out [shard] 7" in out.getvalue()
    assert ("step 1/101 128 px, 8.0 samples/s" in out.getvalue()) != terminal


def test_a_quiet_display_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(quiet=True) as display:
        display.show(Progress(5, 10, 16, 2.0, 64, 0, {"loss": 1.0}))
        display.say("hello")
    assert not capsys.readouterr().out
