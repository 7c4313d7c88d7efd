"""Whole jobs of one size, their stages, and the networks that they are compared with."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.drawing import draw_lineart, draw_strokes
from benchmarks.speed.gmic import Gmic
from benchmarks.speed.machine import CanvasCopies, count_gflop
from benchmarks.speed.tools import SEED, STROKES, interleaved, make_inputs, medians
from engine.models.checkpoint import LoadedModel
from engine.models.components.hint_prior import flood_hints
from engine.models.stenciltorch import Thesis, ThesisConfig
from engine.pipeline import STAGES, Job, Pipeline

THESIS_WIDTHS = (64, 32)
MANY_PIXELS = 4_000_000
"""Of a canvas above which there is a third of the repeats, and G'MIC runs once."""
KEPT = "kept"
"""Content address of the drawing whose hints change."""


class Marks:
    """When a job came to which stage, turn by turn; it is the job's ``progress``."""

    def __init__(self) -> None:
        self._turns: list[list[tuple[str, float]]] = []

    def __call__(self, stage: str, done: int, _: int) -> None:
        """So many steps are done, and ``stage`` comes next."""
        if done == 0:
            self._turns.append([])
        self._turns[-1].append((stage, time.perf_counter()))

    def medians(self) -> dict[str, float]:
        """Median seconds of every stage, without the turn that warmed up."""
        found: dict[str, list[float]] = {stage: [] for stage in STAGES}
        for turn in self._turns[1:]:
            for (stage, start), (_, end) in itertools.pairwise(turn):
                found[stage].append(end - start)
        return {stage: statistics.median(values) for stage, values in found.items()}


class Jobs:
    """The jobs of one size: each turn colours another drawing, and gives other hints to one that is kept."""

    def __init__(self, pipeline: Pipeline, width: int, height: int) -> None:
        self.pipeline, self.size = pipeline, (height, width)
        self.marks, self.hint_marks = Marks(), Marks()
        self._kept = Job(draw_lineart(height, width, SEED), lineart_digest=KEPT)
        pipeline.run(self._kept)
        self.prepare(0)

    def prepare(self, turn: int) -> None:
        """Draw what comes next."""
        self._lineart = draw_lineart(*self.size, SEED + turn)
        self._hints = draw_strokes(*self.size, STROKES, SEED + turn)
        self._job = Job(self._lineart, self._hints)
        self._kept = replace(self._kept, hints=self._hints)

    @property
    def files(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Lineart and hints of this turn."""
        return self._lineart, self._hints

    def regions(self) -> None:
        """Find the regions alone."""
        bare = replace(self._job, hints=None)
        self.pipeline.segments(bare, self.pipeline.frame(bare))

    @property
    def work(self) -> dict[str, Callable[[], Any]]:
        """All of it by name."""
        return {
            "job": lambda: self.pipeline.run(self._job, self.marks),
            "hint_only": lambda: self.pipeline.run(self._kept, self.hint_marks),
            "regions": self.regions,
            "copies": CanvasCopies(self.size[1], self.size[0]),
        }


class Networks:
    """The default network and the thesis's generators on the batch of a 512 x 512 job."""

    def __init__(self, model: LoadedModel) -> None:
        inputs = make_inputs(Pipeline(model))
        with torch.inference_mode():
            flood = flood_hints(inputs)
        self.parameters = {"network": _size(model.network)}
        self.work: dict[str, Callable[[], Any]] = {
            "network": lambda: model.network(inputs, flood),
            "prior": lambda: flood_hints(inputs),
        }
        for width in THESIS_WIDTHS:
            torch.manual_seed(SEED)
            net = Thesis(ThesisConfig(width=width, guide=False))
            net.prepare_for_inference()
            net.requires_grad_(False)
            self.work[f"thesis_{width}"] = partial(net, inputs)
            self.parameters[f"thesis_{width}"] = _size(net)

    def rows(self, seconds: dict[str, float]) -> dict[str, dict[str, float]]:
        """By name the ``seconds`` that were measured, the ``gflop`` of a run, and the ``parameters``."""
        return {
            name: {"seconds": seconds[name], "gflop": count_gflop(self.work[name]), "parameters": count}
            for name, count in self.parameters.items()
        }


def _size(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def measure_jobs(
    model: LoadedModel, width: int, height: int, repeats: int, gmic: Gmic | None, more: dict[str, Callable[[], Any]]
) -> dict[str, Any]:
    """Everything of one size.

    Args:
        model: what colours.
        width: of the canvas in pixels.
        height: likewise.
        repeats: turns.
        gmic: takes turns with the jobs, on the same drawings.
        more: other work to take turns with.

    Returns:
        Median ``seconds`` by name, without filters that failed, and of the ``stages`` of a job and the ``hint_stages``
        of one with other hints alone.
    """
    jobs = Jobs(Pipeline(model), width, height)
    work, rare = {**jobs.work, **more}, []
    if gmic is not None:
        work |= gmic.work
        rare = list(gmic.work) if width * height > MANY_PIXELS else []

    def prepare(turn: int) -> None:
        jobs.prepare(turn)
        if gmic is not None and (not rare or turn == repeats):
            gmic.write(*jobs.files)

    with torch.inference_mode():
        seconds = medians(interleaved(work, repeats, prepare, rare))
    for name in gmic.failed if gmic is not None else ():
        seconds.pop(name, None)
    return {"seconds": seconds, "stages": jobs.marks.medians(), "hint_stages": jobs.hint_marks.medians()}


def measure_memory(width: int, height: int, weights: Path | None) -> dict[str, float]:
    """MB that a job of one size adds to a loaded model, in a fresh process; see ``speed_memory.py``."""
    with tempfile.TemporaryDirectory() as name:
        # Drawn here, so that the memory for drawing is not counted there.
        np.save(Path(name) / "lineart.npy", draw_lineart(height, width, SEED))
        for turn in range(2):
            np.save(Path(name) / f"hints{turn}.npy", draw_strokes(height, width, STROKES, SEED + turn))
        command = [sys.executable, "-m", "benchmarks.speed.memory", name]
        command += ["--weights", str(weights)] if weights else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
