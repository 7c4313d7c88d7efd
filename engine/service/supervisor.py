"""Keeps the device process: starts it, watches it, ends it, and says what became of it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import engine
from engine.service.exchange import Exchange, PipeError, receive, send

HANG = 5.0
"""Seconds without a sign of life after which the process counts as hung; it gives two each second."""
START = 120.0
"""Seconds a start may take: a cold disk needs long to bring torch in, and no sign of life can be given meanwhile."""
STALL = 300.0
"""Seconds a job may go without any progress."""
TRIES = 3
"""Starts in a row that may come to nothing before jobs are refused."""
PAUSE = 1.0
"""Seconds between a failed start and the next."""
LAST_LINES = 20

log = logging.getLogger("engine.service.worker")
Notify = Callable[[int, dict[str, Any]], None]


class Supervisor:
    """The device process as the engine sees it; used by one thread, which gets told by ``notify`` from others.

    Args:
        device: auto, cpu, cuda or mps.
        weights: what ``--weights`` was given.
        folder: private folder.
        notify: called with the number of the process and what it said, or ``{"say": "gone"}``; from any thread.
    """

    def __init__(self, device: str, weights: Path | None, folder: Path, notify: Notify) -> None:
        self._arguments = ["--device", device, *(["--weights", str(weights.absolute())] if weights else [])]
        self._folder, self._notify = folder, notify
        self._process: subprocess.Popen[bytes] | None = None
        self.exchange: Exchange | None = None
        self.state = "off"
        self.number = 0
        """Of the process, counted from 1."""
        self.restarts = 0
        self._failures = 0
        self._not_before = 0.0
        self._started = self._heard = self._moved = 0.0
        self._killed_for = ""
        self._lines: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process else None

    @property
    def age(self) -> float:
        """Seconds since the process was started."""
        return time.monotonic() - self._started

    @property
    def hopeless(self) -> bool:
        """Whether the process has not come up several times in a row."""
        return self._failures >= TRIES

    @property
    def last_words(self) -> str:
        """The last line the process printed, or empty."""
        return self._lines[-1] if self._lines else ""

    def start(self) -> None:
        """Start the process unless there is one, or the last start has failed just now."""
        now = time.monotonic()
        if self._process is not None or now < self._not_before:
            return
        try:
            self.exchange = Exchange.create(self._folder)
            self._process = self._spawn(self.exchange)
        except OSError as e:
            self._lines.append(f"the device process cannot be started ({e})")
            log.error("%s", self._lines[-1])
            self._close_exchange()
            self._note_failure()
            return
        self.number += 1
        self.state, self._killed_for = "starting", ""
        self._started = self._heard = self._moved = now
        log.info("started process %d", self._process.pid)
        for target, pipe in ((self._read, self._process.stdout), (self._echo, self._process.stderr)):
            name = f"{target.__name__.strip('_')}-{self.number}"
            threading.Thread(target=target, args=(self.number, pipe), name=name, daemon=True).start()

    def _spawn(self, exchange: Exchange) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
        if environment.get("COLORIZE_WEIGHTS"):
            environment["COLORIZE_WEIGHTS"] = str(Path(environment["COLORIZE_WEIGHTS"]).absolute())
        options: dict[str, Any] = {"pass_fds": exchange.inherited, "start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        return subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-m", "engine.service.worker", "--exchange", exchange.name, *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # -m looks into the current folder first, where anything may lie.
            cwd=Path(engine.__file__).resolve().parent.parent,
            env=environment,
            **options,
        )

    def _read(self, number: int, pipe: BinaryIO) -> None:
        try:
            while (message := receive(pipe)) is not None:
                if number == self.number:
                    self._heard = time.monotonic()
                if message.get("say") != "beat":
                    self._notify(number, message)
        except (OSError, ValueError, PipeError) as e:
            log.error("what process %d says cannot be read (%s)", number, e)
        self._notify(number, {"say": "gone"})

    def _echo(self, number: int, pipe: BinaryIO) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in pipe:
                text = line.decode("utf-8", "replace").rstrip()[:1000]
                if text:
                    if number == self.number:
                        self._lines.append(text)
                    log.warning("%s", text)

    def send(self, message: dict[str, Any]) -> None:
        """Tell the process something; if it is gone, ``notify`` will say so."""
        process = self._process
        if process is not None and process.stdin is not None:
            self._moved = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                send(cast(BinaryIO, process.stdin), message)

    def ready(self) -> None:
        """The process said that it is ready."""
        self.state, self._failures = "ready", 0
        self._moved = time.monotonic()

    def moved(self) -> None:
        """The process has got on with its job."""
        self._moved = time.monotonic()

    def excuse(self) -> None:
        """Count time from now on: the engine itself was stopped, or the machine asleep."""
        self._heard = self._moved = self._started = time.monotonic()

    def watch(self, *, working: bool) -> None:
        """Kill the process when it hangs; ``notify`` will say that it is gone.

        Args:
            working: it has a job.
        """
        if self._process is None or self._killed_for:
            return
        now = time.monotonic()
        if self.state == "starting":
            late = now - self._started > START and f"was not ready after {START:.0f} seconds"
        elif now - self._heard > HANG:
            late = f"gave no sign of life for {HANG:.0f} seconds"
        else:
            late = working and now - self._moved > STALL and f"did not get on for {STALL:.0f} seconds"
        if late:
            log.error("process %d %s; it is ended", self._process.pid, late)
            self._killed_for = late
            self._process.kill()

    def discard(self) -> str:
        """Clear away after a process that is gone; returns what became of it, in words."""
        process, self._process = self._process, None
        if process is None:
            return "was stopped"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        code = _end(process)
        became = self._killed_for or _in_words(code)
        log.log(logging.INFO if code == 0 else logging.ERROR, "process %d %s", process.pid, became)
        self._close_exchange()
        if self.state == "starting":
            self._note_failure()
        self.state = "failed" if self.hopeless else "off"
        self.restarts += 1
        return became

    def stop(self) -> None:
        """End the process on purpose; whatever it still says is of an old number."""
        process, self._process = self._process, None
        self.number += 1
        self.state = "off"
        if process is not None:
            # It leaves at once when its input ends.
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            _end(process)
            log.info("stopped process %d", process.pid)
        self._close_exchange()

    def forgive(self) -> None:
        """Try again although starts have failed."""
        if self.hopeless:
            self._failures, self._not_before, self.state = 0, 0.0, "off"

    def _note_failure(self) -> None:
        self._failures += 1
        self._not_before = time.monotonic() + PAUSE

    def _close_exchange(self) -> None:
        if self.exchange is not None:
            self.exchange.close()
            self.exchange = None


def _end(process: subprocess.Popen[bytes]) -> int:
    """Make sure that a process is over; returns its exit code."""
    process.kill()
    # Killed processes go at once, but for those in the middle of a call to a driver.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    return process.returncode if process.returncode is not None else -1


def _in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
