"""Turns packed crops into training batches on the training device: lineart, hue rotation, inputs, where to judge.

How linearts are drawn is in ``extractors``, where crops and hints come from in ``dataset`` and ``strokes``.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.imaging.regions.segmentation import find_regions
from engine.models.base import ModelInputs
from training.data.chance import Chance, SampleChance
from training.data.extractors import EXTRACTORS, LIFT_REACH, LineSource, dilate, lifted_ink, to_grey
from training.data.extractors import xdog as xdog
from training.losses.colour import rotate_hue


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


def lineart_regions(lineart: Tensor) -> Tensor:
    """Find the regions of Bx1xHxW lineart in [0, 1] at half its size, on the CPU: Bx(H/2)x(W/2) int64."""
    halves = (-F.max_pool2d(-lineart, 2))[:, 0].cpu().numpy()
    with ThreadPoolExecutor(min(len(halves), os.cpu_count() or 1)) as pool:
        found = list(pool.map(find_regions, halves))
    return torch.from_numpy(np.stack(found)).to(lineart.device, torch.int64)


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
    turned = raw["angle"].flatten(1).abs().amax(1) > 0
    if bool(turned.any()):
        target[turned] = rotate_hue(target[turned], raw["angle"][turned][:, None])
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
