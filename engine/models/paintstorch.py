"""PaintsTorch: colour from lineart and hint strokes alone, in two configurations.

``PaintsCompactConfig`` is ``stenciltorch.Compact`` without the inputs of in-painting. ``PaintsTorch`` is the first
generator of the thesis: a U-Net on the lineart, hints joined at 1/4, local features at 1/16.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.models.base import ModelInputs, ModelOutputs
from engine.models.components.local_features import ThesisParts, build_features
from engine.models.stenciltorch import CompactConfig, ThesisConfig, ThesisDecoder, ThesisEncoder, joining_features


@dataclass(frozen=True)
class PaintsCompactConfig(CompactConfig):
    """Sizes of ``Compact`` as PaintsTorch: it sees neither mask nor context."""

    inpaint: bool = False


@dataclass(frozen=True)
class PaintsTorchConfig(ThesisParts):
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
        self.encoder = ThesisEncoder(1, config.width)
        sizes = ThesisConfig(
            config.width,
            config.features,
            guide=False,
            cardinality=config.cardinality,
            full_skip=config.full_skip,
            fine_cardinality=config.fine_cardinality,
        )
        self.decoder = ThesisDecoder(sizes)
        self.local = build_features(config, config.features)

    def forward(self, inputs: ModelInputs, features: Tensor | None = None) -> ModelOutputs:
        """Colour a batch; mask and context are not looked at. For ``features`` see ``stenciltorch.Thesis``."""
        code, skips = self.encoder(inputs.lineart, inputs.hints)
        features = joining_features(code, self.config.features, self.local, inputs.lineart, features)
        shaded = self.decoder(code, features, skips)
        return ModelOutputs(shaded, shaded)

    def prepare_for_inference(self) -> None:
        """Lay the weights out for CPUs; the network has no normalisation to fold."""
        self.eval()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
