"""Measures on held-out art what StablePaint promises: round trip, hints, variations, few steps, speed, memory, sheets.

    python -m benchmarks.stablepaint.quality ART OUT [--hints 0,4,16] [--limit N] [--weights PATH] [--json]

ART is a folder with ``manifest.csv`` (default: $COLORIZE_ART). See README.md beside this file for what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.art_options import art_parser, exit_code, read_options
from benchmarks.stablepaint.measures import (
    DEFAULT,
    EVERY,
    EXPLORING,
    FEW,
    GUESS,
    KINDS,
    MANY,
    SOME,
    VARIATIONS,
    Found,
    colour_all,
    count_different,
    measure_trip,
    measure_variations,
    outputs,
)
from benchmarks.stablepaint.pictures import paint_parts, write_parts, write_strength_sheets
from benchmarks.stablepaint.speed import paints, speed_table
from benchmarks.targets import Target, as_objects, target_table
from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.models.checkpoint import find_weights, load_model
from engine.pipeline import Pipeline
from training.evaluation.catalogue import METRICS
from training.evaluation.changes import WITHIN, change_table, compare_relative, percent
from training.evaluation.heldout import list_pictures, load_picture, varied
from training.evaluation.measure import Facts, Judges, Panel, judge, measure_masked
from training.evaluation.statistics import Spread
from training.evaluation.tables import (
    Rows,
    Table,
    clean,
    columns,
    counts_of,
    mean,
    method_table,
    number,
    select,
)

NAME = "stablepaint"
REPEATED = 3
"""Pictures that are coloured twice to compare their bytes."""
AREAS = ("unhinted", "hinted", "strokes")
_NAMES = ("difference", "difference_with_ink", "psnr", "ms_ssim", "strokes_median", "strokes_p95")
COLUMNS = columns((*_NAMES, "bleeding_hinted", "chroma", "seconds"))
HELD = [
    (mine, theirs)
    for few in (FEW, SOME)
    for mine, theirs in zip(outputs(few).values(), outputs(MANY).values(), strict=True)
]


def stroke_median(found: Found, output: str) -> float:
    """Median CIEDE2000 over all stroke pixels of one output, over all numbers of hints; NaN without strokes."""
    every = Spread()
    for (name, _), spread in found.findings.strokes.items():
        if name == output:
            every.join(spread)
    return every.percentile(50)


def targets(found: Found) -> list[Target]:
    """What the issue promises, what was measured, and whether it holds; only what this run could measure."""
    out: list[Target] = []

    def add(what: str, value: float, digits: int, *, least: float = -math.inf, most: float = math.inf) -> None:
        if math.isfinite(value):
            limit = f">= {least:g}" if math.isfinite(least) else f"<= {most:.4g}"
            out.append((f"{what} {limit}", number(value, digits), least <= value <= most))

    trip = {key: mean(row[key] for row in found.trips) for key in found.trips[0] if key != "picture"}
    add("VAE round trip: mean PSNR in dB", trip["psnr"], 2, least=27)
    add("VAE round trip: mean CIEDE2000", trip["difference"], 2, most=3)
    add("VAE round trip under the lineart: mean PSNR in dB", trip["psnr_lines"], 2, least=27)
    add("VAE round trip under the lineart: mean CIEDE2000", trip["difference_lines"], 2, most=3)
    add("VAE round trip under the lineart: contrast of the lines, of the original's", trip["contrast"], 3, least=0.9)
    for kind in KINDS:
        few, guess, default = (stroke_median(found, outputs(s)[kind]) for s in (FEW, GUESS, None))
        add(f"{kind}, strength 0.5: median CIEDE2000 in strokes", few, 2, most=6)
        what = f"{kind}, strength 0: median CIEDE2000 in strokes, at most 1 above the {DEFAULT}'s:"
        add(what, guess, 2, most=default + 1)
    for kind in KINDS:
        apart = select(found.variations, kind=kind)
        with_hints = [r for r in apart if r["hints"] > 0] or apart
        what = f"{kind}, {VARIATIONS} variations at strength {EXPLORING.strength:g}: mean pairwise CIEDE2000"
        add(f"{what} in unhinted regions", mean(r["unhinted"] for r in with_hints), 2, least=5)
        add(f"{what} inside strokes", mean(r["strokes"] for r in with_hints), 2, most=4)
    out += step_targets(compare_relative(found.findings.rows, HELD))
    ratio, picture = found.speed["step_over_default"], found.speed["seconds"]["picture"]
    add("one denoiser step / the default model's network, 512x512", ratio, 2, most=1)
    add("a 4-step picture with decoding, 512x512, in s", picture, 2, most=1)
    add(f"same seed, same bytes ({found.repeated} pictures twice): bytes that differ", found.different, 0, most=0)
    add("with a mask: largest difference outside it", found.outside, 0, most=0)
    return out


def step_targets(changes: Rows) -> list[Target]:
    """Whether few steps are as good as many, per number of steps and kind, over all numbers of hints."""
    out = []
    for mine, theirs in HELD:
        rows = [r for r in changes if (r["method"], r["reference"]) == (mine, theirs)]
        if rows:
            far = max(rows, key=lambda r: r["furthest"])
            key = max(far["changes"], key=lambda k: abs(far["changes"][k]))
            seen = f"{percent(far['changes'][key])} ({METRICS[key].title}, {far['hints']} hints); "
            seen += f"worst {percent(max(r['worst'] for r in rows), signed=False)}"
            what = f"{mine}: every mean within {WITHIN:.0%} of {theirs}'s"
            out.append((what, seen, far["furthest"] <= WITHIN))
    return out


def variation_table(rows: Rows) -> str:
    """Mean pairwise CIEDE2000 by number of hints, kind and area."""
    body = []
    for count in counts_of(rows):
        for kind in KINDS:
            part = select(rows, hints=count, kind=kind)
            cells = [number(mean(r[area] for r in part)) for area in AREAS]
            share = number(mean(r["share_unhinted"] for r in part), 0, "%")
            body.append([f"{count}, {kind}", *cells, share, str(len(part))])
    return Table(["hints, what", *AREAS, "share unhinted", "pictures"], body).markdown()


def summarise(found: Found, about: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The Markdown summary, and everything as one JSON object."""
    rows = found.findings.rows
    titles = {name: name for settings in (None, *EVERY) for name in outputs(settings).values()}
    reached, changes = targets(found), compare_relative(rows, HELD)
    text = "\n\n".join(
        [
            f"# StablePaint on held-out art: {about['pictures']} pictures, `{about['model']}`",
            f"{', '.join(map(str, about['hints']))} hints; seed {about['seed']}; {about['machine']}; "
            f"{about['seconds']:.0f} s in all.",
            "## What must hold\n\n" + target_table(reached),
            "## Time and memory\n\n" + speed_table(found.speed),
            f"## Variations: mean pairwise CIEDE2000 of {VARIATIONS} at strength {EXPLORING.strength:g}\n\n"
            + variation_table(found.variations),
            "## Few steps relative to many\n\n" + change_table(changes, titles).markdown(),
            "## Settings\n\n" + method_table(rows, found.findings.strokes, COLUMNS, titles).markdown(),
        ]
    )
    every = {
        "about": about,
        "targets": as_objects(reached),
        "round_trips": found.trips,
        "variations": found.variations,
        "changes": changes,
        "speed": found.speed,
        "rows": rows,
    }
    return text + "\n", clean(every)


