"""The ``training`` command: pack art into shards, train, export."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from engine.system.progress import ProgressBar
from training.cli.convert import convert
from training.cli.encoder import probe_encoder, train_encoder
from training.cli.export import export
from training.cli.failures import Group
from training.cli.preview import preview
from training.cli.regions import pack_regions, train_regions
from training.cli.stablepaint import train_stablepaint
from training.cli.train import train_paintstorch, train_stenciltorch
from training.curate.command import curate
from training.evaluation.command import evaluate
from training.study.command import study


@click.group(cls=Group)
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

    with contextlib.closing(ProgressBar()) as bar:
        for line in write_shards(read_manifest(art, split), out, short_side, workers=workers, tell=bar):
            bar.say(line)


@main.command()
@click.argument("art", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--split", default="train", show_default=True)
def sources(art: Path, split: str) -> None:
    """Print the table of sources and licences of ART for a model card."""
    from training.data.pack import read_manifest, sources_table

    click.echo(sources_table(read_manifest(art, split)))


@main.command()
@click.argument("shards", type=click.Path(exists=True, file_okay=False, path_type=Path))
def moments(shards: Path) -> None:
    """Print the palette moments of SHARDS as JSON for ``export --descriptor``."""
    from training.data.dataset import load_shards
    from training.data.flats import palette_moments

    mean, spread = palette_moments([(p.palette, p.labels) for p in load_shards(shards).train])
    click.echo(json.dumps({"palette_mean": mean, "palette_spread": spread}))


for command in (
    convert,
    curate,
    evaluate,
    export,
    pack_regions,
    preview,
    study,
    train_encoder,
    probe_encoder,
    train_paintstorch,
    train_regions,
    train_stablepaint,
    train_stenciltorch,
):
    main.add_command(command)
