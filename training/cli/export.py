"""The ``training export`` command: finished weights from a run, or a model as ONNX."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

FIXED = ("architecture", "config", "format_version")
"""Metadata that says how to read the tensors; no note may change it."""


def _read_descriptor(_ctx: click.Context, _option: click.Parameter, value: str) -> dict[str, Any]:
    try:
        found = json.loads(value)
    except ValueError as e:
        raise click.BadParameter(f"it is no JSON ({e})") from e
    if not isinstance(found, dict):
        raise click.BadParameter('it should be a JSON object, such as {"shading_gain": 1.75}')
    return found


def _read_notes(_ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    without = [note for note in value if "=" not in note]
    if without:
        raise click.BadParameter(f"'{without[0]}' should be KEY=VALUE")
    return dict(note.split("=", 1) for note in value)


def _read_out(_ctx: click.Context, _option: click.Parameter, value: Path) -> Path:
    if value.suffix not in (".safetensors", ".onnx"):
        raise click.BadParameter(f"{value.name} should end in .safetensors or .onnx")
    return value


@click.command()
@click.argument("source")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), callback=_read_out)
@click.option(
    "--descriptor",
    default="{}",
    callback=_read_descriptor,
    help="JSON of measured descriptor values, such as gains; they go before those of SOURCE.",
)
@click.option(
    "--note",
    "notes",
    multiple=True,
    callback=_read_notes,
    metavar="KEY=VALUE",
    help="To keep in the metadata, such as metrics; may be repeated.",
)
@click.option(
    "--art",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Keep the table of sources and licences of ART's training split in the metadata.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    default=1e-4,
    show_default=True,
    help="ONNX: largest difference to torch, of colours in [-1, 1].",
)
def export(
    source: str,
    out: Path,
    descriptor: dict[str, Any],
    notes: dict[str, str],
    art: Path | None,
    tolerance: float,
) -> None:
    """Write SOURCE to OUT with its metadata.

    SOURCE is the folder of a run, whose averaged weights are taken, a .safetensors file, or the name of an installed
    model such as stenciltorch. OUT ends in .safetensors, or in .onnx for a file that other programs can run; that one
    is checked against torch first.
    """
    try:
        _export(source, out, descriptor, notes, art, tolerance)
    except ImportError as e:
        raise click.ClickException(f"{e}\n  pip install 'krita-colorize[train]' brings what ONNX needs") from e
    click.echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


def find_source(source: str) -> Path:
    """The weights that a run folder, a file or a model's name stands for.

    Raises:
        ColorizeError: nothing of that name.
    """
    from engine.errors import ColorizeError
    from engine.models.checkpoint import find_weights

    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        weights = path / "weights.safetensors"
        if not weights.is_file():
            remedy = "train in it first, or name another folder"
            raise ColorizeError(f"{path} holds no run: there is no weights.safetensors in it", remedy)
        return weights
    return find_weights(source)


def find_card(weights: Path) -> Path | None:
    """The model card beside a weights file, its own or that of the folder."""
    cards = (weights.with_suffix(".md"), weights.parent / "MODEL_CARD.md")
    return next((card for card in cards if card.is_file()), None)


def _export(
    source: str, out: Path, descriptor: dict[str, Any], notes: dict[str, str], art: Path | None, tolerance: float
) -> None:
    from engine.models.base import Descriptor
    from engine.models.checkpoint import describe, load_model, read_metadata, read_tensors, save_model
    from engine.models.registry import ARCHITECTURES, parse_config

    weights = find_source(source)
    stored = read_metadata(weights)
    metadata = {**stored, **notes, **{key: stored[key] for key in FIXED if key in stored}}
    described = parse_config(Descriptor, {**asdict(describe(weights)), **descriptor})
    if art is not None:
        from training.data.pack import read_manifest, sources_table

        metadata["sources"] = sources_table(read_manifest(art, "train"))
    if out.suffix == ".safetensors":
        architecture = ARCHITECTURES[metadata["architecture"]]
        config = parse_config(architecture.config, json.loads(metadata.get("config", "{}")))
        changes = {**json.loads(stored.get("descriptor", "{}")), **descriptor}
        save_model(out, read_tensors(weights), metadata["architecture"], config, metadata, changes)
        return
    from training.export.onnx_export import write_onnx

    card = find_card(weights)
    if card is not None:
        metadata["model_card"] = card.read_text(encoding="utf-8")
    model = replace(load_model(weights), descriptor=described)
    for checked in write_onnx(out, model, metadata, tolerance):
        click.echo(str(checked))
