"""Content losses: how far two pictures are apart in the eyes of something that looks at more than pixels.

``L_cont = |F(y_hat) - F(y)|^2 / chw``, with F the fourth activation of VGG16 as published, our own
encoder, or the pixels themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.models.components.encoder import Encoder
from training.evaluation.networks import load_vgg16
from training.features.weights import OWN_ENCODER, load_encoder, tensors_digest

Content = Callable[[Tensor, Tensor], Tensor]
"""Of two Bx3xHxW pictures in [-1, 1] a scalar; the second is the truth."""

CONTENTS = ("none", "own", "vgg16")
"""Content losses by the name of ``--content``."""
OWN_MAPS = slice(1, None)
"""Which of an encoder's maps a content loss looks at: those at 1/4, 1/8 and 1/16. By the finest, at 1/2, a shift of two
pixels would count for more than a strong blur, see `training probe-encoder`."""


def pixels(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of the pixels themselves: what is left where no features are to be had."""
    return F.mse_loss(picture, truth)


def in_features(look: Callable[[Tensor], list[Tensor]]) -> Content:
    """The content loss of a network: the squared distance of its maps, the mean over chw of each, then of all."""

    def content(picture: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = look(truth)
        return torch.stack([F.mse_loss(a, b) for a, b in zip(look(picture), wanted, strict=True)]).mean()

    return content


def encoder_content(encoder: Encoder) -> Content:
    """The content loss of an encoder of our own."""
    return in_features(lambda x: encoder(x)[OWN_MAPS])


@dataclass(frozen=True)
class LoadedContent:
    """A content loss ready for use.

    Attributes:
        loss: the loss.
        network: what it looks through.
        digest: SHA-256 of its tensors, empty when it has none.
    """

    loss: Content
    network: nn.Module
    digest: str

    def to(self, device: torch.device) -> Content:
        """The loss on a device."""
        self.network.to(device)
        return self.loss


def load_content(name: str, weights: Path | None = None) -> LoadedContent:
    """Make a content loss.

    Args:
        name: one of ``CONTENTS``.
        weights: the file of its network; ``OWN_ENCODER`` for ``own`` when there is none.

    Raises:
        ColorizeError: no weights, the wrong ones, or some that are not wanted.
    """
    if name not in CONTENTS:
        raise ColorizeError(f"no content loss is named {name}", f"choose of {', '.join(CONTENTS)}", wrong_use=True)
    if name == "none":
        if weights is not None:
            raise ColorizeError("--content-weights without --content", "name the content loss as well", wrong_use=True)
        return LoadedContent(pixels, nn.Identity(), "")
    if name == "own":
        encoder, _ = load_encoder(weights or OWN_ENCODER)
        return LoadedContent(encoder_content(encoder), encoder, tensors_digest(encoder.state_dict()))
    if weights is None:
        raise ColorizeError(
            f"--content {name} needs --content-weights FILE",
            "`training convert` makes it from torchvision's vgg16; --content own needs no file of others",
            wrong_use=True,
        )
    vgg = load_vgg16(weights)
    return LoadedContent(in_features(lambda x: [vgg(x)]), vgg, tensors_digest(vgg.state_dict()))
