"""What is measured: checkpoints by their layers or their network's own picture, and baselines that learnt nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import ColorizeError
from engine.imaging.canvas import resize_picture
from engine.imaging.regions.segmentation import find_regions
from engine.models.base import SamplingModel
from engine.models.checkpoint import load_model
from engine.pipeline import Job, JobSettings, Pipeline, model_inputs
from training.evaluation import baselines
from training.evaluation.features import digest_of
from training.evaluation.heldout import FULL, Picture
from training.evaluation.settings import Settings

Made = TypeVar("Made")
Pixels = NDArray[np.uint8]
Coloured = dict[str, tuple[Pixels, float]]
"""Output's name to HxWx3 and the seconds it took."""

LAYERS = ("colour", "flats", "network")
"""What can be measured of a checkpoint: the colour layer, the flats, and the network's picture before any of our steps
that keep colours inside lines, as the thesis measured it."""
TITLES = {
    "nearest": "nearest hint",
    "regions": "nearest hint in region",
    "gmic": "G'MIC smart",
    "white": "white paper",
}
"""The baselines by name, and what the reports call them."""


@dataclass(frozen=True)
class Checkpoint:
    """A model to measure.

    Attributes:
        name: what the report calls it.
        weights: its safetensors file.
        outputs: pairs of a layer (see ``LAYERS``) and the output's name.
        size: working short side in pixels; None = the model's own.
        settings: of a model that samples.
    """

    name: str
    weights: Path
    outputs: tuple[tuple[str, str], ...]
    size: int | None = None
    settings: Settings = field(default_factory=Settings)

    def applies(self, count: int) -> bool:  # noqa: ARG002 (baselines look at it)
        """Whether there is something to measure with that many hints: always."""
        return True

    def fingerprint(self) -> str:
        """What its results depend on besides picture, hints and code."""
        return f"{digest_of(self.weights)} {self.outputs} {self.size} {self.settings}"


@dataclass(frozen=True)
class Baseline:
    """A baseline to measure; ``name`` is a key of ``TITLES``."""

    name: str

    @property
    def outputs(self) -> tuple[tuple[str, str], ...]:
        """It has a single output."""
        return (("colour", self.name),)

    def applies(self, count: int) -> bool:
        """White paper stands for all of them without hints, since they would all leave it white.

        With the whole picture given, the nearest hint stands for all: it is that picture, and shows what its colours
        alone are worth.
        """
        if count == 0 or self.name == "white":
            return self.name == "white" and count == 0
        return count != FULL or self.name == "nearest"

    def fingerprint(self) -> str:
        """What its results depend on besides picture, hints and code."""
        return f"{self.name} {baselines.gmic_version()}" if self.name == "gmic" else self.name


Method = Checkpoint | Baseline


class Studio:
    """Runs methods; keeps what they load."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._pipelines: dict[Path, Pipeline] = {}

    def pipeline(self, weights: Path) -> Pipeline:
        """The pipeline of a checkpoint, warmed up, since the first job pays for the libraries' own warming up.

        Raises:
            ColorizeError: the file cannot be used.
        """
        if weights not in self._pipelines:
            pipeline = Pipeline(load_model(weights, self.device), self.device)
            pipeline.run(Job(np.ones((256, 256), np.float32)))
            self._pipelines[weights] = pipeline
        return self._pipelines[weights]

    def colour(self, method: Method, picture: Picture, hints: Pixels) -> Coloured:
        """Run a method on one picture.

        Args:
            method: which.
            picture: what to colour.
            hints: HxWx4 strokes.

        Returns:
            Every output of the method; none when a program of others failed on this picture.

        Raises:
            ColorizeError: the model cannot work on it.
        """
        if isinstance(method, Baseline):
            made, seconds = _timed(lambda: _BASELINES[method.name](picture, hints))
            return {} if made is None else {method.name: (made, seconds)}
        pipeline = method.settings.follow(self.pipeline(method.weights))
        given = hints if hints[..., 3].any() else None
        job = method.settings.apply(Job(picture.lineart, given, settings=JobSettings(size=method.size)))
        layers, seconds = _timed(lambda: pipeline.run(job))
        out: Coloured = {}
        for layer, output in method.outputs:
            if layer == "network":
                out[output] = _timed(lambda: network_picture(pipeline, job))
            else:
                out[output] = (getattr(layers, layer)[..., :3], seconds)
        return out


def network_picture(pipeline: Pipeline, job: Job) -> Pixels:
    """The network's shaded picture by itself, enlarged to the canvas, HxWx3."""
    frame = pipeline.frame(job)
    inputs, network = model_inputs(job, frame).to(pipeline.device), pipeline.model.network
    sampling = pipeline.sampling(job)
    with torch.inference_mode():
        made = network(inputs) if sampling is None else cast(SamplingModel, network).sample(inputs, sampling)
    shaded = made.shaded[0]
    picture = ((shaded.float().clamp(-1, 1) + 1) / 2).permute(1, 2, 0).cpu().numpy()
    # It may answer at a whole part of the working size; the padding is cut off at full size.
    height, width = frame.padded_height, frame.padded_width
    whole = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)[
        : frame.work_height, : frame.work_width
    ]
    full = resize_picture(np.ascontiguousarray(whole), *job.lineart.shape)
    return np.asarray(np.rint(np.clip(full, 0, 1) * 255), np.uint8)


def _timed(work: Callable[[], Made]) -> tuple[Made, float]:
    """The answer of ``work`` and the seconds it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


_BASELINES: dict[str, Callable[[Picture, Pixels], Pixels | None]] = {
    "nearest": lambda picture, hints: baselines.nearest_hint(picture.lineart, hints),
    "regions": lambda picture, hints: baselines.nearest_hint_in_region(
        picture.lineart, hints, find_regions(picture.lineart)
    ),
    "gmic": lambda picture, hints: baselines.gmic_smart(picture.lineart, hints),
    "white": lambda picture, _: baselines.white(picture.lineart),
}


def choose_baselines(names: list[str]) -> list[Baseline]:
    """Baselines by name, without G'MIC where it is not installed.

    Raises:
        ColorizeError: a name that is none.
    """
    unknown = [n for n in names if n not in TITLES]
    if unknown:
        known = ", ".join(TITLES)
        raise ColorizeError(f"there is no baseline '{unknown[0]}'", f"there are {known}", wrong_use=True)
    return [Baseline(n) for n in TITLES if n in names and (n != "gmic" or baselines.gmic_version() is not None)]
