"""Chooses the colours of all regions of a drawing together.

A small convolutional encoder looks at the lineart; what it sees in a region, with the region's shape and place, becomes
a token; a transformer lets the regions speak with each other, and with those whose colour is known. A region without a
colour gets a distribution over colour classes and over the known regions it could be like: it may *copy* (Vinyals et
al. 2015, pointer networks). Trained by masked modelling (``training train-regions``), one network serves a drawing
without strokes, with some, and one that is half painted.

``encode`` is done once per drawing, ``colour`` once per change of what is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engine.imaging.regions.graph import CELL, GEOMETRY, RegionGraph, pad_ink
from engine.models.components.blocks import ResidualBlock

ARCHITECTURE = "region-transformer"
UNKNOWN, STROKE, CONTEXT, GUESS = range(4)
"""States of a region: to be coloured, under a stroke, painted already outside the mask, guessed in an earlier round."""
STRIDE = 32
PAIR_FEATURES = 9
_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)
_GEOMETRY_INPUTS = len(GEOMETRY) + 4 * len(_FREQUENCIES)
_NEVER = -1e4
"""Score of what must not be looked at or copied; finite in half precision, so that a row without a choice is no NaN."""


@dataclass(frozen=True)
class RegionTransformerConfig:
    """Sizes of ``RegionTransformer``; about 1.3 million parameters.

    Attributes:
        widths: channels of the lineart's maps at 1/4, 1/8, 1/16 and 1/32 of the working size.
        fused: channels of the map that joins them.
        width: of a token.
        layers: of the transformer.
        heads: of its attention.
        hidden: of its feed-forward parts.
        classes: colours to choose from where nothing is to be copied.
        pair_hidden: of the network that turns how two regions lie into attention.
    """

    widths: tuple[int, int, int, int] = (40, 64, 88, 88)
    fused: int = 96
    width: int = 128
    layers: int = 5
    heads: int = 4
    hidden: int = 288
    classes: int = 224
    pair_hidden: int = 24


@dataclass(frozen=True)
class Drawings:
    """A batch of B drawings with up to N regions, padded.

    Attributes:
        ink: Bx1xHxW in [0, 1], 0 = paper; multiples of ``STRIDE``.
        geometry: BxNxG, see ``engine.imaging.regions.graph.GEOMETRY``.
        touch: BxNxN, part of region i's border that it shares with j.
        valid: BxN, which of the N there are.
        cells: Px2 int64: row of the B*N regions, and number of a cell among those of the whole batch.
        shares: P, part of the region in the cell.
    """

    ink: Tensor
    geometry: Tensor
    touch: Tensor
    valid: Tensor
    cells: Tensor
    shares: Tensor

    def to(self, device: torch.device | str) -> Drawings:
        """The same batch on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


@dataclass(frozen=True)
class Known:
    """What is known of the regions of a batch.

    Attributes:
        state: BxN int64, ``UNKNOWN``, ``STROKE``, ``CONTEXT`` or ``GUESS``.
        colour: BxNx3 OKLab, of no meaning where unknown.
    """

    state: Tensor
    colour: Tensor


@dataclass(frozen=True)
class Encoded:
    """What does not change with the colours: BxNxD tokens, B x layers x heads x N x N attention, BxNxN copying, BxN."""

    tokens: Tensor
    attention: Tensor
    copying: Tensor
    valid: Tensor


