"""What goes into and comes out of a model as an ONNX file: names, shapes, ranges, and what each is.

A file has only the inputs that its network reads: PaintsTorch neither mask nor context, the thesis's networks no flood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.imaging.regions.flood import INK, OPEN, PER_HALVING
from engine.models.base import Descriptor, ModelInputs, ModelOutputs
from engine.models.components import hint_prior
from engine.models.components.hint_prior import Flood, flood_hints

_PRICES = ", ".join(f"({level}, {price:g})" for level, price in hint_prior.PASSAGES)
FLOOD_RECIPE = f"""\
The flood is not learned and not in the graph; engine/models/components/hint_prior.py (flood_hints) makes it from the
other inputs, at half their size, with OpenCV. Once per picture:
1. Halve lineart by the minimum of 2x2 pixels (the darkest counts) and bring it to [0, 1], 1 = paper; halve hints by
   their mean. A pixel is painted where coverage >= {hint_prior.MIN_COVERAGE}; its colour is premultiplied RGB over
   coverage.
2. Landscape of levels: ink {INK} to 255 by darkness, paper {PER_HALVING} * log2({OPEN:g} / d) in 0 to {INK - 1},
   with d the distance to the nearest ink in units of {hint_prior.UNIT:g} pixels (engine/imaging/regions/flood.py).
3. Marks: painted pixels, one label per colour rounded to {hint_prior.COLOUR_BITS} bits a channel, which takes the mean
   of its pixels' colours. A watershed (cv2.watershed) floods the labels, the lowest levels first.
4. flood[0:3] is the colour of the label that reaches a pixel, 0 where nothing is painted anywhere.
5. flood[3] is the distance to the nearest mark (cv2.distanceTransform, DIST_L2, 5x5) and a price for what had to be
   crossed, as (highest level on the best way, price): {_PRICES}, over ink {hint_prior.CROSSED:g}.
   It is {hint_prior.FAR:g} without any mark.
6. Where known is 1 in all of 2x2 pixels, the context floods in the same way, {hint_prior.KNOWN_HANDICAP:g} further
   away, where no stroke comes through openings.
"""
"""How the input ``flood`` is made, for the metadata."""


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: in the graph.
        channels: size of axis 1; axes 0, 2 and 3 are batch, height and width.
        part: the height and width are those of the lineart divided by this.
        low: least value, None = no bound.
        high: greatest value, None = no bound.
        about: what it is.
    """

    name: str
    channels: int
    part: int
    low: float | None
    high: float | None
    about: str

    def axes(self) -> dict[int, str]:
        """Names of the dynamic axes."""
        if self.part == 1:
            return {0: "batch", 2: "height", 3: "width"}
        return {0: "batch", 2: f"height_{self.part}", 3: f"width_{self.part}"}


