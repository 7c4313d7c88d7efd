"""Measures whether loading data keeps the device busy: samples per second and core, and how long a training loop waits.

    python -m benchmarks.data SHARDS [--workers 0,1,2] [--seconds N] [--limit N] [--out FILE]

SHARDS is what ``training pack`` made. Prints Markdown tables and one line of JSON. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch
from torch import Tensor

from benchmarks.targets import publish
from engine.errors import ColorizeError
from engine.models.components.hint_prior import flood_hints
from training.data.dataset import Cutter, ShardSet
from training.data.stream import ShardStream, make_loader, open_shards
from training.data.synthesis import lineart_regions, make_batch
from training.evaluation.tables import Table
from training.recipes.stenciltorch import PRESETS, StencilTorchRun
from training.runs.config import Phase
from training.runs.run import Run

SEED = 1
ENDLESS = 1 << 40
"""More batches or steps than anybody waits for."""
FEWEST = 3
"""Batches or steps behind every number, however long they take."""

Found = dict[str, Any]
"""One line of a table by the names of its numbers."""


def cores() -> list[int]:
    """Numbers of workers to try: 0, 1, 2, 4 and so on up to the cores this process may use."""
    most = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1
    return sorted({0, most, *(1 << i for i in range(most.bit_length()) if 1 << i <= most)})


def cpu_seconds() -> float:
    """Processor time that this process and its workers have had so far."""
    here = psutil.Process()
    times = [p.cpu_times() for p in (here, *here.children(recursive=True))]
    return float(sum(t.user + t.system for t in times))


def measure_loader(data: ShardSet | ShardStream, run: Run, phase: Phase, workers: int, seconds: float) -> Found:
    """Load samples of a phase as fast as they come: per second of the clock and of the processor."""
    begun = time.perf_counter()
    cutter = Cutter(phase.size, (phase.zoom_low, phase.zoom_high), run.config.recipe)
    loader = iter(make_loader(data, cutter, SEED, phase.batch, 0, ENDLESS // phase.batch, workers=workers))
    next(loader)
    first = time.perf_counter() - begun
    # Every worker has begun by then, and what they hold ready is used up.
    for _ in range(workers):
        next(loader)
    batches, begun, before = 0, time.perf_counter(), cpu_seconds()
    while batches < FEWEST or time.perf_counter() - begun < seconds:
        next(loader)
        batches += 1
    wall, used = time.perf_counter() - begun, cpu_seconds() - before
    samples = batches * phase.batch
    return {
        "data": "memory" if isinstance(data, ShardSet) else "stream",
        "size": phase.size,
        "workers": workers,
        "per_second": samples / wall,
        "per_worker": samples / wall / max(1, workers),
        "per_cpu_second": samples / used,
        "first_batch": first,
    }


def _finish(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _speed(work: Callable[[], object], device: torch.device, samples: int, seconds: float) -> dict[str, float]:
    """Samples per second of clock and processor, of work that does so many at once; the first time warms up."""
    work()
    _finish(device)
    times, begun, used = 0, time.perf_counter(), cpu_seconds()
    while times < FEWEST or time.perf_counter() - begun < seconds:
        work()
        _finish(device)
        times += 1
    wall, used = time.perf_counter() - begun, cpu_seconds() - used
    return {"per_second": times * samples / wall, "per_cpu_second": times * samples / max(used, 1e-9)}


def measure_device(run: Run, phase: Phase, seconds: float) -> list[Found]:
    """The stages of a step: making the batch, in it and in the network what no GPU takes over, and the whole step."""
    raw: dict[str, Tensor] = {k: t.to(run.device) for k, t in next(iter(run.batches(phase))).items()}
    gen = torch.Generator(run.device).manual_seed(SEED)
    batch = make_batch(raw, gen, run.config.extractor)
    lineart = (batch.inputs.lineart + 1) / 2
    work: dict[str, Callable[[], object]] = {
        "make_batch": lambda: make_batch(raw, gen, run.config.extractor),
        "of it regions": lambda: lineart_regions(lineart),
        "hint prior": lambda: flood_hints(batch.inputs),
        "whole step": lambda: run.train_step(raw),
    }
    return [
        {"what": name, "size": phase.size, **_speed(step, run.device, phase.batch, seconds)}
        for name, step in work.items()
    ]


def measure_waiting(run: Run, phase: Phase, seconds: float) -> Found:
    """Train for real, and tell which part of the time the device had nothing to do because no batch was there."""
    loader = iter(run.batches(phase))
    run.train_step(next(loader))
    steps, waited, begun, used = 0, 0.0, time.perf_counter(), cpu_seconds()
    while steps < FEWEST or time.perf_counter() - begun < seconds:
        # Work still queued on the device would hide the waiting.
        _finish(run.device)
        asked = time.perf_counter()
        raw = next(loader)
        waited += time.perf_counter() - asked
        run.train_step(raw)
        steps += 1
    _finish(run.device)
    whole, used = time.perf_counter() - begun, cpu_seconds() - used
    return {
        "size": phase.size,
        "batch": phase.batch,
        "workers": run.config.workers,
        "steps": steps,
        "per_second": steps * phase.batch / whole,
        "per_cpu_second": steps * phase.batch / max(used, 1e-9),
        "waits": waited / whole,
    }


def open_stream(folder: Path) -> ShardStream | None:
    """The shards as a stream, however small they are; None with a note where their index is too old for that."""
    try:
        data = open_shards(folder, memory_mb=0)
    except ValueError as e:
        print(f"note: not streamed ({e})", file=sys.stderr)
        return None
    return data if isinstance(data, ShardStream) else None


def measure_preset(preset: str, options: argparse.Namespace, stream: ShardStream | None, out: Path) -> Found:
    """Everything about one preset of StencilTorch."""
    run = StencilTorchRun(out / preset, options.shards, replace(PRESETS[preset], steps=ENDLESS), limit=options.limit)
    workers, phases = run.config.workers, [replace(p, until=1.0) for p in run.config.phases]
    found: Found = {"device": run.device.type, "loading": [], "device_steps": [], "training": []}
    sources = [run.data, *([stream] if stream is not None and isinstance(run.data, ShardSet) else [])]
    for data in sources:
        for number in options.workers:
            print(f"{preset}: loading, {number} workers", file=sys.stderr, flush=True)
            found["loading"].append(measure_loader(data, run, phases[0], number, options.seconds))
    for phase in phases:
        run.config = replace(run.config, phases=(phase,), workers=0)
        print(f"{preset}: {phase.size} px", file=sys.stderr, flush=True)
        found["device_steps"] += measure_device(run, phase, options.seconds)
        for number in sorted({0, workers}):
            run.config = replace(run.config, workers=number)
            found["training"].append(measure_waiting(run, phase, 3 * options.seconds))
    return found


def tables(preset: str, found: Found) -> str:
    """What was measured of a preset, as Markdown."""
    speeds = ("per_second", "per_worker", "per_cpu_second")
    loading = []
    for r in found["loading"]:
        cells = [f"{r[key]:.0f}" for key in speeds]
        loading.append([f"{r['data']}, {r['size']} px", str(r["workers"]), *cells, f"{r['first_batch']:.1f}"])
    rates = ("per_second", "per_cpu_second")
    steps = [[r["what"], f"{r['size']}", *[f"{r[k]:.0f}" for k in rates]] for r in found["device_steps"]]
    training = []
    for r in found["training"]:
        cells = [str(r["workers"]), str(r["steps"]), *[f"{r[k]:.1f}" for k in rates], f"{r['waits']:.1%}"]
        training.append([f"{r['batch']} x {r['size']} px", *cells])
    head = ["crops from", "workers", "samples/s", "per worker", "per CPU second", "first batch, s"]
    return "\n\n".join(
        [
            f"## Preset {preset} on {found['device']}",
            Table(head, loading).markdown(),
            Table(["on the device", "px", "samples/s", "per CPU second"], steps).markdown(),
            Table(["training", "workers", "steps", "samples/s", "per CPU second", "device waits"], training).markdown(),
        ]
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure whether loading data keeps the device busy.")
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="folder made by `training pack`")
    parser.add_argument("--workers", metavar="N,N,...", help="worker processes to try; 0, 1, 2, 4 to the cores")
    parser.add_argument("--seconds", type=float, default=5.0, help="behind each number of loading (%(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N pictures in memory")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    options = parser.parse_args(arguments)
    try:
        options.workers = sorted({int(n) for n in options.workers.split(",")}) if options.workers else cores()
    except ValueError:
        parser.error(f"--workers should be numbers with commas between them, not {options.workers}")
    if min(options.workers) < 0 or options.seconds < 0 or (options.limit is not None and options.limit < 2):
        parser.error("--workers and --seconds may not be negative, --limit not under 2")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    options = parse()
    found = {}
    try:
        stream = open_stream(options.shards)
        with tempfile.TemporaryDirectory() as name:
            for preset in ("cpu", *(["gpu"] if torch.cuda.is_available() else [])):
                found[preset] = measure_preset(preset, options, stream, Path(name))
    except (ColorizeError, OSError, ValueError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    machine = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": os.getloadavg()[0],
    }
    print(f"{machine['cores']} CPU cores, load {machine['load']:.1f}, {machine['threads']} threads per process\n")
    for preset, numbers in found.items():
        print(tables(preset, numbers) + "\n")
    publish({"machine": machine, **found}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
