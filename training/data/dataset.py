"""Random crops from packed shards in memory, with hints and a mask; deterministic whatever the workers do.

A sample depends on (seed, number of the sample) where pictures are drawn by weight, and on (seed, picture, epoch)
where every epoch takes each picture once. Line extraction and other heavy augmentation are left to ``synthesis``, which
runs on the training device. Sets too large for memory are for ``stream``.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from training.data.flats import region_medians
from training.data.shards import read_index, scan
from training.data.strokes import SCHEMES, Sitter, draw_mask

HELD_OUT_PER_MILLE = 12
REASSIGN = 0.5
NO_CONTEXT = 0.3


@dataclass(frozen=True)
class Picture:
    """One packed picture: HxWx3 sRGB, HxW labels, Nx3 palette, and HxW lineart when a real one exists."""

    key: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint16]
    palette: NDArray[np.uint8]
    line: NDArray[np.uint8] | None
    weight: float


@dataclass(frozen=True)
class Recipe:
    """How samples are made from pictures; the defaults are those of the shipped weights.

    Attributes:
        scheme: key of ``training.data.strokes.SCHEMES``.
        reassign: part of the hinted samples that get other hues per group of regions.
        masks: draw where to colour; else it is always the whole picture.
        order: ``weighted`` draws pictures by their weight, ``epochs`` takes each once an epoch in a new order, and as
            often as its weight says, rounded.
    """

    scheme: str = "default"
    reassign: float = REASSIGN
    masks: bool = True
    order: Literal["weighted", "epochs"] = "weighted"


DEFAULT_RECIPE = Recipe()


@dataclass(frozen=True)
class ShardSet:
    """All pictures of a folder of shards: for training, held out, and those that could not be read, with the reason."""

    train: list[Picture]
    held_out: list[Picture]
    digest: str
    left_out: list[str] = field(default_factory=list)

    @property
    def epoch_length(self) -> int:
        """Samples in one epoch: each picture as often as its weight says, rounded."""
        return sum(times_per_epoch(p.weight) for p in self.train)


def _decode(data: bytes, flag: int) -> NDArray[np.uint8]:
    # OpenCV throws on no bytes at all.
    array = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    if array is None:
        raise ValueError("a shard member is not an image; pack the data again")
    return np.asarray(array)


def is_held_out(key: str) -> bool:
    """Whether a picture is kept from training; decided by its key alone."""
    return zlib.crc32(key.encode()) % 1000 < HELD_OUT_PER_MILLE


def decode_picture(key: str, parts: dict[str, bytes]) -> Picture:
    """Make a picture of its members in a shard, by the part of their names after the key.

    Raises:
        ValueError: a member is missing or damaged.
    """
    try:
        image = np.ascontiguousarray(_decode(parts["image.webp"], cv2.IMREAD_COLOR)[..., ::-1])
        labels = _decode(parts["flats.png"], cv2.IMREAD_UNCHANGED).astype(np.uint16)
        weight = float(json.loads(parts["json"])["weight"])
        line = _decode(parts["line.png"], cv2.IMREAD_GRAYSCALE) if "line.png" in parts else None
    except KeyError as e:
        raise ValueError(f"{key} lacks {e} in its shard; pack the data again") from e
    except (cv2.error, TypeError) as e:
        raise ValueError(f"{key} is damaged in its shard; pack the data again") from e
    if labels.shape != image.shape[:2] or (line is not None and line.shape != labels.shape) or not weight > 0:
        raise ValueError(f"the members of {key} do not fit each other; pack the data again")
    return Picture(key, image, labels, region_medians(image, labels.astype(np.int32)), line, weight)


def load_shards(folder: Path, limit: int | None = None) -> ShardSet:
    """Read shards into memory.

    Args:
        folder: where ``training pack`` wrote them.
        limit: read at most this many pictures (for tests and trials).

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: a shard is missing or no tar, or no picture can be read.
    """
    index = read_index(folder)
    train: list[Picture] = []
    held: list[Picture] = []
    left_out: list[str] = []
    for shard in index.shards:
        with shard.path.open("rb") as file:
            for entry in scan(shard.path):
                if limit is not None and len(train) >= limit:
                    break
                try:
                    picture = decode_picture(entry.key, entry.read(file))
                except ValueError as e:
                    left_out.append(f"{shard.path.name}: {entry.key} ({e})")
                    continue
                (held if is_held_out(entry.key) else train).append(picture)
    if left_out and not train:
        raise ValueError(f"none of the pictures in {folder} can be read ({left_out[0]})")
    if not held and len(train) > 1:
        held.append(train.pop())
    return ShardSet(train, held, index.digest, left_out)


def reassign_palette(rng: np.random.Generator, palette: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Choose a hue rotation in radians per region of an Nx3 palette, equal for like hues: materials stay together."""
    lab = srgb_to_oklab(np.divide(palette, 255, dtype=np.float32))
    hue = np.arctan2(lab[:, 2], lab[:, 1])
    bins = int(rng.integers(1, 6))
    offset = rng.uniform(0, 2 * np.pi)
    group = (((hue + offset) % (2 * np.pi)) / (2 * np.pi) * bins).astype(np.int32) % bins
    return np.asarray(rng.uniform(-np.pi, np.pi, bins)[group], np.float32)


