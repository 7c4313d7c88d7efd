"""In a process of its own: how much memory a job adds to the loaded model. ``speed.py`` starts it.

    python -m benchmarks.speed.memory DIR [--weights PATH]

DIR holds ``lineart.npy``, ``hints0.npy`` and ``hints1.npy``. Prints one line of JSON: MB of the inputs, and of the peak
over the loaded model after a job and after another with other hints alone.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.system.process import yield_cores

# As the command line does; it must come before torch.
yield_cores()

import numpy as np
import psutil  # type: ignore[import-untyped]

from benchmarks.drawing import draw_lineart, draw_strokes
from benchmarks.speed.tools import SEED, default_model, peak_megabytes
from engine.pipeline import Job, Pipeline


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure the memory of a job.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, metavar="PATH")
    options = parser.parse_args()
    pipeline = Pipeline(default_model(options.weights))
    pipeline.run(Job(draw_lineart(64, 64, SEED), draw_strokes(64, 64, 4, SEED)))
    loaded = psutil.Process().memory_info().rss / 1e6
    lineart, first, second = (np.load(options.folder / f"{name}.npy") for name in ("lineart", "hints0", "hints1"))
    found = {"loaded_mb": loaded, "inputs_mb": (lineart.nbytes + first.nbytes + second.nbytes) / 1e6}
    layers = pipeline.run(Job(lineart, first, lineart_digest="kept"))
    found["job_mb"] = peak_megabytes() - loaded
    # As where the layers of the job before are still being sent.
    pipeline.run(Job(lineart, second, lineart_digest="kept"))
    found["hint_only_mb"] = peak_megabytes() - loaded
    found["layers_mb"] = (layers.flats.nbytes + layers.colour.nbytes) / 1e6
    print(json.dumps(found))


if __name__ == "__main__":
    main()
