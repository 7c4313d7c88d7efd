"""PaintsTorch: colour from lineart and hint strokes alone, in two configurations.

``PaintsCompactConfig`` is ``stenciltorch.Compact`` without the inputs of in-painting. ``PaintsTorch`` is the first
generator of the thesis (method section 2): a U-Net on the lineart, hints joined at 1/4, local features at 1/16.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelInputs, ModelOutputs
from engine.models.stenciltorch import CompactConfig, ThesisConfig, ThesisDecoder


@dataclass(frozen=True)
class PaintsCompactConfig(CompactConfig):
    """Sizes of ``Compact`` as PaintsTorch: it sees neither mask nor context."""

    inpaint: bool = False


@dataclass(frozen=True)
class PaintsTorchConfig:
    """Sizes of ``PaintsTorch``.

    Attributes:
        width: f of the thesis, 64 there.
        features: channels of a local feature map at 1/16 (512 for Illustration2Vec), 0 = none.
        cardinality: groups of the ResNeXt bottlenecks.
    """

    width: int = 64
    features: int = 0
    cardinality: int = 32


class PaintsTorch(nn.Module):
    """The thesis's generator G1: 4x4 stride-2 convolutions to 1/16, ResNeXt stages with PixelShuffle back."""

    def __init__(self, config: PaintsTorchConfig) -> None:
        super().__init__()
        self.config = config
        f = config.width

        def down(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, 4, 2, 1), nn.LeakyReLU(0.2))

        self.enc0 = nn.Sequential(nn.Conv2d(1, f // 2, 3, 1, 1), nn.LeakyReLU(0.2))
        self.enc1, self.enc2 = down(f // 2, f), down(f, 2 * f)
        self.hints = nn.Sequential(nn.Conv2d(4, f, 7, 1, 3), nn.LeakyReLU(0.2))
        self.enc3, self.enc4 = down(3 * f, 4 * f), down(4 * f, 8 * f)
        self.decoder = ThesisDecoder(ThesisConfig(f, config.features, guide=False, cardinality=config.cardinality))

    def forward(self, inputs: ModelInputs, features: Tensor | None = None) -> ModelOutputs:
        """Colour a batch; mask and context are not looked at.

        Args:
            inputs: the batch.
            features: BxFx(H/16)x(W/16) local features when the configuration has them; zeros stand in without.
        """
        e1 = self.enc1(self.enc0(inputs.lineart))
        e2 = self.enc2(e1)
        e3 = self.enc3(torch.cat([e2, self.hints(F.avg_pool2d(inputs.hints, 4))], 1))
        code = self.enc4(e3)
        if self.config.features and features is None:
            features = code.new_zeros(code.shape[0], self.config.features, *code.shape[2:])
        shaded = self.decoder(code, features, (e3, e2, e1))
        return ModelOutputs(shaded, shaded)

    def prepare_for_inference(self) -> None:
        """Lay the weights out for CPUs; the network has no normalisation to fold."""
        self.eval()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
