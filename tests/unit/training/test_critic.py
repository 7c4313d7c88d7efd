"""The critic's loss against closed forms in float64, and what the critic looks at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.models.base import ModelInputs
from training.losses.critic import DRIFT, PENALTY, Critic, ThesisCritic, critic_loss
from training.losses.cycle import reading_error

B, SIZE = 3, 16


def inputs(size: int = SIZE) -> ModelInputs:
    gen = torch.Generator().manual_seed(1)
    lineart, mask, known = (torch.rand(B, 1, size, size, generator=gen) for _ in range(3))
    return ModelInputs(lineart, torch.rand(B, 4, size, size, generator=gen), mask, torch.zeros(B, 3, size, size), known)


def pictures(seed: int) -> Tensor:
    return torch.rand(B, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


class Linear(nn.Module):
    """Scores a picture by its product with one picture."""

    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)

    def forward(self, picture: Tensor, _: ModelInputs) -> Tensor:
        """Give a score for each picture."""
        return (picture * self.slope).sum((1, 2, 3))


class Bowl(nn.Module):
    """Scores a picture by half its squared length, so that the slope at a picture is the picture itself."""

    def forward(self, picture: Tensor, _: ModelInputs) -> Tensor:
        """Give a score for each picture."""
        return (picture**2).sum((1, 2, 3)) / 2


@pytest.mark.parametrize("length", [0.25, 1.0, 3.0])
def test_the_loss_of_a_linear_critic_is_its_closed_form(length: float) -> None:
    slope = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    slope = slope * length / slope.norm()
    real, fake = pictures(1), pictures(2)
    critic = Linear(slope)
    found = critic_loss(critic, real, fake, inputs(), torch.Generator().manual_seed(0))
    on_real, on_fake = ((p * slope).sum((1, 2, 3)) for p in (real, fake))
    penalty = (length - 1) ** 2
    wanted = on_fake.mean() - on_real.mean() + PENALTY * penalty + DRIFT * (on_real**2).mean()
    assert found.item() == pytest.approx(wanted.item(), abs=1e-12)
    # Its slope too: d|w|/dw = w / |w|.
    found.backward()
    at = (fake - real).mean(0) + PENALTY * 2 * (length - 1) * slope / length
    at = at + DRIFT * 2 * (on_real.view(-1, 1, 1, 1) * real).mean(0)
    assert torch.allclose(critic.slope.grad, at, atol=1e-10)


def test_the_penalty_is_taken_between_real_and_made_pictures_over_all_their_values() -> None:
    real, fake = pictures(1), pictures(2)
    found = critic_loss(Bowl(), real, fake, inputs(), torch.Generator().manual_seed(5))
    mix = torch.rand(B, 1, 1, 1, generator=torch.Generator().manual_seed(5))
    lengths = (mix * real + (1 - mix) * fake).flatten(1).norm(2, dim=1)
    on_real, on_fake = ((p**2).sum((1, 2, 3)) / 2 for p in (real, fake))
    wanted = on_fake.mean() - on_real.mean() + PENALTY * ((lengths - 1) ** 2).mean() + DRIFT * (on_real**2).mean()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("critic", [Critic(8), ThesisCritic(16, 4)], ids=["compact", "thesis"])
@pytest.mark.parametrize("seen", ["lineart", "hints", "mask"])
def test_the_critic_looks_at_what_it_judges_by(critic: nn.Module, seen: str) -> None:
    given, picture = inputs(64), torch.zeros(B, 3, 64, 64)
    other = replace(given, **{seen: 1 - getattr(given, seen)})
    with torch.no_grad():
        assert (critic(picture, given) - critic(picture, other)).abs().min() > 1e-6


def test_the_made_picture_gets_no_gradient_from_the_critics_step() -> None:
    fake = pictures(2).requires_grad_(True)
    slope = torch.ones(3, SIZE, SIZE, dtype=torch.float64)
    critic_loss(Linear(slope), pictures(1), fake, inputs(), torch.Generator().manual_seed(0)).backward()
    assert fake.grad is None


def test_the_error_of_reading_is_the_mean_square() -> None:
    read, lineart = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), -1.0)
    assert reading_error(read, lineart).item() == pytest.approx(2.25)
