"""The commands ``training train-encoder`` and ``training probe-encoder``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

_SHARDS = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("train-encoder")
@click.argument("shards", type=_SHARDS)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--preset", type=click.Choice(("cpu", "gpu")), default="cpu", show_default=True)
@click.option("--steps", type=int, help="Optimiser steps in all; the preset's by default.")
@click.option("--max-minutes", type=float, default=1e9, help="Stop cleanly after this long; resume later.")
@click.option("--save-minutes", type=float, default=5.0, show_default=True)
@click.option("--limit", type=int, help="Use only this many pictures (trials).")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
def train_encoder(
    shards: Path,
    run: Path,
    preset: str,
    steps: int | None,
    max_minutes: float,
    save_minutes: float,
    limit: int | None,
    seed: int,
    resume: bool,
) -> None:
    """Train an encoder of pictures and linearts on SHARDS, without labels, in the folder RUN.

    It gives `--content own` and `--features learned` their eyes. The finished weights are RUN/weights.safetensors.
    """
    from training.features.run import PRESETS, EncoderRun

    config = replace(PRESETS[preset], seed=seed)
    config = replace(config, steps=steps) if steps is not None else config
    if (run / "state.safetensors").exists() and not resume:
        raise click.ClickException(f"{run} holds a run already; continue it with --resume or name another folder")
    try:
        training = EncoderRun(run, shards, config, limit)
        if resume and training.resume():
            click.echo(f"resumed at step {training.step}")
        for line in training.train(max_minutes, save_minutes):
            click.echo(line)
    except (OSError, ValueError) as e:
        raise click.ClickException(str(e)) from e


@click.command("probe-encoder")
@click.argument("art", type=_SHARDS)
@click.argument("weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--split", multiple=True, default=("train",), show_default=True, help="Rows of manifest.csv; repeatable.")
@click.option("--limit", type=int, help="Look at this many pictures, spread over all.")
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Write nearest neighbours as a PNG.")
def probe_encoder(
    art: Path, weights: Path | None, split: tuple[str, ...], limit: int | None, sheet: Path | None
) -> None:
    """Say what the encoder WEIGHTS (the shipped one by default) is good for on ART with its manifest.csv.

    How often the nearest neighbour of a picture, or of its lineart, is by the same author; and how far distortions of a
    picture are from it, in the eyes of the content loss.
    """
    from engine.errors import ColorizeError
    from training.features.report import probe

    try:
        for line in probe(art, weights, split, limit, sheet):
            click.echo(line)
    except (OSError, ValueError, ColorizeError) as e:
        raise click.ClickException(str(e)) from e
