"""A batch in parts: over processes, and one after the other where memory is short; together they are the whole batch.

A loss over a part is made so that its mean over all parts is the loss over the batch. Plain means are; a sum divided by
a sum of weights is when it divides by the weights of the whole batch, which ``Over`` gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from engine.models.base import ModelOutputs
from training.data.chance import Chance, Rows
from training.data.synthesis import TrainingBatch

Over = Callable[[str, Tensor], Tensor]
"""Of the name of a sum of weights and its value in a part, what to divide by, at least 1 over the whole batch."""

T = TypeVar("T")


def alone(_: str, local: Tensor) -> Tensor:
    """What to divide by when the batch is one part."""
    return local.clamp_min(1.0)


def over_all(sums: dict[str, Tensor], parts: int) -> Over:
    """What to divide by in one of ``parts`` parts, from the sums of the whole batch."""
    return lambda name, _: sums[name].clamp_min(1.0) / parts


@dataclass
class Part:
    """A part of a batch on its way through a step.

    Attributes:
        batch: the samples.
        chance: what random numbers of the step are drawn from.
        over: see ``Over``.
        out: the model's pictures with their graph, kept where the batch is one part.
        shaded: Bx3xhxw, the model's shaded picture cut from its graph; empty before it was painted.
    """

    batch: TrainingBatch
    chance: Chance
    over: Over = alone
    out: ModelOutputs | None = None
    shaded: Tensor = field(default_factory=lambda: torch.empty(0))


def take_rows(value: T, begin: int, end: int) -> T:
    """Some samples of a batch: of a tensor, or of a dataclass of them."""
    if isinstance(value, Tensor):
        return value[begin:end]  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: take_rows(getattr(value, f.name), begin, end) for f in fields(value)})
    return value


def split_batch(
    batch: TrainingBatch, chance: Chance, gen: torch.Generator, count: int, rank: int, world: int
) -> list[Part]:
    """Split one process's samples into ``count`` parts of like size; each draws what its samples had in one batch.

    Args:
        batch: the samples of this process.
        chance: what they were made with.
        gen: the stream behind it.
        count: of parts; it divides the number of samples.
        rank: which process this is,
        world: of how many.
    """
    rows = len(batch.target)
    size = rows // count
    if count == 1:
        return [Part(batch, chance)]
    parts = []
    for begin in range(0, rows, size):
        again = torch.Generator(gen.device)
        again.set_state(gen.get_state())
        mine = Rows(again, rows * world, rows * rank + begin)
        parts.append(Part(take_rows(batch, begin, begin + size), mine))
    return parts
