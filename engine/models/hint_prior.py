"""The hint prior: floods hint colours over the drawing so that lines are crossed last. Not learned.

Every pixel takes the colour of the stroke that is nearest along the cheapest path, where a step over ink costs many
steps over paper, and a step through a narrow gap in a line costs more than one in the open. Paths are found by sweeps
along rows and columns, each a prefix sum and a running minimum over the whole batch, so the same code is fast on a CPU
and on a GPU. See the method's section 1b.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.base import ModelInputs

INK_COST = 60.0
"""Steps over paper (in half-resolution pixels) that one step over full ink is worth."""
GAP_COST = 12.0
"""The same for a step through a gap that a closing with a 5 x 5 window fills."""
KNOWN_HANDICAP = 12.0
"""Painted surroundings count as hints that start this many steps behind a stroke."""
MIN_COVERAGE = 0.3
"""A half-resolution pixel belongs to a stroke when this part of it is covered."""
FAR = 1e6
NEAR_SCALE = 12.0
FAR_SCALE = 160.0
CHANNELS = 5


@dataclass(frozen=True)
class Flood:
    """The flood at half the working resolution.

    Attributes:
        colour: Bx3xhxw in [-1, 1]; 0 where there is no hint at all.
        cost: Bxhxw, length of the cheapest path in steps over paper; ``FAR`` or more without any hint.
        source: Bxhxw int64, flat index of the pixel each pixel's colour comes from.
    """

    colour: Tensor
    cost: Tensor
    source: Tensor

    def channels(self) -> Tensor:
        """Bx5xhxw network input: colour times confidence, and confidence on a near and on a far scale."""
        near = torch.exp(-self.cost / NEAR_SCALE)
        far = torch.exp(-self.cost / FAR_SCALE)
        present = (self.cost < FAR / 2).to(self.colour.dtype)
        return torch.cat([self.colour * present[:, None], near[:, None], far[:, None]], dim=1)


def step_cost(lineart: Tensor) -> Tensor:
    """Cost of entering each half-resolution pixel, Bxhxw, from Bx1xHxW lineart in [-1, 1]."""
    ink = F.max_pool2d((1 - lineart) / 2, 2)
    # Faint scan noise is paper; anything darker than mid grey is a wall.
    ink = ((ink - 0.12) / 0.5).clamp(0, 1)
    grown = F.max_pool2d(ink, 5, 1, 2)
    closed = -F.max_pool2d(-grown, 5, 1, 2)
    gap = (closed - ink).clamp_min(0)
    return (1 + INK_COST * ink + GAP_COST * gap)[:, 0]


def _sweep(cost: Tensor, source: Tensor, walked: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Relax every pixel from all pixels before and after it along ``dim``; ``walked`` is the running path cost."""
    value, index = torch.cummin(cost - walked, dim)
    cost, source = value + walked, source.gather(dim, index)
    value, index = torch.cummin((cost + walked).flip(dim), dim)
    return value.flip(dim) - walked, source.flip(dim).gather(dim, index).flip(dim)


@torch.no_grad()
def flood_hints(inputs: ModelInputs, rounds: int = 10) -> Flood:
    """Flood hints and known surroundings over the drawing.

    Args:
        inputs: a batch whose height and width are even.
        rounds: sweeps over rows and columns; each lets a path turn twice more.
    """
    hints = F.avg_pool2d(inputs.hints, 2)
    coverage = hints[:, 3:]
    known = -F.max_pool2d(-inputs.known, 2) > 0.99
    painted = coverage >= MIN_COVERAGE
    palette = torch.where(painted, hints[:, :3] / coverage.clamp_min(1e-4), F.avg_pool2d(inputs.context, 2))
    b, _, h, w = hints.shape
    start = torch.where(painted, 0.0, torch.where(known, KNOWN_HANDICAP, FAR)).to(torch.float32)[:, 0]
    source = torch.arange(h * w, device=start.device).reshape(1, h, w).expand(b, h, w)
    enter = step_cost(inputs.lineart).to(torch.float32)
    # Walking between two pixels costs the mean of both.
    across = torch.cumsum((enter + enter.roll(1, 2)) / 2, 2)
    down = torch.cumsum((enter + enter.roll(1, 1)) / 2, 1)
    cost = start
    for _ in range(rounds):
        before = cost
        cost, source = _sweep(cost, source, across, 2)
        cost, source = _sweep(cost, source, down, 1)
        # On the CPU looking is cheap and most drawings settle early; on a GPU it would stall the queue.
        if cost.device.type == "cpu" and float((before - cost).abs().amax()) < 0.5:
            break
    flat = palette.flatten(2)
    colour = flat.gather(2, source.flatten(1)[:, None].expand(-1, 3, -1)).reshape(b, 3, h, w)
    present = (cost < FAR / 2)[:, None]
    return Flood(torch.where(present, colour.clamp(-1, 1), torch.zeros_like(colour)), cost, source)
