"""What the timings of several benchmarks share: the sizes, the default network, work that takes turns, peak memory."""

# ruff: noqa: E402
from __future__ import annotations

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from engine.system.process import yield_cores

# As the command line does; it must come before torch.
yield_cores()

import torch

from benchmarks.drawing import draw_lineart, draw_strokes
from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.models.base import ModelInputs
from engine.models.checkpoint import LoadedModel, find_weights, load_model
from engine.models.registry import ARCHITECTURES
from engine.models.stenciltorch import Compact, CompactConfig
from engine.pipeline import Job, Pipeline, model_inputs

SIZE = 512
STROKES = 30
SEED = 7


def default_model(weights: Path | None) -> LoadedModel:
    """The shipped model, or the same network with random weights where none are found; speed is the same."""
    try:
        return load_model(find_weights(DEFAULT_MODEL, weights))
    except ColorizeError as e:
        if weights is not None:
            raise
        print(f"note: {e.cause}; measuring with random weights", file=sys.stderr)
    torch.manual_seed(SEED)
    network = Compact(CompactConfig())
    network.prepare_for_inference()
    network.requires_grad_(False)
    return LoadedModel(network, ARCHITECTURES["stenciltorch-compact"].descriptor, Path("random"), {})


def make_inputs(pipeline: Pipeline) -> ModelInputs:
    """The batch that a 512 x 512 job gives to the network."""
    job = Job(draw_lineart(SIZE, SIZE, SEED), draw_strokes(SIZE, SIZE, STROKES, SEED))
    return model_inputs(job, pipeline.frame(job))


def interleaved(
    work: dict[str, Callable[[], Any]],
    repeats: int,
    prepare: Callable[[int], Any] | None = None,
    rare: Collection[str] = (),
) -> dict[str, list[float]]:
    """Time every piece of work; they take turns, so that a busy moment of the machine hits all alike.

    Args:
        work: by name.
        repeats: turns that are timed, after one that warms up.
        prepare: called with the number of the turn before each, untimed.
        rare: names of what is so slow that it is done in the last turn alone.

    Returns:
        Seconds by name, one per turn.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        if prepare is not None:
            prepare(turn)
        for name, step in work.items():
            if name in rare and turn < repeats:
                continue
            start = time.perf_counter()
            step()
            # The first turn warms up.
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    """The median of each."""
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_megabytes() -> float:
    """Most memory this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux' getrusage has the peak of the process that started this one, where that was larger.
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def verdict(value: float, limit: float, unit: str) -> str:
    """The target and whether the value holds it."""
    return f"<= {limit:g} {unit}".rstrip() + (": holds" if value <= limit else ": **missed**")
