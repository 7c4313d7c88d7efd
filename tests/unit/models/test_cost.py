"""What a job costs, in operations and bytes that are counted, for a busy machine changes neither."""

from __future__ import annotations

import os
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine import DEFAULT_MODEL
from engine.imaging.layers.painting import paint_layers
from engine.imaging.regions.flood import landscape
from engine.imaging.regions.segmentation import find_regions
from engine.models.base import ModelInputs
from engine.models.checkpoint import load_model
from engine.models.components.hint_prior import Flood, flood_hints
from engine.models.components.vae import CELL
from engine.models.stablepaint import HINT_CHANNELS, LINE_CHANNELS, StablePaint, StablePaintConfig
from engine.models.stenciltorch import Compact, CompactConfig, Thesis, ThesisConfig
from engine.pipeline import Job, Pipeline, model_inputs

SIZE = 512
WEIGHTS = Path(__file__).parents[3] / "engine" / "weights" / f"{DEFAULT_MODEL}.safetensors"


def gflop(step: Callable[[], Any]) -> float:
    """Operations of convolutions and matrix products, a multiplication and an addition each."""
    # The fused attention of CPUs is not counted.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops() / 1e9)


def blank(device: str) -> tuple[ModelInputs, Flood]:
    """A batch of one at the default working size and its hint prior; what it shows changes no count."""

    def maps(channels: int, size: int = SIZE) -> Tensor:
        return torch.zeros(1, channels, size, size, device=device)

    inputs = ModelInputs(maps(1), maps(4), maps(1), maps(3), maps(1))
    return inputs, Flood(maps(3, SIZE // 2), maps(1, SIZE // 2)[:, 0])


@pytest.fixture(scope="module")
def compact_gflop() -> float:
    with torch.device("meta"):
        net = Compact(CompactConfig()).eval()
    inputs, flood = blank("meta")
    return gflop(lambda: net(inputs, flood))


def test_the_default_network_stays_within_its_operations(compact_gflop: float) -> None:
    assert compact_gflop <= 6.3


@pytest.mark.parametrize(("width", "times"), [(32, 4.7), (64, 18.5)])
def test_the_generators_of_the_thesis_take_many_times_the_default_networks_operations(
    compact_gflop: float, width: int, times: float
) -> None:
    with torch.device("meta"):
        net = Thesis(ThesisConfig(width=width, guide=False)).eval()
    inputs, _ = blank("meta")
    assert gflop(lambda: net(inputs)) >= times * compact_gflop


@pytest.fixture(scope="module")
def denoiser_gflop() -> float:
    config = StablePaintConfig()
    with torch.random.fork_rng():
        net = StablePaint(config).eval().denoiser
    side, told = SIZE // CELL, 2 * config.channels + HINT_CHANNELS + LINE_CHANNELS
    x, conditions = torch.zeros(1, config.channels, side, side), torch.zeros(1, told, side, side)
    return gflop(lambda: net(x, conditions, torch.zeros(1)))


def test_a_denoiser_step_of_stablepaint_takes_no_more_operations_than_the_default_network(
    compact_gflop: float, denoiser_gflop: float
) -> None:
    assert denoiser_gflop <= compact_gflop


def test_the_shipped_default_weights_stay_small() -> None:
    assert WEIGHTS.stat().st_size <= 8.4e6


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Pipeline:
    return Pipeline(load_model(small_weights))


def job(height: int = 600, width: int = 800) -> Job:
    """Circles on paper and strokes in them."""
    rng = np.random.default_rng(4)
    line, hints = np.ones((height, width), np.float32), np.zeros((height, width, 4), np.uint8)
    for _ in range(12):
        centre = (rng.uniform(0.1, 0.9, 2) * (width, height)).astype(int).tolist()
        cv2.circle(line, centre, int(rng.uniform(0.05, 0.2) * height), 0.1, max(1, height // 250))
        hints[centre[1] - 4 : centre[1] + 4, centre[0] - 9 : centre[0] + 9] = (*rng.integers(0, 256, 3), 255)
    return Job(line, hints, lineart_digest="kept")


def other_hints(first: Job) -> Job:
    """The same drawing with the strokes elsewhere."""
    assert first.hints is not None
    return replace(first, hints=np.ascontiguousarray(first.hints[::-1]))


@contextmanager
def counted(*functions: Callable[..., Any]) -> Iterator[Counter[str]]:
    """Count the calls of functions in this thread and those it starts."""
    names: dict[CodeType, str] = {f.__code__: f.__name__ for f in functions}
    calls: Counter[str] = Counter()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in names:
            calls[names[frame.f_code]] += 1

    before = sys.getprofile()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


@contextmanager
def network_calls(pipeline: Pipeline) -> Iterator[list[tuple[int, ...]]]:
    """The shapes of the batches that the network is given."""
    seen: list[tuple[int, ...]] = []
    network = pipeline.model.network
    assert isinstance(network, nn.Module)
    handle = network.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].lineart.shape)))
    try:
        yield seen
    finally:
        handle.remove()


def test_a_job_runs_the_network_once_at_the_working_size(pipeline: Pipeline) -> None:
    with network_calls(pipeline) as seen:
        pipeline.run(replace(job(1200, 1600), lineart_digest=None))
    assert seen == [(1, 1, 512, 704)]


def test_a_job_does_each_of_its_costly_steps_once(pipeline: Pipeline) -> None:
    steps = (find_regions, flood_hints, model_inputs, paint_layers)
    with counted(*steps) as calls:
        pipeline.run(replace(job(), lineart_digest=None))
    assert calls == {step.__name__: 1 for step in steps}


def test_new_hints_on_a_known_drawing_find_no_regions_again(pipeline: Pipeline) -> None:
    first = job()
    pipeline.run(first)
    with counted(find_regions, paint_layers) as calls, network_calls(pipeline) as seen:
        pipeline.run(other_hints(first))
    assert calls == {"paint_layers": 1}
    assert len(seen) == 1


def test_only_the_hint_prior_may_look_at_the_lines_of_a_known_drawing_again(pipeline: Pipeline) -> None:
    first = replace(job(), lineart_digest="another")
    with counted(landscape) as anew:
        pipeline.run(first)
    with counted(landscape) as again:
        pipeline.run(other_hints(first))
    assert anew["landscape"] <= 2
    assert again["landscape"] <= 1


def peak_canvases(step: Callable[[], Any], pixels: int) -> float:
    """The most that numpy's arrays took at once in a call, in RGBA canvases."""
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1] / (4 * pixels)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("height", "width", "new", "known"),
    [(1500, 2000, 9.9, 7.5), (3600, 4800, 4.4, 3.9)],
    ids=["segmented at full size", "segmented at a smaller size"],
)
def test_the_arrays_of_a_job_take_few_canvases_two_layers_included(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, height: int, width: int, new: float, known: float
) -> None:
    # As many strips are painted at a time as there are cores: with one, how they meet does not count.
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    first = replace(job(height, width), lineart_digest=f"{width}")
    second = other_hints(first)
    # A copy of the canvas more breaks these.
    assert peak_canvases(lambda: pipeline.run(first), height * width) <= new
    assert peak_canvases(lambda: pipeline.run(second), height * width) <= known
