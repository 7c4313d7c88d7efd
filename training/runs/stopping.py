"""A clean end when the system asks for one: Ctrl-C, or the SIGTERM that clusters send before they take a node back."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, final

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Stop:
    """While it is entered, the first SIGINT or SIGTERM is only noted; the second acts as usual.

    Outside the main thread, where Python lets nobody listen, nothing changes.

    Args:
        patient: note every signal: one Ctrl-C reaches the processes of ``torchrun`` twice.

    Attributes:
        asked: name of the signal that came, or None.
    """

    def __init__(self, patient: bool = False) -> None:
        self.patient = patient
        self.asked: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        self.asked = signal.Signals(number).name
        if not self.patient:
            self._restore()


def leave_to_parent(_: int = 0) -> None:
    """Let a loader's process outlive signals to the whole group: the one that started it ends it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
