"""Random crops from packed shards, with hints and a mask; deterministic per (seed, index), whatever the workers do.

Line extraction and other heavy augmentation are left to ``synthesis``, which runs on the training device.
"""

from __future__ import annotations

import json
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from engine.imaging.color import oklab_to_srgb, srgb_to_oklab
from training.data.flats import region_medians
from training.data.strokes import draw_count, draw_hints, draw_mask

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
class ShardSet:
    """All pictures of a folder of shards, split into training and held-out ones, and the data's digest."""

    train: list[Picture]
    held_out: list[Picture]
    digest: str


def _decode(data: bytes, flag: int) -> NDArray[np.uint8]:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if array is None:
        raise ValueError("a shard member is not an image; pack the data again")
    return np.asarray(array)


def load_shards(folder: Path, limit: int | None = None) -> ShardSet:
    """Read shards into memory.

    Args:
        folder: where ``training pack`` wrote them.
        limit: read at most this many pictures (for tests and trials).

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: a member is damaged.
    """
    shards = sorted(folder.glob("shard-*.tar"))
    if not shards or not (folder / "index.json").exists():
        raise FileNotFoundError(f"no shards in {folder}; make them with `training pack ART {folder}`")
    train: list[Picture] = []
    held: list[Picture] = []
    for shard in shards:
        if limit is not None and len(train) >= limit:
            break
        with tarfile.open(shard) as tar:
            members: dict[str, dict[str, bytes]] = {}
            for info in tar:
                key, _, part = info.name.partition(".")
                file = tar.extractfile(info)
                members.setdefault(key, {})[part] = file.read() if file else b""
        for key, parts in members.items():
            image = np.ascontiguousarray(_decode(parts["image.webp"], cv2.IMREAD_COLOR)[..., ::-1])
            labels = _decode(parts["flats.png"], cv2.IMREAD_UNCHANGED).astype(np.uint16)
            picture = Picture(
                key,
                image,
                labels,
                region_medians(image, labels.astype(np.int32)),
                _decode(parts["line.png"], cv2.IMREAD_GRAYSCALE) if "line.png" in parts else None,
                float(json.loads(parts["json"])["weight"]),
            )
            (held if zlib.crc32(key.encode()) % 1000 < HELD_OUT_PER_MILLE else train).append(picture)
            if limit is not None and len(train) >= limit:
                break
    if not held and len(train) > 1:
        held.append(train.pop())
    return ShardSet(train, held, json.loads((folder / "index.json").read_text())["digest"])


def reassign_palette(rng: np.random.Generator, palette: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Choose a hue rotation in radians per region, equal for regions of like hue, so that materials stay together."""
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


class Crops(Dataset[dict[str, Tensor]]):
    """Crops of ``size`` pixels from pictures resized so that their short side is between ``zoom`` times the crop.

    Each item: ``target`` and ``flat`` 3xHxW uint8, ``hints`` 4xHxW uint8 (straight alpha), ``labels`` HxW int32,
    ``angle`` HxW float32 (hue rotation to apply to the target), ``mask`` HxW uint8, ``line`` HxW uint8 with
    ``has_line``, ``context`` flag and ``count`` of strokes.
    """

    def __init__(
        self, pictures: list[Picture], size: int, zoom: tuple[float, float], seed: int, hints: int | None = None
    ) -> None:
        self.pictures, self.size, self.zoom, self.seed, self.hints = pictures, size, zoom, seed, hints
        weight = np.array([p.weight for p in pictures], np.float64)
        self.edges = np.cumsum(weight / weight.sum())

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make sample number ``index``."""
        rng = np.random.default_rng([self.seed, index])
        if self.hints is None:
            picture = self.pictures[min(int(np.searchsorted(self.edges, rng.random())), len(self.pictures) - 1)]
        else:
            picture = self.pictures[index % len(self.pictures)]
        return self._crop(rng, picture)

    def _crop(self, rng: np.random.Generator, picture: Picture) -> dict[str, Tensor]:
        size = self.size
        h, w = picture.labels.shape
        short = size * float(np.exp(rng.uniform(np.log(self.zoom[0]), np.log(self.zoom[1]))))
        side = min(round(min(h, w) * size / short), min(h, w))
        y, x = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
        window = (slice(y, y + side), slice(x, x + side))
        shrink = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
        target = cv2.resize(picture.image[window], (size, size), interpolation=shrink)
        labels = cv2.resize(picture.labels[window], (size, size), interpolation=cv2.INTER_NEAREST).astype(np.int32)
        has_line = picture.line is not None and rng.random() < 0.8
        line = np.full((size, size), 255, np.uint8)
        if has_line and picture.line is not None:
            line = np.asarray(cv2.resize(picture.line[window], (size, size), interpolation=shrink), np.uint8)
        count = draw_count(rng) if self.hints is None else self.hints
        palette = picture.palette
        angle = np.zeros(len(palette), np.float32)
        # Without a hint nothing tells the hue, so only hinted samples get another palette.
        if self.hints is None and abs(count) > 0 and rng.random() < REASSIGN:
            angle = reassign_palette(rng, palette)
            palette = rotate_palette(palette, angle)
        mask = draw_mask(rng, labels) if self.hints is None else np.full((size, size), 255, np.uint8)
        unit = short / 512
        hints = draw_hints(rng, labels, palette, mask, count, unit)
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
        }
