"""The ``training evaluate`` command."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.system.progress import ProgressBar

if TYPE_CHECKING:
    from training.evaluation.methods import Checkpoint
    from training.evaluation.plan import Findings, Plan
    from training.evaluation.report import Subject

NAME = re.compile(r"[\w+][\w.+-]*")
HINTS = "0,4,16,64,full"
STOPPED = 130


def _read_counts(_ctx: click.Context, _option: click.Parameter, value: str) -> tuple[int, ...]:
    """Read numbers of hints with commas between them; ``full`` becomes -1 and comes last."""
    parts = [part.strip() for part in value.split(",")]
    if not all(part == "full" or (part.isascii() and part.isdigit()) for part in parts):
        raise click.BadParameter(f"{value} should be numbers with commas between them, or 'full'")
    found = {-1 if part == "full" else int(part) for part in parts}
    return tuple(sorted(found, key=lambda c: (c < 0, c)))


@click.command()
@click.argument("art", type=click.Path(exists=True, file_okay=False, path_type=Path), envvar="COLORIZE_ART")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--weights",
    "weights",
    multiple=True,
    metavar="[NAME=]PATH",
    help="A checkpoint to measure, by the given name or its file's; may be repeated. The shipped model by default.",
)
@click.option(
    "--sampling",
    "samplings",
    multiple=True,
    metavar="[NAME:]SETTINGS",
    help="Settings of models that sample, such as steps=4,strength=0.8 (also guidance, sampler, seed; 'default' for "
    "the model's own), of the model NAME or of every model; repeat it to measure several side by side.",
)
@click.option(
    "--reference",
    metavar="SETTINGS",
    help="One of the --sampling settings: a table says how far every number of the others is from it.",
)
@click.option(
    "--layers",
    default="colour",
    show_default=True,
    help="What of a checkpoint: colour, flats, or network (its own picture, before colours are kept inside lines).",
)
@click.option(
    "--baselines",
    default="nearest,regions,gmic,white",
    show_default=True,
    help="Methods that learnt nothing; 'none' for none. gmic is left out where it is not installed.",
)
@click.option(
    "--hints",
    "counts",
    callback=_read_counts,
    default=HINTS,
    show_default=True,
    metavar="N,N,...",
    help="Numbers of strokes; 'full' gives the whole flat picture.",
)
@click.option("--split", "splits", multiple=True, default=("test",), show_default=True, help="Rows of manifest.csv.")
@click.option("--limit", type=click.IntRange(1), help="Only N pictures, spread evenly over the set.")
@click.option("--size", type=click.IntRange(1), help="Working short side of the models; their own by default.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of strokes, masks and draws.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes; more change no number.")
@click.option("--device", default="cpu", show_default=True, help="Such as cuda.")
@click.option("--inception", type=click.Path(path_type=Path), help="Inception weights: gives FID and KID.")
@click.option("--lpips", type=click.Path(path_type=Path), help="LPIPS weights (VGG16 or AlexNet): gives LPIPS.")
@click.option(
    "--features",
    default="own",
    show_default=True,
    help="Our own features for KID: 'own' (the shipped model's encoder), a safetensors file, or 'none'.",
)
@click.option("--pictures", is_flag=True, help="Keep every finished picture under OUT/pictures, such as for a study.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one last line of JSON, too.")
def evaluate(**options: Any) -> None:
    """Measure checkpoints and baselines on the held-out pictures of ART/manifest.csv.

    OUT gets report.md, report.html, results.json and sheets/. A run that was interrupted goes on where it stopped when
    it is started again.
    """
    try:
        _run(options)
    except KeyboardInterrupt as e:
        click.echo("stopped; start it again to go on", err=True)
        raise SystemExit(STOPPED) from e


def _run(options: dict[str, Any]) -> None:
    from training.evaluation.measure import Judges
    from training.evaluation.methods import choose_baselines
    from training.evaluation.plan import Plan
    from training.evaluation.report import write_report
    from training.evaluation.runner import evaluate as run

    _check_device(options["device"])
    names = [] if options["baselines"] == "none" else [n.strip() for n in options["baselines"].split(",")]
    checkpoints = _checkpoints(options["weights"], options["layers"], options["size"], options["samplings"])
    held = _held(checkpoints, options["reference"])
    own = None if options["features"] == "none" else options["features"]
    judges = Judges(own=own, inception=options["inception"], lpips=options["lpips"])
    plan = Plan(
        art=options["art"],
        splits=options["splits"],
        methods=(*checkpoints, *choose_baselines(names)),
        counts=options["counts"],
        judges=judges,
        seed=options["seed"],
        limit=options["limit"],
        device=options["device"],
        pictures=options["pictures"],
    )
    options["out"].mkdir(parents=True, exist_ok=True)
    with contextlib.closing(ProgressBar()) as bar:
        findings = run(plan, options["out"], options["jobs"], bar)
    summary = write_report(findings, _subject(plan, checkpoints, held, findings), options["out"])
    click.echo((options["out"] / "report.md").read_text(encoding="utf-8"))
    click.echo(f"wrote {options['out'] / 'report.html'}", err=True)
    if options["as_json"]:
        click.echo(json.dumps(summary, ensure_ascii=False))


def _check_device(name: str) -> None:
    import torch

    from engine.errors import ColorizeError

    try:
        torch.empty(1, device=name)
    # A build without that device fails an assertion.
    except (RuntimeError, AssertionError) as e:
        why = str(e).splitlines()[0]
        raise ColorizeError(f"there is no device '{name}' ({why})", "leave --device out", wrong_use=True) from e


def _checkpoints(given: tuple[str, ...], layers: str, size: int | None, samplings: tuple[str, ...]) -> list[Checkpoint]:
    from engine import DEFAULT_MODEL
    from engine.errors import ColorizeError
    from engine.models.checkpoint import describe, find_weights
    from training.evaluation.methods import LAYERS, TITLES, Checkpoint
    from training.evaluation.plan import ORIGINAL
    from training.evaluation.settings import Settings, read_all

    wanted = [part.strip() for part in layers.split(",")]
    if not set(wanted) <= set(LAYERS):
        raise ColorizeError(f"--layers {layers} is none of {', '.join(LAYERS)}", "name some of them", wrong_use=True)
    named: dict[str, Path] = {}
    for entry in given or (f"{DEFAULT_MODEL}={find_weights(DEFAULT_MODEL)}",):
        name, equals, path = entry.partition("=")
        name, path = (name, path) if equals else (Path(entry).stem, entry)
        if not NAME.fullmatch(name) or name in TITLES or name == ORIGINAL:
            raise ColorizeError(
                f"'{name}' cannot be a model's name", "give another: --weights NAME=PATH", wrong_use=True
            )
        if name in named:
            raise ColorizeError(f"two models are named '{name}'", "name them: --weights NAME=PATH", wrong_use=True)
        if not Path(path).is_file():
            raise ColorizeError(f"there are no weights at {path}", "check the path", wrong_use=True)
        named[name] = Path(path)
    out = []
    for name, every in read_all(samplings, list(named)).items():
        for settings in every:
            settings.sampling(describe(named[name]))
            suffix = "" if every == [Settings()] else f"@{settings.name}"
            outputs = tuple((w, (name if w == "colour" else f"{name}-{w}") + suffix) for w in wanted)
            out.append(Checkpoint(name + suffix, named[name], outputs, size, settings))
    return out


def _held(checkpoints: list[Checkpoint], reference: str | None) -> list[tuple[str, str]]:
    """Every output with the same model's output under the reference settings, without those themselves."""
    from engine.errors import ColorizeError
    from training.evaluation.settings import read_settings

    if reference is None:
        return []
    wanted = read_settings(reference)
    held = {c.weights: c for c in checkpoints if c.settings == wanted}
    out = [
        (output, other)
        for c in checkpoints
        if c.weights in held and c.settings != wanted
        for (_, output), (_, other) in zip(c.outputs, held[c.weights].outputs, strict=True)
    ]
    if not out:
        remedy = f"name two settings or more, such as --sampling steps=4 --sampling {wanted.name}"
        raise ColorizeError(f"nothing can be held against --reference {wanted.name}", remedy, wrong_use=True)
    return out