def measure_speed(options: argparse.Namespace, weights: Path) -> dict[str, Any]:
    """Run ``stablepaint_speed.py`` in a process of its own, whose memory and threads are as the engine's."""
    command = [sys.executable, "-m", "benchmarks.stablepaint.speed", "--weights", str(weights)]
    command += ["--default-weights", str(options.default_weights)] if options.default_weights else []
    done = subprocess.run([*command, "--repeats", str(options.repeats)], capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()
        raise ColorizeError(f"stablepaint_speed.py failed ({why[-1] if why else done.returncode})", "run it by itself")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(options: argparse.Namespace, weights: Path, default_weights: Path) -> Found:
    """Measure everything and write the sheets.

    Raises:
        ColorizeError: no pictures, or weights that cannot be used.
    """
    start = time.perf_counter()
    listed = list_pictures(options.art, ("test",), options.limit)
    model, again, default = (Pipeline(load_model(path)) for path in (weights, weights, default_weights))
    net = paints(model.model)
    options.out.mkdir(parents=True, exist_ok=True)
    out, panel = Found(speed=measure_speed(options, weights)), Panel(Judges())
    shown = varied([source.image.parent.name for _, source in listed], options.shown)
    for place, (index, source) in enumerate(listed):
        facts = Facts(load_picture(index, source, options.out / "cache"), options.seed)
        out.trips.append(measure_trip(net, facts))
        for count in options.hints:
            coloured = colour_all(model, default, facts, count, options.seed)
            out.findings.add(count, judge(facts, count, coloured, panel))
            out.variations += measure_variations(model, facts, count, options.seed)
        masked = measure_masked(facts.picture, options.seed, model, settings=EXPLORING)
        out.outside = max(out.outside, *(masked[k] for k in ("byte_difference", "alpha_outside", "alpha_inside")))
        if place < REPEATED:
            out.repeated += 1
            out.different += count_different(model, again, facts, max(options.hints), options.seed)
        if place in shown:
            write_strength_sheets(options.out, model, facts.picture, options.seed)
            rows, worst = paint_parts(model, facts.picture, options.seed)
            out.parts += rows
            out.outside = max(out.outside, worst)
        done = time.perf_counter() - start
        print(f"{place + 1}/{len(listed)} {source.key} ({done:.0f} s)", file=sys.stderr, flush=True)
    write_parts(options.out, out.parts, options.seed)
    return out


def run(options: argparse.Namespace) -> None:
    """Do the whole benchmark, write its files and print its summary.

    Raises:
        ColorizeError: no weights, or no pictures.
    """
    start = time.perf_counter()
    weights = find_weights(NAME, options.weights)
    default_weights = find_weights(DEFAULT_MODEL, options.default_weights)
    found = measure(options, weights, default_weights)
    about = {
        "pictures": len(found.trips),
        "hints": options.hints,
        "seed": options.seed,
        "model": weights.name,
        "default": default_weights.name,
        "torch": torch.__version__,
        "machine": f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads",
        "seconds": time.perf_counter() - start,
    }
    text, every = summarise(found, about)
    (options.out / "stablepaint.md").write_text(text, encoding="utf-8")
    (options.out / "stablepaint.json").write_text(json.dumps(every, indent=1), encoding="utf-8")
    print(text)
    if options.json:
        print(json.dumps({k: v for k, v in every.items() if k != "rows"}))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = art_parser(
        "Measure what StablePaint promises on held-out art.", "stablepaint.md, stablepaint.json, the sheets", "0,4,16"
    )
    parser.add_argument("--weights", type=Path, metavar="PATH", help="StablePaint weights instead of the usual ones")
    parser.add_argument("--default-weights", type=Path, metavar="PATH", help="of the model to compare with")
    parser.add_argument("--seed", type=int, default=0, help="of strokes, masks and samplings (%(default)s)")
    parser.add_argument("--shown", type=int, default=4, metavar="N", help="pictures on the sheets (%(default)s)")
    parser.add_argument("--repeats", type=int, default=9, metavar="N", help="runs behind each time (%(default)s)")
    options = read_options(parser, arguments)
    if options.shown < 0 or options.repeats < 1 or options.seed < 0:
        parser.error("--shown and --seed may not be negative, --repeats not under 1")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    return exit_code(lambda: run(parse()))


if __name__ == "__main__":
    sys.exit(main())
