"""What every colouring model takes, gives and says of itself; it names no architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from engine.errors import ColorizeError
from engine.protocol.settings import SETTINGS, SettingError

SAMPLERS = ("euler", "heun", "ddim", "ddpm")


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


Watch = Callable[[int, int, Callable[[], Tensor]], None]
"""Told (steps done, steps in all, preview) before the first step and after each; what it raises ends the sampling. The
preview, made when it is called, is one small picture per seed, Bx3xhxw in [-1, 1]."""


@dataclass(frozen=True)
class Sampling:
    """How a model that samples is to do it. ``Descriptor.sampling`` fills in the model's own defaults.

    Attributes:
        seeds: one picture each; the same seed gives the same picture of the same inputs.
        strength: 0 = the model's single best guess, 1 = free.
        steps: at most so many are taken; ``ddpm`` takes each of its own.
        guidance: 1 = none; more listens more to the hints, at twice the time.
        sampler: one of ``SAMPLERS``.
        watch: looks on.

    Raises:
        ColorizeError: a value out of range.
    """

    seeds: tuple[int, ...] = (0,)
    strength: float = 0.5
    steps: int = 4
    guidance: float = 1.0
    sampler: str = "euler"
    watch: Watch | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ColorizeError("a sampling without a seed makes nothing", "ask for one or more", wrong_use=True)
        if self.sampler not in SAMPLERS:
            remedy = "choose one of " + ", ".join(SAMPLERS)
            raise ColorizeError(f"the sampler '{self.sampler}' cannot be used", remedy, wrong_use=True)
        for name in ("strength", "steps", "guidance"):
            check_setting(name, getattr(self, name))


def check_setting(name: str, value: float | None) -> None:
    """Refuse a value that a setting of a job cannot have; None is its default.

    Raises:
        ColorizeError: naming setting, value and range.
    """
    try:
        SETTINGS[name].read(value)
    except SettingError as e:
        raise ColorizeError(f"{name} {value} cannot be used", f"choose {e.allowed}", wrong_use=True) from e


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
        strength: default strength of the sampling, see ``Sampling``; None where the model has none.
        guidance: default guidance; None where the model has none.
        sampler: default sampler.
        shading_gain: how much of the model's shading to lay over the flats; measured, see the model card.
        splits_regions: what it sees within a large region is sure enough to cut the region by; where a model draws
            lots, such cuts would be blotches.
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
    strength: float | None = None
    guidance: float | None = None
    sampler: str = "euler"
    shading_gain: float = 1.0
    splits_regions: bool = True
    palette_mean: tuple[float, float, float] | None = None
    palette_spread: tuple[float, float, float] | None = None

    def sampling(
        self,
        seeds: tuple[int, ...] = (0,),
        strength: float | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        watch: Watch | None = None,
    ) -> Sampling:
        """A sampling with the model's defaults where nothing is asked for.

        Raises:
            ColorizeError: a value out of range.
        """
        asked = {"strength": (strength, self.strength), "guidance": (guidance, self.guidance)}
        numbers = {key: next((v for v in values if v is not None), None) for key, values in asked.items()}
        known = {key: value for key, value in numbers.items() if value is not None}
        count = (self.steps or 1) if steps is None else steps
        return Sampling(seeds, steps=count, sampler=self.sampler, watch=watch, **known)


class ColorModel(Protocol):
    """A network as the pipeline sees it."""

    def __call__(self, inputs: ModelInputs) -> ModelOutputs:
        """Colour one batch."""
        ...


class SamplingModel(ColorModel, Protocol):
    """A network whose descriptor says that it is ``stochastic``; called plainly it samples by ``Sampling()``."""

    def sample(self, inputs: ModelInputs, sampling: Sampling) -> ModelOutputs:
        """Colour a batch, a picture per seed.

        Args:
            inputs: a batch of one, which is coloured once per seed, or of as many as there are seeds.
            sampling: how.

        Raises:
            ValueError: neither one sample nor as many as seeds.
        """
        ...
