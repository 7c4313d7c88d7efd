"""Trains StencilTorch without one part of its recipe at a time, on the same budget each, and compares the results.

    python -m benchmarks.ablation SHARDS ART OUT [--steps N] [--only NAME] [--limit N] [--table]

SHARDS is what ``training pack`` made, ART the folder with ``manifest.csv`` whose test pictures are measured. Every
variant is trained by ``training train-stenciltorch`` in ``OUT/NAME`` and measured by ``training evaluate`` in
``OUT/evaluation``. Started again it goes on where it stopped. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ColorizeError
from engine.models.checkpoint import read_metadata
from training.evaluation.statistics import bootstrap_mean
from training.evaluation.tables import Rows, Table, chroma_ratio, counts_of, mean, number, select

LINES_AT = 16
"""Strokes at which hint fidelity and bleeding are told."""
BASELINE = "baseline"
TRAINING = "from training.cli.main import main; main(prog_name='training')"


@dataclass(frozen=True)
class Variant:
    """One training: what it is called in the table, and its arguments beside those that all have."""

    title: str
    arguments: tuple[str, ...] = ()


VARIANTS = {
    BASELINE: Variant("the recipe"),
    "hints-paintstorch": Variant("hints as PaintsTorch", ("--scheme", "paintstorch")),
    "hints-stenciltorch": Variant("hints as StencilTorch", ("--scheme", "stenciltorch")),
    "no-reassign": Variant("without palette re-assignment", ("--no-reassign",)),
    "no-guide": Variant("without the guide", ("--no-guide",)),
    "adversarial": Variant("with a critic from half-way on", ("--adversarial-from", "0.5")),
    "no-prior": Variant("without the hint prior", ("--no-prior",)),
}


def run(*arguments: object) -> None:
    """Run the ``training`` command in a process of its own; its progress goes to the standard error.

    Raises:
        ColorizeError: it failed.
    """
    command = [sys.executable, "-c", TRAINING, *map(str, arguments)]
    # ``evaluate`` prints its whole report, which it has written to a file as well.
    shown = subprocess.DEVNULL if arguments[0] == "evaluate" else sys.stderr
    done = subprocess.run(command, stdout=shown, check=False)
    if done.returncode:
        what = " ".join(map(str, arguments[:3]))
        raise ColorizeError(f"`training {what} ...` ended with {done.returncode}", "see its own message above")


def keep_plan(options: argparse.Namespace) -> None:
    """Write down what all variants have in common, or check that it is what the folder was begun with.

    Raises:
        ColorizeError: the folder holds an ablation with other settings.
    """
    plan = {key: getattr(options, key) for key in ("preset", "steps", "seed")}
    plan["shards"] = str(options.shards.resolve())
    path = options.out / "plan.json"
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        other = [f"{key} {kept.get(key)}, not {value}" for key, value in plan.items() if kept.get(key) != value]
        if other:
            cause = f"{options.out} was begun with {'; '.join(other)}"
            raise ColorizeError(cause, "name another folder, or give the same options", wrong_use=True)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")


def steps_done(folder: Path) -> int:
    """How many steps the weights in a run's folder have seen; 0 without any."""
    weights = folder / "weights.safetensors"
    return int(json.loads(read_metadata(weights)["training"])["step"]) if weights.is_file() else 0


def train(name: str, options: argparse.Namespace) -> None:
    """Train a variant, or the rest of it."""
    folder = options.out / name
    if steps_done(folder) >= options.steps:
        print(f"{name}: trained already", file=sys.stderr, flush=True)
        return
    print(f"{name}: {VARIANTS[name].title}", file=sys.stderr, flush=True)
    common = ["--preset", options.preset, "--steps", options.steps, "--seed", options.seed, "--save-minutes", 2]
    # Where the run is too young for a state there is nothing to resume, and it begins anew.
    run("train-stenciltorch", options.shards, folder, *common, *VARIANTS[name].arguments, "--resume")


