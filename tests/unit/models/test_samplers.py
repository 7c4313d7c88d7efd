"""Samplers on a Gaussian target, whose denoiser and score are known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engine.sampling.diffusion import Schedule, ddim, ddpm, linear_schedule
from engine.sampling.path import Denoise, Kept, even_times
from engine.sampling.straight import euler, heun

MEAN = torch.tensor([1.5, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.9, 0.4], [0.4, 0.3]], dtype=torch.float64)
MANY = 6_000


def gaussian(x: Tensor, t: float) -> Tensor:
    """E[x_0 | x_t] for x_0 ~ N(MEAN, COVARIANCE), of Nx2 on the straight path."""
    whole = (1 - t) ** 2 * COVARIANCE + t**2 * torch.eye(2, dtype=x.dtype)
    gain = (1 - t) * COVARIANCE @ torch.linalg.inv(whole)
    return MEAN + (x - (1 - t) * MEAN) @ gain.T


def noise(seed: int, count: int = MANY) -> Tensor:
    return torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def drawing(seed: int) -> Callable[[Tensor], Tensor]:
    stream = torch.Generator().manual_seed(seed)
    return lambda like: torch.randn(like.shape, dtype=like.dtype, generator=stream)


def all_steps(schedule: Schedule) -> list[int]:
    return list(range(schedule.last, -1, -1))


def follow_straight(sampler: Callable[..., Tensor], steps: int) -> Callable[[Denoise, Tensor], Tensor]:
    return lambda denoise, start: sampler(denoise, start, even_times(1.0, steps))


def follow_diffusion(eta: float | None, steps: int) -> Callable[[Denoise, Tensor], Tensor]:
    schedule = linear_schedule()

    def run(denoise: Denoise, start: Tensor) -> Tensor:
        if eta is None:
            return ddpm(denoise, start * schedule.time(schedule.last), schedule, schedule.last, drawing(5))
        stops = schedule.skipping(schedule.last, steps)
        return ddim(denoise, start * schedule.time(schedule.last), schedule, stops, drawing(5), eta)

    return run


SAMPLERS = {
    "euler, 300 steps": follow_straight(euler, 300),
    "heun, 40 steps": follow_straight(heun, 40),
    "ddpm": follow_diffusion(None, 1000),
    "ddim, 1000 steps": follow_diffusion(0.0, 1000),
    "ddim, 250 steps": follow_diffusion(0.0, 250),
    "ddim, eta 1, 1000 steps": follow_diffusion(1.0, 1000),
}


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_sampler_reaches_mean_and_covariance_of_the_target(name: str) -> None:
    drawn = SAMPLERS[name](gaussian, noise(1))
    assert torch.allclose(drawn.mean(0), MEAN, atol=0.04)
    assert torch.allclose(torch.cov(drawn.T), COVARIANCE, atol=0.04)


def test_the_denoiser_of_the_tests_fits_the_score_of_the_noisy_gaussian() -> None:
    x, t = noise(2, 7), 0.4
    whole = (1 - t) ** 2 * COVARIANCE + t**2 * torch.eye(2, dtype=torch.float64)
    score = -(x - (1 - t) * MEAN) @ torch.linalg.inv(whole)
    assert torch.allclose(((1 - t) * gaussian(x, t) - x) / t**2, score)


def test_heun_is_of_second_order_and_euler_of_first() -> None:
    start = noise(3, 200)
    exact = heun(gaussian, start, even_times(1.0, 600))

    def error(sampler: Callable[..., Tensor], steps: int) -> float:
        return float((sampler(gaussian, start, even_times(1.0, steps)) - exact).abs().mean())

    assert 1.7 < error(euler, 40) / error(euler, 80) < 2.3
    assert error(heun, 40) / error(heun, 80) > 3.3


def test_ddim_with_the_noise_of_ddpm_and_all_steps_has_ddpms_distribution() -> None:
    """Both are Gaussian here, so conditionally on a start their means and covariances say all."""
    schedule = linear_schedule()
    start = torch.tensor([[0.7, -1.1]], dtype=torch.float64).expand(MANY, 2)
    first = 300
    one = ddpm(gaussian, start, schedule, first, drawing(1))
    other = ddim(gaussian, start, schedule, list(range(first, -1, -1)), drawing(2), 1.0)
    assert torch.allclose(one.mean(0), other.mean(0), atol=0.03)
    assert torch.allclose(torch.cov(one.T), torch.cov(other.T), atol=0.03)


def test_a_step_of_ddim_with_eta_one_is_ddpms_for_the_same_noise() -> None:
    schedule = linear_schedule()
    start = noise(4, 5)
    one = ddpm(gaussian, start, schedule, schedule.last, drawing(9))
    other = ddim(gaussian, start, schedule, all_steps(schedule), drawing(9), 1.0)
    assert torch.allclose(one, other, atol=1e-9)


def test_the_schedule_is_the_published_one_and_ends_clean() -> None:
    schedule = linear_schedule()
    beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    assert schedule.last == 1000
    assert (schedule.kept[0], schedule.noise[0]) == (1.0, 0.0)
    assert schedule.kept[1] ** 2 == pytest.approx(1 - 1e-4, abs=1e-12)
    assert schedule.kept[1000] ** 2 == pytest.approx(float(torch.prod(1 - beta)), rel=1e-9)
    assert schedule.time(0) == 0
    assert all(schedule.step_of(schedule.time(step)) == step for step in (1, 2, 500, 1000))


def test_skipping_ends_at_the_first_step_before_clean_and_never_repeats() -> None:
    schedule = linear_schedule()
    for first, steps in ((1000, 4), (1000, 1000), (3, 8), (1, 1)):
        stops = schedule.skipping(first, steps)
        assert (stops[0], stops[-1]) == (first, 0)
        assert sorted(set(stops), reverse=True) == stops
        assert len(stops) <= steps + 1


def test_every_step_down_to_the_first_asks_the_denoiser_once() -> None:
    schedule = linear_schedule(10)
    asked: list[float] = []

    def watched(x: Tensor, t: float) -> Tensor:
        asked.append(t)
        return gaussian(x, t)

    ddpm(watched, noise(1, 1), schedule, 10, drawing(1))
    assert asked == [schedule.time(step) for step in range(10, 0, -1)]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_same_noise_gives_the_same_sample(name: str) -> None:
    one, other = (SAMPLERS[name](gaussian, noise(6, 3)) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, SAMPLERS[name](gaussian, noise(7, 3)))


class Enough(Exception):  # noqa: N818
    """Somebody had enough."""


def run_watched(name: str, watch: Callable[[int, int, Tensor], None], denoise: Denoise) -> Tensor:
    schedule = linear_schedule()
    if name in ("euler", "heun"):
        return {"euler": euler, "heun": heun}[name](denoise, noise(1, 2), even_times(1.0, 6), on_step=watch)
    if name == "ddim":
        return ddim(denoise, noise(1, 2), schedule, schedule.skipping(1000, 6), drawing(1), on_step=watch)
    return ddpm(denoise, noise(1, 2), schedule, 6, drawing(1), on_step=watch)


@pytest.mark.parametrize("name", ["euler", "heun", "ddim", "ddpm"])
def test_who_looks_on_sees_every_step_and_may_end_it_at_once(name: str) -> None:
    seen: list[tuple[int, int]] = []
    shapes: list[torch.Size] = []

    def watch(done: int, of: int, clean: Tensor) -> None:
        seen.append((done, of))
        shapes.append(clean.shape)

    run_watched(name, watch, gaussian)
    assert seen == [(n, 6) for n in range(1, 7)]
    assert set(shapes) == {torch.Size([2, 2])}

    calls: list[float] = []

    def counted(x: Tensor, t: float) -> Tensor:
        calls.append(t)
        return gaussian(x, t)

    def stop(done: int, _of: int, _clean: Tensor) -> None:
        if done == 2:
            raise Enough

    with pytest.raises(Enough):
        run_watched(name, stop, counted)
    assert len(calls) == (4 if name == "heun" else 2)


@pytest.mark.parametrize("name", ["euler", "heun", "ddim", "ddpm"])
def test_what_is_kept_stays_and_the_rest_is_drawn_to_fit_it(name: str) -> None:
    """The first number is known: the second must have its conditional mean and variance, more or less."""
    schedule = linear_schedule()
    known = MEAN[0] + 1.5
    start = noise(8)
    where = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    kept = Kept(torch.full((MANY, 2), float(known), dtype=torch.float64), where, noise(9))
    if name in ("euler", "heun"):
        drawn = {"euler": euler, "heun": heun}[name](gaussian, start, even_times(1.0, 100), kept)
    elif name == "ddim":
        drawn = ddim(gaussian, start, schedule, schedule.skipping(1000, 100), drawing(1), 0.0, kept)
    else:
        drawn = ddpm(gaussian, start, schedule, 1000, drawing(1), kept)
    assert torch.equal(drawn[:, 0], torch.full((MANY,), float(known), dtype=torch.float64))
    free = MEAN[1]
    wanted = free + COVARIANCE[1, 0] / COVARIANCE[0, 0] * (known - MEAN[0])
    # Putting the known part back in is no exact conditioning; it goes most of the way.
    assert abs(float(drawn[:, 1].mean() - wanted)) < 0.45 * abs(float(free - wanted))


def test_times_that_lead_nowhere_are_refused() -> None:
    assert even_times(0.5, 2) == [0.5, 0.25, 0.0]
    for strength, steps in ((0.0, 4), (1.2, 4), (0.5, 0)):
        with pytest.raises(ValueError, match="nowhere"):
            even_times(strength, steps)