@dataclass(frozen=True)
class Interface:
    """Inputs and outputs of a file, in order; height and width of the lineart must be multiples of ``stride``."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    stride: int

    def about(self) -> dict[str, Any]:
        """The same as values for JSON."""
        return {k: [asdict(p) for p in ports] for k, ports in (("inputs", self.inputs), ("outputs", self.outputs))}


def interface_of(network: nn.Module, descriptor: Descriptor) -> Interface:
    """Tell what a network reads, and measure by one small run at which size it answers.

    Args:
        network: of one of the registry's architectures, ready for inference.
        descriptor: what the architecture says of itself.

    Raises:
        ColorizeError: its picture is no function of its inputs alone, so there is no single graph to write.
    """
    if descriptor.stochastic or descriptor.steps:
        cause = f"{descriptor.architecture} draws its pictures by chance in several steps, which one graph cannot hold"
        raise ColorizeError(cause, "export it as .safetensors")
    config: Any = network.config
    inputs = [
        Port("lineart", 1, 1, -1, 1, "1 = paper, -1 = ink"),
        Port(
            "hints", 4, 1, -1, 1, "sRGB in [-1, 1] times coverage, and coverage in [0, 1]; 0 where nothing is painted"
        ),
    ]
    if descriptor.uses_mask:
        inputs.append(Port("mask", 1, 1, 0, 1, "1 = colour here"))
    if descriptor.uses_context:
        inputs.append(Port("context", 3, 1, -1, 1, "sRGB of the picture so far; read only where known is 1"))
        inputs.append(Port("known", 1, 1, 0, 1, "1 where the context may be relied on, outside the mask; 0 or 1"))
    if getattr(config, "prior", False):
        about = "colour and cost of the flooded hints, see flood_recipe"
        inputs.append(Port("flood", 4, 2, -1, hint_prior.FAR, about))
    features = int(getattr(config, "features", 0))
    if features:
        about = "local features of the lineart; all 0 stands for none"
        inputs.append(Port("features", features, 16, None, None, about))
    side = descriptor.stride
    white = random_inputs(1, side, side, 0)
    with torch.inference_mode():
        part = side // int(network(white).shaded.shape[-1])
    outputs = (
        Port("flat", 3, part, -1, 1, "sRGB of the simplified picture, in about this range: clamp it"),
        Port("shaded", 3, part, -1, 1, "sRGB of the picture with light and shade, in about this range: clamp it"),
    )
    return Interface(tuple(inputs), outputs, descriptor.stride)


class Positional(nn.Module):
    """A network that takes its tensors one by one, in the order of an interface."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """Colour a batch: flat and shaded."""
        given = dict(zip(self.names, tensors, strict=True))
        lineart = given["lineart"]
        inputs = ModelInputs(
            lineart,
            given["hints"],
            given.get("mask", lineart),
            # Networks without these inputs do not look at what stands in for them.
            given.get("context", lineart),
            given.get("known", lineart),
        )
        more: dict[str, Any] = {}
        if "flood" in given:
            more["flood"] = Flood(given["flood"][:, :3], given["flood"][:, 3])
        if "features" in given:
            more["features"] = given["features"]
        out: ModelOutputs = self.network(inputs, **more)
        return out.flat, out.shaded


def tensors_of(interface: Interface, inputs: ModelInputs, features: Tensor | None = None) -> dict[str, Tensor]:
    """Everything a file takes, by name, from one batch; the flood is made here, and features of 0 stand in for none."""
    b, _, h, w = inputs.lineart.shape
    out: dict[str, Tensor] = {}
    for port in interface.inputs:
        if port.name == "flood":
            flood = flood_hints(inputs)
            out[port.name] = torch.cat([flood.colour, flood.cost[:, None]], 1)
        elif port.name == "features":
            shape = (b, port.channels, h // port.part, w // port.part)
            out[port.name] = torch.zeros(shape) if features is None else features
        else:
            out[port.name] = getattr(inputs, port.name)
    return out


def random_inputs(batch: int, height: int, width: int, seed: int) -> ModelInputs:
    """A batch with lines, strokes, a mask and known surroundings by chance; every second sample has lines only."""
    gen = torch.Generator().manual_seed(seed)
    lineart = torch.ones(batch, 1, height, width)
    coverage = torch.zeros(batch, 1, height, width)
    mask = torch.ones(batch, 1, height, width)
    colours = torch.zeros(batch, 3, height, width)
    for sample in range(batch):
        for _ in range(6):
            y, x = (int(torch.randint(side - 1, (), generator=gen)) for side in (height, width))
            lineart[sample, :, y : y + 2] = -torch.rand((), generator=gen)
            lineart[sample, :, :, x : x + 2] = -1
        if (sample + seed) % 2:
            continue
        for _ in range(5):
            y, x = (int(torch.randint(side, (), generator=gen)) for side in (height, width))
            stroke = (sample, slice(None), slice(y, y + height // 8), slice(x, x + width // 8))
            colours[stroke] = torch.rand(3, 1, 1, generator=gen) * 2 - 1
            coverage[stroke] = 1.0
        mask[sample, :, : height // 3] = 0
    context = torch.rand(batch, 3, height, width, generator=gen) * 2 - 1
    return ModelInputs(lineart, torch.cat([colours, coverage], 1), mask, context, 1 - mask)
