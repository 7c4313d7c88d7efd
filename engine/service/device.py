"""Runs jobs on the device of choice, and on the CPU where that device does not manage."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import ColorizeError
from engine.models.checkpoint import LoadedModel, describe, find_weights, list_weights, load_model
from engine.pipeline import Cancelled, Job, Layers, Look, Pipeline, Progress
from engine.protocol.messages import Buffer
from engine.protocol.settings import JobSettings
from engine.service.buffers import Pixels, coverage, paper, picture, strokes
from engine.system.device import choose_device, cpu_may_do

PIPELINES_KEPT = 2
PAPERS_KEPT = 2
"""Linearts kept as the pipeline takes them, 4 bytes a pixel, for the next job on the same drawing."""
LARGE = 48_000_000
"""Pixels of a lineart above which it is not kept."""


@dataclass(frozen=True)
class JobRequest:
    """What a client wants of a job, checked.

    Attributes:
        width, height: canvas in pixels.
        model: name of the model.
        settings: how to do it.
        layers: names of the wanted layers.
        preview: show the model's pictures before the layers are painted.
        drawing: content address of the lineart; empty when nothing should be kept of it.
    """

    width: int
    height: int
    model: str
    settings: JobSettings
    layers: tuple[str, ...]
    preview: bool
    drawing: str


@dataclass(frozen=True)
class Done:
    """What came of a job.

    Attributes:
        layers: of each variation, by name, those that were wanted.
        seeds: of each variation.
        seconds: it took.
        device: where it ran.
        size: the working short side in pixels.
        note: a word about where it ran where one is due, or empty.
    """

    layers: list[dict[str, Pixels]]
    seeds: list[int]
    seconds: float
    device: str
    size: int
    note: str


class Device:
    """Models on a device.

    Args:
        wanted: auto, cpu, cuda or mps.
        weights: what ``--weights`` was given.
    """

    def __init__(self, wanted: str, weights: Path | None) -> None:
        self.weights = weights
        self.kind, self.note = choose_device(wanted)
        self._pipelines: OrderedDict[tuple[str, str], Pipeline] = OrderedDict()
        self._warm: WeakSet[Pipeline] = WeakSet()
        self._papers: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    @property
    def loaded(self) -> list[str]:
        """Names of the models in memory, the last used one last."""
        return list(dict.fromkeys(model for model, _ in self._pipelines))

    def models(self) -> list[dict[str, Any]]:
        """What models there are: their descriptors, under the name to ask for them by; broken files are left out.

        The digest of the file tells weights apart that were trained again under the same name.
        """
        rows = []
        for path in list_weights(self.weights):
            with contextlib.suppress(ColorizeError, OSError):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
                rows.append({**asdict(describe(path)), "name": path.stem, "digest": digest})
        return rows

    def load(self, model: str) -> None:
        """Have a model ready.

        Raises:
            ColorizeError: there is none of that name, or its file is no good.
        """
        self._pipeline(model, self.kind)

    def warm(self, model: str, stop: Callable[[], bool]) -> None:
        """Colour a small drawing for nobody, so that no real job has to wait for what happens once in a process.

        Nothing happens for a model that was warmed before.

        Args:
            model: which.
            stop: asked between the steps; yes when somebody has real work.

        Raises:
            ColorizeError: there is no such model, or its file is no good.
            RuntimeError: the device is short of something.
        """
        pipeline = self._pipeline(model, self.kind)
        if pipeline in self._warm:
            return
        side = pipeline.model.descriptor.size
        line, hints = np.ones((side, side), np.float32), np.zeros((side, side, 4), np.uint8)
        middle = slice(side // 4, side // 2)
        line[middle, side // 2], hints[middle, middle] = 0, 255
        with contextlib.suppress(Cancelled):
            _ = pipeline.run(Job(line, hints), None, stop).shading
            self._warm.add(pipeline)

    def run(
        self, request: JobRequest, buffers: list[Buffer], progress: Progress, look: Look, stop: Callable[[], bool]
    ) -> Done:
        """Do a job.

        Raises:
            ColorizeError: the inputs do not fit together, or the model is no good.
            ProtocolError: pixels that cannot be unpacked.
            Cancelled: ``stop`` answered yes.
            MemoryError: the CPU has not enough memory either.
        """
        started = time.perf_counter()
        if (request.model, self.kind) not in self._pipelines:
            progress("loading", 0, 1)
        kind, note = self.kind, self.note
        job = self._job(request, buffers)
        try:
            results, size = self._colour(kind, request, job, progress, look, stop)
        except (RuntimeError, NotImplementedError) as e:
            if kind == "cpu" or not cpu_may_do(e):
                raise
            self._pipelines.pop((request.model, kind), None)
            _give_back(kind)
            note = f"coloured on the CPU: {_why(kind, e)}"
            kind = "cpu"
            results, size = self._colour(kind, request, job, progress, look, stop)
        sampling = self._pipelines[request.model, kind].sampling(job)
        seeds = [request.settings.seed] if sampling is None else list(sampling.seeds)
        layers = []
        while results:
            # What is not wanted of it goes.
            one = results.pop(0)
            layers.append({name: np.asarray(getattr(one, name)) for name in request.layers})
        return Done(layers, seeds, time.perf_counter() - started, kind, size, note)

    def _colour(
        self, kind: str, request: JobRequest, job: Job, progress: Progress, look: Look, stop: Callable[[], bool]
    ) -> tuple[list[Layers], int]:
        pipeline = self._pipeline(request.model, kind)
        results = pipeline.vary(job, progress, stop, look if request.preview else None)
        return results, request.settings.size or pipeline.model.descriptor.size

    def _pipeline(self, model: str, kind: str) -> Pipeline:
        found = self._pipelines.pop((model, kind), None)
        if found is None:
            loaded: LoadedModel = load_model(find_weights(model, self.weights), kind)
            found = Pipeline(loaded, kind)
        self._pipelines[model, kind] = found
        while len(self._pipelines) > PIPELINES_KEPT:
            self._pipelines.popitem(last=False)
        return found

    def _job(self, request: JobRequest, buffers: list[Buffer]) -> Job:
        by_role = {b.role: b for b in buffers}
        hints, mask, context = (by_role.get(role) for role in ("hints", "mask", "context"))
        return Job(
            self._paper(by_role["lineart"], request.drawing),
            strokes(hints, request.width, request.height) if hints else None,
            coverage(mask, request.width, request.height) if mask else None,
            picture(context) if context else None,
            request.settings,
            request.drawing or None,
        )

    def _paper(self, lineart: Buffer, drawing: str) -> NDArray[np.float32]:
        found = self._papers.pop(drawing, None) if drawing else None
        if found is None:
            found = paper(lineart)
        if drawing and found.size <= LARGE:
            self._papers[drawing] = found
            while len(self._papers) > PAPERS_KEPT:
                self._papers.popitem(last=False)
        return found


def _why(kind: str, failure: Exception) -> str:
    if isinstance(failure, NotImplementedError):
        return f"the {kind} device cannot do one of the model's steps"
    return f"the {kind} device had not enough free memory"


def _give_back(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()
