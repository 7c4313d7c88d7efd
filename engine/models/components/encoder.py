"""A small encoder of pictures and linearts, trained on art without labels (``training train-encoder``).

It serves as local features of a lineart in the thesis's networks, and in training as the eyes of a content loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.models.components.blocks import ResidualBlock

ARCHITECTURE = "art-encoder"
"""The ``architecture`` in the metadata of an encoder's weights, which is no colouring model's."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of ``Encoder``.

    Attributes:
        widths: channels of the maps at 1/2, 1/4, 1/8 and 1/16.
        blocks: residual blocks at each of these scales.
    """

    widths: tuple[int, int, int, int] = (24, 48, 96, 160)
    blocks: tuple[int, int, int, int] = (0, 1, 1, 1)


class Encoder(nn.Module):
    """Strided 3x3 convolutions and residual blocks with BatchNorm; 0.87 million parameters as configured.

    A lineart is given as a grey picture. BatchNorm's statistics are of pictures and linearts alike.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.stages = nn.ModuleList()
        inputs = 3
        for number, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            down = nn.Conv2d(inputs, width, 3, 2, 1, bias=False)
            parts = [down, nn.BatchNorm2d(width), nn.ReLU(), *[ResidualBlock(width) for _ in range(blocks)]]
            self.stages.append(nn.Sequential(*parts))
            self.register_buffer(f"spread{number}", torch.ones(1, width, 1, 1))
            inputs = width

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Look at Bx3xHxW in [-1, 1], or Bx1xHxW lineart, 1 = paper; maps at 1/2, 1/4, 1/8 and 1/16, sizes rounded up.

        Every channel is divided by its standard deviation over the training art, so that all weigh alike.
        """
        maps = []
        x = pictures.expand(-1, 3, -1, -1)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            maps.append(x / self.get_buffer(f"spread{number}"))
        return maps

    @torch.no_grad()
    def measure_spread(self, batches: list[Tensor]) -> None:
        """Set the standard deviations from batches of pictures; channels that never stir count by the mean of all."""
        self.eval()
        for number in range(len(self.stages)):
            self.get_buffer(f"spread{number}").fill_(1.0)
        seen = [self(batch) for batch in batches]
        for number in range(len(self.stages)):
            values = torch.cat([maps[number].transpose(0, 1).flatten(1) for maps in seen], 1)
            spread = values.std(1)
            spread = spread.clamp_min(0.1 * float(spread.mean()))
            self.get_buffer(f"spread{number}").copy_(spread.view(1, -1, 1, 1))


def pooled(maps: list[Tensor]) -> Tensor:
    """Means of the maps at 1/4, 1/8 and 1/16: what an encoder remembers of a whole picture, BxD."""
    return torch.cat([m.mean((2, 3)) for m in maps[1:]], 1)
