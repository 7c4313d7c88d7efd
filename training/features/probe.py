"""What an encoder is good for, in numbers: whose picture is it, and does its distance rank distortions as people would.

None of this is trained: the author of a picture is guessed to be the author of its nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.models.components.encoder import Encoder, pooled
from training.data.extractors import EXTRACTORS, LIFT_REACH, LineSource, blur, lifted_ink, to_grey
from training.losses.colour import rotate_hue, to_oklab

SIDE = 160
"""Pixels at which pictures are looked at."""
LEAST = 3
"""Authors with fewer pictures are not asked for, though their pictures may be wrong answers."""
BINS = 4
CELL = 16
RIDGE = 1e-2
"""Weight of the ridge, in deviations of the features."""
GLUE = 6
"""Pixels between the pictures of a sheet."""

Look = Callable[[Tensor], Tensor]
"""Of Bx3xSxS in [-1, 1] BxD features."""


def encoder_look(encoder: Encoder) -> Look:
    """The pooled maps of an encoder."""
    return lambda x: pooled(encoder(x))


def thumbnail(x: Tensor) -> Tensor:
    """The pixels of Bx3xSxS pictures at 16 x 16, Bx768."""
    return F.interpolate(x, (16, 16), mode="area").flatten(1)


def colour_statistics(x: Tensor) -> Tensor:
    """A histogram of Bx3xSxS sRGB in 4 x 4 x 4 bins, as square roots, so that distances are Hellinger's."""
    bins = ((x + 1) / 2 * BINS).long().clamp(0, BINS - 1)
    code = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
    return F.one_hot(code.flatten(1), BINS**3).float().mean(1).sqrt()


def square(picture: NDArray[np.uint8], side: int) -> Tensor:
    """The middle square of an HxWx3 picture: 1x3xSxS in [-1, 1]."""
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    short = min(x.shape[-2:])
    y0, x0 = (x.shape[-2] - short) // 2, (x.shape[-1] - short) // 2
    part = x[..., y0 : y0 + short, x0 : x0 + short]
    return F.interpolate(part, (side, side), mode="bilinear", antialias=True, align_corners=False).clamp(-1, 1)


@torch.no_grad()
def look_at(look: Look, pictures: Tensor, batch: int = 32) -> Tensor:
    """Features of NxCxSxS pictures, brought to mean 0 and deviation 1 over them and to length 1 each: NxD."""
    found = torch.cat([look(pictures[i : i + batch]) for i in range(0, len(pictures), batch)])
    found = (found - found.mean(0)) / found.std(0).clamp_min(1e-6)
    return F.normalize(found)


def nearest(features: Tensor, count: int = 1) -> Tensor:
    """Numbers of the ``count`` most similar others of each of N unit vectors: Nx``count``, nearest first."""
    similarity = features @ features.T
    similarity.fill_diagonal_(-torch.inf)
    return similarity.topk(count, 1).indices


def neighbour_accuracy(features: Tensor, labels: list[str]) -> float:
    """How often the nearest other picture has the same label: mean over labels of at least ``LEAST`` pictures.

    Raises:
        ValueError: no label has so many pictures.
    """
    guess = nearest(features)[:, 0].tolist()
    right: dict[str, list[bool]] = {}
    for own, other in zip(labels, guess, strict=True):
        right.setdefault(own, []).append(labels[other] == own)
    shares = [float(np.mean(r)) for r in right.values() if len(r) >= LEAST]
    if not shares:
        raise ValueError(f"no author has {LEAST} pictures or more")
    return float(np.mean(shares))


def chance_level(labels: list[str]) -> float:
    """What guessing an author by drawing another picture blindly gives in ``neighbour_accuracy``."""
    counts = np.array([labels.count(label) for label in sorted(set(labels))])
    counts = counts[counts >= LEAST]
    return float(np.mean((counts - 1) / (len(labels) - 1)))


def ridge_r2(x: Tensor, y: Tensor, groups: Tensor) -> float:
    """Share of the variance of NxK values that a ridge regression on NxD features tells: 0 = their mean does as well.

    Args:
        x: features.
        y: values.
        groups: N numbers; it learns from the even ones and is judged on the odd ones.
    """
    seen = groups % 2 == 0
    x, y = x.double(), y.double()
    x = (x - x[seen].mean(0)) / x[seen].std(0).clamp_min(1e-6)
    offset = y[seen].mean(0)
    own = x[seen].T @ x[seen] + RIDGE * seen.sum() * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(own, x[seen].T @ (y[seen] - offset))
    wrong = ((x[~seen] @ weights + offset - y[~seen]) ** 2).sum()
    return 1 - float(wrong / ((y[~seen] - offset) ** 2).sum())


