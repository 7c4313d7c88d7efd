"""Building blocks that several networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ResidualBlock(nn.Module):
    """Two plain 3x3 convolutions with foldable BatchNorm: the cheapest block per unit of capacity on a CPU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape BxCxHxW."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)).add_(x), inplace=True)

    def fold(self) -> None:
        """Merge the BatchNorms into their convolutions (inference only)."""
        if isinstance(self.norm1, nn.BatchNorm2d) and isinstance(self.norm2, nn.BatchNorm2d):
            self.conv1 = fuse_conv_bn_eval(self.conv1, self.norm1)
            self.conv2 = fuse_conv_bn_eval(self.conv2, self.norm2)
            self.norm1, self.norm2 = nn.Identity(), nn.Identity()


class Foldable(nn.Module):
    """A network with such blocks, which a checkpoint prepares once it is loaded."""

    def prepare_for_inference(self) -> None:
        """Fold BatchNorm and lay the weights out for CPUs."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ResidualBlock):
                module.fold()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
