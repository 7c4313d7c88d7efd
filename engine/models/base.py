"""What every colouring model takes, gives and says of itself; it names no architecture."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class ModelInputs:
    """One batch at working resolution; height and width are multiples of the model's stride.

    Attributes:
        lineart: Bx1xHxW in [-1, 1], 1 = paper.
        hints: Bx4xHxW, premultiplied RGB in [-1, 1] and coverage in [0, 1].
        mask: Bx1xHxW in [0, 1], 1 = colour here.
        context: Bx3xHxW in [-1, 1], the picture so far; only meaningful where ``known`` is 1.
        known: Bx1xHxW in {0, 1}, 1 = the context may be relied on (outside the mask, and a context was given).
    """

    lineart: Tensor
    hints: Tensor
    mask: Tensor
    context: Tensor
    known: Tensor

    def to(self, device: torch.device | str) -> ModelInputs:
        """The same batch on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def composite(self) -> Tensor:
        """Bx3xHxW: the known picture where there is one, lineart elsewhere (the thesis's in-painting input)."""
        if self.known.device.type == "cpu" and not self.known.any():
            return self.lineart.expand(-1, 3, -1, -1)
        return torch.where(self.known > 0.5, self.context, self.lineart.expand(-1, 3, -1, -1))


@dataclass(frozen=True)
class ModelOutputs:
    """The thesis's two pictures, Bx3xhxw in [-1, 1] each: ``flat`` (the guide picture) and ``shaded``.

    They may be smaller than the inputs by a whole factor.
    """

    flat: Tensor
    shaded: Tensor


@dataclass(frozen=True)
class Descriptor:
    """What the pipeline and the plugin need to know of a model.

    Attributes:
        name: what the user calls it.
        title: one line for a menu.
        architecture: key of the registry, as in the checkpoint's metadata.
        stride: height and width given to the model must be multiples of it.
        size: short side of the working picture by default, in pixels.
        min_size: smallest short side that gives useful pictures.
        max_size: largest short side the network is meant for.
        uses_hints: it listens to colour strokes.
        uses_mask: it understands a mask.
        uses_context: it looks at what is already painted.
        stochastic: another seed gives another picture.
        steps: default number of sampling steps; 0 when there are none.
        shading_gain: how much of the model's shading to lay over the flats; measured, see the model card.
        palette_mean: OKLab mean of the region colours of the art it learnt from; with ``palette_spread`` it gives a
            picture without any hint the contrast of that art, which the mean of many possible pictures lacks.
        palette_spread: OKLab standard deviation of the region colours within a picture of that art; None = as painted.
    """

    name: str
    title: str
    architecture: str
    stride: int
    size: int = 512
    min_size: int = 64
    max_size: int = 1024
    uses_hints: bool = True
    uses_mask: bool = True
    uses_context: bool = True
    stochastic: bool = False
    steps: int = 0
    shading_gain: float = 1.0
    palette_mean: tuple[float, float, float] | None = None
    palette_spread: tuple[float, float, float] | None = None


class ColorModel(Protocol):
    """A network as the pipeline sees it."""

    def __call__(self, inputs: ModelInputs) -> ModelOutputs:
        """Colour one batch."""
        ...
