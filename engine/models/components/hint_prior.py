"""The hint prior: floods hint colours over the drawing so that lines are crossed last. Not learned.

Every pixel takes the colour of the stroke that reaches it through the widest passages
(``engine.imaging.regions.flood``); how sure that is, the network reads from a cost: the distance to the stroke, and
more where a gap or a line was crossed. The flood runs on the CPU, a sample in some milliseconds, also when the network
is on a GPU.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.imaging.regions.flood import INK, flood, landscape, level_of, reached
from engine.models.base import ModelInputs

UNIT = 0.5
"""Pixels here per pixel at the working resolution."""
PASSAGES = ((level_of(5.0), 0.0), (level_of(1.5), 6.0), (INK - 1, 20.0))
"""A stroke that comes no higher than a level costs so many steps more; through a wide opening, a gap, a pinhole."""
CROSSED = 60.0
"""The same for one that had to cross ink."""
KNOWN_HANDICAP = 12.0
"""Painted surroundings count as hints that are this many steps further away."""
MIN_COVERAGE = 0.3
"""A half-resolution pixel belongs to a stroke when this part of it is covered."""
FAR = 1e6
NEAR_SCALE = 12.0
FAR_SCALE = 160.0
CHANNELS = 5
COLOUR_BITS = 4
"""Bits per channel by which strokes are told apart; a label takes the mean of its pixels."""


@dataclass(frozen=True)
class Flood:
    """The flood at half the working resolution.

    Attributes:
        colour: Bx3xhxw in [-1, 1]; 0 where there is no hint at all.
        cost: Bxhxw, distance in pixels with what was crossed; ``FAR`` without any hint.
    """

    colour: Tensor
    cost: Tensor

    def channels(self) -> Tensor:
        """Bx5xhxw network input: the colour, and the confidence on a near and on a far scale."""
        near = torch.exp(-self.cost / NEAR_SCALE)
        far = torch.exp(-self.cost / FAR_SCALE)
        return torch.cat([self.colour, near[:, None], far[:, None]], dim=1)


def _spread(
    levels: NDArray[np.uint8], colours: NDArray[np.float32], marked: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flood 3xhxw colours from the marked pixels; returns 3xhxw colours and hxw costs."""
    values = colours[:, marked]
    bins = np.clip(((values + 1) * (1 << COLOUR_BITS - 1)).astype(np.int64), 0, (1 << COLOUR_BITS) - 1)
    code = (bins[0] << 2 * COLOUR_BITS) | (bins[1] << COLOUR_BITS) | bins[2]
    _, label = np.unique(code, return_inverse=True)
    label = label.reshape(-1)
    sizes = np.bincount(label)
    palette = np.stack([np.bincount(label, c) / sizes for c in values]).astype(np.float32)
    markers = np.zeros(levels.shape, np.int32)
    markers[marked] = label + 1
    cost = cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    crossed = np.full(levels.shape, CROSSED, np.float32)
    for level, price in reversed(PASSAGES):
        crossed[reached(levels, marked, level)] = price
    return palette[:, flood(levels, markers) - 1], np.asarray(cost + crossed, np.float32)


def _flood_one(
    lineart: NDArray[np.float32],
    colours: NDArray[np.float32],
    painted: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flood one drawing: hxw lineart in [0, 1], 3xhxw colours, hxw marks; strokes go before known surroundings."""
    levels = landscape(lineart, UNIT)
    colour, cost = np.zeros(colours.shape, np.float32), np.full(painted.shape, FAR, np.float32)
    if painted.any():
        colour, cost = _spread(levels, colours, painted)
    if known.any():
        # Where a stroke comes through openings it alone counts: an artist who hints there wants another colour.
        theirs = known | ~reached(levels, painted, PASSAGES[1][0])
        around, handicapped = _spread(levels, colours, painted | known)
        colour = np.where(theirs, around, colour)
        cost = np.where(theirs, handicapped + np.float32(KNOWN_HANDICAP), cost)
    return colour, cost


@torch.no_grad()
def flood_hints(inputs: ModelInputs) -> Flood:
    """Flood hints and known surroundings over the drawing.

    Args:
        inputs: a batch whose height and width are even.
    """
    device = inputs.lineart.device
    hints = F.avg_pool2d(inputs.hints, 2)
    coverage = hints[:, 3:]
    painted = coverage >= MIN_COVERAGE
    colours = hints[:, :3] / coverage.clamp_min(1e-4)
    known = (-F.max_pool2d(-inputs.known, 2) > 0.99) & ~painted
    # Colours count where something is painted or known; asking the device whether any is would make it wait.
    colours = torch.where(painted, colours, F.avg_pool2d(inputs.context, 2))
    darkest = (1 - F.max_pool2d(-inputs.lineart, 2)) / 2
    samples = list(
        zip(
            darkest[:, 0].float().cpu().numpy(),
            colours.clamp(-1, 1).float().cpu().numpy(),
            painted[:, 0].cpu().numpy(),
            known[:, 0].cpu().numpy(),
            strict=True,
        )
    )
    if len(samples) == 1:
        done = [_flood_one(*samples[0])]
    else:
        with ThreadPoolExecutor(min(len(samples), os.cpu_count() or 1)) as pool:
            done = list(pool.map(lambda sample: _flood_one(*sample), samples))
    colour, cost = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*done, strict=True))
    return Flood(colour, cost)
