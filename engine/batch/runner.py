"""Colours many drawings through the engine's queue, a few at a time; what is done already is left alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine import __version__
from engine.batch.contact_sheet import Sheet
from engine.batch.plan import Frame, Record, clashes, fingerprint
from engine.batch.service import Service
from engine.errors import ColorizeError, check_size, does_not_sample
from engine.imaging.files import reading, writing
from engine.protocol import Buffer, Event, Message, digest
from engine.protocol.settings import SAMPLING, JobSettings

Pixels = NDArray[np.uint8]

AHEAD = 3
"""Jobs in the queue: the device never waits, and a painter who shares the engine waits for few."""
MANY_PIXELS = 100_000_000
"""Pixels in the queue above which no further drawing is read; each takes some 12 bytes here."""
TRIES = 2
"""Times a job is sent that failed for a reason that may pass."""
PAUSE = 1.0
"""Seconds before it is sent again."""
WRITES = 3
"""Pictures in a row that cannot be written after which there is no point in going on."""
FAREWELL = 2.0
"""Seconds to wait for jobs to be cancelled."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of all drawings.

    Attributes:
        model: its name.
        settings: of every job.
        overwrite: colour all again, and write over pictures that no batch has made.
    """

    model: str
    settings: JobSettings = field(default_factory=JobSettings)
    overwrite: bool = False

    def made_with(self, about: dict[str, Any], weights: Path | None) -> dict[str, Any]:
        """All that changes pictures besides their inputs, for the record.

        What is as by default has no entry, but for size and seed, so that records older than a setting stay true.

        Args:
            about: what the engine says of the model.
            weights: what the engine was started with.
        """
        made_with: dict[str, Any] = {"version": __version__, "model": about}
        made_with |= {"size": self.settings.size, "seed": self.settings.seed, **self.settings.changed()}
        return made_with if weights is None else {**made_with, "weights": fingerprint(weights)}


@dataclass
class Outcome:
    """What became of the drawings so far.

    Attributes:
        done: coloured now.
        skipped: there already.
        failed: with the reason.
        missing: by role, how many drawings had no file of it although a folder was given.
        device: where the last one was coloured.
        notes: what the engine remarked, each once.
        sheet: contact sheets that were written.
    """

    done: list[Frame] = field(default_factory=list)
    skipped: list[Frame] = field(default_factory=list)
    failed: list[tuple[Frame, ColorizeError]] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    device: str = ""
    notes: list[str] = field(default_factory=list)
    sheet: list[Path] = field(default_factory=list)


class Report(Protocol):
    """Who wants to hear how it goes."""

    def begin(self, total: int, left: int) -> None:
        """So many drawings, of which so many are not done yet."""

    def done(self, frame: Frame, seconds: float) -> None:
        """One is coloured; its model took so many seconds."""

    def failed(self, frame: Frame, error: ColorizeError) -> None:
        """One came to nothing."""

    def note(self, text: str) -> None:
        """A remark."""


@dataclass
class _Job:
    """A drawing in the queue."""

    frame: Frame
    lineart: reading.Lineart
    context: Pixels | None
    made_from: str

    @property
    def pixels(self) -> int:
        return int(self.lineart.ink.shape[0] * self.lineart.ink.shape[1])


class Batch:
    """One run over many drawings.

    Args:
        frames: the drawings.
        wanted: what is wanted.
        folder: of the pictures; it is made where it is missing.
        service: the engine.
        report: who wants to hear how it goes.
        unbroken: holds KeyboardInterrupt back while a picture is written and noted.

    Attributes:
        outcome: filled while it runs, so that it is right after Ctrl-C too.
    """

    def __init__(
        self,
        frames: list[Frame],
        wanted: Wanted,
        folder: Path,
        service: Service,
        report: Report,
        unbroken: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.outcome = Outcome()
        self._frames, self._wanted, self._folder = frames, wanted, folder
        self._service, self._report, self._unbroken = service, report, unbroken
        self._jobs: dict[str, _Job] = {}
        self._todo: deque[Frame] = deque()
        self._tries: dict[str, int] = {}
        self._not_before = 0.0
        self._unwritten = 0
        self._shared: dict[str, tuple[Path, tuple[int, int], Buffer, Pixels]] = {}
        self._sheet = Sheet()
        self._record: Record

    def run(self, weights: Path | None, sheet: Path | None) -> None:
        """Colour what is not done yet, then draw the contact sheet.

        Args:
            weights: what the engine was started with; part of the settings.
            sheet: file for the contact sheet, or None.

        Raises:
            ColorizeError: the engine or the disk does not allow any more; what is done stays.
            KeyboardInterrupt: somebody stopped it; what is done stays.
        """
        model = self._check_model(weights)
        writing.make_folder(self._folder)
        self._record = Record(self._folder, self._wanted.made_with(model, weights))
        self._record.tidy()
        self._sort()
        try:
            while self._todo or self._jobs:
                self._fill()
                self._service.keep()
                for event in self._service.client.wait(0.25):
                    self._hear(event)
        finally:
            self._withdraw()
        if sheet is not None and (self.outcome.done or not sheet.exists()):
            self._report.note("drawing the contact sheet")
            failed = {id(frame) for frame, _ in self.outcome.failed}
            pictures = [(f.lineart.stem, f.output, "failed" if id(f) in failed else "") for f in self._frames]
            self.outcome.sheet = self._sheet.write(sheet, pictures)

    def _check_model(self, weights: Path | None) -> dict[str, Any]:
        """What the engine says of the model."""
        name, known = self._wanted.model, self._service.about["models"]
        found = next((m for m in known if m["name"] == name), None)
        if weights is not None and weights.is_file():
            # That file is the model, whatever name was asked for.
            found = next((m for m in known if m["name"] == weights.stem), found)
        if found is None:
            names = ", ".join(m["name"] for m in known) or "none"
            raise ColorizeError(f"the engine has no model '{name}'", f"choose one of: {names}", wrong_use=True)
        check_size(self._wanted.settings.size, name, found["min_size"], found["max_size"])
        sampling = self._wanted.settings.changed(SAMPLING)
        if sampling and not found["stochastic"]:
            raise does_not_sample(name, list(sampling))
        return {**found, "asked": name}

    def _sort(self) -> None:
        """Find out what is left to do."""
        clashing = clashes(self._frames)
        refused = []
        for number, frame in enumerate(self._frames):
            for role in frame.missing:
                self.outcome.missing[role] = self.outcome.missing.get(role, 0) + 1
            if number in clashing:
                refused.append((frame, clashing[number]))
            elif not self._wanted.overwrite and self._record.done(frame):
                self.outcome.skipped.append(frame)
            elif not self._wanted.overwrite and self._record.foreign(frame):
                error = ColorizeError(
                    f"{frame.output} is there already and was made or changed by somebody else",
                    "move it away, or use --overwrite",
                )
                refused.append((frame, error))
            else:
                self._todo.append(frame)
        self._report.begin(len(self._frames), len(self._todo) + len(refused))
        for frame, error in refused:
            self._fail(frame, error)

    def _fill(self) -> None:
        """Read the next drawings and put them into the queue."""
        while self._todo and len(self._jobs) < AHEAD and time.monotonic() >= self._not_before:
            if self._jobs and sum(job.pixels for job in self._jobs.values()) > MANY_PIXELS:
                return
            frame = self._todo.popleft()
            try:
                self._send(frame)
            except ColorizeError as e:
                self._fail(frame, e)

    def _send(self, frame: Frame) -> None:
        made_from = self._record.key(frame)
        lineart = reading.read_lineart(frame.lineart)
        grey = np.rint(lineart.paper * 255).astype(np.uint8)
        buffers = [_buffer("lineart", grey)]
        context = None
        for role in frame.inputs:
            buffer, pixels = self._read(frame, role, lineart.size)
            buffers.append(buffer)
            context = pixels if role == "context" else context
        width, height = lineart.size
        body: dict[str, Any] = {"width": width, "height": height, "model": self._wanted.model}
        body |= {"layers": list(frame.layers) or ["colour"], **self._wanted.settings.changed()}
        # Only the ink is needed any more, to be laid on top; the paper would be as much again.
        lineart = reading.Lineart(np.empty((0, 0), np.float32), lineart.ink)
        self._jobs[self._service.client.colorize(body, buffers)] = _Job(frame, lineart, context, made_from)

    def _read(self, frame: Frame, role: str, size: tuple[int, int]) -> tuple[Buffer, Pixels]:
        """Read strokes, mask or context; the last of each is kept, as one file may serve all drawings."""
        path = frame.inputs[role]
        kept = self._shared.get(role)
        if kept is not None and kept[:2] == (path, size):
            return kept[2], kept[3]
        read = {"hints": reading.read_hints, "mask": reading.read_mask, "context": reading.read_context}[role]
        pixels = read(path, size, frame.lineart)
        buffer = _buffer(role, pixels)
        self._shared[role] = path, size, buffer, pixels
        return buffer, pixels

    def _hear(self, event: Event) -> None:
        self._service.heed(event)
        if event.kind not in ("result", "error", "cancelled") or event.message is None:
            return
        job = self._jobs.pop(event.id, None)
        if job is None:
            return
        body = event.message.body
        if event.kind == "result":
            with self._unbroken():
                self._finish(job, event.message)
        elif body.get("code") == "no_worker":
            raise ColorizeError(str(body.get("message")), str(body.get("hint")))
        elif body.get("retryable") and self._tries.get(job.frame.output.name, 1) < TRIES:
            self._tries[job.frame.output.name] = self._tries.get(job.frame.output.name, 1) + 1
            self._not_before = time.monotonic() + PAUSE
            self._todo.appendleft(job.frame)
        else:
            cause = str(body.get("message") or "the job was cancelled by somebody else")
            hint = str(body.get("hint") or "run the same command again")
            self._fail(job.frame, ColorizeError(f"{job.frame.lineart}: {cause}", hint))

    def _finish(self, job: _Job, result: Message) -> None:
        """Write the pictures of a drawing."""
        frame, body = job.frame, result.body
        height, width = job.lineart.ink.shape[:2]
        layers = {
            b.role: np.frombuffer(b.pixels(), np.uint8).reshape(b.height, b.width, 4)
            for b in result.buffers
            if (b.width, b.height, b.order) == (width, height, "RGBA8")
        }
        if any(name not in layers for name in (*frame.layers, "colour")):
            self._fail(frame, ColorizeError(f"{frame.lineart}: the engine sent no picture", "see the engine's log"))
            return
        picture = writing.compose(layers["colour"], job.lineart, job.context)
        try:
            for folder in {p.parent for p in frame.targets}:
                writing.make_folder(folder)
            self._record.begin(frame)
            writing.write_all([(frame.output, picture), *((path, layers[n]) for n, path in frame.layers.items())])
        except ColorizeError as e:
            self._unwritten += 1
            self._fail(frame, e)
            if self._unwritten >= WRITES:
                raise
            return
        self._record.finish(frame, job.made_from)
        self._unwritten = 0
        self._sheet.add(frame.output, picture)
        self.outcome.done.append(frame)
        self.outcome.device = str(body.get("device", ""))
        note = str(body.get("note") or "")
        if note and note not in self.outcome.notes:
            self.outcome.notes.append(note)
            self._report.note(note)
        self._report.done(frame, float(body.get("seconds", 0.0)))

    def _fail(self, frame: Frame, error: ColorizeError) -> None:
        self.outcome.failed.append((frame, error))
        self._report.failed(frame, error)

    def _withdraw(self) -> None:
        """Cancel what is in the queue; the engine may go on serving others."""
        client = self._service.client
        for ident in self._jobs:
            client.cancel(ident)
        deadline = time.monotonic() + FAREWELL
        while self._jobs and client.state == "ready" and time.monotonic() < deadline:
            for event in client.wait(0.1):
                if event.kind in ("result", "error", "cancelled"):
                    self._jobs.pop(event.id, None)


def _buffer(role: str, pixels: Pixels) -> Buffer:
    """Pixels as they travel; the array must not change any more."""
    whole = np.ascontiguousarray(pixels)
    height, width = whole.shape[:2]
    order, data = ("L8" if whole.ndim == 2 else "RGBA8"), whole.reshape(-1).data
    return Buffer(role, width, height, order, digest=digest(width, height, order, data), data=data)
