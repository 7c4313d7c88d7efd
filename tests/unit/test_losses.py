"""What counts as light and shade in training, and what a prediction of it costs."""

from __future__ import annotations

import torch

from training.losses import shading_errors, true_shading

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
