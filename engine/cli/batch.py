"""The command ``engine batch``: a folder or a sequence of drawings through the engine's queue."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine import DEFAULT_MODEL
from engine.cli.options import job_settings
from engine.errors import ColorizeError
from engine.protocol.settings import SAMPLING
from engine.system.device import DEVICES
from engine.system.process import on_signals
from engine.system.progress import ProgressBar, in_time
from engine.system.terminal import echo

if TYPE_CHECKING:
    from engine.batch.plan import Frame
    from engine.batch.runner import Outcome, Wanted
    from engine.protocol.settings import JobSettings

FAILED, STOPPED = 1, 130
SHEET = "contact-sheet.png"
ADDRESS = click.Path(path_type=Path)


@click.command()
@click.argument("linearts", type=ADDRESS, nargs=-1, required=True)
@click.option("--hints", type=ADDRESS, help="Colour strokes: a file for all, or a folder with one for each.")
@click.option("--mask", type=ADDRESS, help="White where to colour: a file or a folder.")
@click.option("--context", type=ADDRESS, help="The picture as painted so far: a file or a folder.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Which model; see `engine models`.")
@job_settings(without=["variations"])
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option("--layers", type=ADDRESS, metavar="DIR", help="Also write the layers, a folder there for each.")
@click.option("-o", "--output", type=ADDRESS, required=True, metavar="DIR", help="Folder for the pictures.")
@click.option("--format", "form", type=click.Choice(["png", "webp", "jpg"]), default="png", show_default=True)
@click.option("--sheet", type=ADDRESS, metavar="FILE", help=f"Contact sheet; {SHEET} in the output folder without.")
@click.option("--no-sheet", is_flag=True, help="No contact sheet.")
@click.option("--overwrite", is_flag=True, help="Colour all again, and write over pictures made by others.")
@click.option("--quiet", is_flag=True, help="No progress; failures are still told.")
def batch(
    linearts: tuple[Path, ...],
    hints: Path | None,
    mask: Path | None,
    context: Path | None,
    model: str,
    weights: Path | None,
    settings: JobSettings,
    device: str,
    layers: Path | None,
    output: Path,
    form: str,
    sheet: Path | None,
    no_sheet: bool,
    overwrite: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Colour all LINEARTS, folders or files, and write the ready pictures to a folder.

    Strokes, masks and contexts in a folder are found by name: for frame_07.png the file frame_07.png or
    frame_07_hints.png, of any picture format. A drawing without a file there is coloured without.

    Pictures that are there, newer than their inputs and made with the same settings are skipped, so that the same
    command goes on where it was stopped. It uses the engine that runs, or starts one and ends it afterwards.
    """
    from engine.batch.plan import find_frames
    from engine.batch.runner import Batch, Wanted
    from engine.batch.service import Service

    started = time.monotonic()
    given = {"hints": hints, "mask": mask, "context": context}
    frames = find_frames(linearts, given, output, f".{form}", layers)
    sheet = None if no_sheet else sheet or output / SHEET
    _check_targets(frames, output, layers, sheet)
    progress = Progress(silent=quiet or as_json)
    stopped, brake = False, Brake()
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_signals(brake.pull))
        progress.note("looking for the engine")
        service = stack.enter_context(contextlib.closing(Service(weights, device)))
        wanted = Wanted(model, settings, overwrite)
        work = Batch(frames, wanted, output, service, progress, brake.held)
        try:
            service.meet()
            work.run(weights, sheet)
        except KeyboardInterrupt:
            stopped = True
        finally:
            progress.close()
    outcome = work.outcome
    if as_json:
        click.echo(json.dumps(_in_json(outcome, stopped, output, wanted, time.monotonic() - started)))
    elif not quiet or stopped:
        echo(_in_words(outcome, stopped, output, time.monotonic() - started), err=True)
    code = STOPPED if stopped else FAILED if outcome.failed else 0
    click.get_current_context().exit(code)


