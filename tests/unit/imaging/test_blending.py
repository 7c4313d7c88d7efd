"""Multiply and Screen as Krita works them out, at every value."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.imaging.layers.blending import compose_light, multiply, screen

EVERY = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))


def test_multiply_is_the_product_rounded_to_the_nearest_level() -> None:
    a, b = EVERY
    assert (multiply(a, b) == np.floor(a.astype(float) * b / 255 + 0.5)).all()


def test_screen_is_multiply_of_the_inverse_within_a_level_and_exact_at_the_ends() -> None:
    a, b = EVERY
    assert np.abs(screen(a, b).astype(int) - (255 - multiply(255 - a, 255 - b).astype(int))).max() <= 1
    assert (screen(np.zeros_like(b), b) == b).all()
    assert (screen(np.full_like(b, 255), b) == 255).all()


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_sixteen_bits_are_rounded_alike(a: int, b: int) -> None:
    one, other = np.array([a], np.uint16), np.array([b], np.uint16)
    product = (2 * a * b + 65535) // (2 * 65535)
    assert multiply(one, other)[0] == product
    assert screen(one, other)[0] == a + b - product


def test_eight_and_sixteen_bits_agree_to_a_level() -> None:
    rng = np.random.default_rng(0)
    flats, shadow, light = (rng.integers(0, 256, (40, 40, 4)).astype(np.uint16) for _ in range(3))
    for layer in (flats, shadow, light):
        layer[..., 3] = np.where(layer[..., 3] > 100, 255, 0)
    eight = compose_light(*(x.astype(np.uint8) for x in (flats, shadow, light)))
    sixteen = compose_light(*(x * np.uint16(257) for x in (flats, shadow, light)))
    assert np.abs(sixteen.astype(float) / 257 - eight).max() <= 1.01


def test_a_clear_layer_changes_nothing() -> None:
    flats = np.full((2, 2, 4), 90, np.uint8)
    clear = np.full((2, 2, 4), 30, np.uint8)
    clear[..., 3] = 0
    assert (compose_light(flats, clear, clear) == flats).all()
