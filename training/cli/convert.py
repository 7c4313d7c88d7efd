"""``training convert``: published weights of others as safetensors."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("source", type=_FILE)
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--features-weights", type=_FILE, help="Converted Illustration2Vec to go with a generator.")
def convert(source: Path, out: Path, features_weights: Path | None) -> None:
    """Write the state dict SOURCE (.pth) of another project as OUT (.safetensors); what it is, its names tell.

    Known: the author's PaintsTorch and StencilTorch generators, which `engine colorize --weights` then takes;
    Illustration2Vec for --features; torchvision's VGG16 for --content. Nothing in SOURCE is run.
    """
    from training.export.convert import convert as write

    done = write(source, out, features_weights)
    click.echo(f"wrote {out}: {done.kind}, {done.tensors} tensors, {out.stat().st_size / 1e6:.1f} MB")
    click.echo(f"SHA-256 of the tensors: {done.digest}")
    if done.left_out:
        shown = ", ".join(done.left_out[:6]) + (", ..." if len(done.left_out) > 6 else "")
        click.echo(f"left out {len(done.left_out)}: {shown}")
    for note in done.notes:
        click.echo(note)