def _check_targets(frames: list[Frame], output: Path, layers: Path | None, sheet: Path | None) -> None:
    """Refuse before any work what could not or must not be written."""
    from engine.imaging.files.writing import check_target

    if not frames:
        raise ColorizeError("there are no drawings besides hints, masks and contexts", "name others", wrong_use=True)
    for name, folder in (("output", output), ("layers", layers)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ColorizeError(f"{folder} is not a folder", f"name a folder with --{name}", wrong_use=True)
    check_target(frames[0].output.with_stem("probe"), new_folder=True)
    if layers is not None:
        check_target(layers / "probe.png", new_folder=True)
    if sheet is None:
        return
    check_target(sheet, new_folder=sheet.parent == output)
    theirs = [p for f in frames for p in (f.lineart, *f.inputs.values(), *f.targets)]
    if os.path.realpath(sheet) in {os.path.realpath(p) for p in theirs}:
        raise ColorizeError(f"the contact sheet would overwrite {sheet}", "name it with --sheet", wrong_use=True)


class Brake:
    """Lets all signals that ask a process to end do what Ctrl-C does, but not in the middle of writing a picture."""

    def __init__(self) -> None:
        self._held = self._asked = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Put it off until the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            raise KeyboardInterrupt

    def pull(self, *_: object) -> None:
        """Handle a signal."""
        self._asked = True
        if not self._held:
            raise KeyboardInterrupt


class Progress(ProgressBar):
    """A bar on a terminal, a plain line per picture elsewhere."""

    _total = _over = 0

    def begin(self, total: int, left: int) -> None:
        """So many drawings, of which so many are not done yet."""
        self._total, self._over = total, total - left
        if self._over:
            self.note(f"{self._over} of {total} are done already")

    def done(self, frame: Frame, seconds: float) -> None:
        """One is coloured."""
        self._over += 1
        self(f"{frame.output.name} ({seconds:.1f} s)", self._over, self._total, each=True)

    def failed(self, frame: Frame, error: ColorizeError) -> None:
        """One came to nothing; this is told even when silent."""
        self._over += 1
        cause = error.cause if str(frame.lineart) in error.cause else f"{frame.lineart}: {error.cause}"
        self.say(f"failed: {cause}; {error.remedy}", always=True)

    def note(self, text: str) -> None:
        """A remark."""
        self.say(text)


def _in_words(outcome: Outcome, stopped: bool, output: Path, seconds: float) -> str:
    counts = [f"{len(outcome.done)} coloured"]
    counts += [f"{len(outcome.skipped)} there already"] if outcome.skipped else []
    counts += [f"{len(outcome.failed)} failed"] if outcome.failed else []
    counts += [f"{number} without {role}" for role, number in outcome.missing.items()]
    text = f"{output}: {', '.join(counts)} ({in_time(seconds)})"
    text += f"; contact sheet: {outcome.sheet[0]}" if outcome.sheet else ""
    return f"stopped; {text}; the same command goes on from here" if stopped else text


def _in_json(outcome: Outcome, stopped: bool, output: Path, wanted: Wanted, seconds: float) -> dict[str, Any]:
    told: dict[str, Any] = {"ok": not stopped and not outcome.failed}
    if stopped:
        told |= {"error": "stopped", "remedy": "the same command goes on from here"}
    elif outcome.failed:
        told |= {"error": f"{len(outcome.failed)} of the drawings failed", "remedy": "see 'failed'"}
    return told | {
        "output": str(output),
        "done": [str(f.output) for f in outcome.done],
        "skipped": [str(f.output) for f in outcome.skipped],
        "failed": [{"lineart": str(f.lineart), "error": e.cause, "remedy": e.remedy} for f, e in outcome.failed],
        "missing": outcome.missing,
        "sheet": [str(p) for p in outcome.sheet],
        "seconds": round(seconds, 3),
        "model": wanted.model,
        "size": wanted.settings.size,
        "seed": wanted.settings.seed,
        **wanted.settings.told(),
        **wanted.settings.changed(SAMPLING),
        "device": outcome.device,
        "notes": outcome.notes,
    }


def register_batch(
    group: click.Group,
    common: Callable[[click.Command], click.Command],
    weights_option: Callable[[click.Command], click.Command],
) -> None:
    """Add the command to a group, with the options that all its commands have."""
    group.add_command(common(weights_option(batch)))
