"""An event loop, sessions with real engines, and jobs for the tests of the plugin."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

ENGINE = [sys.executable, "-s", "-m", "engine.cli"]
TIMEOUT = 60.0


def spin(condition: Callable[[], Any], wait: float = TIMEOUT) -> Any:
    """Run the event loop until something is true; returns what it was."""
    from colorize.qt import QtCore, QtWidgets

    deadline = time.monotonic() + wait
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 20)
        time.sleep(0.002)
    return found


def run_for(seconds: float) -> None:
    """Run the event loop for a while."""
    end = time.monotonic() + seconds
    spin(lambda: time.monotonic() >= end)


def engines(runtime: Path) -> list[psutil.Process]:
    """The processes that serve in a folder: engines and their device processes."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(w.startswith("engine.") for w in words) and process.environ().get("COLORIZE_RUNTIME") == str(
                runtime
            ):
                found.append(process)
    return found


def end_engines(runtime: Path) -> None:
    """End by force what still serves in a folder."""
    left = engines(runtime)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + TIMEOUT
    while any(_alive(p) for p in left) and time.monotonic() < deadline:
        time.sleep(0.01)


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def use_place(place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all engines and sessions that are started from now on use a folder of the test's own."""
    monkeypatch.setenv("COLORIZE_RUNTIME", str(place / "run"))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "data"))
    monkeypatch.setenv("COLORIZE_WEIGHTS", str(weights))
    monkeypatch.delenv("COLORIZE_PYTHON", raising=False)


class SessionHarness:
    """A session and what it has said.

    Attributes:
        session: the real one.
        states: each status it has shown.
        ends: outcomes by job.
        progress: what was told on the way.
    """

    def __init__(
        self, place: Path, command: list[str] | None = None, read_setup: Callable[[], Any] | None = None
    ) -> None:
        from colorize.engine import bundled
        from colorize.engine.session import Session
        from colorize.engine.setup import Setup

        self.protocol = bundled.load()
        self.place = place
        self.session = Session(
            self.protocol, read_setup or (lambda: Setup(command or ENGINE)), log_folder=place / "settings"
        )
        self.states: list[Any] = []
        self.ends: dict[str, Any] = {}
        self.progress: list[tuple[Any, ...]] = []
        self.session.changed.connect(lambda: self.states.append(self.session.status))

    def colorize(self, side: int = 128, **body: Any) -> str:
        """Send a job: a square in the middle of a white canvas."""
        pixels = bytearray(b"\xff" * side * side)
        for at in range(side // 4, 3 * side // 4):
            for x, y in ((at, side // 4), (at, 3 * side // 4), (side // 4, at), (3 * side // 4, at)):
                pixels[y * side + x] = 0
        buffers = [self.protocol.Buffer("lineart", side, side, "L8", data=bytes(pixels))]
        told: list[str] = []

        def end(outcome: Any) -> None:
            assert told, "told from inside the call"
            assert told[0] not in self.ends, "told twice"
            self.ends[told[0]] = outcome

        job = self.session.colorize(
            {"width": side, "height": side, **body}, buffers, end, lambda *said: self.progress.append(said)
        )
        told.append(job)
        return job

    def end(self, job: str, wait: float = TIMEOUT) -> Any:
        """Wait for the outcome of a job."""
        spin(lambda: job in self.ends, wait)
        return self.ends[job]

    def state(self, *states: str, wait: float = TIMEOUT) -> Any:
        """Wait for the session to be in one of these states; returns the status."""
        spin(lambda: self.session.status.state in states, wait)
        return self.session.status

    def seen(self, state: str) -> list[Any]:
        """Each status of that state so far."""
        return [s for s in self.states if s.state == state]

    @property
    def pid(self) -> int:
        """Process of the engine that is there now."""
        found = self.protocol.read_connection(self.place / "run" / "engine.json")
        assert found is not None
        return int(found.pid)