def rotate_palette(palette: NDArray[np.uint8], angle: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Rotate each colour of an Nx3 palette by its angle around the OKLab lightness axis."""
    lab = srgb_to_oklab(np.divide(palette, 255, dtype=np.float32))
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = lab[:, 1] * cos - lab[:, 2] * sin, lab[:, 1] * sin + lab[:, 2] * cos
    return np.rint(oklab_to_srgb(np.stack([lab[:, 0], a, b], 1)) * 255).astype(np.uint8)


@dataclass(frozen=True)
class Cutter:
    """Makes a sample of a picture: crop, hue rotation, mask and hints.

    Attributes:
        size: of the crop in pixels.
        zoom: least and greatest short side of the resized picture, in crops.
        recipe: how.
        hints: this many strokes in the shipped colours and no mask, for pictures to look at; None = by the recipe.
    """

    size: int
    zoom: tuple[float, float]
    recipe: Recipe = DEFAULT_RECIPE
    hints: int | None = None

    def cut(self, rng: np.random.Generator, picture: Picture, chance: int) -> dict[str, Tensor]:
        """Make one item of ``Crops``; ``chance`` goes into it as it is."""
        size, recipe, scheme = self.size, self.recipe, SCHEMES[self.recipe.scheme]
        h, w = picture.labels.shape
        short = size * float(np.exp(rng.uniform(np.log(self.zoom[0]), np.log(self.zoom[1]))))
        side = min(round(min(h, w) * size / short), min(h, w))
        y, x = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
        window = (slice(y, y + side), slice(x, x + side))
        shrink = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        target = np.asarray(cv2.resize(picture.image[window], (size, size), interpolation=shrink), np.uint8)
        labels = cv2.resize(picture.labels[window], (size, size), interpolation=cv2.INTER_NEAREST).astype(np.int32)
        has_line = picture.line is not None and rng.random() < 0.8
        line = np.full((size, size), 255, np.uint8)
        if has_line and picture.line is not None:
            line = np.asarray(cv2.resize(picture.line[window], (size, size), interpolation=shrink), np.uint8)
        count = scheme.count(rng) if self.hints is None else self.hints
        palette = picture.palette
        angle = np.zeros(len(palette), np.float32)
        # Without a hint nothing tells the hue, so only hinted samples get another palette.
        if self.hints is None and abs(count) > 0 and rng.random() < recipe.reassign:
            angle = reassign_palette(rng, palette)
            palette = rotate_palette(palette, angle)
        whole = np.full((size, size), 255, np.uint8)
        mask = draw_mask(rng, labels) if self.hints is None and recipe.masks else whole
        seen = target
        if scheme.from_image and angle.any():
            seen = rotate_palette(target.reshape(-1, 3), angle[labels].ravel()).reshape(target.shape)
        hints = scheme.draw(rng, Sitter(seen, labels, palette, mask), count, short / 512)
        arrays: list[NDArray[Any]] = [target, palette[labels], hints, labels, angle[labels], mask, line]
        if self.hints is None and rng.random() < 0.5:
            arrays = [np.ascontiguousarray(a[:, ::-1]) for a in arrays]
        names = ("target", "flat", "hints", "labels", "angle", "mask", "line")
        tensors = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in zip(names, arrays, strict=True)}
        return {
            **{n: t.permute(2, 0, 1) if t.ndim == 3 else t for n, t in tensors.items()},
            "has_line": torch.tensor(has_line),
            "context": torch.tensor(bool(rng.random() >= NO_CONTEXT)),
            "count": torch.tensor(count),
            "chance": torch.tensor(chance),
        }


def times_per_epoch(weight: float) -> int:
    """How often an epoch takes a picture: its weight, rounded, and at least once."""
    return max(1, round(weight))


def _stable_number(key: str) -> int:
    """A number for a name that is the same in every process and version."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _chance(name: list[int]) -> int:
    """A seed for what is drawn later, apart from the stream that cuts the crop."""
    return int(np.random.SeedSequence(name, spawn_key=(1,)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def sample(cutter: Cutter, picture: Picture, seed: int, epoch: int, again: int = 0) -> dict[str, Tensor]:
    """Make the sample of a picture in an epoch; it depends on nothing but the arguments.

    Args:
        cutter: what to make.
        picture: what from.
        seed: of the run.
        epoch: number of the epoch from 0.
        again: how often this epoch took the picture before.
    """
    name = [seed, _stable_number(picture.key), epoch, again]
    return cutter.cut(np.random.default_rng(name), picture, _chance(name))


class Crops(Dataset[dict[str, Tensor]]):
    """Crops of ``size`` pixels from pictures resized so that their short side is between ``zoom`` times the crop.

    Each item: ``target`` and ``flat`` 3xHxW uint8, ``hints`` 4xHxW uint8 (straight alpha), ``labels`` HxW int32,
    ``angle`` HxW float32 (hue rotation to apply to the target), ``mask`` HxW uint8, ``line`` HxW uint8 with
    ``has_line``, ``context`` flag, ``count`` of strokes, and ``chance``, an int64 seed for what is drawn later.
    """

    def __init__(
        self,
        pictures: list[Picture],
        size: int,
        zoom: tuple[float, float],
        seed: int,
        hints: int | None = None,
        recipe: Recipe = DEFAULT_RECIPE,
    ) -> None:
        self.pictures, self.seed = pictures, seed
        self.cutter = Cutter(size, zoom, recipe, hints)
        weight = np.array([p.weight for p in pictures], np.float64)
        self.edges = np.cumsum(weight / weight.sum())
        self.turns = np.repeat(np.arange(len(pictures)), [times_per_epoch(w) for w in weight])
        self.order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return 1 << 40

    @property
    def epoch_length(self) -> int:
        """Samples in one epoch of the order ``epochs``."""
        return len(self.turns)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make sample number ``index``."""
        cutter = self.cutter
        if cutter.hints is None and cutter.recipe.order == "epochs":
            return self._turn(*divmod(index, len(self.turns)))
        rng = np.random.default_rng([self.seed, index])
        if cutter.hints is None:
            picture = self.pictures[min(int(np.searchsorted(self.edges, rng.random())), len(self.pictures) - 1)]
        else:
            picture = self.pictures[index % len(self.pictures)]
        return cutter.cut(rng, picture, _chance([self.seed, index]))

    def _turn(self, epoch: int, place: int) -> dict[str, Tensor]:
        if self.order is None or self.order[0] != epoch:
            self.order = epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.turns))
        turn = int(self.order[1][place])
        # Turns of one picture lie together, so its first turn tells how many came before.
        again = turn - int(np.searchsorted(self.turns, self.turns[turn]))
        return sample(self.cutter, self.pictures[self.turns[turn]], self.seed, epoch, again)
