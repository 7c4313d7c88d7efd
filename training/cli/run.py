"""What all training commands have in common: options of a run, and carrying it out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from training.runs.config import C
    from training.runs.run import Run

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
Command = Callable[..., None]


@dataclass(frozen=True)
class RunOptions:
    """What every training command is told; its other options change the recipe's configuration.

    Attributes:
        shards: folder with the data.
        run: folder of the run.
        preset: name of the configuration that the others change.
        max_minutes: the longest it trains this time.
        save_minutes: between two checkpoints.
        keep: newest checkpoints to keep.
        limit: use only this many pictures.
        init: weights to start from.
        resume: go on from its checkpoint.
    """

    shards: Path
    run: Path
    preset: str
    max_minutes: float
    save_minutes: float
    keep: int
    limit: int | None
    init: Path | None
    resume: bool


def run_options(presets: tuple[str, ...]) -> Callable[[Command], Command]:
    """The arguments and options of every run, before those of the recipe.

    The command gets ``RunOptions`` first, and the options that change the configuration by name.
    """
    options = [
        click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.argument("run", type=click.Path(path_type=Path)),
        click.option("--preset", type=click.Choice(presets), default="cpu", show_default=True),
        click.option("--steps", type=click.IntRange(1), help="Optimiser steps in all; the preset's by default."),
        click.option("--epochs", type=click.FloatRange(0, min_open=True), help="In place of --steps, in epochs."),
        click.option("--max-minutes", type=float, default=1e9, help="Stop cleanly after this long; resume later."),
        click.option("--save-minutes", type=float, default=5.0, show_default=True),
        click.option(
            "--keep", type=click.IntRange(1), default=2, show_default=True, help="Newest checkpoints to keep."
        ),
        click.option(
            "--batch", type=click.IntRange(1), help="Samples a step of the first phase; others in proportion."
        ),
        click.option("--limit", type=int, help="Use only this many pictures (trials)."),
        click.option("--seed", type=int, default=1, show_default=True),
        click.option("--init", type=FILE, help="Weights to start from."),
        click.option("--resume", is_flag=True, help="Go on from the last checkpoint; more --steps make a run longer."),
    ]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_options(**values: Any) -> None:
            command(RunOptions(**{f.name: values.pop(f.name) for f in fields(RunOptions)}), **values)

        decorated: Command = with_options
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def changed(config: C, changes: dict[str, Any]) -> C:
    """Settings with those that were given; None stands for what was not.

    Raises:
        click.UsageError: both steps and epochs were given.
    """
    from dataclasses import replace

    if changes.get("steps") is not None and changes.get("epochs") is not None:
        raise click.UsageError("--steps and --epochs say the same thing; give one of them")
    return replace(config, **{key: value for key, value in changes.items() if value is not None})


def begin(run: Run[Any], resume: bool, init: Path | None) -> list[str]:
    """Bring a run to where it goes on: from its checkpoint, from other weights, or from nothing.

    Raises:
        ColorizeError: the checkpoint is of other settings.
        ValueError: there is a run already, or the weights do not fit.
    """
    said = run.resume() if resume else []
    if said:
        return said
    if run.checkpoints.files() and not resume:
        raise ValueError(f"{run.folder} holds a run already; continue it with --resume or name another folder")
    if init is not None:
        run.start_from(init)
    return ["there is no checkpoint yet; beginning"] if resume else []


def carry_out(kind: Callable[..., Run[Any]], config: Any, options: RunOptions, *more: Any, **named: Any) -> None:
    """Train, and say how it goes; of the processes that torchrun starts, the first one does.

    Args:
        kind: class of the run.
        config: of the run.
        options: as given.
        more: what the class wants after its configuration.
        named: the same by name.

    Raises:
        click.ClickException: it failed.
    """
    from engine.errors import ColorizeError
    from training.runs.distributed import join
    from training.runs.progress import ProgressDisplay

    who = ""
    try:
        with join() as team:
            who = f"process {team.rank}: " if team.world > 1 else ""
            run = kind(
                options.run, options.shards, config, *more, limit=options.limit, team=team, keep=options.keep, **named
            )
            with ProgressDisplay(quiet=not team.leads) as display:
                for line in chain(
                    begin(run, options.resume, options.init),
                    run.train(options.max_minutes, options.save_minutes, display.show),
                ):
                    display.say(line)
    except (OSError, ValueError, ColorizeError) as e:
        wrong = isinstance(e, ColorizeError) and e.wrong_use
        raise (click.UsageError if wrong else click.ClickException)(f"{who}{e}") from e
