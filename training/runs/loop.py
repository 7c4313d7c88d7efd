"""The loop of a training run: steps, log, checkpoints and sheets, until it is done or is to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from training.runs.folder import Journal, record_start
from training.runs.memory import too_large
from training.runs.stopping import Stop

if TYPE_CHECKING:
    from training.runs.config import Phase
    from training.runs.run import Run

LOG_EVERY = 20
"""Steps between two lines of the log."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: steps done.
        steps: in all.
        samples: seen since this start.
        seconds: since this start, without measuring and saving.
        size: of the present crops in pixels.
        skipped: steps skipped so far.
        terms: of the losses, where this step has some for the log.
    """

    step: int
    steps: int
    samples: int
    seconds: float
    size: int
    skipped: int
    terms: dict[str, float]


Show = Callable[[Progress], None]


class Damage:
    """Pictures of the shards that could not be read and were left out: those of this start, each once."""

    def __init__(self, run: Run[Any], journal: Journal | None) -> None:
        self.run, self.journal = run, journal
        self.found: set[int] = set()
        self.told: set[int] = set()
        self.names: list[str] = []

    def see(self, raw: dict[str, Tensor]) -> None:
        """Note what a batch had to leave out."""
        if "damaged" in raw:
            self.found |= {int(n) for n in raw["damaged"].tolist() if n}

    def tell(self) -> Iterator[str]:
        """Log and name what is new in all processes; all must ask."""
        known = self.run.team.union(self.found)
        yield from self.name([self.run.name_damaged(n) for n in sorted(known - self.told)])
        self.told = known

    def name(self, names: list[str]) -> Iterator[str]:
        """Log and name pictures that were left out."""
        self.names += names
        for name in names:
            if self.journal is not None:
                self.journal.write({"step": self.run.step, "left_out": name}, {})
            yield f"left out {name}"

    def sum_up(self) -> Iterator[str]:
        """Say how many there were."""
        if self.names:
            yield f"{len(self.names)} pictures or shards could not be read and were left out; log.jsonl names them"


class Loop:
    """A run on its way.

    Args:
        run: the run.
        journal: where it is logged, in the process that does.
        max_minutes: the longest it may take.
        save_minutes: between two checkpoints.
        show: is told how far it is.
    """

    def __init__(
        self, run: Run[Any], journal: Journal | None, max_minutes: float, save_minutes: float, show: Show | None
    ) -> None:
        self.run, self.journal, self.show = run, journal, show
        self.begun = self.saved = time.monotonic()
        self.end, self.save_seconds = self.begun + max_minutes * 60, save_minutes * 60
        self.damage = Damage(run, journal)
        self.spent, self.first, self.away = run.seconds, (run.step, run.samples), 0.0

    def save(self, *, last: bool = False, sheets: bool = True) -> None:
        """Write a checkpoint, log what was measured for it, and draw sheets."""
        before = time.monotonic()
        numbers = self.run.save()
        if self.journal is not None and numbers:
            self.journal.write({"step": self.run.step}, numbers)
        if sheets and self.run.team.leads:
            self.run.sheets(last=last)
        self.saved = time.monotonic()
        self.away += self.saved - before

    def steps(self, stop: Stop) -> Iterator[str]:
        """Train until the end or until something asks to stop."""
        run = self.run
        over = run.team.any(self.begun >= self.end)
        while run.step < run.config.steps and not over:
            phase = run.phase()
            if run.step > self.first[0]:
                # Larger crops come: should they not fit the GPU, nothing is lost.
                self.save(sheets=False)
            for raw in run.batches(phase):
                self.damage.see(raw)
                terms = _step(run, raw, phase)
                now = time.monotonic()
                run.seconds = self.spent + now - self.begun
                if run.step % LOG_EVERY == 0:
                    yield from self.damage.tell()
                self._tell(terms, phase, now)
                # All do the same: stop when one has to, and save when one is due.
                vote = 2.0 if now > self.end or stop.asked is not None else float(now - self.saved > self.save_seconds)
                vote = run.team.widest(torch.tensor(vote))
                if vote == 1:
                    self.save()
                over = vote == 2
                if over or run.step >= run.config.steps or run.phase() != phase:
                    break
        yield from self.damage.tell()

    def _tell(self, terms: dict[str, float], phase: Phase, now: float) -> None:
        run = self.run
        if terms and self.journal is not None:
            record = {"step": run.step, "samples": run.samples, "seconds": round(run.seconds, 1)}
            self.journal.write(record | {"skipped": run.finiteness.skipped}, {**terms, "lr": run.learning_rate()})
        if self.show is not None and run.team.leads:
            seen, seconds = run.samples - self.first[1], now - self.begun - self.away
            skipped = run.finiteness.skipped
            self.show(Progress(run.step, run.config.steps, seen, seconds, phase.size, skipped, terms))


def train(run: Run[Any], max_minutes: float, save_minutes: float, show: Show | None = None) -> Iterator[str]:
    """See ``Run.train``."""
    journal = None
    if run.team.leads:
        start = {"step": run.step, "processes": run.team.world, "device": run.device.type}
        record_start(run.folder, run.config, run.about, start)
        journal = Journal(run.folder, run.step)
    try:
        loop = Loop(run, journal, max_minutes, save_minutes, show)
        yield from loop.damage.name(run.left_out)
        with Stop(run.team.world > 1) as stop:
            yield from loop.steps(stop)
        loop.save(last=True)
    finally:
        if journal is not None:
            journal.close()
    yield from loop.damage.sum_up()
    if run.finiteness.skipped:
        yield f"{run.finiteness.skipped} steps were skipped: their loss or gradient was not a finite number"
    why = f" on {stop.asked}" if stop.asked else ""
    yield f"stopped{why} at step {run.step} of {run.config.steps}; weights in {run.folder / 'weights.safetensors'}"
    if run.step < run.config.steps:
        yield "go on with the same command and --resume"


def _step(run: Run[Any], raw: dict[str, Tensor], phase: Phase) -> dict[str, float]:
    """One step, or what to do where it does not fit the GPU."""
    try:
        return run.train_step(raw)
    except torch.cuda.OutOfMemoryError as e:
        said = str(e).splitlines()[0]
    # Here the frames of the step, and with them its tensors, are gone.
    raise too_large(run, raw, phase, said)
