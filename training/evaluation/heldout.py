"""Held-out art made ready to be measured on: picture, lineart, true regions and the same strokes for every method."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ColorizeError
from engine.imaging.files.reading import on_white
from engine.imaging.regions.segmentation import nearest_label
from engine.system.files import atomic_write
from training.data import flats, strokes
from training.data.extractors import xdog
from training.data.pack import Source, read_manifest
from training.evaluation.metrics import find_line

SHORT_SIDE = 512
"""Pictures are scaled down to this short side, never up."""
XDOG = {"sigma": 0.5, "k": 4.0, "gamma": 0.95, "eps": -0.02, "phi": 200.0}
"""The one setting by which illustrations without a drawn lineart get one: crisp black lines, no filled shadows."""
OWN_COLOUR = 16
"""Strokes vary about a region's colour by some bytes; one that is further off came over from next door."""
MASKED = 10_007
"""Stands for the hint count in the seed of the run with a mask."""
FULL = -1
"""The hint count that stands for the whole flat picture."""


@dataclass(frozen=True)
class Picture:
    """One held-out picture.

    Attributes:
        key: name, unique in the set.
        group: folder it comes from; pictures of one group share an artist or a book.
        index: place in the whole sorted set, which seeds its strokes.
        original: HxWx3 uint8.
        lineart: HxW float32 in [0, 1], 1 = paper.
        drawn: the lineart was drawn by a hand, not made from the original.
        ink: HxW bool.
        labels: HxW int32 true regions; ink belongs to the region next to it.
        palette: Nx3 uint8 true flat colours.
    """

    key: str
    group: str
    index: int
    original: NDArray[np.uint8]
    lineart: NDArray[np.float32]
    drawn: bool
    ink: NDArray[np.bool_]
    labels: NDArray[np.int32]
    palette: NDArray[np.uint8]

    def draw_hints(self, seed: int, count: int, mask: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Draw ``count`` strokes as the training data has them, HxWx4; inside the HxW mask when there is one.

        ``FULL`` gives the flat picture itself, in which nothing is left to chance.
        """
        rng = np.random.default_rng([seed, self.index, max(count, 0) if mask is None else MASKED])
        area = np.full(self.labels.shape, 255, np.uint8) if mask is None else mask
        unit = min(self.labels.shape) / 512
        return strokes.draw_hints(rng, self.labels, self.palette, area, count, unit)

    def hinted_regions(self, hints: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Labels of the regions in which HxWx4 ``hints`` hold a stroke of the region's own colour."""
        painted = hints[..., 3] > 0
        labels = self.labels[painted]
        off = np.abs(hints[painted][:, :3].astype(np.int16) - self.palette[labels]).max(axis=1, initial=0)
        return np.unique(labels[off <= OWN_COLOUR])

    def draw_mask(self, seed: int) -> NDArray[np.uint8]:
        """Draw a mask that leaves something out, HxW, 255 = colour here."""
        rng = np.random.default_rng([seed, self.index, MASKED])
        while True:
            mask = strokes.draw_mask(rng, self.labels)
            if mask.min() == 0:
                return mask


def list_pictures(root: Path, splits: tuple[str, ...], limit: int | None = None) -> list[tuple[int, Source]]:
    """List (index, source) of the pictures of a manifest; the index does not depend on the limit.

    Args:
        root: folder with ``manifest.csv``.
        splits: which of its splits, one after the other.
        limit: take only this many, spread evenly over the set.

    Raises:
        ColorizeError: there is no manifest, it cannot be read, or it lists no such picture.
    """
    if not (root / "manifest.csv").is_file():
        raise ColorizeError(f"{root} holds no manifest.csv", "name the folder of the art", wrong_use=True)
    try:
        numbered = list(enumerate(source for split in splits for source in read_manifest(root, split)))
    except (OSError, ValueError, KeyError) as e:
        raise ColorizeError(f"{root / 'manifest.csv'} cannot be used ({e})", "mend the manifest") from e
    if not numbered:
        wanted = " or ".join(splits)
        raise ColorizeError(f"{root} holds no pictures marked {wanted}", "name another folder or split", wrong_use=True)
    if limit is None or limit >= len(numbered):
        return numbered
    return [numbered[(2 * i + 1) * len(numbered) // (2 * limit)] for i in range(limit)]


def varied(groups: list[str], wanted: int) -> set[int]:
    """Places of pictures to show: each folder in turn gives one until there are enough."""
    queues: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        queues.setdefault(group, []).append(place)
    # Neighbours in a folder look alike, so each queue is read from both ends in turn.
    turns = [[q[i // 2] if i % 2 == 0 else q[-1 - i // 2] for i in range(len(q))] for q in queues.values()]
    longest = max((len(t) for t in turns), default=0)
    order = [t[i] for i in range(longest) for t in turns if i < len(t)]
    return set(order[:wanted])


def synthesise(original: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Draw the lineart of an illustration with xDoG, HxWx3 to HxW in [0, 1]."""
    grey = torch.from_numpy(original.astype(np.float32) / 255 @ np.array([0.299, 0.587, 0.114], np.float32))
    sigma, k, gamma, eps, phi = (torch.full((1, 1, 1, 1), XDOG[n]) for n in ("sigma", "k", "gamma", "eps", "phi"))
    return np.asarray(xdog(grey[None, None], sigma, k, gamma, eps, phi)[0, 0].numpy(), np.float32)


def give_ink_away(labels: NDArray[np.int32], ink: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Give regions of HxW labels that are mostly ink to the nearest other: nobody hints a line, nor colours it."""
    area = np.bincount(labels.ravel())
    inked = np.bincount(labels[ink], minlength=len(area))
    lost = inked * 2 > area
    if lost.all():
        return labels
    return nearest_label(np.where(lost[labels], 0, labels + 1).astype(np.int32)) - 1


def _simplify(original: NDArray[np.uint8], cache: Path, key: str) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Find the flats of a picture, or read them from the cache when picture and code are the same as then."""
    digest = hashlib.sha256(Path(flats.__file__).read_bytes() + original.tobytes()).hexdigest()[:16]
    path = cache / f"{key}-{digest}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return stored["labels"], stored["palette"]
    labels, palette = flats.simplify(original)
    cache.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, labels=labels, palette=palette)
    return labels, palette


def load_picture(index: int, source: Source, cache: Path) -> Picture:
    """Read one picture at working size with its lineart and regions; ``cache`` keeps the regions between runs."""
    with Image.open(source.image) as image:
        colour = on_white(image)
    scale = min(1.0, SHORT_SIDE / min(colour.size))
    size = (max(1, round(colour.width * scale)), max(1, round(colour.height * scale)))
    original = np.asarray(colour.resize(size, Image.Resampling.LANCZOS))
    if source.line is None:
        lineart = synthesise(original)
    else:
        with Image.open(source.line) as image:
            line = image.convert("L").resize(size, Image.Resampling.LANCZOS)
        lineart = np.asarray(line, np.float32) / np.float32(255)
    labels, palette = _simplify(original, cache, source.key)
    ink = find_line(lineart)
    return Picture(
        key=source.key,
        group=source.image.parent.name,
        index=index,
        original=original,
        lineart=lineart,
        drawn=source.line is not None,
        ink=ink,
        labels=give_ink_away(labels, ink),
        palette=palette,
    )
