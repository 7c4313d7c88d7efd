"""Krita's integer arithmetic for the blending modes Multiply and Screen, so that layers add up to the picture shown.

Krita (KoColorSpaceMaths, KoCompositeOpFunctions) multiplies channels of ``unit`` = 255 or 65535 as
``mul(a, b) = (t + t // n) // n`` with ``t = a b + n / 2`` and ``n = unit + 1``, which is ``a b / unit`` rounded to the
nearest integer. Multiply is ``mul(source, below)``; Screen is ``source + below - mul(source, below)``. Where source and
destination are opaque, or the source keeps the alpha below it, the result is exactly that; a transparent source changes
nothing.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Channels = TypeVar("Channels", np.uint8, np.uint16)


def multiply(source: NDArray[Channels], below: NDArray[Channels]) -> NDArray[Channels]:
    """Krita's Multiply of opaque colours, any shape, 8 or 16 bits a channel."""
    bits = np.iinfo(source.dtype).bits
    t = source.astype(np.uint32) * below
    t += np.uint32(1 << (bits - 1))
    return np.asarray(((t + (t >> np.uint32(bits))) >> np.uint32(bits)).astype(source.dtype))


def screen(source: NDArray[Channels], below: NDArray[Channels]) -> NDArray[Channels]:
    """Krita's Screen of opaque colours, any shape, 8 or 16 bits a channel."""
    total = source.astype(np.int32) + below
    return np.asarray(np.subtract(total, multiply(source, below)).astype(source.dtype))


def compose_light(flats: NDArray[Channels], shadow: NDArray[Channels], light: NDArray[Channels]) -> NDArray[Channels]:
    """What Krita shows of ``shadow`` by Multiply and ``light`` by Screen over ``flats``, with the alpha of the flats.

    Args:
        flats: HxWx4 RGBA.
        shadow: HxWx4, alpha 0 where there is none and otherwise that of the flats (or full, when clipped to them).
        light: HxWx4, likewise.
    """
    out = flats.copy()
    for mode, layer in ((multiply, shadow), (screen, light)):
        there = layer[..., 3] > 0
        out[there, :3] = mode(layer[there, :3], out[there, :3])
    return np.asarray(out)
