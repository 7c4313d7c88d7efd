"""How long after a stroke its colouring is to be seen in the real Krita: mouse strokes, live mode, shipped weights.

Needs Linux with krita, xvfb, openbox and xdotool, see tests/krita. Krita, the engine and the X server share two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests" / "krita"))

import harness  # noqa: E402 (it lies there)

SIZES = "512x512,1024x1024,2480x3508"
TARGET, TARGET_SIZE = 1.0, "1024x1024"
"""Seconds at the median, and for which size; on two cores."""
CORES = 2
SHORTEST = 20
"""Milliseconds of the shortest pause that is looked for."""
RUNS = (("preview", True, False), ("layer", True, True), ("off", False, False))
"""Name, live mode, live layer."""
SPANS = (
    ("Krita hears of it", "up", "heard"),
    ("delay and Krita's stroke", "heard", "look"),
    ("read, digest, compare", "look", "asked"),
    ("hand over", "asked", "sent"),
    ("engine and back", "sent", "answered"),
    ("make pictures", "answered", "made"),
    ("draw the preview", "made", "seen"),
)
"""What a stroke's time is made of, from one moment to another."""


def lineart(width: int, height: int, path: Path) -> str:
    """Write the example whose shape is nearest, scaled to a size; returns its name."""

    def unlike(file: Path) -> float:
        with Image.open(file) as found:
            return abs(math.log(found.width / found.height * height / width))

    nearest = min(sorted((ROOT / "examples").glob("*/lineart.png")), key=unlike)
    with Image.open(nearest) as grey:
        grey.convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(path)
    return nearest.parent.name


def measure(folder: Path, size: str, strokes: int, live: bool, layer: bool) -> dict[str, Any]:
    """One Krita, one document, one kind of live mode."""
    width, height = (int(n) for n in size.split("x"))
    picture = folder / f"{size}.png"
    drawing = lineart(width, height, picture)
    home = harness.Home(folder / f"home-{size}-{live}-{layer}")
    try:
        home.install()
        result = harness.run(
            home,
            HERE / "live_strokes.py",
            (picture,),
            timeout=120 + 20 * strokes,
            strokes=strokes,
            live=live,
            layer=layer,
        )
        return {**result.passed(), "drawing": drawing}
    finally:
        home.close()


def measure_results(folder: Path, rounds: int) -> dict[str, Any]:
    """The pauses while results are made and live mode begins, see tests/krita/scenarios/smooth.py."""
    home = harness.Home(folder / "home-results")
    try:
        home.install()
        scenario = ROOT / "tests" / "krita" / "scenarios" / "smooth.py"
        return dict(harness.run(home, scenario, (), timeout=60 + 60 * rounds, rounds=rounds).passed())
    finally:
        home.close()


def quantile(values: list[float], part: float) -> float:
    """The value that so large a part does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def times(rows: list[dict[str, Any]], what: str) -> list[float]:
    """Seconds from lifting the pen to something, of the strokes that got so far."""
    return [row[what] for row in rows if row.get(what) is not None]


def latency_table(found: dict[str, dict[str, Any]], run: str, what: str) -> list[str]:
    """p50 and p95 by size."""
    lines = ["| canvas | p50 | p95 | worst | strokes | not seen | jobs / stroke | target |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for size, runs in found.items():
        rows = runs[run]["rows"]
        seen = times(rows, what)
        if not seen:
            lines.append(f"| {size} | - | - | - | {len(rows)} | {len(rows)} | - | |")
            continue
        half = quantile(seen, 0.5)
        goal = f"p50 < {TARGET:g} s: {'yes' if half < TARGET else 'NO'}" if size == TARGET_SIZE else ""
        jobs = sum(row["runs"] for row in rows) / len(rows)
        values = " | ".join(f"{v:.2f} s" for v in (half, quantile(seen, 0.95), max(seen)))
        lines.append(f"| {size} | {values} | {len(rows)} | {len(rows) - len(seen)} | {jobs:.1f} | {goal} |")
    return lines


def span_table(found: dict[str, dict[str, Any]], run: str) -> list[str]:
    """Where the time goes: medians, in ms."""
    names = [name for name, _, _ in SPANS]
    lines = ["| canvas | " + " | ".join(names) + " | of it Krita's read | of it the device |"]
    lines.append("| --- |" + " ---: |" * (len(names) + 2))
    for size, runs in found.items():
        rows = [row for row in runs[run]["rows"] if row.get("seen") is not None and row.get("look") is not None]
        if not rows:
            continue
        cells = [quantile([row[end] - row[begin] for row in rows], 0.5) for _, begin, end in SPANS]
        cells += [quantile([row["read"] for row in rows], 0.5), quantile([row["device"] or 0 for row in rows], 0.5)]
        lines.append(f"| {size} | " + " | ".join(f"{1000 * cell:.0f}" for cell in cells) + " |")
    return lines


def pause_table(found: dict[str, dict[str, Any]]) -> list[str]:
    """The worst pauses of Krita's window, in ms."""
    lines = ["| canvas | live mode | worst | without Krita's own calls | the longest: calls of Krita in it |"]
    lines.append("| --- | --- | ---: | ---: | --- |")
    words = {"preview": "preview", "layer": "preview and layer", "off": "off"}
    for size, runs in found.items():
        for run, data in runs.items():
            gaps = data["gaps"]
            longest = gaps["gaps"][0]["krita"] if gaps["gaps"] else {}
            calls = ", ".join(f"{name} {ms:.0f}" for name, ms in longest.items()) or "-"
            worst, own = (f"{gaps[k]:.0f}" if gaps[k] >= SHORTEST else f"< {SHORTEST}" for k in ("worst", "worst_own"))
            lines.append(f"| {size} | {words[run]} | {worst} | {own} | {calls} |")
    return lines


