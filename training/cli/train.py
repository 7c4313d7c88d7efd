"""The commands ``training train-stenciltorch`` and ``training train-paintstorch``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.cli.run import FILE, RunOptions, carry_out, changed, run_options

if TYPE_CHECKING:
    from training.recipes.thesis import ThesisTrainConfig
    from training.runs.run import Run

CONTENTS = ("none", "own", "vgg16")
FEATURE_NETS = ("none", "illustration2vec", "learned")
"""What `training.losses.content` and `engine.models.components.local_features` know, without waiting for torch."""


def _recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that PaintsTorch and StencilTorch have in common."""
    options = [
        click.option("--lr", type=float, help="Peak learning rate; the preset's by default. Less suits --init."),
        click.option("--accumulate", type=click.IntRange(1), help="Compute each batch in this many parts."),
        click.option("--compile", is_flag=True, default=None, help="Compile the network; for long runs on a GPU."),
        click.option("--bf16/--no-bf16", default=None, help="Compute in bfloat16; for GPUs and CPUs with AMX."),
        click.option("--stream", is_flag=True, default=None, help="Read pictures as needed; large sets always are."),
        click.option(
            "--adversarial-from", type=float, help="Part of the run after which the critic joins (1 = never)."
        ),
        click.option("--scheme", help="How hints are drawn; see `training preview --step strokes`."),
        click.option("--no-reassign", is_flag=True, help="Ablation: train without palette re-assignment."),
        click.option("--content", type=click.Choice(CONTENTS), help="Content loss of --preset thesis."),
        click.option("--content-weights", type=FILE, help="Weights behind --content; `training convert` makes them."),
        click.option("--features", type=click.Choice(FEATURE_NETS), help="Local features of --preset thesis."),
        click.option("--features-weights", type=FILE, help="Weights behind --features."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("train-stenciltorch")
@run_options(("cpu", "gpu", "thesis"))
@_recipe_options
@click.option("--no-guide", is_flag=True, help="Ablation: train without the loss of the flat picture.")
@click.option("--no-prior", is_flag=True, help="Ablation: train without the hint prior.")
def train_stenciltorch(options: RunOptions, no_guide: bool, no_prior: bool, **changes: Any) -> None:
    """Train the default model on SHARDS in the folder RUN."""
    from training.recipes.stenciltorch import PRESETS, StencilTorchRun

    config = replace(PRESETS[options.preset], guide=not no_guide)
    if no_prior:
        if config.as_published:
            raise click.UsageError(f"--preset {options.preset} has no hint prior; leave --no-prior out")
        config = replace(config, model={"prior": False})
    _train(StencilTorchRun, config, options, **changes)


@click.command("train-paintstorch")
@run_options(("cpu", "gpu", "thesis"))
@_recipe_options
def train_paintstorch(options: RunOptions, **changes: Any) -> None:
    """Train PaintsTorch on SHARDS in the folder RUN.

    --init also takes StencilTorch's compact weights: what is for in-painting is folded away.
    """
    from training.recipes.paintstorch import PRESETS, PaintsTorchRun

    _train(PaintsTorchRun, PRESETS[options.preset], options, **changes)


def _train(
    kind: Callable[..., Run[Any]],
    config: ThesisTrainConfig,
    options: RunOptions,
    *,
    scheme: str | None,
    no_reassign: bool,
    content_weights: Path | None,
    features_weights: Path | None,
    **changes: Any,
) -> None:
    """Train a model by its configuration and the options that were given."""
    from training.data.strokes import SCHEMES

    config = changed(config, changes)
    if scheme is not None and scheme not in SCHEMES:
        raise click.BadParameter(f"{scheme} is none of {', '.join(SCHEMES)}", param_hint="--scheme")
    recipe = replace(config.recipe, scheme=scheme or config.recipe.scheme)
    config = replace(config, recipe=replace(recipe, reassign=0.0) if no_reassign else recipe)
    carry_out(kind, config, options, content_weights=content_weights, features_weights=features_weights)
