"""Random numbers for a batch on any device: one stream for the batch, or one of its own for every sample.

A ``torch.Generator`` is one stream: what a sample gets depends on its place in the batch. ``SampleChance`` hashes
(seed of the sample, number of the call, place in the array) instead, so a sample comes out the same in any batch, on
any number of processes, and on CPU and GPU alike. It is for augmentation, not for cryptography. ``Rows`` gives a part
of a batch what the one stream would have given it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
"""Constants of SplitMix64 (Steele, Lea, Flood 2014) as signed integers; tensor products wrap around as it needs."""


def _wrap(number: int) -> int:
    """What 64 bits keep of a number, as a signed integer."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift int64 to the right and fill with zeros."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64: int64 to well mixed int64."""
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


class SampleChance:
    """A stream of random numbers per sample.

    Args:
        seeds: B int64, one seed per sample; random numbers are made on its device.
    """

    def __init__(self, seeds: Tensor) -> None:
        self.seeds = seeds.to(torch.int64)
        self.calls = 0

    def rand(self, *shape: int) -> Tensor:
        """Draw uniform float32 in [0, 1).

        Raises:
            ValueError: the first axis of ``shape`` is not the number of samples.
        """
        if shape[0] != len(self.seeds):
            raise ValueError(f"{shape[0]} samples asked of {len(self.seeds)} seeds")
        self.calls += 1
        stream = _mix(self.seeds + _wrap(self.calls * _GOLDEN))
        place = torch.arange(1, math.prod(shape[1:]) + 1, device=self.seeds.device) * _GOLDEN
        # 24 bits are what float32 holds without rounding up to 1.
        return (_shift(_mix(stream[:, None] + place), 40).float() / (1 << 24)).reshape(shape)

    def randn(self, *shape: int) -> Tensor:
        """Draw normal float32 (Box and Muller 1958).

        Raises:
            ValueError: the first axis of ``shape`` is not the number of samples.
        """
        radius = (-2 * torch.log1p(-self.rand(*shape))).sqrt()
        return radius * (2 * math.pi * self.rand(*shape)).cos()


class Rows:
    """Some samples' share of one stream for a batch: they get what they would get if the batch were made in one place.

    Args:
        gen: the stream of the whole batch, on its device; all of the batch's numbers are drawn from it.
        total: samples of the whole batch.
        begin: the first of these samples in it.
        widest: the greatest of one number per sample over the whole batch.
    """

    def __init__(
        self, gen: torch.Generator, total: int, begin: int, widest: Callable[[Tensor], float] | None = None
    ) -> None:
        self.gen, self.total, self.begin, self.widest = gen, total, begin, widest

    def rand(self, *shape: int) -> Tensor:
        """Draw uniform float32 in [0, 1)."""
        return self._mine(torch.rand(self.total, *shape[1:], device=self.gen.device, generator=self.gen), shape[0])

    def randn(self, *shape: int) -> Tensor:
        """Draw normal float32."""
        return self._mine(torch.randn(self.total, *shape[1:], device=self.gen.device, generator=self.gen), shape[0])

    def _mine(self, whole: Tensor, rows: int) -> Tensor:
        return whole[self.begin : self.begin + rows]


Chance = torch.Generator | SampleChance | Rows
"""Any source; see the module's text."""


def rand(chance: Chance, *shape: int) -> Tensor:
    """Draw uniform float32 in [0, 1) from any source, on its device."""
    if isinstance(chance, SampleChance | Rows):
        return chance.rand(*shape)
    return torch.rand(*shape, device=chance.device, generator=chance)


def randn(chance: Chance, *shape: int) -> Tensor:
    """Draw normal float32 from any source, on its device."""
    if isinstance(chance, SampleChance | Rows):
        return chance.randn(*shape)
    return torch.randn(*shape, device=chance.device, generator=chance)
