"""The commands ``training train-encoder`` and ``training probe-encoder``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from training.cli.run import RunOptions, carry_out, changed, run_options


@click.command("train-encoder")
@run_options(("cpu", "gpu"))
@click.option("--lr", type=float, help="Peak learning rate; the preset's by default. Less suits --init.")
def train_encoder(options: RunOptions, **changes: Any) -> None:
    """Train an encoder of pictures and linearts on SHARDS, without labels, in the folder RUN.

    It gives `--content own` and `--features learned` their eyes. The finished weights are RUN/weights.safetensors.
    """
    from training.features.run import PRESETS, EncoderRun

    carry_out(EncoderRun, changed(PRESETS[options.preset], changes), options)


@click.command("probe-encoder")
@click.argument("art", type=click.Path(exists=True, file_okay=False, path_type=Path))
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
    from training.features.report import probe

    for line in probe(art, weights, split, limit, sheet):
        click.echo(line)
