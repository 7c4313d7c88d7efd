"""How long from the command line to the first picture, and which imports take it."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.drawing import draw_lineart, draw_strokes
from benchmarks.speed.tools import SEED, SIZE, STROKES

PACKAGES = (
    "torch",
    "onnxruntime",
    "openvino",
    "numpy",
    "cv2",
    "PIL",
    "safetensors",
    "msgpack",
    "zmq",
    "click",
    "engine",
)
"""What an import is put down to: the nearest of these that asked for it."""
LIGHT = ("onnxruntime", "openvino")
REST = "Python's own"
IMPORT = re.compile(r"import time:\s*(\d+) \|\s*\d+ \| ( *)(\S+)")


def import_shares(report: str) -> dict[str, float]:
    """Seconds by package of what ``python -X importtime`` reported; what a package brings along counts as its own.

    Which of two packages brought a third one along is a matter of order, except for those that we ask for ourselves.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    above: list[tuple[int, str]] = []
    # A module is reported after those that it imported, which stand further to the right.
    for line in reversed(report.splitlines()):
        match = IMPORT.match(line)
        if match is None:
            continue
        depth, name = len(match[2]) // 2, match[3].split(".")[0]
        while above and above[-1][0] >= depth:
            above.pop()
        owner = name if name in PACKAGES else (above[-1][1] if above else REST)
        above.append((depth, owner))
        seconds[owner] += int(match[1]) / 1e6
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def measure_start(weights: Path | None, repeats: int) -> dict[str, Any]:
    """Start the command line on a 512 x 512 drawing, the files in the system's cache.

    Returns:
        ``seconds`` of the whole process, its ``imports`` by package, their sum's and each one's ``share`` of a process
        that is watched, and the ``runtime`` that the network ran in.

    Raises:
        CalledProcessError: the command failed; it has said why.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grey = Image.fromarray(np.rint(draw_lineart(SIZE, SIZE, SEED) * 255).astype(np.uint8))
        grey.save(folder / "line.png")
        Image.fromarray(draw_strokes(SIZE, SIZE, STROKES, SEED)).save(folder / "hints.png")
        command = ["-m", "engine.cli", "colorize", "line.png", "--hints", "hints.png", "-o", "out.png", "--quiet"]
        command += ["--weights", str(weights.resolve())] if weights else []
        command += ["--device", "cpu"]

        def start(*options: str) -> tuple[float, str]:
            began = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *options, *command], cwd=folder, stderr=subprocess.PIPE, text=True, check=False
            )
            seconds = time.perf_counter() - began
            if done.returncode:
                print(done.stderr, file=sys.stderr)
            done.check_returncode()
            return seconds, done.stderr

        # The first one fills the system's cache.
        seconds = [start()[0] for _ in range(repeats + 1)][1:]
        watched, report = start("-X", "importtime")
    imports = import_shares(report)
    runtime = "torch" if "torch" in imports else next((name for name in LIGHT if name in imports), "unknown")
    return {
        "seconds": statistics.median(seconds),
        "imports": imports,
        "shares": {name: value / watched for name, value in imports.items()},
        "runtime": runtime,
    }


def measure_import(module: str, repeats: int) -> float:
    """Median seconds to import a module in a fresh process."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True) for _ in range(repeats)]
    return statistics.median(float(done.stdout) for done in runs)
