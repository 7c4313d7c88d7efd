"""The command ``training train-stablepaint``."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import click

from training.cli.train import begin

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("train-stablepaint")
@click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--stage", type=click.Choice(("vae", "context", "denoiser", "all")), default="all", show_default=True)
@click.option("--preset", type=click.Choice(("cpu", "gpu")), default="cpu", show_default=True)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps in all; the preset's by default.")
@click.option("--max-minutes", type=float, default=1e9, help="Stop cleanly after this long; resume later.")
@click.option("--save-minutes", type=float, default=5.0, show_default=True)
@click.option("--keep", type=click.IntRange(1), default=2, show_default=True, help="Newest checkpoints to keep.")
@click.option("--batch", type=click.IntRange(1), help="Samples a step of the first phase; others in proportion.")
@click.option("--accumulate", type=click.IntRange(1), help="Compute each batch in this many parts.")
@click.option("--stream", is_flag=True, default=None, help="Read pictures as needed; large sets always are.")
@click.option("--adversarial-from", type=float, help="Part of the VAE's stage after which its critic joins; 1 = never.")
@click.option("--lpips", type=FILE, help="LPIPS weights for the VAE's perceptual loss, instead of our own encoder's.")
@click.option("--limit", type=int, help="Use only this many pictures (trials).")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--init", type=FILE, help="Weights to start from; the context needs a VAE, the denoiser both.")
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
def train_stablepaint(
    shards: Path,
    run: Path,
    stage: str,
    preset: str,
    steps: int | None,
    max_minutes: float,
    save_minutes: float,
    batch: int | None,
    lpips: Path | None,
    init: Path | None,
    resume: bool,
    limit: int | None,
    keep: int,
    **changes: Any,
) -> None:
    """Train StablePaint on SHARDS in the folder RUN: VAE, context encoder, denoiser, or all in turn."""
    from engine.errors import ColorizeError
    from training.features.weights import OWN_ENCODER
    from training.recipes.stablepaint import PRESETS, STAGES, StablePaintRun, plan
    from training.runs.config import with_batch
    from training.runs.distributed import join

    if stage in ("context", "denoiser") and init is None and not resume:
        raise click.UsageError(f"--stage {stage} goes on from finished weights; name them with --init")
    config = plan(PRESETS[preset], STAGES if stage == "all" else [s for s in STAGES if s == stage], steps)
    config = replace(config, **{key: value for key, value in changes.items() if value is not None})
    eyes = "lpips" if lpips is not None else "own" if OWN_ENCODER.is_file() else "none"
    config = replace(config, perceptual=eyes if any(s.name == "vae" for s in config.stages) else "none")
    config = config if batch is None else with_batch(config, batch)
    try:
        with join() as team:
            training = StablePaintRun(run, shards, config, lpips, limit=limit, team=team, keep=keep)
            for line in chain(begin(training, resume, init), training.train(max_minutes, save_minutes)):
                if team.leads:
                    click.echo(line)
    except (OSError, ValueError, ColorizeError) as e:
        wrong = isinstance(e, ColorizeError) and e.wrong_use
        raise (click.UsageError if wrong else click.ClickException)(str(e)) from e
