"""What counts as light and shade in training, and what a prediction of it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.models.base import ModelInputs, ModelOutputs
from training.data.synthesis import TrainingBatch
from training.losses.oklab import (
    SCALE_WEIGHTS,
    hint_fidelity,
    multiscale,
    robust,
    shading_alone,
    shading_errors,
    total_loss,
    true_shading,
)
from training.runs.config import LossWeights

REGIONS = torch.zeros(1, 8, 16, dtype=torch.int64)
REGIONS[..., 8:] = 1
EVERYWHERE = torch.ones(1, 1, 8, 16)


def test_flat_regions_have_no_shading_and_a_gradient_within_one_has() -> None:
    lab = torch.zeros(1, 3, 8, 16)
    lab[:, 0, :, :8], lab[:, 0, :, 8:] = 0.3, 0.9
    assert true_shading(lab, REGIONS, EVERYWHERE)[0].abs().max() < 1e-6
    lab[:, 0, :, :8] += torch.linspace(-0.1, 0.1, 8)
    change, _ = true_shading(lab, REGIONS, EVERYWHERE)
    assert torch.allclose(change[0, 0, 0, :8], torch.linspace(-0.1, 0.1, 8), atol=1e-5)
    assert change[..., 8:].abs().max() < 1e-6


def test_another_material_in_a_region_is_no_shading() -> None:
    lab = torch.full((1, 3, 8, 16), 0.0)
    lab[:, 0] = 0.6
    lab[:, 1, :2, :2] = 0.25
    _, weight = true_shading(lab, REGIONS, EVERYWHERE)
    assert weight[0, 0, :2, :2].max() < 0.01
    assert weight[0, 0, 4:, :8].min() > 0.8


def test_the_level_of_a_region_costs_nothing_and_a_wrong_slope_does() -> None:
    truth = torch.randn(1, 3, 8, 16, generator=torch.Generator().manual_seed(0)) * 0.05
    truth = true_shading(truth, REGIONS, EVERYWHERE)[0]
    raised = truth + torch.tensor([0.2, -0.1]).repeat_interleave(8).view(1, 1, 1, 16)
    right, slope = shading_errors(raised, truth, REGIONS, EVERYWHERE)
    wrong, _ = shading_errors(torch.zeros_like(truth), truth, REGIONS, EVERYWHERE)
    assert right < 1e-2 * wrong
    assert slope < 1e-2 * wrong


def test_pixels_without_weight_cost_nothing_and_give_finite_gradients() -> None:
    residual = torch.zeros(1, 3, 8, 16, requires_grad=True)
    depth, slope = shading_errors(residual, torch.ones(1, 3, 8, 16), REGIONS, torch.zeros(1, 1, 8, 16))
    (depth + slope).backward()
    assert (depth + slope).item() == 0
    assert residual.grad is not None
    assert torch.isfinite(residual.grad).all()


@pytest.mark.parametrize("distance", [0.0, 0.01, 0.1, 0.4])
def test_the_robust_distance_of_plain_pictures_is_its_closed_form_at_every_scale(distance: float) -> None:
    truth = torch.full((2, 3, 32, 32), 0.1)
    picture = truth + torch.tensor([distance, 0.0, 0.0]).view(1, 3, 1, 1)
    once = 3.2 * (distance**2 + 1e-4) ** 0.25
    assert robust(picture - truth).mean().item() == pytest.approx(once, rel=1e-5)
    weight = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = multiscale(picture, truth, weight)
    assert found.item() == pytest.approx(once * (1 + sum(SCALE_WEIGHTS)), rel=1e-4)


def test_only_pixels_under_strokes_count_for_hints() -> None:
    truth, hinted = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    picture = torch.ones(1, 3, 8, 8)
    assert hint_fidelity(picture, truth, hinted).item() == 0
    hinted[..., :2] = 1
    picture[..., :2] = 0.1
    assert hint_fidelity(picture, truth, hinted).item() == pytest.approx(5 * 3 * 0.1, rel=1e-5)


def test_the_weight_of_the_guide_falls_in_a_line_and_the_others_stay() -> None:
    gen = torch.Generator().manual_seed(0)
    plain = torch.zeros(1, 1, 32, 32)
    inputs = ModelInputs(plain, torch.zeros(1, 4, 32, 32), plain, torch.zeros(1, 3, 32, 32), plain)
    target, flat = (torch.rand(1, 3, 32, 32, generator=gen) for _ in range(2))
    one = torch.ones(1, 1, 32, 32)
    batch = TrainingBatch(inputs, target, flat, one, one, torch.zeros(1, 16, 16, dtype=torch.int64))
    out = ModelOutputs(*(torch.rand(1, 3, 16, 16, generator=gen) for _ in range(2)))
    weights = LossWeights()
    start, half, end = (total_loss(out, batch, weights, progress)[1] for progress in (0.0, 0.5, 1.0))
    assert (end["flat"] / start["flat"]).item() == pytest.approx(weights.guide_end / weights.guide_start)
    assert half["flat"].item() == pytest.approx((start["flat"] + end["flat"]).item() / 2)
    assert all(start[name] == end[name] for name in start if name != "flat")
    total, terms = total_loss(out, replace(batch, target=flat), weights, 0.3)
    assert total.item() == pytest.approx(sum(t.item() for t in terms.values()), rel=1e-5)


def test_critic_and_reader_reach_the_shading_and_not_the_flats() -> None:
    flat, light = (torch.rand(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    out = ModelOutputs(flat, flat + light)
    assert torch.allclose(shading_alone(out), out.shaded)
    shading_alone(out).sum().backward()
    assert flat.grad is None or not flat.grad.any()
    assert light.grad is not None
    assert (light.grad == 1).all()
