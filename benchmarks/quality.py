"""Measures how well held-out art is coloured, against baselines in the same run: tables, numbers, contact sheets.

    python -m benchmarks.quality ART OUT [--model NAME] [--hints 0,4,16,64] [--limit N] [--with-other] [--json]

ART is a folder with ``manifest.csv`` (default: $COLORIZE_ART). See README.md beside this file for what is measured. The
measuring itself is ``training.evaluation``; here a shipped model is held against what the project promises. Of one that
samples ``benchmarks.stablepaint.quality`` measures the rest: variations, steps, time per step, memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.art_options import art_parser, exit_code, read_options
from benchmarks.stablepaint import quality as stablepaint_quality
from benchmarks.targets import Target, as_objects, target_table
from engine import DEFAULT_MODEL
from engine.models.checkpoint import describe, find_weights
from training.evaluation import baselines
from training.evaluation.heldout import list_pictures, load_picture, varied
from training.evaluation.measure import Facts, Judges, Panel, judge, measure_masked
from training.evaluation.methods import TITLES, Checkpoint, Method, Studio, choose_baselines
from training.evaluation.plan import ORIGINAL, Findings
from training.evaluation.report import put_sheets
from training.evaluation.statistics import Spread
from training.evaluation.tables import (
    Rows,
    Strokes,
    chroma_ratio,
    clean,
    columns,
    compare,
    compare_table,
    group_table,
    method_table,
    select,
)

SHEET_PICTURES = 12
OURS = ("colour", "flats")
ALL = {"colour": "ours, colour", "flats": "ours, flats", **TITLES}
_NAMES = ("difference", "difference_with_ink", "strokes_median", "strokes_p95", "bleeding", "bleeding_hinted")
COLUMNS = columns((*_NAMES, "chroma", "seconds"))
STROKE_TARGETS = {"flats": (1.0, 3.0), "colour": (4.0, 10.0)}
"""Largest median and 95th percentile of CIEDE2000 in strokes. A picture with a strength of its own may take more
freedom in the colour layer; ``benchmarks.stablepaint.quality`` has its limit."""
BEATEN_AT = (16, 64)


def targets(rows: Rows, strokes: Strokes, comparisons: Rows, masked: Rows, *, stochastic: bool = False) -> list[Target]:
    """What the project promises, what was measured, and whether it holds; only what this run could measure."""
    out = []
    for method, limits in STROKE_TARGETS.items():
        if stochastic and method == "colour":
            continue
        every = Spread()
        for (output, _), spread in strokes.items():
            if output == method:
                every.join(spread)
        middle, high = every.percentile(50), every.percentile(95)
        if math.isfinite(middle):
            what = f"{ALL[method]}: CIEDE2000 in strokes, median <= {limits[0]:g} and p95 <= {limits[1]:g}"
            out.append((what, f"{middle:.2f} and {high:.2f}", bool(middle <= limits[0] and high <= limits[1])))
    for c in comparisons:
        if c["ours"] == "colour" and c["hints"] in BEATEN_AT:
            what = f"{c['hints']} hints: nearer to the original than {ALL[c['baseline']]}"
            out.append((what, f"{c['mean']:+.2f} ({c['low']:+.2f} to {c['high']:+.2f})", c["mean"] < 0))
    bare = select(rows, hints=0, method="colour")
    if bare:
        ratio = chroma_ratio(bare)
        out.append(("0 hints: not grey, chroma at least 0.3 of the original's", f"{ratio:.2f}", ratio >= 0.3))
    if masked:
        worst = max(max(m["byte_difference"], m["alpha_outside"], m["alpha_inside"]) for m in masked)
        what = f"with a mask: bytes and alpha outside untouched, alpha inside that of the mask ({len(masked)} pictures)"
        out.append((what, f"largest difference {worst}", worst == 0))
    return out


def summarise(findings: Findings, model: str, about: dict[str, Any], seed: int) -> tuple[str, dict[str, Any]]:
    """The Markdown summary, and everything as one JSON object."""
    rows, strokes = findings.rows, findings.strokes
    comparisons = compare(rows, OURS, list(TITLES), seed)
    found = targets(rows, strokes, comparisons, findings.masked, stochastic=about["stochastic"])
    text = "\n\n".join(
        [
            f"# Quality on held-out art: {about['pictures']} pictures, `{model}`",
            "CIEDE2000 (ΔE00) is the mean to the original off the ink, smaller is better. "
            f"{about['machine']}; seed {seed}; G'MIC {about['gmic'] or 'not installed'}; "
            f"{about['seconds']:.0f} s in all.",
            "## Targets\n\n" + target_table(found),
            "## Methods\n\n" + method_table(rows, strokes, COLUMNS, ALL).markdown(),
            "## Paired differences in ΔE00 (below 0: ours is nearer)\n\n"
            + compare_table(comparisons, ALL, tests=False).markdown(),
            "## ΔE00 per folder\n\n" + group_table(rows, ALL).markdown(),
        ]
    )
    pools = {
        f"{method}, {count}": [spread.percentile(50), spread.percentile(95)]
        for (method, count), spread in strokes.items()
        if math.isfinite(spread.percentile(50))
    }
    every = {
        "about": about,
        "targets": as_objects(found),
        "comparisons": comparisons,
        "strokes_median_p95": pools,
        "masked": findings.masked,
        "rows": rows,
    }
    return text + "\n", clean(every)


def run(options: argparse.Namespace) -> None:
    """Do the whole benchmark and write its files.

    Raises:
        ColorizeError: no weights, or no pictures.
    """
    start = time.perf_counter()
    listed = list_pictures(options.art, ("test", "other") if options.with_other else ("test",), options.limit)
    weights = find_weights(options.model, options.weights)
    studio, panel = Studio(), Panel(Judges(likeness=False))
    pipeline = studio.pipeline(weights)
    ours = Checkpoint("ours", weights, tuple((m, m) for m in OURS))
    methods: list[Method] = [ours, *choose_baselines(list(TITLES))]
    options.out.mkdir(parents=True, exist_ok=True)
    show = varied([source.image.parent.name for _, source in listed], SHEET_PICTURES)
    findings = Findings()
    for place, (index, source) in enumerate(listed):
        facts = Facts(load_picture(index, source, options.out / "cache"), options.seed)
        for count in options.hints:
            cells = {f"{ORIGINAL}/{i}": cell for i, cell in enumerate(facts.cells(count))}
            for method in (m for m in methods if m.applies(count)):
                coloured = studio.colour(method, facts.picture, facts.hints(count))
                if not coloured:
                    print(f"{source.key}: {method.name} failed and is left out here", file=sys.stderr)
                found = judge(facts, count, coloured, panel, show=place in show)
                findings.add(count, found)
                cells |= found.cells
            if place in show:
                findings.shown.setdefault(count, []).append((source.key, cells))
        findings.masked.append(measure_masked(facts.picture, options.seed, pipeline))
        done = time.perf_counter() - start
        print(f"{place + 1}/{len(listed)} {source.key} ({done:.0f} s)", file=sys.stderr, flush=True)
    descriptor = describe(weights)
    about = {
        "pictures": len(listed),
        "hints": options.hints,
        "seed": options.seed,
        "with_other": options.with_other,
        "weights": weights.name,
        "model": descriptor.name,
        "stochastic": descriptor.stochastic,
        "gmic": baselines.gmic_version(),
        "torch": torch.__version__,
        "machine": f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads",
        "seconds": time.perf_counter() - start,
    }
    text, every = summarise(findings, descriptor.name, about, options.seed)
    (options.out / "summary.md").write_text(text, encoding="utf-8")
    (options.out / "results.json").write_text(json.dumps(every, indent=1), encoding="utf-8")
    put_sheets(findings, options.out, ALL)
    print(text)
    if options.json:
        print(json.dumps({k: v for k, v in every.items() if k != "rows"}))
    if descriptor.stochastic:
        hints = ",".join(map(str, options.hints))
        more = [str(options.art), str(options.out), "--weights", str(weights), "--hints", hints]
        more += ["--seed", str(options.seed), *(["--limit", str(options.limit)] if options.limit else [])]
        stablepaint_quality.run(stablepaint_quality.parse([*more, *(["--json"] if options.json else [])]))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = art_parser(
        "Measure colouring on held-out art against baselines.", "summary.md, results.json and the sheets", "0,4,16,64"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME", help="which model (%(default)s)")
    parser.add_argument("--with-other", action="store_true", help="also the art of unseen styles marked 'other'")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="weights to measure instead of the usual ones")
    parser.add_argument("--seed", type=int, default=0, help="of strokes and masks (%(default)s)")
    return read_options(parser, arguments)


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    return exit_code(lambda: run(parse()))


if __name__ == "__main__":
    sys.exit(main())
