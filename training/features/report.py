"""``training probe-encoder``: the numbers of ``probe`` as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.imaging.files.reading import on_white
from engine.models.components.encoder import Encoder
from training.data.pack import Source, read_manifest
from training.features.probe import (
    SIDE,
    Look,
    chance_level,
    colour_statistics,
    colour_told,
    distortion_distances,
    encoder_look,
    line_cells,
    linearts,
    look_at,
    neighbour_accuracy,
    neighbour_sheet,
    oklab_distance,
    square,
    thumbnail,
)
from training.features.weights import OWN_ENCODER, load_encoder
from training.losses.content import encoder_content

SHOWN = 24
"""Pictures whose distortions are measured."""


def _read(sources: Sequence[Source]) -> Tensor:
    parts = []
    for source in sources:
        with Image.open(source.image) as image:
            parts.append(square(np.asarray(on_white(image)), SIDE))
    return torch.cat(parts)


def probe(
    art: Path, weights: Path | None, splits: Sequence[str], limit: int | None, sheet: Path | None
) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        art: folder with a manifest.
        weights: of the encoder, None = those that come with the package.
        splits: rows of the manifest.
        limit: look at this many pictures, spread over all.
        sheet: where to write nearest neighbours.

    Raises:
        OSError: a picture cannot be read, or the sheet not written.
        ValueError: no author has enough pictures.
        ColorizeError: the weights are no encoder.
    """
    encoder, metadata = load_encoder(weights or OWN_ENCODER)
    sources = [s for split in splits for s in read_manifest(art, split)]
    if limit is not None and limit < len(sources):
        sources = [sources[i] for i in np.linspace(0, len(sources) - 1, limit).astype(int)]
    pictures, labels = _read(sources), [s.author for s in sources]
    drawn = linearts(pictures)
    yield f"{weights or 'the shipped encoder'}, git {metadata.get('git_revision', 'unknown')}; {', '.join(splits)}: "
    yield f"{len(sources)} pictures by {len(set(labels))} authors, {SIDE} px"
    yield ""
    yield "| looked at by | nearest is by the same author | of linearts |"
    yield "| --- | ---: | ---: |"
    for name, look in _looks(encoder).items():
        right = [neighbour_accuracy(look_at(look, x), labels) for x in (pictures, drawn)]
        yield f"| {name} | {right[0]:.1%} | {right[1]:.1%} |"
    yield f"| chance | {chance_level(labels):.1%} | {chance_level(labels):.1%} |"
    yield ""
    yield "What a linear reading of a lineart's map at 1/16 tells of the picture's cells there, as a share of variance:"
    yield ""
    yield "| map | lightness | colour |"
    yield "| --- | ---: | ---: |"
    for name, look in _maps(encoder).items():
        lightness, colour = colour_told(look, drawn, pictures)
        yield f"| {name} | {lightness:.3f} | {colour:.3f} |"
    yield ""
    some = pictures[np.linspace(0, len(pictures) - 1, min(SHOWN, len(pictures))).astype(int)]
    distances: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "content loss `own`": encoder_content(encoder),
        "OKLab, pixel by pixel": oklab_distance,
    }
    found = [distortion_distances(d, some) for d in distances.values()]
    yield f"Distances of {len(some)} pictures from their distortions, in parts of that from another picture:"
    yield ""
    yield f"| distortion | {' | '.join(distances)} |"
    yield f"| --- |{' ---: |' * len(distances)}"
    for name in found[0]:
        shares = [f[name] / f["another picture"] for f in found]
        yield f"| {name} | {' | '.join(f'{s:.3f}' for s in shares)} |"
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        neighbour_sheet(pictures, look_at(encoder_look(encoder), pictures)).save(sheet)
        yield ""
        yield f"wrote {sheet}: a picture a row, its nearest neighbours to the right"


def _untrained(like: Encoder) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(like.config)
    encoder.eval()
    return encoder


def _looks(encoder: Encoder) -> dict[str, Look]:
    """The encoder, and what it must be better than."""
    return {
        "the encoder": encoder_look(encoder),
        "the encoder before training": encoder_look(_untrained(encoder)),
        "pixels at 16 x 16": thumbnail,
        "a colour histogram": colour_statistics,
    }


def _maps(encoder: Encoder) -> dict[str, Look]:
    """The same for linearts."""
    untrained = _untrained(encoder)
    return {
        "the encoder": lambda x: encoder(x)[-1],
        "the encoder before training": lambda x: untrained(x)[-1],
        "pixels": line_cells,
    }
