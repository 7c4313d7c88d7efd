"""Looks at a Krita from outside while it works and quits: what windows come at the end, how much memory it takes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

AT_WORK, AT_END = 1.0, 0.2
"""Seconds between two looks; after the scenario a window may be there for a short time only."""
STUCK = 10.0
"""Seconds for which a Krita that shows a window instead of quitting is watched on."""


class Watch:
    """One run of Krita.

    Args:
        display: of the X server.
        result: file that is written when the scenario is over and Krita is told to quit.
        process: Krita.
        processes: tells the command lines of all processes of Krita's user, by their ids.
    """

    def __init__(
        self, display: str, result: Path, process: subprocess.Popen[bytes], processes: Callable[[], dict[int, str]]
    ) -> None:
        self._display, self._result, self._process, self._processes = display, result, process, processes
        self._known: set[int] = set()
        self.windows: list[str] = []
        """Titles of the windows that came after the scenario."""
        self.memory = {when: {"krita": 0, "engine": 0} for when in ("at work", "quit")}
        """Most MiB resident, by ``at work`` or ``quit``, then ``krita`` or ``engine``."""

    def until_over(self, seconds: float) -> None:
        """Watch until Krita is gone, the time is over, or Krita is stuck in a window that should not be."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            quitting = self._result.exists()
            self.weigh()
            if self._new_windows(quitting):
                deadline = min(deadline, time.monotonic() + STUCK)
            try:
                self._process.wait(AT_END if quitting else AT_WORK)
            except subprocess.TimeoutExpired:
                continue

    def weigh(self) -> None:
        """Look how much memory is taken now."""
        most = self.memory["quit" if self._result.exists() else "at work"]
        now = {"krita": resident(self._process.pid), "engine": 0}
        for pid, command in self._processes().items():
            if "engine" in command and pid != self._process.pid:
                now["engine"] += resident(pid)
        for who, size in now.items():
            most[who] = max(most[who], size)

    def _new_windows(self, quitting: bool) -> bool:
        """Look at the windows that have a title; whether one has come that was not there in the scenario."""
        found = {int(word) for word in self._xdotool("search", "--onlyvisible", "--name", ".").split()}
        new = found - self._known
        self._known |= found
        if quitting:
            self.windows += [self._xdotool("getwindowname", str(window)).strip() for window in new]
        return quitting and bool(new)

    def _xdotool(self, *words: str) -> str:
        command = ["xdotool", *words]
        return subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False).stdout

    def _environment(self) -> dict[str, str]:
        return {"DISPLAY": self._display, "PATH": "/usr/bin:/bin"}


def resident(pid: int) -> int:
    """MiB of memory that a process has resident now; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:")), 0)
