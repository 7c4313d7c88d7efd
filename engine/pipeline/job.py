"""What one job is and what comes of it, and what must hold of it before any work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ColorizeError
from engine.imaging.layers.shading import shading_layer
from engine.protocol.settings import JobSettings


@dataclass(frozen=True)
class Job:
    """What to colour.

    Attributes:
        lineart: float32 HxW in [0, 1], 1 = paper.
        hints: uint8 HxWx4 straight alpha, or None.
        mask: uint8 HxW, 255 = colour here; None = everywhere.
        context: uint8 HxWx4, what is painted already; None = nothing.
        settings: how to do it.
        lineart_digest: content address of the lineart; with one, what depends on it alone is kept for the next job.
    """

    lineart: NDArray[np.float32]
    hints: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    context: NDArray[np.uint8] | None = None
    settings: JobSettings = field(default_factory=JobSettings)
    lineart_digest: str | None = None

    def with_settings(self, **changed: Any) -> Job:
        """The same job with some other settings, by name.

        Raises:
            SettingError: a value of the wrong type or out of range.
        """
        return replace(self, settings=replace(self.settings, **changed))


@dataclass(frozen=True)
class Layers:
    """The result: uint8 HxWx4 RGBA, alpha 0 and colour 0 where the mask is 0.

    Attributes:
        flats: one colour per region.
        colour: flats and shading together.
        clipped: how ``shading`` will be laid over the flats, see ``shading_layer``.
        shadow: what Multiply lays over the flats, and
        light: what Screen lays over both, exactly to ``colour`` in Krita's arithmetic; None without a light.
    """

    flats: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    clipped: bool = False
    shadow: NDArray[np.uint8] | None = None
    light: NDArray[np.uint8] | None = None

    @cached_property
    def shading(self) -> NDArray[np.uint8]:
        """The layer that turns ``flats`` into ``colour`` when laid over it."""
        return shading_layer(self.flats, self.colour, clipped=self.clipped)


def check_job(job: Job) -> None:
    """Reject inputs that do not fit together.

    Raises:
        ColorizeError: naming both sizes, or what is wrong with an array.
    """
    if job.lineart.ndim != 2 or job.lineart.size == 0:
        raise ColorizeError(f"the lineart has the shape {job.lineart.shape}", "give a picture with one channel of ink")
    h, w = job.lineart.shape
    for name, array, channels in (("hints", job.hints, 4), ("mask", job.mask, 0), ("context", job.context, 4)):
        if array is None:
            continue
        if array.shape[:2] != (h, w):
            size = f"{array.shape[1]}x{array.shape[0]}"
            raise ColorizeError(f"the {name} are {size} but the lineart is {w}x{h}", "make them the same size")
        if array.ndim != (3 if channels else 2) or (channels and array.shape[2] != channels):
            raise ColorizeError(f"the {name} have the shape {array.shape}", "give RGBA, or one channel for a mask")
    if job.mask is not None and not job.mask.any():
        raise ColorizeError("the mask is empty", "paint white where to colour, or leave the mask out")
