"""What the machine can do at best, in the same hour as everything else: multiply, convolve, copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

SIDE = 1024
"""Of the square matrices: three of them, 12.6 MB, fit most last-level caches."""
PRODUCTS = 4
"""Of a timing, which then takes about as long as the default network."""
CHANNELS, MAP = 128, 64
"""Of the 3x3 convolution, as in the middle of the default network."""
CONVOLUTIONS = 6
COPY_BYTES = 64_000_000
COPIES = 10
"""Of the canvas; the stages that touch every pixel are told in units of so many."""


class Machine:
    """Work whose cost is known."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self._a, self._b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
        self._product = torch.empty(SIDE, SIDE)
        layout = torch.channels_last
        self._map = torch.randn(1, CHANNELS, MAP, MAP).contiguous(memory_format=layout)
        self._kernel = torch.randn(CHANNELS, CHANNELS, 3, 3).contiguous(memory_format=layout)
        self._source, self._target = np.ones(COPY_BYTES, np.uint8), np.ones(COPY_BYTES, np.uint8)

    def multiply(self) -> None:
        """``PRODUCTS`` products of two square matrices."""
        for _ in range(PRODUCTS):
            torch.mm(self._a, self._b, out=self._product)

    def convolve(self) -> None:
        """``CONVOLUTIONS`` 3x3 convolutions of a small map."""
        for _ in range(CONVOLUTIONS):
            F.conv2d(self._map, self._kernel, padding=1)

    def copy(self) -> None:
        """Copy more than any cache holds."""
        np.copyto(self._target, self._source)

    @property
    def work(self) -> dict[str, Callable[[], Any]]:
        """All of it by name."""
        return {"multiply": self.multiply, "convolve": self.convolve, "copy": self.copy}

    @staticmethod
    def rates(seconds: dict[str, float]) -> dict[str, float]:
        """GFLOP/s of products and convolutions, and GB/s copied (each byte is read once and written once)."""
        return {
            "sgemm_gflops": PRODUCTS * 2 * SIDE**3 / seconds["multiply"] / 1e9,
            "conv_gflops": CONVOLUTIONS * 2 * 9 * CHANNELS**2 * MAP**2 / seconds["convolve"] / 1e9,
            "copy_gb_per_s": COPY_BYTES / seconds["copy"] / 1e9,
        }


class CanvasCopies:
    """``COPIES`` copies of an RGBA canvas, as plain as they come."""

    def __init__(self, width: int, height: int) -> None:
        self._source, self._target = (np.ones((height, width, 4), np.uint8) for _ in range(2))

    def __call__(self) -> None:
        """Copy."""
        for _ in range(COPIES):
            np.copyto(self._target, self._source)


def count_gflop(step: Callable[[], Any]) -> float:
    """Operations of the convolutions and matrix products in a call, a multiplication and an addition each."""
    # The fused attention of CPUs is not counted.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops() / 1e9)
