"""Calls that are made from the event loop, one after the other, whatever one of them does."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from ..qt import QtCore


def after(owner: QtCore.QObject, milliseconds: int, call: Callable[[], None]) -> None:
    """Have something called once, after a time; never where its owner is deleted before.

    ``QTimer.singleShot`` sees to that only for a method of a QObject, not for any other function that uses one.

    Args:
        owner: QObject whose event loop makes the call.
        milliseconds: from now.
        call: takes nothing.
    """
    timer = QtCore.QTimer(owner)
    timer.setSingleShot(True)
    timer.timeout.connect(call)
    timer.timeout.connect(timer.deleteLater)
    timer.start(milliseconds)


class Later(QtCore.QObject):
    """A queue of calls."""

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._calls: deque[tuple[Any, ...]] = deque()
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.run)

    def put(self, call: Callable[..., None], *arguments: Any) -> None:
        """Have something called when the event loop comes to it."""
        self._calls.append((call, *arguments))
        self._timer.start()

    def run(self) -> None:
        """Make the calls that wait; only to be called from the event loop."""
        while self._calls:
            call, *arguments = self._calls.popleft()
            if self._calls:
                # Should this one open a dialog with a loop of its own, the others come from there.
                self._timer.start()
            try:
                call(*arguments)
            except Exception:
                # Shown as any other failure of the plugin, but the others are still told.
                sys.excepthook(*sys.exc_info())

    def close(self) -> None:
        """Forget the calls that wait."""
        self._calls.clear()
        self._timer.stop()
