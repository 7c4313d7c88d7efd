"""The ``engine`` command: colour a drawing, list the models, find out what is wrong. Loads torch only when it must."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine import DEFAULT_MODEL, __version__
from engine.cli.batch import register_batch
from engine.cli.options import job_settings
from engine.cli.service import register
from engine.errors import ColorizeError, check_size
from engine.system.device import DEVICES, choose_device, is_out_of_memory
from engine.system.process import building, leave, on_signals, yield_cores
from engine.system.progress import ProgressBar
from engine.system.terminal import echo

if TYPE_CHECKING:
    from engine.models.checkpoint import LoadedModel
    from engine.pipeline import Job, Pipeline
    from engine.protocol.settings import JobSettings

FAILED, WRONG_USE, STOPPED = 1, 2, 130
"""Exit codes besides 0; 130 is what shells give for Ctrl-C."""

Command = TypeVar("Command", bound=Callable[..., Any])


class Group(click.Group):
    """Says every failure in one line, on stderr and with ``--json`` on stdout, and picks the exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command; ends in ``SystemExit``, or where it was the command line's own, with the process."""
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        extra["standalone_mode"] = False
        yield_cores()
        code = self._run(given, *rest, **extra)
        if args is None and "torch" in sys.modules:
            leave(code)
        sys.exit(code)

    def _run(self, given: list[str], *rest: Any, **extra: Any) -> int:
        """Run a command and say how it failed, if it did; returns the exit code."""
        try:
            result = super().main(given, *rest, **extra)
        except Exception as e:
            if "--debug" in given:
                echo(traceback.format_exc().rstrip(), err=True)
            error, code = explain(e)
            echo(f"error: {error}", err=True)
            if "--json" in given:
                click.echo(json.dumps({"ok": False, "error": error.cause, "remedy": error.remedy}))
            return code
        return result if isinstance(result, int) else 0


def explain(failure: Exception) -> tuple[ColorizeError, int]:
    """Put any exception into a cause and a remedy of one line, with the exit code it deserves."""
    text = " ".join(str(failure).split())
    if isinstance(failure, click.Abort):
        return ColorizeError("stopped", "nothing was written"), STOPPED
    if isinstance(failure, click.UsageError):
        where = failure.ctx.command_path if failure.ctx else "engine"
        cause = " ".join(failure.format_message().split()).rstrip(".")
        return ColorizeError(cause, f"see `{where} --help`"), WRONG_USE
    if isinstance(failure, ColorizeError):
        error = ColorizeError(*(" ".join(t.split()) for t in (failure.cause, failure.remedy)))
        return error, WRONG_USE if failure.wrong_use else FAILED
    if is_out_of_memory(failure):
        return ColorizeError("there is not enough memory", "close other programs or use a smaller picture or --size"), 1
    return ColorizeError(f"{type(failure).__name__}: {text}", "this is a bug: report it with the output of --debug"), 1


def common(command: Command) -> Command:
    """Add the options every command has; ``Group.main`` looks for ``--debug`` itself."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on the last line.")(
        command
    )
    return click.option("--debug", is_flag=True, expose_value=False, help="Show where a failure came from.")(command)


def weights_option(command: Command) -> Command:
    """Add ``--weights``."""
    text = "Weight file, or a folder with MODEL.safetensors."
    return click.option("--weights", type=click.Path(path_type=Path), metavar="PATH", help=text)(command)


@click.group("engine", cls=Group)
@click.version_option(__version__, package_name="krita-colorize", message="%(version)s")
def main() -> None:
    """Colour line art from a few strokes."""


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Keep Ctrl-C for the next moment between two stages; yields what tells whether it came.

    Raised at once it could come in the middle of a lock of torch's threads, which breaks them.
    """
    asked: list[int] = []
    with on_signals(lambda number, _: asked.append(number), ["SIGINT"]):
        yield lambda: bool(asked)


