"""Measures how well held-out art is coloured, against baselines in the same run: tables, numbers, contact sheets.

    python benchmarks/quality.py ART OUT [--hints 0,4,16,64] [--limit N] [--with-other] [--weights PATH] [--json]

ART is a folder with ``manifest.csv`` (default: $COLORIZE_ART). See README.md beside this file for what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import baselines
import metrics
import numpy as np
import report
import sheets
import torch
from heldout import Picture, list_pictures, load_picture
from numpy.typing import NDArray

from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.imaging.reading import Lineart
from engine.imaging.regions import find_regions
from engine.imaging.writing import compose
from engine.models.checkpoint import LoadedModel, find_weights, load_model
from engine.pipeline import Job, Layers, Pipeline

Pixels = NDArray[np.uint8]
SHEET_PICTURES = 12
MASKED_HINTS = 16


@dataclass
class Results:
    """What a run has found so far.

    Attributes:
        rows: one per picture, number of hints and method.
        masked: one per picture, from the run with a mask.
        strokes: CIEDE2000 of every stroke pixel, by method and number of hints.
        shown: rows of the contact sheets by number of hints.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    masked: list[dict[str, Any]] = field(default_factory=list)
    strokes: dict[tuple[str, int], list[NDArray[np.float32]]] = field(default_factory=dict)
    shown: dict[int, list[sheets.Row]] = field(default_factory=dict)

    def pooled(self) -> dict[tuple[str, int], NDArray[np.float32]]:
        """All stroke pixels per method and number of hints in one array."""
        return {k: np.concatenate(v) for k, v in self.strokes.items()}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The answer of ``work`` and the seconds it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def colour_all(picture: Picture, hints: Pixels, pipeline: Pipeline, with_gmic: bool) -> dict[str, tuple[Pixels, float]]:
    """Run every method on the same lineart and strokes: method -> (HxWx3, seconds)."""
    given = hints if hints[..., 3].any() else None
    layers, seconds = timed(lambda: pipeline.run(Job(picture.lineart, given)))
    out = {"colour": (layers.colour[..., :3], seconds), "flats": (layers.flats[..., :3], seconds)}
    if given is None:
        out["white"] = timed(lambda: baselines.white(picture.lineart))
        return out
    out["nearest"] = timed(lambda: baselines.nearest_hint(picture.lineart, hints))
    out["regions"] = timed(
        lambda: baselines.nearest_hint_in_region(picture.lineart, hints, find_regions(picture.lineart))
    )
    if with_gmic:
        coloured, seconds = timed(lambda: baselines.gmic_smart(picture.lineart, hints))
        if coloured is None:
            print(f"{picture.key}: gmic failed and is left out here", file=sys.stderr)
        else:
            out["gmic"] = (coloured, seconds)
    return out


def measure(
    picture: Picture, counts: list[int], seed: int, pipeline: Pipeline, with_gmic: bool, results: Results
) -> None:
    """Run and measure all methods on one picture at every number of hints; pictures come back for the sheets."""
    clear = metrics.clear_of_ink(picture.ink)
    everywhere = np.ones(picture.ink.shape, np.bool_)
    near = metrics.near_line(picture.ink)
    neighbours = metrics.neighbour_labels(picture.labels, near, metrics.window_across(picture.ink))
    chroma = metrics.mean_chroma(picture.original, clear)
    for count in counts:
        hints = picture.draw_hints(seed, count)
        hinted = np.isin(picture.labels[near], picture.hinted_regions(hints))
        near_hinted = np.zeros_like(near)
        near_hinted[near] = hinted
        outputs = colour_all(picture, hints, pipeline, with_gmic)
        for method, (result, seconds) in outputs.items():
            inside = metrics.stroke_differences(result, hints)
            results.strokes.setdefault((method, count), []).append(inside)
            middle, high = np.percentile(inside, [50, 95]).tolist() if len(inside) else (float("nan"),) * 2
            inked = metrics.with_ink(result, picture.lineart)
            results.rows.append(
                {
                    "picture": picture.key,
                    "group": picture.group,
                    "drawn_lineart": picture.drawn,
                    "hints": count,
                    "method": method,
                    "difference": metrics.mean_difference(result, picture.original, clear),
                    "difference_with_ink": metrics.mean_difference(inked, picture.original, everywhere),
                    "strokes_median": middle,
                    "strokes_p95": high,
                    "bleeding": metrics.bleeding(result, picture.labels, picture.palette, near, neighbours)[0],
                    "bleeding_hinted": metrics.bleeding(
                        result, picture.labels, picture.palette, near_hinted, neighbours[hinted]
                    )[0],
                    "chroma": metrics.mean_chroma(result, clear),
                    "chroma_original": chroma,
                    "seconds": seconds,
                }
            )
        shown = {m: metrics.with_ink(r, picture.lineart) if m != "flats" else r for m, (r, _) in outputs.items()}
        cells = [sheets.over_lineart(picture.lineart, hints), picture.original, shown["flats"], shown["colour"]]
        blank = np.full((8, 8, 3), 96, np.uint8)
        names = ["nearest", "regions", *(["gmic"] if with_gmic else [])] if count else ["white"]
        results.shown.setdefault(count, []).append((picture.key, [*cells, *[shown.get(n, blank) for n in names]]))


