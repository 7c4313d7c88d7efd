"""The commands ``training pack-regions`` and ``training train-regions``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from engine.system.progress import ProgressBar
from training.cli.run import RunOptions, carry_out, changed, run_options


@click.command("pack-regions")
@click.argument("art", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--split", default="train", show_default=True, help="Rows of manifest.csv to pack.")
@click.option("--short-side", default=320, show_default=True, help="Regions are looked for at this short side.")
@click.option("--workers", default=2, show_default=True)
def pack_regions(art: Path, out: Path, split: str, short_side: int, workers: int) -> None:
    """Draw the pictures of ART/manifest.csv and pack their regions into OUT for train-regions.

    The same command goes on where it was interrupted.
    """
    from training.data.pack import read_manifest
    from training.regions.pack import pack_regions as write_regions

    with contextlib.closing(ProgressBar()) as bar:
        for at in write_regions(read_manifest(art, split), out, short_side, workers):
            bar("pictures packed", at.done, at.total)
            if at.said:
                bar.say(at.said)
    click.echo(f"packed into {out}")


@click.command("train-regions")
@run_options(("cpu", "gpu"))
@click.option("--lr", type=float, help="Peak learning rate; the preset's by default. Less suits --init.")
@click.option("--most", type=click.IntRange(2), help="Regions of a drawing; the smallest of more are taken together.")
@click.option("--bf16/--no-bf16", default=None, help="Compute in bfloat16 where the device has it.  [default: yes]")
def train_regions(options: RunOptions, **changes: Any) -> None:
    """Train the region colour model on SHARDS, which pack-regions made, in the folder RUN.

    The finished weights are RUN/weights.safetensors.
    """
    from training.regions.run import PRESETS, RegionRun

    carry_out(RegionRun, changed(PRESETS[options.preset], changes), options)
