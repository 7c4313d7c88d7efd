"""The denoiser of StablePaint: a U-Net on the latent map that knows the time, with one cross-attention stage.

What it is conditioned on comes as input channels; the cross-attention, kept from the thesis, adds what lies far away.
Attention is over all positions of the map without a causal mask, with rotary positions in two dimensions, so that what
counts is how far apart two places are and not where the crop began.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TIME_WAVES = 64
"""Sine and cosine pairs that encode the time."""
DEVIATION = 0.9
"""About how far the illustration's standardised latent lies from the guess; so much the denoiser takes for granted."""
HEAD = 32
"""Features per attention head."""
GROUPS = 8


def encode_time(t: Tensor) -> Tensor:
    """Encode B times in [0, 1] as B x 2*TIME_WAVES sines and cosines, in float32 whatever the network runs in."""
    rate = torch.logspace(0, 3, TIME_WAVES, device=t.device, dtype=torch.float32)
    angle = t.float()[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1)


def rotate(x: Tensor, height: int, width: int) -> Tensor:
    """Turn features by angles that grow with the row and the column (Su et al. 2021, over two axes), in float32.

    Args:
        x: Bxheads x (height*width) x D, D divisible by 4; one half is turned by the row, the other by the column.
        height: rows of the map.
        width: columns of the map.
    """
    quarter = x.shape[-1] // 4
    rate = 100.0 ** (-torch.arange(quarter, device=x.device, dtype=torch.float32) / quarter)
    rows = torch.arange(height, device=x.device, dtype=torch.float32)[:, None] * rate
    columns = torch.arange(width, device=x.device, dtype=torch.float32)[:, None] * rate
    angle = torch.cat([rows[:, None].expand(-1, width, -1), columns[None].expand(height, -1, -1)], 2).flatten(0, 1)
    cos, sin = angle.cos(), angle.sin()
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1).to(x.dtype)


def zero(layer: nn.Conv2d | nn.Linear) -> None:
    """Let a layer begin with no say."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class TimedBlock(nn.Module):
    """A residual block whose middle is scaled and shifted per channel by the time."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.film = nn.Linear(embedding, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        zero(self.film)
        zero(self.conv2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Keep the shape BxCxHxW; ``time`` is Bxembedding."""
        scale, shift = self.film(time)[:, :, None, None].chunk(2, 1)
        y = self.conv1(F.silu(self.norm(x), inplace=True))
        y = F.silu(torch.addcmul(shift, y, 1 + scale), inplace=True)
        change: Tensor = self.conv2(y)
        return x + change


class Attention(nn.Module):
    """Attention from the tokens of a map to those of another of the same size, or to themselves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        zero(self.out)

    def forward(self, x: Tensor, other: Tensor, size: tuple[int, int]) -> Tensor:
        """BxNxC tokens of a map of ``size`` rows and columns, from ``other``, BxNxC of the same."""

        def split(tokens: Tensor) -> Tensor:
            b, n, c = tokens.shape
            return tokens.reshape(b, n, self.heads, c // self.heads).transpose(1, 2)

        # Keys and values are halves of the features, not of the tokens.
        key, value = self.key_value(other).chunk(2, dim=2)
        mixed = F.scaled_dot_product_attention(
            rotate(split(self.query(x)), *size), rotate(split(key), *size), split(value)
        )
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class CrossStage(nn.Module):
    """The thesis's spatial transformer: self-attention, cross-attention to what was pooled, and a perceptron."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.itself, self.cross = Attention(channels), Attention(channels)
        self.embed = nn.Linear(pooled, channels)
        self.perceptron = nn.Sequential(nn.Linear(channels, 3 * channels), nn.GELU(), nn.Linear(3 * channels, channels))

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        """Keep the shape BxCxHxW; ``pooled`` is BxPxHxW."""
        size = (x.shape[2], x.shape[3])
        tokens = x.flatten(2).transpose(1, 2)
        other = self.embed(pooled.flatten(2).transpose(1, 2))
        here = self.norms[0](tokens)
        tokens = tokens + self.itself(here, here, size)
        tokens = tokens + self.cross(self.norms[1](tokens), other, size)
        tokens = tokens + self.perceptron(self.norms[2](tokens))
        out: Tensor = tokens.transpose(1, 2).reshape(x.shape)
        return out


class Denoiser(nn.Module):
    """U-Net at 1/1, 1/2, 1/4 and 1/8 of the latent map; most of its weights lie where the map is small.

    Args:
        channels: of the latent.
        conditions: channels of what it is conditioned on.
        pooled: how many of these, the first ones, are pooled for the cross-attention.
        widths: channels at the four scales.
        embedding: size of the time's embedding.
    """

    def __init__(
        self, channels: int, conditions: int, pooled: int, widths: tuple[int, int, int, int], embedding: int
    ) -> None:
        super().__init__()
        w1, w2, w3, w4 = widths
        self.pooled = pooled
        self.time = nn.Sequential(
            nn.Linear(2 * TIME_WAVES, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = nn.Conv2d(channels + conditions, w1, 3, 1, 1)
        self.down = nn.ModuleList(TimedBlock(w, embedding) for w in (w1, w2, w3))
        self.smaller = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in ((w1, w2), (w2, w3), (w3, w4)))
        self.middle = nn.ModuleList(TimedBlock(w4, embedding) for _ in range(2))
        self.larger = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in ((w4, w3), (w3, w2), (w2, w1)))
        self.up = nn.ModuleList(TimedBlock(w, embedding) for w in (w3, w2, w1))
        self.cross = CrossStage(w3, pooled)
        self.norm = nn.GroupNorm(GROUPS, w1)
        self.head = nn.Conv2d(w1, channels, 3, 1, 1)
        zero(self.head)

    def forward(self, x: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        """Expected velocity e - r of x = (1 - t) r + t e.

        What is linear in x is done beforehand, as Karras et al. (2022) do: for r of deviation s, the best guess from x
        alone is x (t - (1 - t) s^2) / V with V = (1 - t)^2 s^2 + t^2, and what it misses has the variance s^2 / V. The
        layers give that, scaled to deviation 1, from x scaled so too; untrained, the denoiser takes noise out already.

        Args:
            x: BxCxhxw, sizes multiples of 4; of 8 as in training.
            conditions: BxDxhxw.
            t: B times in [0, 1].
        """
        share = t.float().view(-1, 1, 1, 1)
        square = DEVIATION**2
        total = (1 - share) ** 2 * square + share**2
        missed = self._layers((x.float() * total.rsqrt()).to(x.dtype), conditions, t).float()
        return x.float() * (share - (1 - share) * square) / total + DEVIATION * total.rsqrt() * missed

    def _layers(self, x: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            time = self.time(encode_time(t))
        pooled = F.avg_pool2d(conditions[:, : self.pooled], 4)
        x = torch.cat([x, conditions], 1)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.stem(x)
        skips = []
        for block, shrink in zip(self.down, self.smaller, strict=True):
            x = block(x, time)
            skips.append(x)
            x = shrink(x)
        for block in self.middle:
            x = block(x, time)
        for number, (block, grow) in enumerate(zip(self.up, self.larger, strict=True)):
            skip = skips.pop()
            x = F.interpolate(grow(x), skip.shape[-2:]) + skip
            if number == 0:
                x = self.cross(x, pooled)
            x = block(x, time)
        out: Tensor = self.head(F.silu(self.norm(x), inplace=True))
        return out