@torch.no_grad()
def colour_told(look: Look, drawn: Tensor, pictures: Tensor, batch: int = 32) -> tuple[float, float]:
    """How much of lightness and of colour (OKLab a and b) of every 16 x 16 cell a linear reading of a lineart tells.

    Args:
        look: of Bx3xSxS linearts the maps at 1/16, BxDx(S/16)x(S/16).
        drawn: Nx3xSxS linearts.
        pictures: what they were drawn from.
        batch: how many are looked at at once.

    Returns:
        ``ridge_r2`` for lightness and for colour; half of the pictures are learnt from.
    """
    maps = torch.cat([look(drawn[i : i + batch]) for i in range(0, len(drawn), batch)])
    truth = F.avg_pool2d(to_oklab(pictures), CELL)
    x, y = (t.permute(0, 2, 3, 1).flatten(0, 2) for t in (maps, truth))
    groups = torch.arange(len(pictures)).repeat_interleave(maps.shape[-1] * maps.shape[-2])
    return ridge_r2(x, y[:, :1], groups), ridge_r2(x, y[:, 1:], groups)


def line_cells(x: Tensor) -> Tensor:
    """The pixels of every 16 x 16 cell of Bx3xSxS linearts and the means of 5 x 5 cells around it: a map at 1/16."""
    grey = x.mean(1, keepdim=True)
    own = F.pixel_unshuffle(grey, CELL)
    around = F.unfold(F.avg_pool2d(grey, CELL), 5, padding=2)
    return torch.cat([own, around.reshape(len(x), -1, *own.shape[2:])], 1)


def linearts(pictures: Tensor, batch: int = 64) -> Tensor:
    """Soft xDoG linearts of Nx3xSxS pictures: Nx3xSxS in [-1, 1]."""
    return torch.cat([_linearts(x, number) for number, x in enumerate(pictures.split(batch))])  # type: ignore[no-untyped-call]


def _linearts(pictures: Tensor, seed: int) -> Tensor:
    grey = to_grey((pictures + 1) / 2)
    n, _, s, _ = grey.shape
    blank = torch.zeros(n, s, s)
    source = LineSource(
        grey, lifted_ink(grey, LIFT_REACH), blank.int(), blank[:, None], torch.zeros(n, dtype=torch.bool)
    )
    lines = EXTRACTORS["xdog-soft"](source, torch.Generator().manual_seed(seed)) * 2 - 1
    return lines.expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Distortion:
    """A way to change Nx3xSxS pictures, and what it is called."""

    name: str
    apply: Callable[[Tensor], Tensor]


def _noise(x: Tensor) -> Tensor:
    gen = torch.Generator().manual_seed(0)
    return (x + 0.1 * torch.randn(x.shape, generator=gen)).clamp(-1, 1)


def _turn(x: Tensor, degrees: float) -> Tensor:
    return rotate_hue(x, torch.full_like(x[:, :1], float(np.deg2rad(degrees))))


DISTORTIONS = (
    Distortion("light up by 5 %", lambda x: (x + 0.1).clamp(-1, 1)),
    Distortion("shift by 1 px", lambda x: F.pad(x, (1, 0, 1, 0), mode="replicate")[..., :-1, :-1]),
    Distortion("shift by 2 px", lambda x: F.pad(x, (2, 0, 2, 0), mode="replicate")[..., :-2, :-2]),
    Distortion("noise of 5 %", _noise),
    Distortion("blur of 2 px", lambda x: blur(x, torch.full((len(x),), 2.0))),
    Distortion("blur of 4 px", lambda x: blur(x, torch.full((len(x),), 4.0))),
    Distortion("grey", lambda x: to_grey((x + 1) / 2).expand(-1, 3, -1, -1) * 2 - 1),
    Distortion("hue turned by 90 degrees", lambda x: _turn(x, 90)),
    Distortion("hue turned by 180 degrees", lambda x: _turn(x, 180)),
    Distortion("another picture", lambda x: x.roll(1, 0)),
)


@torch.no_grad()
def distortion_distances(distance: Callable[[Tensor, Tensor], Tensor], pictures: Tensor) -> dict[str, float]:
    """Mean content distance of pictures from their distortions, by name; ``distance`` is given one pair at a time."""
    found = {}
    for distortion in DISTORTIONS:
        changed = distortion.apply(pictures)
        found[distortion.name] = float(
            torch.stack([distance(a[None], b[None]) for a, b in zip(changed, pictures, strict=True)]).mean()
        )
    return found


def oklab_distance(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean squared distance of Bx3xHxW in [-1, 1] in OKLab: what pixels alone say."""
    return F.mse_loss(to_oklab(picture), to_oklab(truth))


def neighbour_sheet(pictures: Tensor, features: Tensor, rows: int = 12, count: int = 6) -> Image.Image:
    """A picture a row, spread over all, and its nearest neighbours to the right."""
    picks = np.linspace(0, len(pictures) - 1, min(rows, len(pictures))).astype(int)
    order = nearest(features, min(count, len(pictures) - 1))
    small = ((F.interpolate(pictures, (96, 96), mode="area") + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    lines = []
    for pick in picks:
        cells = [small[i] for i in [int(pick), *order[pick].tolist()]]
        lines.append(np.concatenate([_frame(c) for c in cells], 1))
    return Image.fromarray(np.concatenate(lines, 0))


def _frame(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(cell, ((0, GLUE), (0, GLUE), (0, 0)), constant_values=128)
