"""The ``training`` command: pack art into shards, train, export."""

from __future__ import annotations

import json
from pathlib import Path

import click

from training.cli.convert import convert
from training.cli.encoder import probe_encoder, train_encoder
from training.cli.export import export
from training.cli.preview import preview
from training.cli.stablepaint import train_stablepaint
from training.cli.train import train_paintstorch, train_stenciltorch
from training.curate.command import curate
from training.evaluation.command import evaluate
from training.study.command import study


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


main.add_command(convert)
main.add_command(curate)
main.add_command(evaluate)
main.add_command(export)
main.add_command(preview)
main.add_command(study)
main.add_command(train_encoder)
main.add_command(probe_encoder)
main.add_command(train_paintstorch)
main.add_command(train_stablepaint)
main.add_command(train_stenciltorch)


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
