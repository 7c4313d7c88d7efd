"""Whether a process is the engine that a connection file names: numbers of processes are used again.

The engine is known by its number, the start of its process and the folder that its connection file was written to.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from engine.protocol.connection import FILE_NAME, Connection, pid_alive, read_connection
from engine.system.process import process_start


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
