"""Which rater judges what, in which order; pure arithmetic, the same for the same seed on any machine.

Balance, for every rater who finishes: each method is rated equally often, and in pairs stands equally often on either
side. Over all raters each drawing is shown equally often, but for one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

Mode = Literal["ratings", "pairs", "both"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Design:
    """What a study asks.

    Attributes:
        methods: how many there are, 2 or more.
        drawings: how many there are, each coloured by every method.
        each: how many of the drawings one rater sees, in 1..drawings.
        mode: ratings from 1 to 5, choices between two, or first one and then the other.
        seed: of all orders.
    """

    methods: int
    drawings: int
    each: int
    mode: Mode
    seed: int


@dataclass(frozen=True)
class Task:
    """One thing to judge: a drawing by a method, or by two of which one is chosen; numbers count from 0."""

    drawing: int
    first: int
    second: int | None = None


def plan(design: Design, rater: int) -> list[Task]:
    """All that one rater judges, in order.

    Ratings go in rounds: each shows every drawing once, methods spread evenly over it (a Latin square), so that what
    somebody who stops early has judged is nearly balanced too. The same drawing never comes twice in a row.

    Args:
        design: of the study.
        rater: who, counted from 0 in the order of beginning.

    Returns:
        The ratings (``each * methods``), then the pairs (``each`` with two methods, else ``each * methods``).
    """
    rng = random.Random(f"study {design.seed} rater {rater}")
    drawings = _share(design, rater)
    rng.shuffle(drawings)
    tasks: list[Task] = []
    if design.mode != "pairs":
        order, rounds = _shuffled(rng, range(design.methods)), _shuffled(rng, range(design.methods))
        tasks += _in_rounds(
            rng,
            [[Task(d, order[(place + r) % design.methods]) for r in rounds] for place, d in enumerate(drawings)],
        )
    if design.mode != "ratings":
        tasks += _in_rounds(rng, [_pairs(rng, design.methods, d, place) for place, d in enumerate(drawings)])
    return tasks


def _share(design: Design, rater: int) -> list[int]:
    """The drawings of one rater: raters take turns around a shuffled ring of all of them."""
    ring = _shuffled(random.Random(f"study {design.seed} drawings"), range(design.drawings))
    start = rater * design.each % design.drawings
    return [ring[(start + k) % design.drawings] for k in range(design.each)]


def _pairs(rng: random.Random, methods: int, drawing: int, place: int) -> list[Task]:
    """Neighbours on a random ring of the methods: each stands once on the left and once on the right."""
    if methods == 2:
        return [Task(drawing, *((0, 1) if place % 2 else (1, 0)))]
    ring = _shuffled(rng, range(methods))
    return [Task(drawing, a, b) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]


def _in_rounds(rng: random.Random, by_drawing: list[list[Task]]) -> list[Task]:
    """Take one task of each drawing in turn, the drawings shuffled anew each time."""
    tasks: list[Task] = []
    for current in zip(*by_drawing, strict=True):
        fresh = _shuffled(rng, current)
        if tasks and fresh[0].drawing == tasks[-1].drawing:
            fresh = [*fresh[1:], fresh[0]]
        tasks += fresh
    return tasks


def _shuffled(rng: random.Random, items: Iterable[Item]) -> list[Item]:
    new = list(items)
    rng.shuffle(new)
    return new