def measure_masked(picture: Picture, seed: int, pipeline: Pipeline) -> dict[str, Any]:
    """Colour inside a mask over the finished original and look at every byte that must not change."""
    mask = picture.draw_mask(seed)
    hints = picture.draw_hints(seed, MASKED_HINTS, mask)
    context = np.dstack([picture.original, np.full_like(mask, 255)])
    layers: Layers = pipeline.run(Job(picture.lineart, hints, mask, context))
    ink = np.zeros((*mask.shape, 4), np.uint8)
    ink[..., 3] = np.rint((1 - picture.lineart) * 255)
    ready = compose(layers.colour, Lineart(picture.lineart, ink), context)
    alphas = [layer[..., 3] for layer in (layers.flats, layers.shading, layers.colour)]
    inside = [layers.flats[..., 3], layers.colour[..., 3]]
    return {
        "picture": picture.key,
        "share": float((mask > 0).mean()),
        "byte_difference": metrics.outside_difference(ready[..., :3], picture.original, mask),
        "alpha_outside": max(int(a[mask == 0].max()) for a in alphas),
        "alpha_inside": max(int(np.abs(a.astype(np.int16) - mask)[mask > 0].max()) for a in inside),
    }


def varied(groups: list[str], wanted: int) -> set[int]:
    """Places of pictures to show: each folder in turn gives one until there are enough."""
    queues: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        queues.setdefault(group, []).append(place)
    # Neighbours in a folder look alike, so each queue is read from both ends in turn.
    turns = [[q[i // 2] if i % 2 == 0 else q[-1 - i // 2] for i in range(len(q))] for q in queues.values()]
    longest = max((len(t) for t in turns), default=0)
    order = [t[i] for i in range(longest) for t in turns if i < len(t)]
    return set(order[:wanted])


def summarise(results: Results, model: LoadedModel, about: dict[str, Any], seed: int) -> tuple[str, dict[str, Any]]:
    """The Markdown summary, and everything as one JSON object."""
    strokes = results.pooled()
    comparisons = report.compare(results.rows, seed)
    found = report.targets(results.rows, strokes, comparisons, results.masked)
    text = "\n\n".join(
        [
            f"# Quality on held-out art: {about['pictures']} pictures, `{model.descriptor.name}`",
            "CIEDE2000 (ΔE00) is the mean to the original off the ink, smaller is better. "
            f"{about['machine']}; seed {seed}; G'MIC {about['gmic'] or 'not installed'}; "
            f"{about['seconds']:.0f} s in all.",
            "## Targets\n\n" + report.target_table(found),
            "## Methods\n\n" + report.method_table(results.rows, strokes),
            "## Paired differences in ΔE00 (below 0: ours is nearer)\n\n" + report.compare_table(comparisons),
            "## ΔE00 per folder\n\n" + report.group_table(results.rows),
        ]
    )
    pools = {
        f"{method}, {count}": np.percentile(values, [50, 95]).tolist()
        for (method, count), values in strokes.items()
        if len(values)
    }
    every = {
        "about": about,
        "targets": [{"target": what, "measured": seen, "holds": ok} for what, seen, ok in found],
        "comparisons": comparisons,
        "strokes_median_p95": pools,
        "masked": results.masked,
        "rows": results.rows,
    }
    return text + "\n", report.clean(every)


def run(options: argparse.Namespace) -> None:
    """Do the whole benchmark and write its files.

    Raises:
        ColorizeError: no weights, or no pictures.
    """
    if not (options.art / "manifest.csv").is_file():
        raise ColorizeError(f"{options.art} holds no manifest.csv", "name the folder of the art", wrong_use=True)
    start = time.perf_counter()
    listed = list_pictures(options.art, options.with_other, options.limit)
    if not listed:
        raise ColorizeError(f"{options.art} holds no held-out pictures", "name another folder", wrong_use=True)
    weights = find_weights(DEFAULT_MODEL, options.weights)
    model = load_model(weights)
    pipeline = Pipeline(model)
    gmic = baselines.gmic_version()
    options.out.mkdir(parents=True, exist_ok=True)
    # The first job pays for the libraries' own warming up.
    pipeline.run(Job(np.ones((256, 256), np.float32)))
    show = varied([source.image.parent.name for _, source in listed], SHEET_PICTURES)
    results = Results()
    for place, (index, source) in enumerate(listed):
        picture = load_picture(index, source, options.out / "cache")
        part = Results(strokes=results.strokes, rows=results.rows)
        measure(picture, options.hints, options.seed, pipeline, gmic is not None, part)
        results.masked.append(measure_masked(picture, options.seed, pipeline))
        if place in show:
            for count, rows in part.shown.items():
                results.shown.setdefault(count, []).extend(rows)
        done = time.perf_counter() - start
        print(f"{place + 1}/{len(listed)} {picture.key} ({done:.0f} s)", file=sys.stderr, flush=True)
    about = {
        "pictures": len(listed),
        "hints": options.hints,
        "seed": options.seed,
        "with_other": options.with_other,
        "weights": weights.name,
        "model": model.descriptor.name,
        "gmic": gmic,
        "torch": torch.__version__,
        "machine": f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads",
        "seconds": time.perf_counter() - start,
    }
    text, every = summarise(results, model, about, options.seed)
    (options.out / "summary.md").write_text(text, encoding="utf-8")
    (options.out / "results.json").write_text(json.dumps(every, indent=1), encoding="utf-8")
    for count, rows in results.shown.items():
        ours = ["lineart, hints", "original", "ours, flats", "ours, colour and ink"]
        names = ["nearest", "regions", *(["gmic"] if gmic else [])] if count else ["white"]
        sheets.write_sheets(options.out, f"{count:02d}", [*ours, *[report.TITLES[n] for n in names]], rows)
    print(text)
    if options.json:
        print(json.dumps({k: v for k, v in every.items() if k != "rows"}))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure colouring on held-out art against baselines.")
    art = os.environ.get("COLORIZE_ART")
    parser.add_argument("art", type=Path, nargs="?" if art else None, default=art and Path(art), metavar="ART")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for summary.md, results.json and the sheets")
    parser.add_argument("--hints", default="0,4,16,64", metavar="N,N,...", help="numbers of strokes (%(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="only N pictures, spread evenly over the set")
    parser.add_argument("--with-other", action="store_true", help="also the art of unseen styles marked 'other'")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="weights to measure instead of the usual ones")
    parser.add_argument("--seed", type=int, default=0, help="of strokes and masks (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the summary as one last line of JSON, too")
    options = parser.parse_args(arguments)
    try:
        options.hints = sorted({int(part) for part in options.hints.split(",")})
    except ValueError:
        parser.error(f"--hints should be numbers with commas between them, not {options.hints}")
    if min(options.hints) < 0 or (options.limit is not None and options.limit < 1):
        parser.error("--hints may not be negative, --limit not under 1")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    try:
        run(parse())
    except ColorizeError as e:
        print(f"error: {e.cause}\n  {e.remedy}", file=sys.stderr)
        return 2 if e.wrong_use else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
