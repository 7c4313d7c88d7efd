"""The second generator of PaintsTorch: it reads the lineart back out of the colours.

A picture whose lines cannot be found again has lost its drawing. It sees the colours alone: given features of the
lineart it would rebuild the lines without looking at them.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.stenciltorch import ThesisConfig, ThesisDecoder, ThesisEncoder


class Reader(nn.Module):
    """A small U-Net over three scales for CPUs: Bx3xHxW colours to Bx1xHxW lineart in [-1, 1]; stride 4."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width)
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1 if i == 0 else 2, 1) for i, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, 1, 1) for a, b in reversed(list(itertools.pairwise(widths[1:]))))
        self.out = nn.Conv2d(width, 1, 3, 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Read the lineart of Bx3xHxW pictures in [-1, 1]."""
        skips = []
        x = picture
        for layer in self.down:
            x = F.leaky_relu(layer(x), 0.2)
            skips.append(x)
        skips.pop()
        for layer in self.up:
            x = F.leaky_relu(F.interpolate(layer(x), scale_factor=2.0) + skips.pop(), 0.2)
        return torch.tanh(self.out(x))


class ThesisReader(nn.Module):
    """G2 of the thesis: the generator's own shape from colours to lineart, without hints and features; stride 16."""

    def __init__(self, width: int = 64, cardinality: int = 32) -> None:
        super().__init__()
        self.encoder = ThesisEncoder(3, width, hinted=False)
        self.decoder = ThesisDecoder(ThesisConfig(width, 0, guide=False, cardinality=cardinality))

    def forward(self, picture: Tensor) -> Tensor:
        """Read the lineart of Bx3xHxW pictures in [-1, 1]: Bx1xHxW in [-1, 1]."""
        code, skips = self.encoder(picture)
        grey: Tensor = self.decoder(code, None, skips)
        return grey.mean(1, keepdim=True)


def reading_error(read: Tensor, lineart: Tensor) -> Tensor:
    """L_recon: mean squared error of Bx1xHxW lineart in [-1, 1]."""
    return F.mse_loss(read, lineart)
