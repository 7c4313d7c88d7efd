"""Measures StablePaint's time per denoiser step and per picture against the default model's, and its memory.

    python -m benchmarks.stablepaint.speed [--weights PATH] [--default-weights PATH] [--repeats N]

Prints a Markdown table and one line of JSON. ``stablepaint_quality.py`` runs it in a process of its own and says what
of it was promised. Needs Linux or macOS.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.system.process import yield_cores

# As the command line does; it must come before torch.
yield_cores()

import psutil  # type: ignore[import-untyped]
import torch

from benchmarks.drawing import draw_lineart, draw_strokes
from benchmarks.speed.tools import SEED, SIZE, STROKES, default_model, interleaved, make_inputs, peak_megabytes
from engine.errors import ColorizeError
from engine.models.base import Sampling
from engine.models.checkpoint import LoadedModel, find_weights, load_model
from engine.models.components.hint_prior import flood_hints
from engine.models.stablepaint import Noise, StablePaint
from engine.pipeline import Job, JobSettings, Pipeline

STEPS = 4
MANY = 4
"""Variations drawn at once."""
STRENGTH = 0.5
TITLES = {
    "default": "the default model's network",
    "step": "one denoiser step",
    "steps_at_once": f"one denoiser step for {MANY} variations",
    "decode": "decoding a latent",
    "picture": f"a picture in {STEPS} steps, from the inputs to the decoded picture",
    "job": f"the whole job in {STEPS} steps, layers too",
}


def paints(model: LoadedModel) -> StablePaint:
    """The network of a StablePaint file.

    Raises:
        ColorizeError: it is another architecture.
    """
    if not isinstance(model.network, StablePaint):
        cause = f"the weights {model.path} are of {model.descriptor.architecture}, not of StablePaint"
        raise ColorizeError(cause, "name a StablePaint file with --weights", wrong_use=True)
    return model.network


def measure_steps(model: LoadedModel, default: LoadedModel, repeats: int) -> dict[str, float]:
    """Median seconds of everything in ``TITLES`` at 512x512; they take turns."""
    net, pipeline = paints(model), Pipeline(model)
    inputs, others = make_inputs(pipeline), make_inputs(Pipeline(default))
    settings = JobSettings(strength=STRENGTH, steps=STEPS)
    job = Job(draw_lineart(SIZE, SIZE, SEED), draw_strokes(SIZE, SIZE, STROKES, SEED), settings=settings)
    with torch.inference_mode():
        flood = flood_hints(others)
        guides = net.guides(inputs)
        guess = net.context(guides)
        told, x, t = net.conditions(guides, guess), Noise((0,))(guess), torch.full((1,), STRENGTH)
        more = [part.expand(MANY, *part.shape[1:]).contiguous() for part in (x, told, t)]
        work: dict[str, Callable[[], Any]] = {
            "default": lambda: default.network(others, flood),
            "step": lambda: net.denoiser(x, told, t),
            "steps_at_once": lambda: net.denoiser(*more),
            "decode": lambda: net.paint(guess),
            "picture": lambda: net.sample(inputs, Sampling((0,), STRENGTH, STEPS)),
            "job": lambda: pipeline.run(job),
        }
        seconds = interleaved(work, repeats)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure_memory(weights: Path) -> dict[str, float]:
    """In this process, which must be fresh: MB that one picture and then ``MANY`` add to the loaded model."""
    pipeline = Pipeline(load_model(weights))
    lineart, hints = draw_lineart(SIZE, SIZE, SEED), draw_strokes(SIZE, SIZE, STROKES, SEED)
    pipeline.run(Job(draw_lineart(64, 64, SEED), draw_strokes(64, 64, 4, SEED), settings=JobSettings(steps=1)))
    before = psutil.Process().memory_info().rss / 1e6
    out = {"loaded": before}
    for name, count in (("one", 1), ("many", MANY)):
        pipeline.vary(Job(lineart, hints, settings=JobSettings(strength=STRENGTH, steps=STEPS, variations=count)))
        out[name] = peak_megabytes() - before
    return out


def measure(weights: Path, default_weights: Path | None, repeats: int) -> dict[str, Any]:
    """Everything: ``seconds`` by name, ``step_over_default``, ``megabytes``, and the machine.

    Raises:
        ColorizeError: files that cannot be used.
    """
    seconds = measure_steps(load_model(weights), default_model(default_weights), repeats)
    # In a fresh process, whose peak is that of the job alone.
    command = [sys.executable, "-m", "benchmarks.stablepaint.speed", "--child", "--weights", str(weights)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {
        "seconds": seconds,
        "step_over_default": seconds["step"] / seconds["default"],
        "megabytes": json.loads(done.stdout.splitlines()[-1]),
        "repeats": repeats,
        "machine": f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, torch {torch.__version__}",
    }


def speed_table(found: dict[str, Any]) -> str:
    """The same as Markdown."""
    lines = ["| what | median |", "| --- | ---: |"]
    lines += [f"| {title}, {SIZE}x{SIZE} | {found['seconds'][key] * 1000:.0f} ms |" for key, title in TITLES.items()]
    lines.append(f"| one step / the default model's network | {found['step_over_default']:.2f} |")
    megabytes = found["megabytes"]
    for key, what in (("one", "one picture"), ("many", f"{MANY} variations at once")):
        lines.append(f"| peak memory over the loaded model, {what}, own process | {megabytes[key]:.0f} MB |")
    return "\n".join(lines)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure StablePaint's speed and memory on the CPU.")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="StablePaint weights instead of the usual ones")
    parser.add_argument("--default-weights", type=Path, metavar="PATH", help="of the model to compare with")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs behind each median (%(default)s)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats may not be under 1")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    options = parse()
    try:
        weights = find_weights("stablepaint", options.weights)
        if options.child:
            print(json.dumps(measure_memory(weights)))
            return 0
        found = measure(weights, options.default_weights, options.repeats)
    except ColorizeError as e:
        print(f"error: {e.cause}\n  {e.remedy}", file=sys.stderr)
        return 2 if e.wrong_use else 1
    print(f"{found['machine']}\n\n{speed_table(found)}\n\n{json.dumps(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