def result_table(found: dict[str, Any], rounds: int) -> list[str]:
    """The worst pause of each round at 2480x3508, in ms, and the best and worst of them."""
    lines = ["| what | best | worst | best without Krita's own calls | worst without them |"]
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for what in ("colouring", "live"):
        gaps = [found[f"{what} {n + 1}"] for n in range(rounds)]
        cells = [pick(gap[key] for gap in gaps) for key in ("worst", "worst_own") for pick in (min, max)]
        lines.append(f"| {what} | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")
    return lines


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure live mode in the real Krita.")
    parser.add_argument("--strokes", type=int, default=20, metavar="N", help="behind each number (%(default)s)")
    parser.add_argument("--sizes", default=SIZES, metavar="WxH,...", help="of the canvas (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="results at 2480x3508 (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all numbers there as JSON")
    options = parser.parse_args(arguments)
    if min(options.strokes, options.rounds) < 1:
        parser.error("one is the least")
    if not all(len(s.split("x")) == 2 and all(n.isdigit() for n in s.split("x")) for s in options.sizes.split(",")):
        parser.error(f"sizes are like {SIZES}")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    options = parse()
    missing = harness.missing()
    if missing:
        packages = "krita python3-pyqt5 xvfb openbox xdotool"
        print(f"error: not installed: {', '.join(missing)} (Debian: {packages})", file=sys.stderr)
        return 1
    # All that is started from here inherits it.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    load = os.getloadavg()[0]
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="krita-live-") as folder:
        for size in options.sizes.split(","):
            for run, live, layer in RUNS:
                print(f"{size}, {run} ...", file=sys.stderr, flush=True)
                try:
                    found.setdefault(size, {})[run] = measure(Path(folder), size, options.strokes, live, layer)
                except AssertionError as e:
                    print(f"error: {size}, {run}: {e}", file=sys.stderr)
                    return 1
        print("results ...", file=sys.stderr, flush=True)
        try:
            results = measure_results(Path(folder), options.rounds)
        except AssertionError as e:
            print(f"error: results: {e}", file=sys.stderr)
            return 1
    drawings = ", ".join(f"{size} {runs['preview']['drawing']}" for size, runs in found.items())
    print(f"{len(os.sched_getaffinity(0))} CPU cores, load {load:.1f} at the start; drawings: {drawings}")
    parts = {
        "Pen lifted to the preview in the docker": latency_table(found, "preview", "seen"),
        "Pen lifted to the layer, live layer on": latency_table(found, "layer", "in_layer"),
        "Where the time goes, preview only, medians in ms": span_table(found, "preview"),
        "Worst pause of Krita's window in ms": pause_table(found),
        "Worst pause while a result is made, and in live mode with a first stroke, 2480x3508": result_table(
            results, options.rounds
        ),
    }
    for title, lines in parts.items():
        print("\n" + "\n".join([f"**{title}**", "", *lines]))
    if options.out is not None:
        options.out.write_text(json.dumps({**found, "results": results}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
