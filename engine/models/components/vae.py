"""The illustration VAE of StablePaint: 8x8 pixels to a cell of a few channels and back.

One decoder pass gives two pictures: the illustration, and its simplified version in flat colours, which is what the
guide decoder is to StencilTorch. So what lies between them is light and shade, as the pipeline needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.components.blocks import ResidualBlock

CELL = 8
"""Pixels per cell of the latent map in both directions."""
LOG_VARIANCE_RANGE = (-12.0, 4.0)
FIRST_LOG_VARIANCE = -5.0


@dataclass(frozen=True)
class Posterior:
    """What the encoder says of a picture: mean and log-variance, BxCx(H/8)x(W/8) each, before standardisation."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Reparametrised sample with standard normal noise of the mean's shape."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def divergence(self) -> Tensor:
        """KL divergence to N(0, I) in nats per latent number."""
        variance = self.log_variance.exp()
        return 0.5 * (self.mean**2 + variance - 1 - self.log_variance).mean()


def _doubled(inputs: int, outputs: int) -> nn.Sequential:
    """A 1x1 convolution and PixelShuffle: twice the size at the cost of no wide map."""
    return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 1), nn.PixelShuffle(2), nn.ReLU(inplace=True))


class Vae(nn.Module):
    """Plain 3x3 residual blocks with foldable BatchNorm, at 1/4 and 1/8 down, at 1/8, 1/4 and 1/2 up.

    Beside them, both ways, goes a linear map between a cell's 8x8 pixels and its latent. It begins as the principal
    components of such cells (``begin_linear``), so training begins where linear coding ends.

    Args:
        channels: of the latent map.
        encoder: widths at 1/4 and 1/8.
        decoder: widths at 1/8, 1/4 and 1/2.
    """

    def __init__(self, channels: int, encoder: tuple[int, int], decoder: tuple[int, int, int]) -> None:
        super().__init__()
        e1, e2 = encoder
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, e1, 3, 1, 1),
            nn.ReLU(inplace=True),
            ResidualBlock(e1),
            nn.Conv2d(e1, e2, 3, 2, 1),
            nn.ReLU(inplace=True),
            ResidualBlock(e2),
            nn.Conv2d(e2, 2 * channels, 3, 1, 1),
        )
        d1, d2, d3 = decoder
        # Two pictures of three channels in four sub-pixels.
        head = nn.Conv2d(d3, 4 * 6, 3, 1, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, d1, 3, 1, 1),
            nn.ReLU(inplace=True),
            ResidualBlock(d1),
            _doubled(d1, d2),
            ResidualBlock(d2),
            _doubled(d2, d3),
            ResidualBlock(d3),
            head,
            nn.PixelShuffle(2),
        )
        self.project = nn.Conv2d(3, channels, CELL, CELL)
        self.unproject = nn.Sequential(nn.Conv2d(channels, 3 * CELL * CELL, 1), nn.PixelShuffle(CELL))
        self.register_buffer("centre", torch.zeros(1, channels, 1, 1))
        self.register_buffer("spread", torch.ones(1, channels, 1, 1))
        # Colour of a cell as a linear function of its standardised latent: three rows and an offset.
        self.register_buffer("glance", torch.zeros(3, channels + 1))

    @property
    def last_layer(self) -> Tensor:
        """The weight that the adaptive adversarial weight looks at."""
        return cast("nn.Conv2d", self.decoder[-2]).weight

    def encode(self, pictures: Tensor) -> Posterior:
        """Encode Bx3xHxW in [-1, 1], sizes multiples of 8."""
        pictures = _laid_out(pictures)
        mean, log_variance = self.encoder(pictures).chunk(2, 1)
        return Posterior(mean + self.project(pictures), log_variance.clamp(*LOG_VARIANCE_RANGE))

    def standardise(self, mean: Tensor) -> Tensor:
        """Bring BxCxhxw latents to mean 0 and deviation 1 per channel over the training art."""
        return (mean - self.get_buffer("centre")) / self.get_buffer("spread")

    def latent(self, pictures: Tensor) -> Tensor:
        """The standardised latent of Bx3xHxW pictures in [-1, 1]."""
        return self.standardise(self.encode(pictures).mean)

    def decode_raw(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Decode a latent that was not standardised; flat and shaded picture, Bx3xHxW, about [-1, 1]."""
        latent = _laid_out(latent)
        linear = self.unproject(latent)
        flat, shaded = self.decoder(latent).chunk(2, 1)
        return linear + flat, linear + shaded

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Decode a standardised latent; flat and shaded picture, Bx3xHxW, about [-1, 1]."""
        return self.decode_raw(latent * self.get_buffer("spread") + self.get_buffer("centre"))

    def preview(self, latent: Tensor) -> Tensor:
        """A rough picture of a standardised latent, a pixel per cell, Bx3x(H/8)x(W/8) in [-1, 1]; next to no time."""
        glance = self.get_buffer("glance")
        return F.conv2d(latent, glance[:, :-1, None, None], glance[:, -1]).clamp(-1, 1)

    @torch.no_grad()
    def begin_linear(self, batches: list[Tensor]) -> None:
        """Begin with the principal components of the cells of some pictures, each of deviation 1, and nothing else."""
        cells = torch.cat([F.pixel_unshuffle(b.float(), CELL).transpose(0, 1).flatten(1) for b in batches], 1)
        mean = cells.mean(1)
        values, vectors = torch.linalg.eigh(torch.cov(cells).double().cpu())
        count = self.project.out_channels
        spread = values[-count:].flip(0).clamp_min(1e-8).sqrt()
        axes = vectors[:, -count:].flip(1).to(cells)
        scaled = (axes / spread.to(cells)).T
        self.project.weight.copy_(scaled.reshape(self.project.weight.shape))
        last, first = cast("nn.Conv2d", self.unproject[0]), cast("nn.Conv2d", self.encoder[-1])
        last.weight.copy_((axes * spread.to(cells))[:, :, None, None])
        if self.project.bias is not None and last.bias is not None and first.bias is not None:
            self.project.bias.copy_(-scaled @ mean)
            last.bias.copy_(mean)
            first.bias.zero_()
            first.bias[count:].fill_(FIRST_LOG_VARIANCE)
        first.weight.zero_()
        for parameter in self.decoder[-2].parameters():
            parameter.zero_()

    @torch.no_grad()
    def measure(self, batches: list[Tensor]) -> None:
        """Set deviation and mean per channel, and the preview, from batches of training pictures."""
        means = [self.encode(b).mean.float() for b in batches]
        flat = torch.cat([m.transpose(0, 1).flatten(1) for m in means], 1)
        self.get_buffer("centre").copy_(flat.mean(1).view(1, -1, 1, 1))
        self.get_buffer("spread").copy_(flat.std(1).clamp_min(1e-4).view(1, -1, 1, 1))
        cells = torch.cat([self.standardise(m).transpose(0, 1).flatten(1) for m in means], 1)
        colours = torch.cat([F.avg_pool2d(b.float(), CELL).transpose(0, 1).flatten(1) for b in batches], 1)
        design = torch.cat([cells, torch.ones_like(cells[:1])], 0)
        found = torch.linalg.lstsq(design.T.cpu(), colours.T.cpu()).solution.T
        self.get_buffer("glance").copy_(found.to(flat.device))


def _laid_out(x: Tensor) -> Tensor:
    """Channels last on a CPU, where convolutions are faster so."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x
