"""The noise StablePaint starts from: normal, of variance 1 everywhere, and coarse enough to colour large areas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.models.stablepaint import Noise
from engine.sampling.noise import COARSE, grid_sizes, mix_noise

MANY = 4_000


def draw(height: int, width: int, count: int = MANY, seed: int = 1) -> Tensor:
    stream = torch.Generator().manual_seed(seed)
    white = torch.randn(count, 1, height, width, generator=stream)
    return mix_noise(white, [torch.randn(count, 1, *s, generator=stream) for s in grid_sizes(height, width)])


@pytest.mark.parametrize("size", [(16, 16), (8, 24), (1, 1), (40, 16)])
def test_it_has_mean_0_and_variance_1_at_every_place(size: tuple[int, int]) -> None:
    made = draw(*size)
    assert made.mean(0).abs().max() < 5 / MANY**0.5
    assert (made.var(0) - 1).abs().max() < 8 / MANY**0.5


def test_a_quarter_of_a_picture_has_a_mean_that_varies_at_any_size() -> None:
    for side in (16, 32, 64):
        made = draw(side, side, 1_000)[..., : side // 2, : side // 2]
        deviation = float(made.mean((2, 3)).std())
        assert 0.4 < deviation < COARSE**0.5, side


@settings(max_examples=60)
@given(st.integers(1, 130), st.integers(1, 130))
def test_grids_have_the_shape_of_the_picture_and_are_smaller(height: int, width: int) -> None:
    for rows, columns in grid_sizes(height, width):
        assert 1 <= rows <= height
        assert 1 <= columns <= width
        assert abs(rows / columns - height / width) <= max(height / width, 1) * 0.51 / min(rows, columns) + 0.51


def test_each_seed_has_a_stream_of_its_own() -> None:
    like = torch.zeros(3, 4, 16, 16)
    together = Noise((3, 4, 3))(like)
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(Noise((4,))(like[:1])[0], together[1])
    again = Noise((3, 4, 3))
    first, second = again(like), again(like)
    assert torch.equal(first, together)
    assert not torch.equal(first, second)
