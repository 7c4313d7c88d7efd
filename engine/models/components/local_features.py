"""Local features of a lineart at 1/16, computed by a frozen network that travels with the model.

A lineart lacks the colours and textures that tell what is what; features of a network that has seen much art make up
for some of that. The thesis takes Illustration2Vec (Saito and Matsui 2015); ``learned`` is an encoder of our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.components.encoder import Encoder, EncoderConfig

FEATURE_NETS = ("none", "illustration2vec", "learned")
"""Where local features come from, by the name in a configuration; with ``none`` they may still be given by hand."""
I2V_CHANNELS = 512
_I2V = (64, 0, 128, 0, 256, 256, 0, 512, 512)
"""Maps of Illustration2Vec's 3x3 convolutions up to 1/16 of the drawing; 0 = a maximum over 2 x 2."""
_I2V_MEAN = (164.76139251, 167.47864617, 181.13838569)
"""Its training pictures' mean, of values from 0 to 255."""


@dataclass(frozen=True, kw_only=True)
class ThesisParts:
    """Of the thesis's networks: where local features come from, and where the author's code differs from the text.

    A part of both networks' configurations.

    Attributes:
        feature_net: one of ``FEATURE_NETS``; its weights are part of the checkpoint.
        encoder_widths: ``EncoderConfig.widths`` of ``learned``,
        encoder_blocks: and its ``blocks``.
        full_skip: the encoder's full-size map joins before the last convolution, as in the author's code.
        fine_cardinality: groups of the bottlenecks at 1/2 where other than elsewhere, as in the author's code; 0 = not.
    """

    feature_net: str = "none"
    encoder_widths: tuple[int, int, int, int] = EncoderConfig.widths
    encoder_blocks: tuple[int, int, int, int] = EncoderConfig.blocks
    full_skip: bool = False
    fine_cardinality: int = 0


class Illustration2Vec(nn.Module):
    """Illustration2Vec up to conv4_2, on the drawing at half its size: 512 maps at 1/16.

    The layers have the numbers of a plain sequence of convolutions, ReLUs and poolings, as in the weights that are
    passed around for PyTorch.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        inputs = 3
        for width in _I2V:
            if width:
                self.layers.append(nn.Conv2d(inputs, width, 3, 1, 1))
                self.layers.append(nn.ReLU())
                inputs = width
            else:
                self.layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        self.register_buffer("mean", torch.tensor(_I2V_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, lineart: Tensor) -> Tensor:
        """Bx1xHxW or Bx3xHxW in [-1, 1] to Bx512x(H/16)x(W/16)."""
        half = F.avg_pool2d(lineart, 2).expand(-1, 3, -1, -1)
        maps: Tensor = self.layers((half + 1) * 127.5 - self.mean)
        return maps


class Learned(nn.Module):
    """The last map of an ``Encoder``, at 1/16."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)

    def forward(self, lineart: Tensor) -> Tensor:
        """Bx1xHxW in [-1, 1] to BxFx(H/16)x(W/16)."""
        maps: list[Tensor] = self.encoder(lineart)
        return maps[-1]


class LocalFeatures(nn.Module):
    """A frozen network: it never trains, whatever the model around it does."""

    def __init__(self, config: ThesisParts, features: int) -> None:
        super().__init__()
        network: nn.Module
        if config.feature_net == "illustration2vec":
            width, network = I2V_CHANNELS, Illustration2Vec()
        elif config.feature_net == "learned":
            width = config.encoder_widths[-1]
            network = Learned(EncoderConfig(config.encoder_widths, config.encoder_blocks))
        else:
            raise ValueError(f"no features are named {config.feature_net}; known are {', '.join(FEATURE_NETS)}")
        if features != width:
            raise ValueError(f"{config.feature_net} gives {width} features, not {features}")
        self.network = network
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> LocalFeatures:  # noqa: ARG002
        """Stay as it is: statistics of BatchNorm must not move."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, lineart: Tensor) -> Tensor:
        """Bx1xHxW in [-1, 1] to BxFx(H/16)x(W/16)."""
        maps: Tensor = self.network(lineart)
        return maps


def build_features(config: ThesisParts, features: int) -> LocalFeatures | None:
    """The network of a configuration, not yet filled with weights; None when features, if any, are given by hand.

    Args:
        config: what it asks for.
        features: channels of the map that the model is built for.

    Raises:
        ValueError: an unknown name, or a number of channels that it does not give.
    """
    return None if config.feature_net == "none" else LocalFeatures(config, features)


def features_config(name: str, encoder: EncoderConfig | None = None) -> dict[str, Any]:
    """The part of a model's configuration that asks for features of this name."""
    if name == "illustration2vec":
        return {"features": I2V_CHANNELS, "feature_net": name}
    if name == "learned":
        sizes = encoder or EncoderConfig()
        own = {"encoder_widths": sizes.widths, "encoder_blocks": sizes.blocks}
        return {"features": sizes.widths[-1], "feature_net": name, **own}
    return {"features": 0, "feature_net": "none"}
