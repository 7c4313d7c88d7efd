"""Settings of a training run, and how a batch is shared out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from engine.errors import ColorizeError
from training.data.dataset import DEFAULT_RECIPE, Recipe


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
    """Everything that decides a run.

    Attributes:
        architecture: key of the registry.
        model: configuration of the architecture; its defaults when empty.
        phases: crop sizes over the run.
        steps: optimiser steps in all.
        lr: peak learning rate of AdamW, after warm-up, falling along a half cosine.
        adversarial_from: part of the run after which the critic joins; 1 = never.
        adversarial: weight of the critic's score in the generator's loss.
        ema: decay of the averaged weights that are kept.
        workers: processes that cut crops, per process that trains.
        bf16: run the network in bfloat16 where the device is a GPU.
        recipe: how samples are made from pictures.
        extractor: key of ``training.data.extractors.EXTRACTORS``.
        batch: samples a step of the first phase, with those of the others in proportion; None = as ``phases`` say.
        accumulate: parts in which each process computes its share of a batch, one after the other; fewer where they
            would not be equal.
        compile: compile the model with ``torch.compile``.
        stream: read the pictures from the shards as they are needed, as sets larger than memory are.
    """

    architecture: str = "stenciltorch-compact"
    model: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    steps: int = 10_000
    lr: float = 1.2e-3
    weight_decay: float = 1e-3
    warmup: int = 200
    ema: float = 0.998
    adversarial_from: float = 1.0
    adversarial: float = 0.02
    seed: int = 1
    workers: int = 1
    bf16: bool = False
    recipe: Recipe = DEFAULT_RECIPE
    extractor: str = "default"
    batch: int | None = None
    accumulate: int = 1
    compile: bool = False
    stream: bool = False

    @property
    def scaled_phases(self) -> tuple[Phase, ...]:
        """The phases with the batches they are to have."""
        if self.batch is None:
            return self.phases
        scale = self.batch / self.phases[0].batch
        return tuple(replace(p, batch=max(1, round(p.batch * scale))) for p in self.phases)


C = TypeVar("C", bound=TrainConfig)


def with_batch(config: C, batch: int) -> C:
    """The same run with ``batch`` samples a step in its first phase, and those of the others in proportion."""
    return replace(config, batch=batch)


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
