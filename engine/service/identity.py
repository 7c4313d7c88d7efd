"""Whether a process is the engine that a connection file names: numbers of processes are used again.

The engine is known by its number, the start of its process and the folder that its connection file was written to.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path

from engine.protocol.connection import FILE_NAME, Connection, pid_alive, read_connection
from engine.system.process import process_start

log = logging.getLogger("engine.service.server")


def may_run(connection: Connection) -> bool:
    """Whether the engine may still be there: False only where its process has ended or is another one now."""
    if not pid_alive(connection.pid):
        return False
    start = process_start(connection.pid)
    return not start or not connection.process_start or start == connection.process_start


def is_surely(connection: Connection, where: Path) -> bool:
    """Whether the process of that number is without doubt the engine of the connection file in ``where``."""
    start = process_start(connection.pid)
    return bool(
        start
        and start == connection.process_start
        and pid_alive(connection.pid)
        and connection.runtime
        and _same(Path(connection.runtime), where)
    )


def engine_of(where: Path) -> Connection | None:
    """The engine that the connection file in a private folder names, unless it is known to be gone; asks it nothing."""
    connection = read_connection(where / FILE_NAME)
    return connection if connection is not None and may_run(connection) else None


def log_abnormal_end(where: Path) -> None:
    """Say in the log that the engine before this one has left its connection file, which one that ends takes away."""
    old = read_connection(where / FILE_NAME)
    if old is None:
        return
    became = "does not answer and is replaced" if may_run(old) else "ended without a word: it was killed or it crashed"
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(old.started))
    log.warning("the engine before this one (process %d, version %s, since %s) %s", old.pid, old.version, since, became)


def kill(connection: Connection, where: Path) -> bool:
    """End an engine by SIGKILL, but only one that ``is_surely``; returns whether the signal was sent."""
    if sys.platform == "win32":
        return False
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        if sys.platform == "linux":
            # Held from before the check, so that no other process can take the number between check and signal.
            held = os.pidfd_open(connection.pid)
            stack.callback(os.close, held)
        if is_surely(connection, where):
            if sys.platform == "linux":
                signal.pidfd_send_signal(held, signal.SIGKILL)
            else:
                os.kill(connection.pid, signal.SIGKILL)
            return True
    return False


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
