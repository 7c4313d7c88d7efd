"""The jobs of this Krita that have not ended: what they are, how far they are, and how long they will take."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from .outcome import Outcome

PACES_KEPT = 50
FIRST_GUESS = 1.0
"""Seconds after which the number of steps tells something about how long a job of a new kind will take."""
WAITING = "waiting"


@dataclass
class Job:
    """One job between the artist's click and its outcome.

    Attributes:
        id: of the session, which stays when the job is sent a second time.
        body: for the engine.
        buffers: for the engine.
        on_end: told the outcome.
        on_progress: told the stage in words, the step and how many there are.
        on_preview: told the body and the buffers of a preview.
        sent: the client's id of the request; empty before it was handed over.
        stage: the engine's name of it; empty before there is one.
        step: how many are done.
        total: of how many.
        began: when the device began, in monotonic seconds; negative before.
        marks: when each step was reached, in seconds after ``began``.
        cancelled: when the artist asked to cancel it; negative before.
        repeated: it was sent a second time.
        halted: it stood still or was begun anew, so that its times teach nothing.
    """

    id: str
    body: dict[str, Any]
    buffers: list[Any]
    on_end: Callable[[Outcome], None]
    on_progress: Callable[[str, int, int], None] | None = None
    on_preview: Callable[[dict[str, Any], list[Any]], None] | None = None
    sent: str = ""
    stage: str = ""
    step: int = 0
    total: int = 0
    began: float = -1.0
    marks: dict[int, float] = field(default_factory=dict)
    cancelled: float = -1.0
    repeated: bool = False
    halted: bool = False

    @property
    def running(self) -> bool:
        """Whether the device is working on it."""
        return self.began >= 0

    def progress(self, stage: str, step: object, total: object) -> None:
        """Note how far it is, as the engine says."""
        now = time.monotonic()
        if stage != WAITING and not self.running:
            self.began = now
        self.stage, self.total = stage, _count(total)
        self.step = min(_count(step), self.total)
        if self.running:
            self.marks.setdefault(self.step, now - self.began)

    def halt(self) -> None:
        """The engine does not answer any more; the job will go on or be begun anew."""
        self.halted = True
        self.stage, self.step, self.total, self.began = "", 0, 0, -1.0
        self.marks.clear()

    def again(self) -> None:
        """It is to be sent anew."""
        self.halt()
        self.sent = ""


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0


class Pace:
    """How long jobs take here, learned from those that ended."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[dict[int, float], float]] = OrderedDict()

    def learn(self, job: Job) -> None:
        """A job has ended with a result."""
        if job.running and not job.halted:
            self._known[_kind(job)] = dict(job.marks), time.monotonic() - job.began
            self._known.move_to_end(_kind(job))
            while len(self._known) > PACES_KEPT:
                self._known.popitem(last=False)

    def left(self, job: Job) -> float:
        """Seconds that a job will still take, whole ones; negative where nobody can tell."""
        if not job.running:
            return -1.0
        elapsed = time.monotonic() - job.began
        at_step = job.marks.get(job.step, elapsed)
        marks, seconds = self._known.get(_kind(job), ({}, -1.0))
        if seconds >= 0:
            # The steps differ much in length: what followed this one last time says more than their number.
            whole = at_step + seconds - marks.get(job.step, at_step)
        elif job.step and job.step == job.total:
            whole = elapsed
        elif job.step and elapsed >= FIRST_GUESS:
            whole = max(at_step, FIRST_GUESS) / job.step * job.total
        else:
            return -1.0
        return float(math.ceil(max(0.0, whole - elapsed)))


def _kind(job: Job) -> Hashable:
    """What the length of a job depends on, but for the drawing itself."""
    body = job.body
    kind = [body.get(k) for k in ("width", "height", "model", "size", "steps", "variations", "layers")]
    # Without strength no steps are taken, and any other guidance than 1 takes two rounds for each.
    return repr([*kind, body.get("strength") == 0, body.get("guidance") == 1])