def evaluate(names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Measure the finished variants on the test pictures; returns what ``results.json`` holds."""
    out = options.out / "evaluation"
    weights = [part for name in names for part in ("--weights", f"{name}={options.out / name / 'weights.safetensors'}")]
    how = ["--hints", ",".join(map(str, options.hints)), "--layers", "network,colour", "--baselines", "none"]
    how += ["--limit", options.limit, "--jobs", options.jobs, "--features", "none"]
    run("evaluate", options.art, out, *weights, *how)
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    found["rows"] = [{k: math.nan if v is None else v for k, v in row.items()} for row in found["rows"]]
    return found


def difference_cell(rows: Rows, method: str, against: str, count: int) -> str:
    """Mean CIEDE2000 of a method at a number of hints, and how much that is above another's on the same pictures."""
    mine, theirs = (
        {r["picture"]: r["difference"] for r in select(rows, method=m, hints=count)} for m in (method, against)
    )
    if not mine:
        return "-"
    both = sorted(set(mine) & set(theirs))
    text = number(mean(mine.values()))
    if method == against or not both:
        return text
    middle, low, high = bootstrap_mean(np.array([mine[k] - theirs[k] for k in both], np.float64))
    return f"{text} ({middle:+.2f}, {low:+.2f} to {high:+.2f})"


def difference_table(rows: Rows, names: list[str], suffix: str) -> Table:
    """CIEDE2000 of one output of every variant, a column per number of hints."""
    body = []
    counts = counts_of(rows)
    for name in names:
        cells = [difference_cell(rows, name + suffix, BASELINE + suffix, count) for count in counts]
        body.append([VARIANTS[name].title, *cells])
    return Table(["variant", *[f"{count} hints" for count in counts]], body)


def lines_table(found: dict[str, Any], names: list[str], suffix: str) -> Table:
    """Fidelity to the strokes, bleeding and chroma of one output of every variant."""
    body = []
    for name in names:
        rows = select(found["rows"], method=name + suffix)
        hinted = select(rows, hints=LINES_AT)
        median, high = found["strokes_median_p95"].get(f"{name}{suffix}, {LINES_AT}") or (math.nan, math.nan)
        cells = [number(median), number(high), number(mean(r["bleeding_hinted"] for r in hinted), 1, "%")]
        cells += [number(mean(r["regions"] for r in hinted), 1, "%")]
        cells += [number(chroma_ratio(part)) for part in (select(rows, hints=0), hinted)]
        body.append([VARIANTS[name].title, *cells])
    head = ["variant", "strokes median", "strokes p95", "bleeding, hinted", "regions right"]
    return Table([*head, "chroma ratio, 0 hints", f"chroma ratio, {LINES_AT}"], body)


def report(found: dict[str, Any], names: list[str], options: argparse.Namespace) -> str:
    """All tables as Markdown."""
    pictures = len({r["picture"] for r in found["rows"]})
    against = "in brackets the paired difference to the recipe with its 95 % interval over pictures"
    blocks = [
        f"# Ablation: {options.steps} steps of the preset {options.preset} from scratch, seed {options.seed}, "
        f"{pictures} pictures",
        f"ΔE00 of the network's own picture, smaller is better; {against}:",
        difference_table(found["rows"], names, "-network").markdown(),
        "ΔE00 of the colour layer, after colours are kept inside lines and strokes made exact:",
        difference_table(found["rows"], names, "").markdown(),
        f"The network's own picture at {LINES_AT} hints (strokes: CIEDE2000 under them):",
        lines_table(found, names, "-network").markdown(),
    ]
    return "\n\n".join(blocks) + "\n"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train variants of StencilTorch's recipe and compare them.")
    parser.add_argument("shards", type=Path, metavar="SHARDS", help="folder made by `training pack`")
    parser.add_argument("art", type=Path, metavar="ART", help="folder with manifest.csv and test pictures")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for runs, evaluation and table.md")
    parser.add_argument("--steps", type=int, default=400, metavar="N", help="steps of every variant (%(default)s)")
    parser.add_argument("--preset", default="cpu", help="of train-stenciltorch (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of every variant (%(default)s)")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), metavar="NAME", help=", ".join(VARIANTS))
    parser.add_argument("--hints", default="0,4,16,64", metavar="N,N,...", help="numbers of strokes (%(default)s)")
    parser.add_argument("--limit", type=int, default=24, metavar="N", help="test pictures to measure (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that measure (%(default)s)")
    parser.add_argument("--table", action="store_true", help="train nothing; measure what is finished")
    options = parser.parse_args(arguments)
    try:
        options.hints = sorted({int(part) for part in options.hints.split(",")})
    except ValueError:
        parser.error(f"--hints should be numbers with commas between them, not {options.hints}")
    if min(options.hints) < 0:
        parser.error("--hints may not be negative")
    if min(options.steps, options.limit, options.jobs) < 1:
        parser.error("--steps, --limit and --jobs may not be under 1")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use, 130 stopped."""
    options = parse()
    wanted = [name for name in VARIANTS if not options.only or name in options.only]
    try:
        keep_plan(options)
        for name in [] if options.table else wanted:
            train(name, options)
        finished = [name for name in wanted if steps_done(options.out / name) >= options.steps]
        if not finished:
            raise ColorizeError("no variant is finished yet", "leave --table out to train them")
        text = report(evaluate(finished, options), finished, options)
        (options.out / "table.md").write_text(text, encoding="utf-8")
        print(text)
    except (ColorizeError, OSError) as e:
        cause, remedy = (e.cause, e.remedy) if isinstance(e, ColorizeError) else (str(e), "check the folders")
        print(f"error: {cause}\n  {remedy}", file=sys.stderr)
        return 2 if isinstance(e, ColorizeError) and e.wrong_use else 1
    except KeyboardInterrupt:
        print("stopped; start it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
