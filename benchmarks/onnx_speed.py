"""Times a model's network in onnxruntime against torch on the CPU, with equal threads, taking turns.

    python -m benchmarks.onnx_speed [--weights PATH] [--size N] [--repeats N]

Exports the installed model, or that at PATH, as ``training export`` does. Prints a Markdown table.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.system.process import yield_cores

# As the command line does; it must come before torch.
yield_cores()

import onnxruntime
import torch

from benchmarks.drawing import draw_lineart, draw_strokes
from benchmarks.speed.tools import SEED, STROKES, interleaved
from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.models.checkpoint import find_weights, load_model
from engine.models.components.hint_prior import Flood
from engine.pipeline import Job, JobSettings, Pipeline, model_inputs
from training.export.onnx_export import write_onnx
from training.export.onnx_interface import interface_of, tensors_of


def measure(options: argparse.Namespace) -> list[list[str]]:
    """Median milliseconds of torch and of onnxruntime, and the largest difference of their pictures."""
    model = load_model(find_weights(DEFAULT_MODEL, options.weights))
    pipeline = Pipeline(model)
    side = options.size
    job = Job(draw_lineart(side, side, SEED), draw_strokes(side, side, STROKES, SEED), settings=JobSettings(size=side))
    inputs = model_inputs(job, pipeline.frame(job))
    tensors = tensors_of(interface_of(model.network, model.descriptor), inputs)
    more: dict[str, Any] = {}
    if "flood" in tensors:
        # Both get the hint prior as it is, so that the networks alone are timed.
        more["flood"] = Flood(tensors["flood"][:, :3], tensors["flood"][:, 3])
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        write_onnx(path, model, model.metadata)
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), how, providers=["CPUExecutionProvider"])
        feed = {k: t.numpy() for k, t in tensors.items()}
        work: dict[str, Callable[[], Any]] = {
            "torch": lambda: model.network(inputs, **more),
            "onnxruntime": lambda: session.run(None, feed),
        }
        with torch.inference_mode():
            seconds = interleaved(work, options.repeats)
            gap = (torch.from_numpy(session.run(None, feed)[1]) - model.network(inputs, **more).shaded).abs().max()
    rows = [[name, f"{statistics.median(times) * 1000:.0f} ms"] for name, times in seconds.items()]
    return [*rows, ["largest difference", f"{float(gap):.1e}"]]


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    parser = argparse.ArgumentParser(description="Time a network in onnxruntime against torch on the CPU.")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="weights instead of the installed ones")
    parser.add_argument("--size", type=int, default=512, metavar="N", help="side of the drawing (%(default)s)")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs behind each median (%(default)s)")
    options = parser.parse_args()
    if min(options.repeats, options.size) < 1:
        parser.error("--repeats and --size may not be under 1")
    try:
        rows = measure(options)
    except ColorizeError as e:
        print(f"error: {e.cause}\n  {e.remedy}", file=sys.stderr)
        return 1
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{options.size}x{options.size}, {torch.get_num_threads()} threads, {versions}\n")
    print("| network | median |\n| --- | ---: |")
    for what, value in rows:
        print(f"| {what} | {value} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
