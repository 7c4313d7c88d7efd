"""Solves -div(c grad u) + hold u = load on a grid: conjugate gradients with a multigrid cycle as preconditioner.

Conductances of zero part bodies from each other, so that one solve inflates all of them. Cells are joined in blocks of
2x2 (aggregation; Braess 1995, Towards algebraic multigrid for elliptic problems of second order), each for the cells of
one body in it: what is too thin for a level has no part in it, and is left to the finer ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.imaging.canvas import highest_of_four

Plane = NDArray[np.float32]

DAMPING = 0.7
"""Of the Jacobi smoother."""
SMOOTHED = 2
"""Smoothing steps before and after a coarse correction."""
FIRM = 4.0
"""Conductance to the value 0 of two cells beside an outline: their middles are half a cell away from it."""
COARSEST = 6
"""Cells of the short side at which no coarser level is made; it is smoothed this many times as often."""
TOLERANCE = 5e-3
"""Residual, as a part of the first one, at which the solution is good: far below a degree in the normals."""
MOST_STEPS, MOST_STEPS_COARSE = 12, 30
"""Steps on the finest level and on each other at most: long, loosely held forms may be left a few degrees off."""


@dataclass(frozen=True)
class Grid:
    """A linear operator on HxW cells.

    Attributes:
        east: Hx(W-1) conductance to the right neighbour, not negative.
        south: (H-1)xW conductance to the neighbour below.
        hold: HxW conductance to the value 0.
        parts: HxW int32, not negative; cells that are tied have the same number.
    """

    east: Plane
    south: Plane
    hold: Plane
    parts: NDArray[np.int32]

    def diagonal(self) -> Plane:
        """HxW, the weight of each cell's own value; at least a little, so that cells without any tie stay 0."""
        out = self.hold.copy()
        out[:, :-1] += self.east
        out[:, 1:] += self.east
        out[:-1] += self.south
        out[1:] += self.south
        return np.asarray(np.maximum(out, np.float32(1e-6), out=out))

    def neighbours(self, u: Plane) -> Plane:
        """HxW sum of the neighbours' values by their conductances."""
        out = np.zeros_like(u)
        out[:, :-1] += self.east * u[:, 1:]
        out[:, 1:] += self.east * u[:, :-1]
        out[:-1] += self.south * u[1:]
        out[1:] += self.south * u[:-1]
        return out

    def coarser(self) -> tuple[Grid, Plane]:
        """The operator on blocks of 2x2 cells, and HxW which cells they stand for, 1 or 0.

        An odd last row or column is a block of its own. Between the middles of two blocks the way is twice as long as
        between those of two cells.
        """
        parts = highest_of_four(self.parts)
        own = self.parts == _spread(parts, self.parts.shape)
        half = own * np.float32(0.5)
        east = (self.east * half[:, :-1] * own[:, 1:])[:, 1::2]
        south = (self.south * half[:-1] * own[1:])[1::2]
        # Cells without a block follow their neighbours, and hold them as firmly as they are held themselves.
        hold = _blocks((self.hold + self.neighbours(~own * self.hold / self.diagonal())) * own)
        # A loose hold adds up over the cells of a block; a firm one is as far from the block's middle as is its edge.
        hold /= 1 + hold / FIRM
        return Grid(_sum_rows(east), _sum_rows(south.T).T, hold, parts), own.astype(np.float32)


