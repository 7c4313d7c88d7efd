"""Starting and ending beside others: one engine per user, the old one adopted or replaced, nothing left behind."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq

from engine.errors import ColorizeError
from engine.protocol.connection import Connection, FolderError, pid_alive, runtime_folder
from engine.protocol.messages import Message, ProtocolError, decode, encode
from engine.protocol.sockets import use_keys
from engine.service.identity import engine_of
from engine.system.folders import user_data_folder
from engine.system.process import process_start
from engine.system.terminal import harmless

ANSWER = 1.0
"""Seconds an engine has to answer a ping before it counts as dead."""
LOCK_WAIT = 15.0
LOG_BYTES = 1024 * 1024
LOG_FILES = 3


def folder() -> Path:
    """The private folder of connection file and sockets.

    Raises:
        ColorizeError: it cannot be used.
    """
    try:
        return runtime_folder()
    except FolderError as e:
        raise ColorizeError(e.cause, e.remedy) from e


def log_file() -> Path:
    """Where the engine writes its log: in the user's data folder."""
    return user_data_folder() / "logs" / "engine.log"


class _Log(logging.handlers.RotatingFileHandler):
    """A log that is dropped where it cannot be written: a full disk is no reason to stop colouring."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """Do nothing."""


class _Lines(logging.Formatter):
    """A record is one line, but for a traceback below it, and nothing in it is obeyed by who shows it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """The line without the traceback."""
        return harmless(super().formatMessage(record), one_line=True)

    def format(self, record: logging.LogRecord) -> str:
        """All of it."""
        return harmless(super().format(record))


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """Write what the loggers below ``engine`` say to the rotating log file; without one, to nowhere."""
    path, logger = log_file(), logging.getLogger("engine")
    handler: logging.Handler = logging.NullHandler()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Log(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Lines("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError, ValueError):
            handler.close()


@contextlib.contextmanager
def starting(where: Path) -> Iterator[None]:
    """Hold the lock that lets only one engine at a time look for another and take its place.

    Raises:
        ColorizeError: another one has been starting for too long, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(where / "engine.lock", timeout=LOCK_WAIT, mode=0o600)
    try:
        lock.acquire()
    except Timeout as e:
        raise ColorizeError("another engine has been starting for a long time", "try again, or end it by hand") from e
    except (OSError, NotImplementedError) as e:
        raise ColorizeError(
            f"{where / 'engine.lock'} cannot be written and locked ({getattr(e, 'strerror', None) or e})",
            "mend its permissions, or set COLORIZE_RUNTIME to a folder of your own",
        ) from e
    try:
        yield
    finally:
        lock.release()


def ask(connection: Connection, kind: str, body: dict[str, Any] | None = None, wait: float = ANSWER) -> Message | None:
    """Ask an engine something on its control socket; None when no answer comes in time.

    Args:
        connection: of the engine.
        kind: type of the message.
        body: its values.
        wait: seconds.
    """
    question = Message(kind, body or {}, session=f"cli-{os.getpid()}")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    door = context.socket(zmq.DEALER)
    door.linger = 0
    deadline = time.monotonic() + wait
    try:
        use_keys(door, connection)
        door.connect(connection.control)
        door.send_multipart(encode(question))
        while door.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            answer = decode(door.recv_multipart())
            if answer.parent == question.id:
                return answer
    except (zmq.ZMQError, ProtocolError, ValueError):
        pass
    finally:
        door.close(0)
        context.term()
    return None


def find_engine(where: Path, wait: float = ANSWER) -> Connection | None:
    """The engine that the connection file names, if it is alive and answers within ``wait`` seconds."""
    connection = engine_of(where)
    if connection is None:
        return None
    answer = ask(connection, "ping", wait=wait)
    return connection if answer is not None and answer.type == "pong" else None


class Parent:
    """A process without which the engine has nothing to do."""

    def __init__(self, pid: int) -> None:
        self.pid, self._born = pid, process_start(pid)

    def alive(self) -> bool:
        """Whether it runs; another process that got its number does not count."""
        return pid_alive(self.pid) and process_start(self.pid) == self._born


class Inbox:
    """Things handed from other threads to one that waits for sockets."""

    def __init__(self) -> None:
        self._items: deque[tuple[Any, ...]] = deque()
        self.receiver, self._bell = socket.socketpair()
        self.receiver.setblocking(False)
        self._bell.setblocking(False)

    def put(self, *item: Any) -> None:
        """Add something; from any thread."""
        self._items.append(item)
        # A full pipe wakes as well as one more byte; a closed one has nobody to wake.
        with contextlib.suppress(OSError):
            self._bell.send(b"\0")

    def take(self) -> list[tuple[Any, ...]]:
        """All that is there."""
        with contextlib.suppress(OSError):
            while self.receiver.recv(4096):
                pass
        items = []
        with contextlib.suppress(IndexError):
            while True:
                items.append(self._items.popleft())
        return items

    def close(self) -> None:
        """Close the sockets."""
        self.receiver.close()
        self._bell.close()


def check_log() -> tuple[Path, str]:
    """The log's path, and why it cannot be written, or empty."""
    path = log_file()
    there = path.parent
    while not there.exists():
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            return path, ""
    except OSError as e:
        return path, e.strerror or str(e)
