"""The loop of a training run: steps, log, checkpoints and sheets, until it is done or is to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.data.stream import name_damaged
from training.runs.folder import Journal, record_start
from training.runs.memory import too_large
from training.runs.stopping import Stop

if TYPE_CHECKING:
    from training.runs.config import Phase
    from training.runs.run import Run

LOG_EVERY = 20
"""Steps between two lines of the log."""
SHOW_EVERY = 100
"""Steps between two lines for the user."""


class Damage:
    """Pictures of the shards that could not be read and were left out: those of this start, each once."""

    def __init__(self, run: Run, journal: Journal | None) -> None:
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
        yield from self.name([name_damaged(self.run.data, n) for n in sorted(known - self.told)])
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


def train(run: Run, max_minutes: float, save_minutes: float) -> Iterator[str]:
    """See ``Run.train``."""
    journal = None
    if run.team.leads:
        start = {"step": run.step, "processes": run.team.world, "device": run.device.type}
        record_start(run.folder, run.config, run.about, start)
        journal = Journal(run.folder, run.step)
    damage = Damage(run, journal)
    try:
        yield from damage.name(run.data.left_out)
        with Stop(run.team.world > 1) as stop:
            yield from _steps(run, journal, damage, stop, max_minutes, save_minutes)
        run.save()
        for hints in (0, 4, 12, 40):
            run.sheet(hints)
    finally:
        if journal is not None:
            journal.close()
    yield from damage.sum_up()
    why = f" on {stop.asked}" if stop.asked else ""
    yield f"stopped{why} at step {run.step} of {run.config.steps}; weights in {run.folder / 'weights.safetensors'}"
    if run.step < run.config.steps:
        yield "go on with the same command and --resume"


def _steps(
    run: Run, journal: Journal | None, damage: Damage, stop: Stop, max_minutes: float, save_minutes: float
) -> Iterator[str]:
    begun = saved = time.monotonic()
    end, spent, first = begun + max_minutes * 60, run.seconds, run.step
    over = run.team.any(begun >= end)
    while run.step < run.config.steps and not over:
        phase = run.phase()
        if run.step > first:
            # Larger crops come: should they not fit the GPU, nothing is lost.
            run.save()
        for raw in run.batches(phase):
            damage.see(raw)
            terms = _step(run, raw, phase)
            now = time.monotonic()
            run.seconds = spent + now - begun
            if run.step % LOG_EVERY == 0:
                yield from damage.tell()
            if terms and journal is not None:
                journal.write({"step": run.step, "samples": run.samples, "seconds": round(run.seconds, 1)}, terms)
            if run.step % SHOW_EVERY == 0:
                shown = " ".join(f"{k} {v:.3f}" for k, v in terms.items())
                yield f"step {run.step}/{run.config.steps} {now - begun:.0f} s {phase.size} px: {shown}"
            if now - saved > save_minutes * 60:
                saved = now
                run.save()
                run.sheet(12)
                run.sheet(0)
            over = run.team.any(now > end or stop.asked is not None)
            if over or run.phase() != phase:
                break
    yield from damage.tell()


def _step(run: Run, raw: dict[str, Tensor], phase: Phase) -> dict[str, float]:
    """One step, or what to do where it does not fit the GPU."""
    try:
        return run.train_step(raw)
    except torch.cuda.OutOfMemoryError as e:
        said = str(e).splitlines()[0]
    # Here the frames of the step, and with them its tensors, are gone.
    raise too_large(run, raw, phase, said)
