"""Work that would make Krita's window wait, done on another thread; what comes of it arrives in the window's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..qt import QtCore, Signal


class Background(QtCore.QObject):
    """One thread that does things in order."""

    _done = Signal(object, object)

    def __init__(self, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="colorize")
        # Also where the work is done before anybody waits for it: then the signal comes from the caller's own thread.
        self._done.connect(self._deliver, QtCore.Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]  # not in PyQt's types
        self._closed = False
        self._delivering = threading.Lock()

    def run(self, work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        """Do ``work`` on the thread, then call ``then`` with its result or ``failed`` in the caller's thread."""

        def finish(future: Future[Any]) -> None:
            # Nothing is emitted once this is closed, as Qt may delete it then.
            with self._delivering:
                if not self._closed:
                    self._done.emit(future, (then, failed))

        if not self._closed:
            self._pool.submit(work).add_done_callback(finish)

    def close(self) -> None:
        """Deliver nothing any more; what runs is left to end."""
        with self._delivering:
            self._closed = True
        self._pool.shutdown(wait=False)

    def _deliver(self, future: Any, calls: Any) -> None:
        if self._closed:
            return
        then, failed = calls
        failure = future.exception()
        if failure is None:
            then(future.result())
        else:
            failed(failure)
