"""Turns packed crops into training batches on the training device: lineart, hue rotation, inputs, where to judge.

How linearts are drawn is in ``extractors``, where crops and hints come from in ``dataset`` and ``strokes``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.imaging.regions.segmentation import distance_to_ink, nearest_label
from engine.models.base import ModelInputs
from training.data.chance import Chance, SampleChance
from training.data.extractors import EXTRACTORS, LIFT_REACH, LineSource, dilate, lifted_ink, to_grey
from training.data.extractors import xdog as xdog
from training.losses.colour import rotate_hue

GAP = 1.5
"""Radius in pixels of half size of the ball that closes gaps of the lineart."""
LEAST_AREA = 4
"""Pixels of half size of the smallest region where no ball fits."""


@dataclass(frozen=True)
class TrainingBatch:
    """Inputs and truths of one step.

    Attributes:
        inputs: what the model sees.
        target: Bx3xHxW illustration in [-1, 1].
        flat: Bx3xHxW simplified illustration in [-1, 1].
        weight: Bx1xHxW in [0, 1]: inside the mask and off the ink, where colour can be judged.
        hinted: Bx1xHxW in [0, 1]: where strokes lie inside their own region.
        regions: Bx(H/2)x(W/2) int64, regions of the lineart.
    """

    inputs: ModelInputs
    target: Tensor
    flat: Tensor
    weight: Tensor
    hinted: Tensor
    regions: Tensor


def paper_regions(lineart: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number the regions of a lineart by connected components, which takes a tenth of the time of the engine's.

    Where a ball of ``GAP`` fits, connected paper is a region, so that small gaps leak nothing; what is left of the
    paper and the ink go to the nearest region. What the losses want of regions is no more: areas to take means over.

    Args:
        lineart: HxW in [0, 1], 1 = paper.

    Returns:
        HxW from 0.
    """
    depth = distance_to_ink(lineart)
    count, labels = cv2.connectedComponents((depth > GAP).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    # Narrow areas where no ball fits are regions of their own.
    _, narrow, boxes, _ = cv2.connectedComponentsWithStats((depth > 0).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    reached = np.zeros(len(boxes), np.bool_)
    reached[narrow[labels > 0]] = True
    own = ~reached & (boxes[:, cv2.CC_STAT_AREA] >= LEAST_AREA)
    own[0] = False
    numbers = np.where(own, np.cumsum(own) + count - 1, 0).astype(np.int32)
    return nearest_label(np.where(labels > 0, labels, numbers[narrow]))


def lineart_regions(lineart: Tensor) -> Tensor:
    """Find the regions of Bx1xHxW lineart in [0, 1] at half its size, on the CPU: Bx(H/2)x(W/2) int64."""
    halves = (-F.max_pool2d(-lineart, 2))[:, 0].cpu().numpy()
    return torch.from_numpy(np.stack([paper_regions(half) for half in halves])).to(lineart.device, torch.int64)


def line_source(raw: dict[str, Tensor]) -> LineSource:
    """What the linearts of a batch of ``Crops`` are drawn from."""
    grey = to_grey(raw["target"].float() / 255)
    line = raw["line"][:, None].float() / 255
    return LineSource(grey, lifted_ink(grey, LIFT_REACH), raw["labels"], line, raw["has_line"])


def make_batch(raw: dict[str, Tensor], gen: Chance | None = None, extractor: str = "default") -> TrainingBatch:
    """Finish a batch of ``Crops`` on its device.

    Args:
        raw: the stacked items.
        gen: one source of chance for the whole batch, on its device, or ``Rows`` of it for a part; without one every
            sample has its own, named by its ``chance``, and comes out the same in any batch and on any number of
            processes.
        extractor: key of ``EXTRACTORS``.

    Raises:
        KeyError: no extractor has this name.
    """

    def image(name: str) -> Tensor:
        return raw[name].float() / 127.5 - 1

    chance: Chance = SampleChance(raw["chance"]) if gen is None else gen
    source = line_source(raw)
    lineart = EXTRACTORS[extractor](source, chance)
    target = image("target")
    if target.device.type == "cpu":
        turned = raw["angle"].flatten(1).abs().amax(1) > 0
        target[turned] = rotate_hue(target[turned], raw["angle"][turned][:, None])
    else:
        # Which samples are turned only the device knows; asking it would take longer than turning the others by 0.
        target = rotate_hue(target, raw["angle"][:, None])
    flat = image("flat")
    coverage = raw["hints"][:, 3:].float() / 255
    hints = torch.cat([(raw["hints"][:, :3].float() / 127.5 - 1) * coverage, coverage], 1)
    mask = raw["mask"][:, None].float() / 255
    known = (1 - mask) * raw["context"].view(-1, 1, 1, 1).float()
    inputs = ModelInputs(lineart * 2 - 1, hints, mask, target, known)
    # Lines of the picture itself are no colour to learn, whether this lineart shows them or not.
    ink = torch.maximum(1 - lineart, source.lifted)
    weight = mask * (1 - dilate(ink, 2)).clamp(0, 1)
    own = (hints[:, :3] - flat * coverage).abs().amax(1, keepdim=True) < 0.12
    return TrainingBatch(inputs, target, flat, weight, coverage * own.float(), lineart_regions(lineart))
