"""Shows how far a training run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

import psutil  # type: ignore[import-untyped]
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from typing_extensions import Self

from training.runs.loop import Progress

WINDOW = 50
"""Steps over which the speed is taken."""
FIRST_LINES, LINE_EVERY = 5.0, 30.0
"""Seconds between two plain lines: at first, doubling up to the second number."""


def memory_gb() -> float:
    """Most memory of the GPU that tensors took so far, or the memory this process takes, in 10^9 bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return float(psutil.Process().memory_info().rss) / 1e9


D = TypeVar("D", bound="ProgressDisplay")


class ProgressDisplay:
    """Shows a run's progress while it is entered, and lines beside it.

    Args:
        console: where; the standard output by default.
        quiet: show nothing.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(file=sys.stdout, soft_wrap=True, highlight=False, quiet=quiet)
        self.seen: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)], WINDOW)
        self.terms: dict[str, float] = {}
        self.bar: Bar | None = None
        self.gap, self.last = FIRST_LINES, -1e9
        if self.console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self.bar = Bar(*columns, console=self.console, transient=True)

    def __enter__(self) -> Self:
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task("the first step", total=None)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def say(self, line: str) -> None:
        """Print a line of the run."""
        self.console.print(line, markup=False, highlight=False)

    def show(self, progress: Progress) -> None:
        """Show how far the run is."""
        self.terms = progress.terms or self.terms
        self.seen.append((progress.seconds, progress.samples, progress.step))
        if self.bar is not None:
            self.bar.update(
                self.task, total=progress.steps, completed=progress.step, description=self.describe(progress)
            )
            return
        now = time.monotonic()
        if now - self.last >= self.gap or progress.step == progress.steps:
            if self.last > 0:
                self.gap = min(2 * self.gap, LINE_EVERY)
            self.last = now
            self.say(f"step {progress.step}/{progress.steps} {self.describe(progress)}")

    def describe(self, progress: Progress) -> str:
        """Crops, speed, time left, memory, skipped steps and the losses."""
        (before, samples, step), (now, seen, done) = self.seen[0], self.seen[-1]
        # The first entry stands for the start of this process, which may have begun in the middle of a run.
        steps = len(self.seen) - 1 if step == 0 else done - step
        pace = max(now - before, 1e-9)
        left = timedelta(seconds=round((progress.steps - progress.step) * pace / max(steps, 1)))
        parts = [f"{progress.size} px", f"{(seen - samples) / pace:.1f} samples/s", f"{left} left"]
        parts.append(f"{memory_gb():.1f} GB")
        if progress.skipped:
            parts.append(f"{progress.skipped} skipped")
        parts += [f"{k} {v:.3f}" for k, v in self.terms.items()]
        return ", ".join(parts)