def _sum_rows(values: Plane) -> Plane:
    h = values.shape[0]
    out = values[::2].copy()
    out[: h // 2] += values[1::2]
    return np.ascontiguousarray(out)


def _blocks(values: Plane) -> Plane:
    """Sums over blocks of 2x2."""
    return np.ascontiguousarray(_sum_rows(_sum_rows(values).T).T)


def _spread(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of blocks to their cells."""
    return np.asarray(values.repeat(2, axis=0)[: shape[0]].repeat(2, axis=1)[:, : shape[1]])


@dataclass(frozen=True)
class _Rest:
    """The cells of a level that no block stands for.

    Attributes:
        places: N, their numbers.
        shares: N, what their diagonal is divided into.
        neighbours: for each side N numbers of the neighbours, and conductances to those that have a block.
    """

    places: NDArray[np.int64]
    shares: Plane
    neighbours: list[tuple[NDArray[np.int64], Plane]]

    @classmethod
    def of(cls, grid: Grid, own: Plane, diagonal: Plane) -> _Rest:
        h, w = own.shape
        places = np.flatnonzero(own == 0)
        y, x = np.divmod(places, w)
        neighbours = []
        for tie, down, right in ((grid.east, 0, 1), (grid.east, 0, -1), (grid.south, 1, 0), (grid.south, -1, 0)):
            inside = (y + down >= 0) & (y + down < h) & (x + right >= 0) & (x + right < w)
            there = np.where(inside, (y + down) * w + x + right, places)
            if tie.size == 0:
                continue
            at = np.clip(y - (down < 0), 0, tie.shape[0] - 1), np.clip(x - (right < 0), 0, tie.shape[1] - 1)
            neighbours.append((there, (tie[at] * inside * own.ravel().take(there)).astype(np.float32)))
        return cls(places, (1 / diagonal.ravel().take(places)).astype(np.float32), neighbours)


class _Levels:
    """The operator on all levels, and what its smoother needs."""

    def __init__(self, grid: Grid) -> None:
        self._grids, self._own = [grid], []
        while min(self._grids[-1].hold.shape) > COARSEST:
            coarse, own = self._grids[-1].coarser()
            self._grids.append(coarse)
            self._own.append(own)
        self._diagonals = [g.diagonal() for g in self._grids]
        self._steps = [np.float32(DAMPING) / d for d in self._diagonals]
        self._rests = [_Rest.of(*each) for each in zip(self._grids, self._own, self._diagonals, strict=False)]
        self._room = [np.empty_like(d) for d in self._diagonals]

    @property
    def count(self) -> int:
        """Levels there are."""
        return len(self._grids)

    def apply(self, u: Plane, level: int = 0) -> Plane:
        grid, room = self._grids[level], self._room[level]
        out = self._diagonals[level] * u
        for tie, first, second in (
            (grid.east, (slice(None), slice(None, -1)), (slice(None), slice(1, None))),
            (grid.south, (slice(None, -1),), (slice(1, None),)),
        ):
            out[first] -= np.multiply(tie, u[second], out=room[first])
            out[second] -= np.multiply(tie, u[first], out=room[first])
        return out

    def gather(self, load: Plane, level: int) -> Plane:
        """A load on the cells of a level as one on the blocks of the next."""
        passed, rest = load.ravel().copy(), self._rests[level]
        values = passed.take(rest.places) * rest.shares
        for places, ties in rest.neighbours:
            # No two cells have the same neighbour on the same side.
            passed[places] += ties * values
        return _blocks(passed.reshape(load.shape) * self._own[level])

    def spread(self, values: Plane, level: int) -> Plane:
        """Values of blocks to the cells of a level; those without a block take what a step of Jacobi's gives them."""
        own, rest = self._own[level], self._rests[level]
        out = np.asarray(_spread(values, own.shape) * own, np.float32)
        flat = out.ravel()
        total = np.zeros(len(rest.places), np.float32)
        for places, ties in rest.neighbours:
            total += ties * flat.take(places)
        flat[rest.places] = total * rest.shares
        return out

    def _smooth(self, u: Plane, load: Plane, level: int) -> None:
        change = self.apply(u, level)
        np.subtract(load, change, out=change)
        change *= self._steps[level]
        u += change

    def cycle(self, load: Plane, level: int = 0) -> Plane:
        """One symmetric V-cycle from 0."""
        last = level + 1 == len(self._grids)
        u = self._steps[level] * load
        for _ in range(SMOOTHED * COARSEST if last else SMOOTHED - 1):
            self._smooth(u, load, level)
        if last:
            return np.asarray(u)
        u += self.spread(self.cycle(self.gather(load - self.apply(u, level), level), level + 1), level)
        for _ in range(SMOOTHED):
            self._smooth(u, load, level)
        return np.asarray(u)


def solve(grid: Grid, load: Plane) -> Plane:
    """Solve for u, HxW.

    Args:
        grid: the operator.
        load: HxW; 0 where a cell has no tie to the value 0, not even by way of others.
    """
    return _nested(_Levels(grid), load, 0)


def _nested(levels: _Levels, load: Plane, level: int) -> Plane:
    """Solve on one level, starting from the solution on the next coarser one."""
    if level + 1 < levels.count:
        u = levels.spread(_nested(levels, levels.gather(load, level), level + 1), level)
    else:
        u = np.zeros_like(load)
    residual = load - levels.apply(u, level)
    limit = TOLERANCE * float(np.linalg.norm(load))
    direction = np.zeros_like(load)
    before = 1.0
    for _ in range(MOST_STEPS_COARSE if level else MOST_STEPS):
        if float(np.linalg.norm(residual)) <= limit:
            break
        better = levels.cycle(residual, level)
        now = float(np.vdot(residual, better))
        if now <= 0:
            break
        direction *= np.float32(now / before)
        direction += better
        image = levels.apply(direction, level)
        length = np.float32(now / max(float(np.vdot(direction, image)), 1e-30))
        u += length * direction
        residual -= length * image
        before = now
    return u
