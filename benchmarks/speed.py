"""Measures speed and memory on the CPU, all ratios in one run: networks, steps, whole jobs, import times.

    python benchmarks/speed.py [--repeats N] [--huge] [--weights PATH] [--out FILE]

Prints a Markdown table and one line of JSON. For its memory, each size of a whole job has a process of its own. Needs
Linux or macOS.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.runtime import yield_cores

# As the command line does; it must come before torch.
yield_cores()

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from drawing import draw_lineart, draw_strokes

from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.imaging.regions import find_regions
from engine.models.base import ModelInputs
from engine.models.checkpoint import LoadedModel, find_weights, load_model
from engine.models.hint_prior import flood_hints
from engine.models.registry import ARCHITECTURES
from engine.models.stenciltorch import Compact, CompactConfig, Thesis, ThesisConfig
from engine.pipeline import Job, Pipeline, model_inputs

SIZE = 512
STROKES = 30
SEED = 7
LARGE = (2480, 3508)
HUGE = (5000, 7000)
THESIS_WIDTH = 32
TARGET_NETWORK = 0.2
TARGET_JOB = 2.0
TARGET_SECONDS = 6.0
TARGET_MEGABYTES = 1500.0
TARGET_IMPORT = 0.1
MODULES = ("engine", "engine.cli", "torch")

Line = tuple[str, float, str, str]
"""What was measured, the number, its unit, and the target or nothing."""


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


def interleaved(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every piece of work; they take turns, so that a busy moment of the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, step in work.items():
            start = time.perf_counter()
            step()
            # The first turn warms up.
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def make_inputs(pipeline: Pipeline) -> ModelInputs:
    """The batch that a 512 x 512 job gives to the network."""
    job = Job(draw_lineart(SIZE, SIZE, SEED), draw_strokes(SIZE, SIZE, STROKES, SEED))
    return model_inputs(job, pipeline.frame(job))


def measure_steps(model: LoadedModel, repeats: int) -> tuple[dict[str, float], int, int]:
    """Median seconds of networks, steps and the whole warm job at 512 x 512.

    Returns:
        ``(seconds by name, parameters of the default network, parameters of the thesis network)``.
    """
    pipeline = Pipeline(model)
    inputs = make_inputs(pipeline)
    torch.manual_seed(SEED)
    thesis = Thesis(ThesisConfig(width=THESIS_WIDTH, guide=False))
    thesis.prepare_for_inference()
    thesis.requires_grad_(False)
    hints = draw_strokes(SIZE, SIZE, STROKES, SEED)
    # Every repeat colours another drawing, so that nothing remembered of the last one helps.
    lines = iter([draw_lineart(SIZE, SIZE, SEED + i) for i in range(repeats + 1)])
    with torch.inference_mode():
        flood = flood_hints(inputs)
        work: dict[str, Callable[[], Any]] = {
            "network": lambda: model.network(inputs, flood),
            "thesis": lambda: thesis(inputs),
            "prior": lambda: flood_hints(inputs),
            "regions": lambda: find_regions(line),
            "job": lambda: pipeline.run(Job(next(lines), hints)),
        }
        line = draw_lineart(SIZE, SIZE, SEED)
        seconds = interleaved(work, repeats)
    sizes = [sum(p.numel() for p in network.parameters()) for network in (model.network, thesis)]
    return {name: statistics.median(values) for name, values in seconds.items()}, sizes[0], sizes[1]


def peak_megabytes() -> float:
    """Most memory this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def run_child(folder: Path, repeats: int, weights: Path | None) -> None:
    """In a process of its own: colour the drawing in ``folder``; print seconds and growth of memory as JSON."""
    model = default_model(weights)
    pipeline = Pipeline(model)
    pipeline.run(Job(draw_lineart(64, 64, SEED), draw_strokes(64, 64, 4, SEED)))
    before = psutil.Process().memory_info().rss / 1e6
    seconds = []
    lineart, hints = np.load(folder / "lineart.npy"), np.load(folder / "hints.npy")
    inputs = (lineart.nbytes + hints.nbytes) / 1e6
    for _ in range(repeats):
        start = time.perf_counter()
        pipeline.run(Job(lineart, hints))
        seconds.append(time.perf_counter() - start)
    growth = peak_megabytes() - before
    print(json.dumps({"seconds": statistics.median(seconds), "growth_mb": growth, "inputs_mb": inputs}))


