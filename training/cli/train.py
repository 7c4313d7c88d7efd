"""The commands ``training train-stenciltorch`` and ``training train-paintstorch``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from training.recipes.thesis import ThesisTrainConfig
    from training.runs.run import Run

CONTENTS = ("none", "own", "vgg16")
FEATURE_NETS = ("none", "illustration2vec", "learned")
"""What `training.losses.content` and `engine.models.components.local_features` know, without waiting for torch."""


def _run_options(presets: tuple[str, ...]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The arguments and options that every training command has."""
    path = click.Path(path_type=Path)
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    options = [
        click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.argument("run", type=path),
        click.option("--preset", type=click.Choice(presets), default="cpu", show_default=True),
        click.option("--steps", type=int, help="Optimiser steps in all; the preset's by default."),
        click.option("--lr", type=float, help="Peak learning rate; the preset's by default. Less suits --init."),
        click.option("--max-minutes", type=float, default=1e9, help="Stop cleanly after this long; resume later."),
        click.option("--save-minutes", type=float, default=5.0, show_default=True),
        click.option(
            "--keep", type=click.IntRange(1), default=2, show_default=True, help="Newest checkpoints to keep."
        ),
        click.option(
            "--batch", type=click.IntRange(1), help="Samples a step of the first phase; others in proportion."
        ),
        click.option("--accumulate", type=click.IntRange(1), help="Compute each batch in this many parts."),
        click.option("--compile", is_flag=True, default=None, help="Compile the network; for long runs on a GPU."),
        click.option("--stream", is_flag=True, default=None, help="Read pictures as needed; large sets always are."),
        click.option(
            "--adversarial-from", type=float, help="Part of the run after which the critic joins (1 = never)."
        ),
        click.option("--limit", type=int, help="Use only this many pictures (trials)."),
        click.option("--seed", type=int, default=1, show_default=True),
        click.option("--init", type=file, help="Weights to start from."),
        click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint."),
        click.option("--scheme", help="How hints are drawn; see `training preview --step strokes`."),
        click.option("--no-reassign", is_flag=True, help="Ablation: train without palette re-assignment."),
        click.option("--content", type=click.Choice(CONTENTS), help="Content loss of --preset thesis."),
        click.option("--content-weights", type=file, help="Weights behind --content; `training convert` makes them."),
        click.option("--features", type=click.Choice(FEATURE_NETS), help="Local features of --preset thesis."),
        click.option("--features-weights", type=file, help="Weights behind --features."),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command("train-stenciltorch")
@_run_options(("cpu", "gpu", "thesis"))
@click.option("--no-guide", is_flag=True, help="Ablation: train without the loss of the flat picture.")
@click.option("--no-prior", is_flag=True, help="Ablation: train without the hint prior.")
def train_stenciltorch(no_guide: bool, no_prior: bool, preset: str, **options: Any) -> None:
    """Train the default model on SHARDS in the folder RUN."""
    from training.recipes.stenciltorch import PRESETS, StencilTorchRun

    config = replace(PRESETS[preset], guide=not no_guide)
    if no_prior:
        if config.as_published:
            raise click.UsageError(f"--preset {preset} has no hint prior; leave --no-prior out")
        config = replace(config, model={"prior": False})
    _train(StencilTorchRun, config, **options)


@click.command("train-paintstorch")
@_run_options(("cpu", "gpu", "thesis"))
def train_paintstorch(preset: str, **options: Any) -> None:
    """Train PaintsTorch on SHARDS in the folder RUN.

    --init also takes StencilTorch's compact weights: what is for in-painting is folded away.
    """
    from training.recipes.paintstorch import PRESETS, PaintsTorchRun

    _train(PaintsTorchRun, PRESETS[preset], **options)


def begin(run: Run, resume: bool, init: Path | None) -> list[str]:
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


def _train(
    kind: Callable[..., Run],
    config: ThesisTrainConfig,
    *,
    shards: Path,
    run: Path,
    max_minutes: float,
    save_minutes: float,
    keep: int,
    limit: int | None,
    init: Path | None,
    resume: bool,
    scheme: str | None,
    no_reassign: bool,
    content_weights: Path | None,
    features_weights: Path | None,
    **changes: Any,
) -> None:
    """Train, and say how it goes; of the processes that torchrun starts, the first one does."""
    from engine.errors import ColorizeError
    from training.data.strokes import SCHEMES
    from training.runs.distributed import join

    config = replace(config, **{key: value for key, value in changes.items() if value is not None})
    if scheme is not None and scheme not in SCHEMES:
        raise click.BadParameter(f"{scheme} is none of {', '.join(SCHEMES)}", param_hint="--scheme")
    recipe = replace(config.recipe, scheme=scheme or config.recipe.scheme)
    config = replace(config, recipe=replace(recipe, reassign=0.0) if no_reassign else recipe)
    eyes = {"content_weights": content_weights, "features_weights": features_weights}
    who = ""
    try:
        with join() as team:
            who = f"process {team.rank}: " if team.world > 1 else ""
            training = kind(run, shards, config, **eyes, limit=limit, team=team, keep=keep)
            for line in chain(begin(training, resume, init), training.train(max_minutes, save_minutes)):
                if team.leads:
                    click.echo(line)
    except (OSError, ValueError, ColorizeError) as e:
        wrong = isinstance(e, ColorizeError) and e.wrong_use
        raise (click.UsageError if wrong else click.ClickException)(f"{who}{e}") from e
