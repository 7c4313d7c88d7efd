"""The ``training`` command: pack art into shards, train, export."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.curate.command import curate
from training.evaluation.command import evaluate
from training.preview_command import preview
from training.study.command import study

if TYPE_CHECKING:
    from training.run import Run, TrainConfig


@click.group()
def main() -> None:
    """Train Colorize's models on a folder of art with a manifest."""


@main.command()
@click.argument("art", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--split", default="train", show_default=True, help="Rows of manifest.csv to pack.")
@click.option("--short-side", default=320, show_default=True, help="Pictures are resized to this short side.")
@click.option("--workers", default=2, show_default=True)
def pack(art: Path, out: Path, split: str, short_side: int, workers: int) -> None:
    """Pack the pictures of ART/manifest.csv into shards of under 16 MB in OUT."""
    from training.data.pack import pack as write_shards
    from training.data.pack import read_manifest

    try:
        for line in write_shards(read_manifest(art, split), out, short_side, workers=workers):
            click.echo(line)
    except (OSError, ValueError) as e:
        raise click.ClickException(str(e)) from e


@main.command()
@click.argument("art", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="train", show_default=True)
def sources(art: Path, split: str) -> None:
    """Print the table of sources and licences of ART for a model card."""
    from training.data.pack import read_manifest, sources_table

    try:
        click.echo(sources_table(read_manifest(art, split)))
    except (OSError, ValueError) as e:
        raise click.ClickException(str(e)) from e


main.add_command(curate)
main.add_command(evaluate)
main.add_command(preview)
main.add_command(study)


def _run_options(presets: tuple[str, ...]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The arguments and options that every training command has."""
    path = click.Path(path_type=Path)
    options = [
        click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path)),
        click.argument("run", type=path),
        click.option("--preset", type=click.Choice(presets), default="cpu", show_default=True),
        click.option("--steps", type=int, help="Optimiser steps in all; the preset's by default."),
        click.option("--lr", type=float, help="Peak learning rate; the preset's by default. Less suits --init."),
        click.option("--max-minutes", type=float, default=1e9, help="Stop cleanly after this long; resume later."),
        click.option("--save-minutes", type=float, default=5.0, show_default=True),
        click.option(
            "--adversarial-from", type=float, help="Part of the run after which the critic joins (1 = never)."
        ),
        click.option("--limit", type=int, help="Use only this many pictures (trials)."),
        click.option("--seed", type=int, default=1, show_default=True),
        click.option(
            "--init", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Weights to start from."
        ),
        click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint."),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@main.command("train-stenciltorch")
@_run_options(("cpu", "gpu"))
@click.option("--no-prior", is_flag=True, help="Ablation: train without the hint prior.")
def train_stenciltorch(no_prior: bool, preset: str, **options: Any) -> None:
    """Train the default model on SHARDS in the folder RUN."""
    from training.stenciltorch import PRESETS, StencilTorchRun

    config = PRESETS[preset]
    _train(StencilTorchRun, replace(config, model={"prior": False}) if no_prior else config, **options)


@main.command("train-paintstorch")
@_run_options(("cpu", "gpu", "thesis"))
def train_paintstorch(preset: str, **options: Any) -> None:
    """Train PaintsTorch on SHARDS in the folder RUN.

    --init also takes StencilTorch's compact weights: what is for in-painting is folded away.
    """
    from training.paintstorch import PRESETS, PaintsTorchRun

    _train(PaintsTorchRun, PRESETS[preset], **options)


def _train(
    kind: Callable[..., Run],
    config: TrainConfig,
    *,
    shards: Path,
    run: Path,
    max_minutes: float,
    save_minutes: float,
    limit: int | None,
    init: Path | None,
    resume: bool,
    **changes: Any,
) -> None:
    """Train, and say how it goes."""
    from engine.errors import ColorizeError

    config = replace(config, **{key: value for key, value in changes.items() if value is not None})
    if (run / "state.safetensors").exists() and not resume:
        raise click.ClickException(f"{run} holds a run already; continue it with --resume or name another folder")
    try:
        training = kind(run, shards, config, limit)
        if resume and training.resume():
            click.echo(f"resumed at step {training.step}")
        elif init is not None:
            training.start_from(init)
        for line in training.train(max_minutes, save_minutes):
            click.echo(line)
    except (OSError, ValueError, ColorizeError) as e:
        raise click.ClickException(str(e)) from e


@main.command()
@click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path))
def moments(shards: Path) -> None:
    """Print the palette moments of SHARDS as JSON for ``export --descriptor``."""
    from training.data.dataset import load_shards
    from training.data.flats import palette_moments

    try:
        mean, spread = palette_moments([(p.palette, p.labels) for p in load_shards(shards).train])
    except (OSError, ValueError) as e:
        raise click.ClickException(str(e)) from e
    click.echo(json.dumps({"palette_mean": mean, "palette_spread": spread}))


@main.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--descriptor", default="{}", help="JSON of measured descriptor values, such as gains.")
@click.option("--note", multiple=True, help="KEY=VALUE to keep in the metadata, such as metrics.")
def export(run: Path, out: Path, descriptor: str, note: tuple[str, ...]) -> None:
    """Write the averaged weights of RUN to OUT with their metadata."""
    from engine.errors import ColorizeError
    from engine.models.checkpoint import read_metadata, read_tensors, save_model
    from engine.models.registry import ARCHITECTURES, parse_config

    try:
        source = run / "weights.safetensors"
        metadata = read_metadata(source)
        architecture = metadata.pop("architecture")
        config = parse_config(ARCHITECTURES[architecture].config, json.loads(metadata.pop("config")))
        metadata |= dict(item.split("=", 1) for item in note)
        save_model(out, read_tensors(source), architecture, config, metadata, json.loads(descriptor))
    except (OSError, ValueError, ColorizeError) as e:
        raise click.ClickException(str(e)) from e
    click.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")
