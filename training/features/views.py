"""Two looks at one picture: random crops, and on the device light, blur, noise and the lineart of the first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from training.data.chance import Chance, Rows, rand, randn
from training.data.dataset import Picture
from training.data.extractors import EXTRACTORS, blur
from training.data.synthesis import line_source

ZOOM = (1.25, 5.0)
"""Least and greatest short side of a picture, in sides of a crop."""
LIGHT = 0.25
"""Contrast and saturation change by up to this part, brightness by half of it."""
TURNED, GREY = 0.15, 0.05
"""Parts of the crops whose hue is turned, and that lose it. Were all left as they are, their colours alone would tell
which belong together, and nothing else would be learnt; were none, colour would count for nothing."""


class Views(Dataset[dict[str, Tensor]]):
    """Pairs of square crops; item n depends on (seed, n) alone. Pictures are drawn by their weight.

    Each item: ``target`` and ``second`` 3xSxS uint8, and of the first crop ``labels`` SxS int32, ``line`` SxS uint8 and
    ``has_line``, which are what linearts are drawn from.
    """

    def __init__(self, pictures: list[Picture], size: int, seed: int, zoom: tuple[float, float] = ZOOM) -> None:
        self.pictures, self.size, self.seed = pictures, size, seed
        self.sides = 1 / zoom[1], 1 / zoom[0]
        weight = np.array([p.weight for p in pictures], np.float64)
        self.edges = np.cumsum(weight / weight.sum())

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Make pair number ``index``."""
        rng = np.random.default_rng([self.seed, index])
        place = min(int(np.searchsorted(self.edges, rng.random())), len(self.pictures) - 1)
        picture = self.pictures[place]
        first, flipped = self._window(rng, picture), bool(rng.random() < 0.5)
        second, other = self._window(rng, picture), bool(rng.random() < 0.5)
        has_line = picture.line is not None and bool(rng.random() < 0.8)
        line = self._cut(picture.line, first, flipped) if has_line and picture.line is not None else None
        blank = np.full((self.size, self.size), 255, np.uint8)
        labels = self._cut(picture.labels, first, flipped, cv2.INTER_NEAREST).astype(np.int32)
        return {
            "target": torch.from_numpy(self._cut(picture.image, first, flipped)).permute(2, 0, 1),
            "second": torch.from_numpy(self._cut(picture.image, second, other)).permute(2, 0, 1),
            "labels": torch.from_numpy(labels),
            "line": torch.from_numpy(line if line is not None else blank),
            "has_line": torch.tensor(has_line),
        }

    def _window(self, rng: np.random.Generator, picture: Picture) -> tuple[slice, slice]:
        h, w = picture.labels.shape
        side = round(min(h, w) * float(np.exp(rng.uniform(*np.log(self.sides)))))
        y, x = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
        return slice(y, y + side), slice(x, x + side)

    def _cut(
        self, image: NDArray[Any], window: tuple[slice, slice], flipped: bool, how: int | None = None
    ) -> NDArray[Any]:
        part = image[window]
        if how is None:
            how = cv2.INTER_AREA if part.shape[0] > self.size else cv2.INTER_CUBIC
        part = cv2.resize(part, (self.size, self.size), interpolation=how)
        return np.ascontiguousarray(part[:, ::-1] if flipped else part)


@dataclass(frozen=True)
class Looks:
    """A batch on the training device, Bx3xSxS in [-1, 1] each.

    Attributes:
        first: a crop under changed light.
        second: another crop of the same picture under other light.
        line: the lineart of the first crop, cell by cell at its place.
    """

    first: Tensor
    second: Tensor
    line: Tensor


def turn_hue(x: Tensor, angle: Tensor) -> Tensor:
    """Turn the colours of Bx3xHxW around the axis of greys by B angles in radians; mean of the channels kept."""
    axis = x.new_tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    turn = cos * torch.eye(3, device=x.device) + (1 - cos) / 3 + sin * axis
    return torch.einsum("bij,bjhw->bihw", turn, x)


def change_light(x: Tensor, chance: Chance) -> Tensor:
    """Vary brightness, contrast and saturation of Bx3xHxW in [-1, 1], turn hues, blur some, add a little noise."""
    b = x.shape[0]

    def uniform(low: float, high: float) -> Tensor:
        return rand(chance, b, 1, 1, 1) * (high - low) + low

    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(1 - LIGHT, 1 + LIGHT) * (rand(chance, b, 1, 1, 1) >= GREY)
    x = turn_hue(x, (rand(chance, b) * 2 - 1) * math.pi * (rand(chance, b) < TURNED))
    middle = x.mean((1, 2, 3), keepdim=True)
    x = middle + (x - middle) * uniform(1 - LIGHT, 1 + LIGHT) + uniform(-LIGHT / 2, LIGHT / 2)
    # Of a part of a batch the kernel is as wide as that of the whole.
    soft = blur(x, rand(chance, b) * 1.2 + 0.3, chance.widest if isinstance(chance, Rows) else None)
    x = torch.where(rand(chance, b, 1, 1, 1) < 0.25, soft, x)
    return (x + randn(chance, *x.shape) * uniform(0.0, 0.04)).clamp(-1, 1)


def make_looks(raw: dict[str, Tensor], chance: Chance) -> Looks:
    """Finish a batch of ``Views`` on its device."""
    lineart = EXTRACTORS["default"](line_source(raw), chance) * 2 - 1
    first, second = (raw[name].float() / 127.5 - 1 for name in ("target", "second"))
    return Looks(change_light(first, chance), change_light(second, chance), lineart.expand(-1, 3, -1, -1))
