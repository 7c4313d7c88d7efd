"""Settings of a training run, and how a batch is shared out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from engine.errors import ColorizeError
from training.data.dataset import DEFAULT_RECIPE, Recipe
from training.runs.schedule import steps_of


@dataclass(frozen=True)
class Phase:
    """A stretch of the run: until ``until`` of all steps, crops of ``size`` px from pictures ``zoom`` times as wide.

    ``batch`` samples make a step, whatever the number of processes and parts.
    """

    until: float
    size: int
    batch: int
    zoom_low: float
    zoom_high: float


@dataclass(frozen=True)
class TrainConfig:
    """What decides any run.

    Attributes:
        phases: crop sizes and batches over the run.
        steps: optimiser steps in all.
        epochs: in place of ``steps``, how often each sample is seen.
        lr: peak learning rate of AdamW, reached after ``warmup`` steps and kept until the warm-down.
        warmdown: last part of the run, in [0, 1], in which the rate falls to almost 0; 0 = it never falls.
        averages: widths of the averaged weights, see ``training.runs.averages``; the best by held-out loss is kept.
        workers: processes that load samples, per process that trains.
        batch: samples a step of the first phase, with those of the others in proportion; None = as ``phases`` say.
        accumulate: parts in which each process computes its share of a batch, one after the other; fewer where they
            would not be equal.
        compile: compile the model with ``torch.compile``.
        bf16: run the network in bfloat16: on GPUs, and on CPUs whose matrix units compute in it (AMX), about twice as
            fast; on other CPUs slower.
    """

    phases: tuple[Phase, ...] = ()
    steps: int = 10_000
    epochs: float | None = None
    lr: float = 1.2e-3
    weight_decay: float = 1e-3
    warmup: int = 200
    warmdown: float = 0.25
    averages: tuple[float, ...] = (0.05, 0.1)
    seed: int = 1
    workers: int = 1
    batch: int | None = None
    accumulate: int = 1
    compile: bool = False
    bf16: bool = False

    @property
    def scaled_phases(self) -> tuple[Phase, ...]:
        """The phases with the batches they are to have."""
        if self.batch is None:
            return self.phases
        scale = self.batch / self.phases[0].batch
        return tuple(replace(p, batch=max(1, round(p.batch * scale))) for p in self.phases)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the colour losses' terms (``training.losses.oklab``); that of the guide changes on a straight line.

    Attributes:
        shaded: of the shaded picture.
        guide_start: of the flat picture at the start of the run,
        guide_end: and at its end.
        shading: of light and shade,
        gradient: and of their slopes.
        hint: of the colours under the strokes.
    """

    shaded: float = 1.0
    guide_start: float = 1.5
    guide_end: float = 0.7
    shading: float = 2.0
    gradient: float = 1.0
    hint: float = 1.0

    def guide(self, progress: float) -> float:
        """Weight of the flat picture; ``progress`` of the run in [0, 1]."""
        return self.guide_start + (self.guide_end - self.guide_start) * progress


@dataclass(frozen=True)
class ColouringConfig(TrainConfig):
    """What decides a run that learns to colour crops.

    Attributes:
        architecture: key of the registry.
        model: configuration of the architecture; its defaults when empty.
        adversarial_from: part of the run after which the critic joins; 1 = never.
        adversarial: weight of the critic's score in the generator's loss.
        losses: weights of the colour losses.
        recipe: how samples are made from pictures.
        extractor: key of ``training.data.extractors.EXTRACTORS``.
        stream: read the pictures from the shards as they are needed, as sets larger than memory are.
    """

    architecture: str = "stenciltorch-compact"
    model: dict[str, Any] = field(default_factory=dict)
    adversarial_from: float = 1.0
    adversarial: float = 0.02
    losses: LossWeights = LossWeights()
    recipe: Recipe = DEFAULT_RECIPE
    extractor: str = "default"
    stream: bool = False


C = TypeVar("C", bound=TrainConfig)


def with_batch(config: C, batch: int) -> C:
    """The same run with ``batch`` samples a step in its first phase, and those of the others in proportion."""
    return replace(config, batch=batch)


def with_epochs(config: C, length: int) -> C:
    """The same run with as many steps as its ``epochs`` of ``length`` samples need; without epochs it stays.

    Raises:
        ValueError: ``epochs`` is not above 0.
    """
    if config.epochs is None:
        return config
    return replace(config, steps=steps_of(config.epochs, length, config.scaled_phases))


def parts_of(rows: int, most: int) -> int:
    """The greatest number of equal parts of ``rows`` samples that is at most ``most``."""
    return next(n for n in range(min(rows, most), 0, -1) if rows % n == 0)


def check_shares(config: TrainConfig, processes: int) -> None:
    """Make sure that the batch of every phase can be shared out evenly.

    Raises:
        ColorizeError: it cannot; names a batch that can.
    """
    if all(p.batch % processes == 0 for p in config.scaled_phases):
        return
    first = config.scaled_phases[0].batch
    near = (n for far in range(first * processes) for n in (first + far, first - far) if n > 0)
    good = next(n for n in near if all(p.batch % processes == 0 for p in with_batch(config, n).scaled_phases))
    batches = ", ".join(str(p.batch) for p in config.scaled_phases)
    raise ColorizeError(
        f"batches of {batches} cannot be shared evenly over {processes} processes",
        f"give --batch {good}, which can",
        wrong_use=True,
    )
