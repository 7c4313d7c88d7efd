"""``training preview``: a sheet of any step of the data recipe for chosen pictures."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click

from engine.system.progress import ProgressBar

STEPS = ("lineart", "l0", "regions", "flats", "masks", "strokes", "all")
SCHEMES = ("default", "paintstorch", "stenciltorch")
SMOOTHINGS = ("opencv", "bilateral", "l0", "none")


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="PNG to write.")
@click.option("--step", type=click.Choice(STEPS), default="all", show_default=True, help="Step of the recipe to show.")
@click.option("--scheme", type=click.Choice(SCHEMES), help="Show strokes of this hint scheme only.")
@click.option("--smoothing", type=click.Choice(SMOOTHINGS), default="opencv", show_default=True, help="For the flats.")
@click.option("--size", type=click.IntRange(32, 1024), default=256, show_default=True, help="Pixels of a crop.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--epoch", type=click.IntRange(0), default=0, show_default=True, help="First epoch to show.")
def preview(images: tuple[Path, ...], out: Path, step: str, **options: Any) -> None:
    """Write a labelled sheet of what training makes of IMAGES, a row each.

    Linearts, masks and strokes are those that training draws for this seed, picture and epoch.
    """
    from engine.system.files import atomic_write
    from training.data.preview import View, make_sheet

    with contextlib.closing(ProgressBar()) as bar:
        sheet = make_sheet(list(images), step, View(**options), bar)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as temporary:
        sheet.save(temporary, "PNG")
    click.echo(f"wrote {out} ({sheet.width} x {sheet.height})")
