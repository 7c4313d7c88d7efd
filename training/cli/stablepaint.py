"""The command ``training train-stablepaint``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from training.cli.run import FILE, RunOptions, carry_out, changed, run_options


@click.command("train-stablepaint")
@run_options(("cpu", "gpu"))
@click.option("--stage", type=click.Choice(("vae", "context", "denoiser", "all")), default="all", show_default=True)
@click.option("--accumulate", type=click.IntRange(1), help="Compute each batch in this many parts.")
@click.option("--stream", is_flag=True, default=None, help="Read pictures as needed; large sets always are.")
@click.option("--adversarial-from", type=float, help="Part of the VAE's stage after which its critic joins; 1 = never.")
@click.option("--lpips", type=FILE, help="LPIPS weights for the VAE's perceptual loss, instead of our own encoder's.")
def train_stablepaint(options: RunOptions, stage: str, lpips: Path | None, **changes: Any) -> None:
    """Train StablePaint on SHARDS in the folder RUN: VAE, context encoder, denoiser, or all in turn.

    With --init the context encoder needs a VAE, and the denoiser both.
    """
    from training.features.weights import OWN_ENCODER
    from training.recipes.stablepaint import PRESETS, STAGES, StablePaintRun, plan

    if stage in ("context", "denoiser") and options.init is None and not options.resume:
        raise click.UsageError(f"--stage {stage} goes on from finished weights; name them with --init")
    config = plan(PRESETS[options.preset], STAGES if stage == "all" else [s for s in STAGES if s == stage])
    config = changed(config, changes)
    eyes = "lpips" if lpips is not None else "own" if OWN_ENCODER.is_file() else "none"
    config = replace(config, perceptual=eyes if any(s.name == "vae" for s in config.stages) else "none")
    carry_out(StablePaintRun, config, options, lpips)