def measure_job(height: int, width: int, repeats: int, weights: Path | None) -> dict[str, float]:
    """Whole warm job of one size in a fresh process: median seconds, growth of memory over the loaded model."""
    with tempfile.TemporaryDirectory() as name:
        # Drawn here, so that the memory for drawing is not counted there.
        np.save(Path(name) / "lineart.npy", draw_lineart(height, width, SEED))
        np.save(Path(name) / "hints.npy", draw_strokes(height, width, STROKES, SEED))
        command = [sys.executable, __file__, "--child", name, "--repeats", str(repeats)]
        command += ["--weights", str(weights)] if weights else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure_import(module: str, repeats: int) -> tuple[float, bool] | None:
    """Median seconds to import a module in a fresh process and whether torch came with it; None if it is not there."""
    if importlib.util.find_spec(module) is None:
        return None
    code = f"import sys, time; t = time.perf_counter(); import {module}; "
    code += "print(time.perf_counter() - t, 'torch' in sys.modules)"
    seconds, with_torch = [], False
    for _ in range(repeats):
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
        first, second = done.stdout.split()
        seconds.append(float(first))
        with_torch = second == "True"
    return statistics.median(seconds), with_torch


def verdict(value: float, limit: float, unit: str) -> str:
    """The target and whether the value holds it."""
    return f"<= {limit:g} {unit}".rstrip() + (": holds" if value <= limit else ": **missed**")


def measure(options: argparse.Namespace) -> tuple[list[Line], dict[str, Any]]:
    """All lines of the table and the numbers behind them."""
    model = default_model(options.weights)
    steps, own_size, thesis_size = measure_steps(model, options.repeats)
    network, thesis, job = steps["network"], steps["thesis"], steps["job"]
    lines: list[Line] = [
        (f"network, default ({own_size / 1e6:.1f} M parameters), {SIZE}x{SIZE}", network * 1000, "ms", ""),
        (f"network, thesis f = {THESIS_WIDTH} ({thesis_size / 1e6:.1f} M), {SIZE}x{SIZE}", thesis * 1000, "ms", ""),
        ("default / thesis", network / thesis, "", verdict(network / thesis, TARGET_NETWORK, "")),
        (f"hint prior alone, {STROKES} strokes, {SIZE}x{SIZE}", steps["prior"] * 1000, "ms", ""),
        (f"regions alone, {SIZE}x{SIZE}", steps["regions"] * 1000, "ms", ""),
        (f"whole warm job, {SIZE}x{SIZE}", job * 1000, "ms", ""),
        ("whole job / network", job / network, "", verdict(job / network, TARGET_JOB, "")),
        ("whole job / network and its hint prior", job / (network + steps["prior"]), "", ""),
    ]
    numbers: dict[str, Any] = {
        "seconds": steps,
        "default_over_thesis": network / thesis,
        "job_over_network": job / network,
    }
    sizes = [(SIZE, SIZE), LARGE, *([HUGE] if options.huge else [])]
    for height, width in sizes:
        few = options.repeats if height == SIZE else max(1, options.repeats // 4)
        found = measure_job(height, width, few, options.weights)
        numbers[f"job_{height}x{width}"] = found
        large = (height, width) == LARGE
        goal = verdict(found["seconds"], TARGET_SECONDS, "s") if large else ""
        lines.append((f"whole warm job, {height}x{width}, own process", found["seconds"], "s", goal))
        goal = verdict(found["growth_mb"], TARGET_MEGABYTES, "MB") if large else ""
        what = f"its peak memory over the loaded model ({found['inputs_mb']:.0f} MB of it the inputs)"
        lines.append((what, found["growth_mb"], "MB", goal))
    for module in MODULES:
        imported = measure_import(module, max(3, options.repeats // 2))
        if imported is None:
            continue
        seconds, with_torch = imported
        numbers[f"import_{module}"] = {"seconds": seconds, "loads_torch": with_torch}
        goal = verdict(seconds, TARGET_IMPORT, "s") if module == "engine" else ""
        note = " (loads torch)" if with_torch and module != "torch" else ""
        lines.append((f"import {module}{note}", seconds, "s", goal))
    return lines, numbers


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure speed and memory on the CPU.")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs behind each median (%(default)s)")
    parser.add_argument("--huge", action="store_true", help=f"also {HUGE[0]}x{HUGE[1]} pixels")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="weights to measure instead of the usual ones")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats may not be under 1")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    options = parse()
    try:
        if options.child is not None:
            run_child(options.child, options.repeats, options.weights)
            return 0
        lines, numbers = measure(options)
    except ColorizeError as e:
        print(f"error: {e.cause}\n  {e.remedy}", file=sys.stderr)
        return 1
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    print(f"{machine['cores']} CPU cores, {machine['threads']} threads, torch {machine['torch']}\n")
    print("| what | median | target |\n| --- | ---: | --- |")
    for what, value, unit, goal in lines:
        print(f"| {what} | {f'{value:.3g}' if value < 100 else f'{value:.0f}'} {unit} | {goal} |")
    text = json.dumps({"machine": machine, "repeats": options.repeats, **numbers})
    print(f"\n{text}")
    if options.out is not None:
        options.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
