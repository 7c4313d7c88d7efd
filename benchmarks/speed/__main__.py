"""Measures speed and memory on the CPU, all ratios in one run, and says which of the targets hold.

    python -m benchmarks.speed [--sizes WxH,...] [--repeats N] [--quick] [--no-gmic] [--weights PATH] [--out FILE]

Our default network and whole job, the thesis's generators, what the machine can do at best, G'MIC where it is
installed, the cold start, and memory in a process of its own. Prints Markdown tables and one line of JSON. Needs Linux
or macOS.
"""

# ruff: noqa: E402
from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.system.process import yield_cores

# As the command line does; it must come before torch.
yield_cores()

import torch

from benchmarks.speed.flats import measure_flats
from benchmarks.speed.gmic import Gmic
from benchmarks.speed.jobs import MANY_PIXELS, Networks, measure_jobs, measure_memory
from benchmarks.speed.machine import Machine
from benchmarks.speed.report import (
    flats_table,
    job_table,
    machine_table,
    network_table,
    ratio_table,
    start_table,
    targets,
)
from benchmarks.speed.start import measure_import, measure_start
from benchmarks.speed.tools import SIZE, default_model
from benchmarks.targets import as_objects, publish, target_table
from engine.errors import ColorizeError
from training.evaluation.baselines import gmic_version

SIZES = "512,1024,2480x3508,4960x7016"
MODULES = ("engine", "engine.cli")
FLATS_SIZE = 1024
DRAWINGS = 12
"""With known flats; each is coloured with whole lines and with gaps."""


def measure(options: argparse.Namespace, gmic: Gmic | None) -> dict[str, Any]:
    """All the numbers."""
    model = default_model(options.weights)
    networks, machine = Networks(model), Machine()
    found: dict[str, Any] = {"sizes": {}}
    for width, height in options.sizes:
        print(f"{width}x{height} ...", file=sys.stderr)
        base = (width, height) == (SIZE, SIZE)
        repeats = options.repeats if width * height <= MANY_PIXELS else max(1, options.repeats // 3)
        more = {**networks.work, **machine.work} if base else {}
        row = measure_jobs(model, width, height, repeats, gmic, more)
        if base:
            found |= {"rates": machine.rates(row["seconds"]), "networks": networks.rows(row["seconds"])}
            found["prior"] = row["seconds"]["prior"]
        row["memory"] = measure_memory(width, height, options.weights)
        row["repeats"] = repeats
        found["sizes"][f"{width}x{height}"] = row
    print("flats, cold start ...", file=sys.stderr)
    size, drawings = (SIZE, 1) if options.quick else (FLATS_SIZE, DRAWINGS)
    found["flats"] = {"size": size, "drawings": drawings, "right": measure_flats(model, size, drawings, gmic)}
    found["start"] = measure_start(options.weights, options.repeats)
    found["imports"] = {module: measure_import(module, options.repeats) for module in MODULES}
    return found


def sizes_of(text: str) -> list[tuple[int, int]]:
    """Read ``512,2480x3508``: width and height of canvases, the smallest first, always with the one of the ratios.

    Raises:
        ArgumentTypeError: that is none.
    """
    sizes = {(SIZE, SIZE)}
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:x(\d+))?", part.strip())
        if match is None or min(int(match[1]), int(match[2] or match[1])) < 64:
            raise argparse.ArgumentTypeError(f"'{part}' is no size: write 1024 or 2480x3508, at least 64 pixels")
        sizes.add((int(match[1]), int(match[2] or match[1])))
    return sorted(sizes, key=lambda size: size[0] * size[1])


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure speed and memory on the CPU.")
    text = f"canvases to colour besides {SIZE}x{SIZE} (%(default)s)"
    parser.add_argument("--sizes", type=sizes_of, default=SIZES, metavar="WxH,...", help=text)
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs behind each median (%(default)s)")
    parser.add_argument("--quick", action="store_true", help=f"only {SIZE}x{SIZE}, once: to see that it works")
    parser.add_argument("--no-gmic", action="store_true", help="without G'MIC, even where it is installed")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="weights to measure instead of the usual ones")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats may not be under 1")
    if options.quick:
        options.sizes, options.repeats = [(SIZE, SIZE)], 1
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    options = parse()
    version = None if options.no_gmic else gmic_version()
    before = os.getloadavg()[0]
    try:
        with tempfile.TemporaryDirectory() as name:
            found = measure(options, None if version is None else Gmic(Path(name)))
    except ColorizeError as e:
        print(f"error: {e.cause}\n  {e.remedy}", file=sys.stderr)
        return 1
    found |= {
        "gmic": version,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": [before, os.getloadavg()[0]],
        "repeats": options.repeats,
    }
    promised = targets(found)
    found["targets"] = as_objects(promised)
    print(f"{found['cores']} CPU cores, {found['threads']} threads, torch {found['torch']}, ", end="")
    print(f"load {before:.1f} before and {found['load'][1]:.1f} after; medians of {options.repeats}")
    missing = "was left out" if options.no_gmic else "is not installed here: nothing is compared with it"
    print(f"G'MIC {version or missing}\n")
    tables = [make(found) for make in (machine_table, network_table, ratio_table, job_table, flats_table, start_table)]
    print("\n\n".join([*tables, target_table(promised)]))
    print()
    publish(found, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
