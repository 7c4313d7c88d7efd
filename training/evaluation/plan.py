"""What an evaluation is to do, piece by piece, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.pack import Source
from training.evaluation.features import digest_of, own_file
from training.evaluation.measure import Judges, Measured
from training.evaluation.methods import Checkpoint, Method
from training.evaluation.records import Unit, code_digest, digest
from training.evaluation.statistics import Spread
from training.evaluation.tables import Rows, count_name

ORIGINAL = "original"
"""Stands for the originals themselves among the methods."""
MASK = "mask"
Failures = list[tuple[str, str, str]]
"""Picture, method and reason."""


@dataclass(frozen=True)
class Plan:
    """What to evaluate.

    Attributes:
        art: folder with ``manifest.csv``.
        splits: rows of the manifest to take.
        methods: what to measure.
        counts: numbers of hints; ``heldout.FULL`` = the whole flat picture.
        judges: what else looks at the results.
        seed: of strokes and masks.
        limit: take only this many pictures, spread evenly.
        device: where models and judges run.
        masks: also run checkpoints with a mask and look at what must not change.
        pictures: keep the finished pictures, too.
    """

    art: Path
    splits: tuple[str, ...]
    methods: tuple[Method, ...]
    counts: tuple[int, ...]
    judges: Judges = field(default_factory=Judges)
    seed: int = 0
    limit: int | None = None
    device: str = "cpu"
    masks: bool = True
    pictures: bool = False


@dataclass
class Findings:
    """What an evaluation found.

    Attributes:
        rows: one per output, picture and number of hints.
        masked: one per checkpoint and picture, from the runs with a mask.
        strokes: CIEDE2000 of every stroke pixel, by output and number of hints.
        features: by eye, output and number of hints, the features of every picture by its key; the originals' under
            ``(eye, ORIGINAL, 0)``.
        shown: rows of the contact sheets by number of hints: a picture's key and its small pictures by column.
        failures: picture, method and reason.
        measured: how many pieces of work were done now; the rest was there already.
    """

    rows: Rows = field(default_factory=list)
    masked: Rows = field(default_factory=list)
    strokes: dict[tuple[str, int], Spread] = field(default_factory=dict)
    features: dict[tuple[str, str, int], dict[str, NDArray[np.float32]]] = field(default_factory=dict)
    shown: dict[int, list[tuple[str, dict[str, NDArray[np.uint8]]]]] = field(default_factory=dict)
    failures: Failures = field(default_factory=list)
    measured: int = 0

    def add(self, count: int, found: Measured) -> None:
        """Take in what was measured of one method on one picture."""
        self.rows += found.rows
        for output, (values, counts) in found.strokes.items():
            self.strokes.setdefault((output, count), Spread()).add(values, counts)


@dataclass(frozen=True)
class Piece:
    """One unit of work with everything that decides its result."""

    unit: Unit
    key: str
    method: Method | None
    count: int


@dataclass(frozen=True)
class Task:
    """All that is left to do on one picture."""

    index: int
    source: Source
    show: bool
    pieces: tuple[Piece, ...]


class Keys:
    """Makes the pieces of work of a picture, with everything that decides their result as one digest each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        judges = plan.judges
        judged = [judges.likeness, [digest_of(p) if p else None for p in (judges.inception, judges.lpips)]]
        own = digest_of(own_file(judges.own)[0]) if judges.own is not None else None
        self.common = [code_digest(), torch.__version__, plan.seed, plan.device, judged, own]
        self.prints = {m.name: m.fingerprint() for m in plan.methods}

    def pieces(self, index: int, source: Source) -> tuple[Piece, ...]:
        """All pieces of work on one picture.

        Raises:
            ColorizeError: its files cannot be read.
        """
        files = [digest_of(p) for p in (source.image, source.line) if p is not None]
        common = [self.common, index, files]
        counts = [count_name(c) for c in self.plan.counts]
        out = [Piece(Unit(ORIGINAL, source.key, "itself"), digest(common, counts), None, 0)]
        for method in self.plan.methods:
            for count in (c for c in self.plan.counts if method.applies(c)):
                name = count_name(count)
                key = digest(common, name, self.prints[method.name])
                out.append(Piece(Unit(method.name, source.key, name), key, method, count))
            if isinstance(method, Checkpoint) and self.plan.masks:
                key = digest(common, MASK, self.prints[method.name])
                out.append(Piece(Unit(method.name, source.key, MASK), key, method, 0))
        return tuple(out)
