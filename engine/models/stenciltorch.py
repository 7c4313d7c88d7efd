"""StencilTorch: hint-guided in-painting of line art, in two configurations.

``Compact`` is the default: a small U-Net made for CPUs that starts from the flooded hints (``hint_prior``) and gives a
flat and a shaded picture. ``Thesis`` is the generator of the thesis: a U-Net with ResNeXt
decoder stages, optional local features, and a guide decoder that rebuilds the flat picture from the 1/16 code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelInputs, ModelOutputs
from engine.models.components.blocks import Foldable
from engine.models.components.blocks import ResidualBlock as ResidualBlock
from engine.models.components.hint_prior import CHANNELS as PRIOR_CHANNELS
from engine.models.components.hint_prior import Flood, flood_hints
from engine.models.components.local_features import LocalFeatures, ThesisParts, build_features


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of ``Compact``.

    Attributes:
        widths: channels at 1/4, 1/8, 1/16 and 1/32 of the working size.
        encoder_blocks: residual blocks at 1/4, 1/8 and 1/16 on the way down. Blocks at 1/4 cost most per unit of
            capacity, and the stem has looked at that scale already.
        decoder_blocks: the same on the way up.
        heads: attention heads at 1/32.
        prior: feed the flooded hints; off only for the ablation.
        inpaint: look at the mask and at what is painted outside it; without, the lineart and the hints are all it sees.
    """

    widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    encoder_blocks: tuple[int, int, int] = (0, 1, 1)
    decoder_blocks: tuple[int, int, int] = (1, 1, 2)
    heads: int = 8
    prior: bool = True
    inpaint: bool = True


class GlobalAttention(nn.Module):
    """Self-attention over all pixels of a small map with 2-D sine positions, so that a distant hint is heard."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.position_scale = nn.Parameter(torch.tensor(0.1))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    @staticmethod
    def positions(h: int, w: int, channels: int, device: torch.device) -> Tensor:
        """Sine-cosine encoding of rows and columns, (h*w)xC (Vaswani et al. 2017, over two axes)."""
        quarter = channels // 4
        rate = torch.exp(torch.arange(quarter, device=device) * (-math.log(1000.0) / quarter))
        rows = torch.arange(h, device=device)[:, None] * rate
        cols = torch.arange(w, device=device)[:, None] * rate
        row = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(h, w, -1)
        col = torch.cat([cols.sin(), cols.cos()], 1)[None].expand(h, w, -1)
        return torch.cat([row, col], 2).reshape(h * w, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape BxCxHxW."""
        b, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        where = self.positions(h, w, c, x.device).to(x.dtype) * self.position_scale
        q, k, v = self.qkv(self.norm(tokens) + where).chunk(3, dim=2)
        split = [t.reshape(b, h * w, self.heads, c // self.heads).transpose(1, 2) for t in (q, k, v)]
        mixed = F.scaled_dot_product_attention(split[0], split[1], split[2])
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(b, h * w, c))
        out: Tensor = tokens.transpose(1, 2).reshape(b, c, h, w)
        return out


def _icnr(conv: nn.Conv2d, factor: int) -> None:
    """Start all sub-pixels of a PixelShuffle equal, so that no checkerboard is born (Aitken et al. 2017)."""
    with torch.no_grad():
        n = factor * factor
        kernel = conv.weight[::n].clone()
        conv.weight.copy_(kernel.repeat_interleave(n, dim=0) * 0.1)
        if conv.bias is not None:
            conv.bias.zero_()


def _join(skip: Tensor, below: Tensor) -> Tensor:
    """Add the doubled map from below to the skip connection."""
    return F.relu(F.interpolate(below, scale_factor=2.0).add_(skip), inplace=True)


class Compact(Foldable):
    """The default network: about 4.1 million parameters, stride 32.

    The flat picture is ``own + gate * (prior - own)``: where strokes decide, the network only has to open the gate, and
    where there are none it paints its own idea. The shaded picture is a residual on the flat one. Both come at half the
    working size: borders are drawn by the regions of the full-size lineart, and soft shading needs no more.
    """

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        w1, w2, w3, w4 = config.widths
        # lineart (and mask) unshuffled by 4; (composite,) hints and prior at 1/4
        inputs = (32 + 3 if config.inpaint else 16) + 4 + (PRIOR_CHANNELS if config.prior else 0)
        self.stem = nn.Conv2d(inputs, w1, 3, 1, 1)

        def stage(width: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])

        (n1, n2, n3), (m1, m2, m3) = config.encoder_blocks, config.decoder_blocks
        self.enc1, self.down1 = stage(w1, n1), nn.Conv2d(w1, w2, 3, 2, 1)
        self.enc2, self.down2 = stage(w2, n2), nn.Conv2d(w2, w3, 3, 2, 1)
        self.enc3, self.down3 = stage(w3, n3), nn.Conv2d(w3, w4, 3, 2, 1)
        self.middle1 = ResidualBlock(w4)
        self.attention = GlobalAttention(w4, config.heads)
        self.middle2 = ResidualBlock(w4)
        self.up3, self.dec3 = nn.Conv2d(w4, w3, 1), stage(w3, m3)
        self.up2, self.dec2 = nn.Conv2d(w3, w2, 1), stage(w2, m2)
        self.up1, self.dec1 = nn.Conv2d(w2, w1, 1), stage(w1, m1)
        self.head = nn.Conv2d(w1, 7 * 4, 3, 1, 1)
        _icnr(self.head, 2)

    def forward(self, inputs: ModelInputs, flood: Flood | None = None) -> ModelOutputs:
        """Colour a batch; ``flood`` may be given when the caller has it already."""
        if self.config.inpaint:
            parts = [
                F.pixel_unshuffle(torch.cat([inputs.lineart, inputs.mask], 1), 4),
                F.avg_pool2d(inputs.composite, 4),
                F.avg_pool2d(inputs.hints, 4),
            ]
        else:
            parts = [F.pixel_unshuffle(inputs.lineart, 4), F.avg_pool2d(inputs.hints, 4)]
        prior = None
        if self.config.prior:
            prior = (flood if flood is not None else flood_hints(inputs)).channels()
            parts.append(F.avg_pool2d(prior, 2))
        x = torch.cat(parts, 1)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        e1 = self.enc1(F.relu(self.stem(x), inplace=True))
        e2 = self.enc2(F.relu(self.down1(e1), inplace=True))
        e3 = self.enc3(F.relu(self.down2(e2), inplace=True))
        m = self.middle2(self.attention(self.middle1(F.relu(self.down3(e3), inplace=True))))
        d3 = self.dec3(_join(e3, self.up3(m)))
        d2 = self.dec2(_join(e2, self.up2(d3)))
        d1 = self.dec1(_join(e1, self.up1(d2)))
        out = F.pixel_shuffle(self.head(d1), 2)
        own = out[:, 0:3]
        flat = own
        if prior is not None:
            gate = torch.sigmoid(out[:, 3:4]) * (prior[:, 4:5] > 0).to(own.dtype)
            flat = own + gate * (prior[:, :3] - own)
        return ModelOutputs(flat, flat + out[:, 4:7])


