"""The ``training`` command: pack art into shards, train, export."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click


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


@main.command("train-stenciltorch")
@click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--preset", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--steps", type=int, help="Optimiser steps in all; the preset's by default.")
@click.option("--lr", type=float, help="Peak learning rate; the preset's by default. Less suits a start from --init.")
@click.option("--max-minutes", type=float, default=1e9, help="Stop cleanly after this long; resume later.")
@click.option("--save-minutes", type=float, default=5.0, show_default=True)
@click.option("--adversarial-from", type=float, help="Part of the run after which the critic joins (1 = never).")
@click.option("--no-prior", is_flag=True, help="Ablation: train without the hint prior.")
@click.option("--limit", type=int, help="Use only this many pictures (trials).")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--init", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Weights to start from.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
def train_stenciltorch(
    shards: Path,
    run: Path,
    preset: str,
    steps: int | None,
    lr: float | None,
    max_minutes: float,
    save_minutes: float,
    adversarial_from: float | None,
    no_prior: bool,
    limit: int | None,
    seed: int,
    init: Path | None,
    resume: bool,
) -> None:
    """Train the default model on SHARDS in the folder RUN."""
    from engine.errors import ColorizeError
    from training.stenciltorch import PRESETS, Run

    config = replace(PRESETS[preset], seed=seed)
    if steps is not None:
        config = replace(config, steps=steps)
    if lr is not None:
        config = replace(config, lr=lr)
    if adversarial_from is not None:
        config = replace(config, adversarial_from=adversarial_from)
    if no_prior:
        config = replace(config, model={"prior": False})
    if (run / "state.safetensors").exists() and not resume:
        raise click.ClickException(f"{run} holds a run already; continue it with --resume or name another folder")
    try:
        training = Run(run, shards, config, limit)
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
