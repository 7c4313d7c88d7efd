"""Colour conversions against published values and each other."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from training.losses.colour import from_oklab, rotate_hue, to_oklab

colours = arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32))


@given(colours)
def test_oklab_and_back_gives_the_same_colour(rgb: np.ndarray) -> None:
    assert np.abs(oklab_to_srgb(srgb_to_oklab(rgb)) - rgb).max() < 2e-3


def test_the_memory_layout_of_a_picture_does_not_matter() -> None:
    planes = np.random.default_rng(0).random((3, 7, 5), np.float32)
    picture = planes.transpose(1, 2, 0)
    for convert in (srgb_to_oklab, oklab_to_srgb):
        assert np.array_equal(convert(picture), convert(np.ascontiguousarray(picture)))


@given(colours)
def test_the_tensor_oklab_agrees_with_the_array_one(rgb: np.ndarray) -> None:
    tensor = torch.from_numpy(rgb.T[None, :, :, None] * 2 - 1)
    ours = to_oklab(tensor)[0, :, :, 0].T.numpy()
    # The tensor version stops following the cube root close to black, so that gradients stay finite.
    bright = rgb.min(axis=1) > 0.05
    assert np.abs(ours - srgb_to_oklab(rgb))[bright].max(initial=0) < 2e-3


def test_gradients_stay_finite_at_black_and_beyond_the_range() -> None:
    rgb = torch.tensor([-1.0, 0.0, 1.0, -1.4, 1.3, 0.2]).view(1, 3, 2, 1).requires_grad_(True)
    to_oklab(rgb).square().sum().backward()
    assert rgb.grad is not None
    assert torch.isfinite(rgb.grad).all()


def test_rotating_the_hue_keeps_lightness_and_returns_after_a_turn() -> None:
    rgb = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.3 - 0.15
    angle = torch.full((2, 1, 4, 4), 1.0)
    turned = rotate_hue(rgb, angle)
    assert (turned - rgb).abs().max() > 0.02
    assert (to_oklab(turned)[:, 0] - to_oklab(rgb)[:, 0]).abs().max() < 5e-3
    assert (rotate_hue(turned, -angle) - rgb).abs().max() < 5e-3
    assert (from_oklab(to_oklab(rgb)) - rgb).abs().max() < 5e-3