@main.command()
@click.argument("lineart", type=click.Path(path_type=Path))
@click.option("--hints", type=click.Path(path_type=Path), help="Colour strokes on transparent ground.")
@click.option("--mask", type=click.Path(path_type=Path), help="White where to colour; without one, everywhere.")
@click.option("--context", type=click.Path(path_type=Path), help="The picture as painted so far.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Which model; see `engine models`.")
@weights_option
@job_settings()
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option("--layers", type=click.Path(path_type=Path), metavar="DIR", help="Also write each layer as PNG there.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write.")
@click.option("--quiet", is_flag=True, help="No progress.")
@common
def colorize(
    lineart: Path,
    hints: Path | None,
    mask: Path | None,
    context: Path | None,
    model: str,
    weights: Path | None,
    settings: JobSettings,
    device: str,
    layers: Path | None,
    output: Path,
    quiet: bool,
    as_json: bool,
) -> None:
    """Colour LINEART and write the ready picture, the lines on top, to OUTPUT.

    Several variations become OUTPUT-1, OUTPUT-2 and so on, each with the next seed, and their layers go into folders of
    these numbers.
    """
    from engine.cli.outputs import Targets

    progress = ProgressBar(silent=quiet or as_json)
    targets = Targets.of(output, layers, settings.variations, lit=settings.light is not None)
    targets.check([p for p in (lineart, hints, mask, context) if p is not None])
    started = time.perf_counter()
    progress("reading", 0, 1)
    from engine.imaging.files import reading, writing

    drawing = reading.read_lineart(lineart)
    strokes = reading.read_hints(hints, drawing.size, lineart) if hints else None
    where = reading.read_mask(mask, drawing.size, lineart) if mask else None
    before = reading.read_context(context, drawing.size, lineart) if context else None
    seconds = time.perf_counter() - started

    started = time.perf_counter()
    progress("loading the model", 0, 1)
    with building():
        loaded, on = _load(model, weights, settings.size, device)
        from engine.pipeline import Cancelled, Job, Pipeline

    pipeline = Pipeline(loaded, on)
    load_seconds = time.perf_counter() - started

    started = time.perf_counter()
    job = Job(drawing.paper, strokes, where, before, settings)
    with _asked_to_stop() as stopped:
        try:
            results = pipeline.vary(job, progress, stopped)
        except Cancelled:
            raise click.Abort from None
    if stopped():
        raise click.Abort
    progress("writing", 0, 1)
    targets.write([writing.compose(result.colour, drawing, before) for result in results], results)
    seconds += time.perf_counter() - started
    progress.close()
    if as_json:
        width, height = drawing.size
        report = {
            "ok": True,
            "output": str(targets.pictures[0]),
            "outputs": [str(p) for p in targets.pictures],
            "layers": [str(p) for p in targets.layers],
            "seconds": round(seconds, 3),
            "load_seconds": round(load_seconds, 3),
            "model": model,
            "weights": str(loaded.path),
            "width": width,
            "height": height,
            "size": settings.size or loaded.descriptor.size,
            "seed": settings.seed,
            **settings.told(),
            **_sampling_report(pipeline, job),
            "device": on,
            "peak_memory_mb": peak_memory_mb(),
        }
        click.echo(json.dumps(report))
    elif not quiet:
        echo(f"{', '.join(map(str, targets.pictures))} ({seconds:.1f} s)", err=True)


@main.command()
@weights_option
@common
def models(weights: Path | None, as_json: bool) -> None:
    """List the models that can be used."""
    from engine.models.checkpoint import list_weights

    rows = [_about(path) for path in list_weights(weights)]
    if not rows:
        raise ColorizeError("no weights were found", "install the package again, or name a good file with --weights")
    if as_json:
        click.echo(json.dumps({"ok": True, "models": rows}))
        return
    for row in rows:
        about = f"broken: {row['error']}" if row["error"] else f"{row['title']}; {row['size']} px ({row['weights']})"
        echo(f"{row['name']:<20} {about}")


@main.command()
@weights_option
@common
@click.pass_context
def doctor(context: click.Context, weights: Path | None, as_json: bool) -> None:
    """Check this installation and say how to mend what is wrong; exits with 1 when something is."""
    from engine.cli.doctor import examine

    checks = examine(weights)
    healthy = all(check.status != "fail" for check in checks)
    if as_json:
        click.echo(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}))
    else:
        for check in checks:
            remedy = f"; {check.remedy}" if check.remedy else ""
            echo(f"{check.status:<5} {check.name:<9} {check.finding}{remedy}")
    if not healthy:
        context.exit(FAILED)


def peak_memory_mb() -> float | None:
    """The most memory this process has held so far, in MB; None where the system does not tell (Windows)."""
    try:
        # Linux' getrusage carries the peak of the parent over; this does not.
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024, 1)
    except (OSError, StopIteration):
        pass
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def _about(path: Path) -> dict[str, Any]:
    """One row of ``engine models``; a file that cannot be used has an ``error``."""
    from engine.models.checkpoint import describe

    try:
        return {**asdict(describe(path)), "name": path.stem, "weights": str(path), "error": None}
    except ColorizeError as e:
        return {"name": path.stem, "weights": str(path), "error": e.cause}


def _sampling_report(pipeline: Pipeline, job: Job) -> dict[str, Any]:
    """With what a model that samples has drawn; empty for others."""
    sampling = pipeline.sampling(job)
    if sampling is None:
        return {}
    return {key: getattr(sampling, key) for key in ("seeds", "strength", "steps", "guidance")}


def _load(model: str, weights: Path | None, size: int | None, device: str) -> tuple[LoadedModel, str]:
    """Import torch, check what only it and the weights can tell, and load the model."""
    # Some steps are not made for Apple's devices; torch is told before it comes.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    from engine.models.checkpoint import describe, find_weights, load_model

    on, _ = choose_device(device)
    if device not in ("auto", on):
        raise ColorizeError(f"torch finds no {device.upper()} device here", "use --device cpu, or run `engine doctor`")
    path = find_weights(model, weights)
    descriptor = describe(path)
    check_size(size, descriptor.name, descriptor.min_size, descriptor.max_size)
    return load_model(path, on), on


register(main, common, weights_option)
register_batch(main, common, weights_option)