Skips = tuple[Tensor, Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class ThesisConfig(ThesisParts):
    """Sizes of ``Thesis``.

    Attributes:
        width: f of the thesis; 64 there, 32 is the small variant of the benchmarks.
        features: channels of a local feature map at 1/16 (512 for Illustration2Vec), 0 = none.
        guide: keep the guide decoder; only needed in training.
        cardinality: groups of the ResNeXt bottlenecks.
        active_blocks: see ``ResNeXtBottleneck``; on in the author's StencilTorch.
        ground: colour channels of the hints where there are none; -1 in the author's StencilTorch.
        composite_features: local features are of the composite, as in the author's StencilTorch, not of the lineart.
    """

    width: int = 64
    features: int = 0
    guide: bool = True
    cardinality: int = 32
    active_blocks: bool = False
    ground: float = 0.0
    composite_features: bool = False


class ResNeXtBottleneck(nn.Module):
    """Grouped bottleneck with dilation (Xie et al. 2017), without normalisation as in the thesis's generator.

    Args:
        channels: of the maps.
        cardinality: groups, as far as they divide the inner channels.
        dilation: of the grouped convolution.
        active: biases, and an activation after the last convolution and after the sum.
    """

    def __init__(self, channels: int, cardinality: int, dilation: int, active: bool = False) -> None:
        super().__init__()
        inner = channels // 2
        groups = math.gcd(cardinality, inner)
        self.active = active
        self.reduce = nn.Conv2d(channels, inner, 1, bias=active)
        self.group = nn.Conv2d(inner, inner, 3, 1, dilation, dilation=dilation, groups=groups, bias=active)
        self.expand = nn.Conv2d(inner, channels, 1, bias=active)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape BxCxHxW."""
        y = F.leaky_relu(self.reduce(x), 0.2)
        y = F.leaky_relu(self.group(y), 0.2)
        grown: Tensor = self.expand(y)
        if self.active:
            return F.leaky_relu(x + F.leaky_relu(grown, 0.2), 0.2)
        return x + grown


class ThesisDecoder(nn.Module):
    """Four ResNeXt stages from 1/16 up to full size, each ended by PixelShuffle(2)."""

    DILATIONS = ((1,) * 20, (1, 1, 2, 2, 4, 4, 2, 1), (1, 1, 2, 2, 4, 4, 2, 1), (1, 2, 4, 2, 1))

    def __init__(self, config: ThesisConfig) -> None:
        super().__init__()
        f = config.width
        widths, skips = (8 * f, 4 * f, 2 * f, f), (config.features, 4 * f, 2 * f, f)
        arrives = (8 * f, 4 * f, 2 * f, f)
        groups = (config.cardinality,) * 3 + (config.fine_cardinality or config.cardinality,)
        self.stages = nn.ModuleList()
        for width, skip, arrive, dilations, cardinality in zip(
            widths, skips, arrives, self.DILATIONS, groups, strict=True
        ):
            up = nn.Conv2d(width, 2 * width, 3, 1, 1)
            _icnr(up, 2)
            with torch.no_grad():
                up.weight.mul_(10.0)
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(arrive + skip, width, 3, 1, 1),
                    nn.LeakyReLU(0.2),
                    *[ResNeXtBottleneck(width, cardinality, d, config.active_blocks) for d in dilations],
                    up,
                    nn.PixelShuffle(2),
                    nn.LeakyReLU(0.2),
                )
            )
        self.full_skip = config.full_skip
        self.out = nn.Conv2d(f if config.full_skip else f // 2, 3, 3, 1, 1)

    def forward(self, code: Tensor, features: Tensor | None, skips: Skips) -> Tensor:
        """Decode the 1/16 code with skips at 1/8, 1/4, 1/2 and full size into Bx3xHxW in [-1, 1]."""
        x = code if features is None else torch.cat([code, features], 1)
        for number, (stage, skip) in enumerate(zip(self.stages, skips, strict=True)):
            x = stage(x)
            if number < len(skips) - 1 or self.full_skip:
                x = torch.cat([x, skip], 1)
        return torch.tanh(self.out(x))


class ThesisEncoder(nn.Module):
    """4x4 stride-2 convolutions from full size to the 1/16 code; hints, where there are any, join at 1/4."""

    def __init__(self, inputs: int, width: int, hinted: bool = True) -> None:
        super().__init__()
        f = width

        def down(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(i, o, 4, 2, 1), nn.LeakyReLU(0.2))

        self.enc0 = nn.Sequential(nn.Conv2d(inputs, f // 2, 3, 1, 1), nn.LeakyReLU(0.2))
        self.enc1, self.enc2 = down(f // 2, f), down(f, 2 * f)
        self.hints = nn.Sequential(nn.Conv2d(4, f, 7, 1, 3), nn.LeakyReLU(0.2)) if hinted else None
        self.enc3, self.enc4 = down(3 * f if hinted else 2 * f, 4 * f), down(4 * f, 8 * f)

    def forward(self, picture: Tensor, hints: Tensor | None = None) -> tuple[Tensor, Skips]:
        """Encode BxCxHxW, with Bx4xHxW hints; the code at 1/16 and the skips at 1/8, 1/4, 1/2 and full size."""
        e0 = self.enc0(picture)
        e1 = self.enc1(e0)
        e2 = self.enc2(e1)
        joined = e2
        if self.hints is not None and hints is not None:
            joined = torch.cat([e2, self.hints(F.avg_pool2d(hints, 4))], 1)
        e3 = self.enc3(joined)
        return self.enc4(e3), (e3, e2, e1, e0)


def joining_features(
    code: Tensor, channels: int, local: LocalFeatures | None, picture: Tensor, given: Tensor | None
) -> Tensor | None:
    """The features to join the code: those given, or the model's own of the picture, or zeros where it has none."""
    if given is not None or not channels:
        return given
    if local is not None:
        own: Tensor = local(picture)
        return own
    return code.new_zeros(code.shape[0], channels, *code.shape[2:])


class Thesis(nn.Module):
    """The thesis's StencilTorch generator: composite and mask in, hints joined at 1/4, stride 16."""

    def __init__(self, config: ThesisConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ThesisEncoder(4, config.width)
        self.decoder = ThesisDecoder(config)
        self.guide = ThesisDecoder(config) if config.guide else None
        self.local = build_features(config, config.features)

    def forward(self, inputs: ModelInputs, features: Tensor | None = None) -> ModelOutputs:
        """Colour a batch.

        Args:
            inputs: the batch.
            features: BxFx(H/16)x(W/16) local features when the configuration has them. Without, the model's own network
                computes them of the lineart; zeros stand in where it has none.
        """
        composite, hints = inputs.composite, inputs.hints
        if self.config.ground:
            hints = torch.cat([hints[:, :3] + self.config.ground * (1 - hints[:, 3:]), hints[:, 3:]], 1)
        code, skips = self.encoder(torch.cat([composite, inputs.mask], 1), hints)
        seen = composite if self.config.composite_features else inputs.lineart
        features = joining_features(code, self.config.features, self.local, seen, features)
        shaded = self.decoder(code, features, skips)
        flat = self.guide(code, features, skips) if self.guide is not None else shaded
        return ModelOutputs(flat, shaded)

    def prepare_for_inference(self) -> None:
        """Lay the weights out for CPUs; the network has no normalisation to fold."""
        self.eval()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