def _subject(plan: Plan, checkpoints: list[Checkpoint], held: list[tuple[str, str]], findings: Findings) -> Subject:
    """What the report says of the run itself."""
    import torch

    from engine.models.checkpoint import describe, read_metadata
    from training.evaluation.features import INCEPTION, digest_of, own_file
    from training.evaluation.methods import TITLES
    from training.evaluation.report import Subject
    from training.evaluation.settings import told as told_sampling
    from training.evaluation.tables import count_name

    ours = [output for c in checkpoints for _, output in c.outputs]
    titles = {o: o for o in ours} | {m.name: TITLES[m.name] for m in plan.methods if m.name in TITLES}
    models: dict[str, dict[str, Any]] = {}
    lines = []
    for c in checkpoints:
        metadata, digest = read_metadata(c.weights), digest_of(c.weights)
        told = {"architecture": metadata["architecture"], "training_data": metadata.get("training_data")}
        models[c.name] = {"sha256": digest, **told}
        line = f"{c.name}: {metadata['architecture']}, SHA-256 {digest[:16]}"
        sampling = c.settings.sampling(describe(c.weights))
        if sampling is not None:
            models[c.name]["sampling"] = told_sampling(sampling)
            line += "; " + ", ".join(f"{key} {value}" for key, value in told_sampling(sampling).items())
        lines.append(line + ".")
    eyes: dict[str, str] = {}
    judges: dict[str, Path] = {}
    if plan.judges.own is not None:
        judges["features"], _, eyes["own"] = own_file(plan.judges.own)
    if plan.judges.inception is not None:
        judges["inception"], eyes["inception"] = plan.judges.inception, INCEPTION
    if plan.judges.lpips is not None:
        judges["lpips"] = plan.judges.lpips
    judged = {name: digest_of(path) for name, path in judges.items()}
    counts = [count_name(c) for c in plan.counts]
    about = {
        "pictures": len({r["picture"] for r in findings.rows}),
        "splits": list(plan.splits),
        "hints": counts,
        "seed": plan.seed,
        "limit": plan.limit,
        "models": models,
        "judges": judged,
        "device": plan.device,
        "torch": torch.__version__,
    }
    which = "all pictures" if plan.limit is None else f"at most {plan.limit} pictures"
    top = f"Split {' and '.join(plan.splits)}, {which}; {', '.join(counts)} hints; seed {plan.seed}; computed on "
    top += f"{plan.device}, one thread per process, torch {torch.__version__}."
    lines = [top, *lines, *(f"Weights of {n}: SHA-256 {d[:16]}." for n, d in judged.items())]
    return Subject(titles, ours, eyes, about, lines, plan.seed, held)