def collate(graphs: Sequence[RegionGraph], multiple: int = 1) -> Drawings:
    """Make a batch of drawings of any size; smaller ones are padded by paper and by regions that do not count.

    Args:
        graphs: of the drawings.
        multiple: the number of regions is padded to a multiple of this.
    """
    most = -(-max(g.count for g in graphs) // multiple) * multiple
    height, width = (-(-max(g.labels.shape[axis] for g in graphs) // STRIDE) * STRIDE for axis in (0, 1))
    columns = width // CELL
    per_drawing = columns * (height // CELL)
    ink = np.stack([pad_ink(g.ink, height, width) for g in graphs])[:, None]
    geometry = np.zeros((len(graphs), most, len(GEOMETRY)), np.float32)
    touch = np.zeros((len(graphs), most, most), np.float32)
    valid = np.zeros((len(graphs), most), np.bool_)
    cells = []
    for number, g in enumerate(graphs):
        geometry[number, : g.count] = g.geometry
        valid[number, : g.count] = True
        i, j = g.edges.T
        touch[number, i, j] = touch[number, j, i] = g.lengths
        row, column = np.divmod(g.cells[:, 1].astype(np.int64), g.cell_columns)
        cells.append(np.stack([g.cells[:, 0] + number * most, number * per_drawing + row * columns + column], 1))
    touch /= np.maximum(touch.sum(2, keepdims=True), 1)
    tensors = (ink, geometry, touch, valid, np.concatenate(cells), np.concatenate([g.shares for g in graphs]))
    return Drawings(*(torch.from_numpy(a) for a in tensors))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class LineartEncoder(nn.Module):
    """Bx1xHxW ink to BxFx(H/4)x(W/4) features that have seen the surroundings down to 1/32."""

    def __init__(self, config: RegionTransformerConfig) -> None:
        super().__init__()
        w1, w2, w3, w4 = config.widths
        self.stem = _conv(CELL * CELL, w1)
        self.block1 = ResidualBlock(w1)
        self.down2, self.block2 = _conv(w1, w2, 2), ResidualBlock(w2)
        self.down3, self.block3 = _conv(w2, w3, 2), ResidualBlock(w3)
        self.down4 = _conv(w3, w4, 2)
        self.joins = nn.ModuleList(nn.Conv2d(w, config.fused, 1, bias=w == w1) for w in config.widths)

    def forward(self, ink: Tensor) -> Tensor:
        """Encode; height and width are multiples of ``STRIDE``."""
        x1 = self.block1(self.stem(F.pixel_unshuffle(ink, CELL)))
        x2 = self.block2(self.down2(x1))
        x3 = self.block3(self.down3(x2))
        x4 = self.down4(x3)
        fused: Tensor = self.joins[3](x4)
        for x, join in ((x3, self.joins[2]), (x2, self.joins[1]), (x1, self.joins[0])):
            fused = F.interpolate(fused, scale_factor=2.0) + join(x)
        return F.relu(fused)

    def fold(self) -> None:
        """Merge the BatchNorms into their convolutions (inference only)."""
        for module in self.children():
            if isinstance(module, ResidualBlock):
                module.fold()
            elif isinstance(module, nn.Sequential) and isinstance(module[1], nn.BatchNorm2d):
                conv = module[0]
                if isinstance(conv, nn.Conv2d):
                    module[0] = fuse_conv_bn_eval(conv, module[1])
                    module[1] = nn.Identity()


class Layer(nn.Module):
    """Pre-norm attention with a bias per pair of regions, and a feed-forward part."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.grow, self.shrink = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Keep the shape BxNxD; ``bias`` is Bxheads x N x N."""
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        x = x + self.out(mixed.transpose(1, 2).reshape(b, n, d))
        out: Tensor = x + self.shrink(F.gelu(self.grow(self.norm2(x))))
        return out


def pair_features(geometry: Tensor, touch: Tensor) -> Tensor:
    """How each region lies to each other one: BxNxNx``PAIR_FEATURES`` from BxNxG geometry and BxNxN ``touch``."""
    column = {name: geometry[..., i] for i, name in enumerate(GEOMETRY)}

    def difference(name: str) -> Tensor:
        return column[name][:, None, :] - column[name][:, :, None]

    dx, dy = difference("x"), difference("y")
    distance = (dx**2 + dy**2).sqrt()
    gaps = [
        (d.abs() - (column[side][:, None, :] + column[side][:, :, None]) / 2).clamp_min(0)
        for d, side in ((dx, "width"), (dy, "height"))
    ]
    return torch.stack(
        [
            dx,
            dy,
            distance,
            torch.exp(-4 * distance),
            difference("log_area"),
            (gaps[0] ** 2 + gaps[1] ** 2).sqrt(),
            touch,
            touch.transpose(1, 2),
            (touch > 0).to(touch.dtype),
        ],
        -1,
    )


class RegionTransformer(nn.Module):
    """The network; see the module's text."""

    codebook: Tensor

    def __init__(self, config: RegionTransformerConfig) -> None:
        super().__init__()
        self.config = config
        d = config.width
        self.encoder = LineartEncoder(config)
        self.seen = nn.Linear(config.fused + _GEOMETRY_INPUTS, d)
        self.token = nn.Sequential(nn.GELU(), nn.Linear(d, d))
        self.pairs = nn.Sequential(
            nn.Linear(PAIR_FEATURES, config.pair_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.pair_hidden, config.layers * config.heads + 1),
        )
        self.colours = nn.Sequential(nn.Linear(3 + 6 * 3, d), nn.GELU(), nn.Linear(d, d))
        self.states = nn.Embedding(4, d)
        self.layers = nn.ModuleList(Layer(d, config.heads, config.hidden) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.query, self.key = nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.class_query, self.class_key = nn.Linear(d, d), nn.Linear(d, d, bias=False)
        self.copies = nn.Linear(d, 1)
        self.classes = nn.Parameter(torch.randn(config.classes, d) * 0.02)
        self.class_bias = nn.Parameter(torch.zeros(config.classes))
        self.register_buffer("codebook", torch.zeros(config.classes, 3))

    def encode(self, drawings: Drawings) -> Encoded:
        """Look at drawings and at how their regions lie."""
        features = self.encoder(drawings.ink)
        b, n = drawings.valid.shape
        table = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
        gathered = table.index_select(0, drawings.cells[:, 1]).float() * drawings.shares[:, None]
        pooled = gathered.new_zeros(b * n, table.shape[1]).index_add(0, drawings.cells[:, 0], gathered)
        place = drawings.geometry[..., 1:3]
        waves = [f(place * (math.pi * k)) for k in _FREQUENCIES for f in (torch.sin, torch.cos)]
        tokens = self.token(self.seen(torch.cat([pooled.view(b, n, -1), drawings.geometry, *waves], 2)))
        biases = self.pairs(pair_features(drawings.geometry, drawings.touch)).permute(0, 3, 1, 2)
        unseen = ~drawings.valid[:, None, None, :]
        attention = biases[:, 1:].masked_fill(unseen, _NEVER)
        attention = attention.reshape(b, self.config.layers, self.config.heads, n, n)
        return Encoded(tokens, attention, biases[:, 0], drawings.valid)

    def _embed(self, lab: Tensor) -> Tensor:
        """Embed (..., 3) OKLab; waves tell near colours apart, which alone are linear in it."""
        scaled = lab * lab.new_tensor([1.0, 2.5, 2.5])
        waves = [f(scaled * (math.pi * k)) for k in (1.0, 2.0, 4.0) for f in (torch.sin, torch.cos)]
        out: Tensor = self.colours(torch.cat([scaled, *waves], -1))
        return out

    def colour(self, encoded: Encoded, known: Known) -> Tensor:
        """Log-probabilities of every region's colour.

        Args:
            encoded: of the drawings.
            known: what is known of them.

        Returns:
            BxNx(K+N) float32: of the K colours of ``codebook``, and of having the colour of each of the N regions,
            which is impossible for those that are not known, and for the region itself.
        """
        is_known = (known.state != UNKNOWN) & encoded.valid
        given = self._embed(known.colour) * is_known[..., None]
        x = encoded.tokens + given + self.states(known.state)
        for number, layer in enumerate(self.layers):
            x = layer(x, encoded.attention[:, number])
        x = self.norm(x)
        scale = x.shape[-1] ** -0.5
        keys = self.class_key(self._embed(self.codebook) + self.classes)
        by_class = self.class_query(x) @ keys.T * scale + self.class_bias
        # What is copied has to fit in colour, too: a key knows its own.
        by_copy = self.query(x) @ self.key(x).transpose(1, 2) * scale + encoded.copying + self.copies(x)
        itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        by_copy = by_copy.masked_fill(~is_known[:, None, :] | itself, _NEVER)
        return torch.log_softmax(torch.cat([by_class, by_copy], 2).float(), 2)

    def forward(self, drawings: Drawings, known: Known) -> Tensor:
        """``colour`` of ``encode``."""
        return self.colour(self.encode(drawings), known)

    def prepare_for_inference(self) -> None:
        """Fold BatchNorm and lay the weights out for CPUs."""
        self.eval()
        self.encoder.fold()
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def palette(model: RegionTransformer, known: Known) -> Tensor:
    """OKLab of everything that ``colour`` gives a probability of: Bx(K+N)x3."""
    b = known.colour.shape[0]
    return torch.cat([model.codebook.expand(b, -1, -1), known.colour], 1)
