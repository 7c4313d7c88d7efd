"""How the engine and its device process talk: small msgpack maps through pipes, pixels in memory both can see.

Nothing is pickled, and pixels are copied once, into the shared memory, outside Python's lock; they are read in place.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgpack

MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes of one message through a pipe."""
ALIGNED = 65536
"""Where a stretch may start: what every system's memory mapping can begin at."""
WINDOWS = os.name == "nt"
PIECE = 64 * 1024 * 1024
"""Bytes moved by one call; systems move at most two gigabytes."""


class PipeError(Exception):
    """What came through a pipe is no message."""


def send(pipe: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message to an unbuffered pipe.

    Raises:
        OSError: the other side is gone.
    """
    packed = msgpack.packb(message, use_bin_type=True)
    rest = memoryview(len(packed).to_bytes(4, "big") + packed)
    while rest:
        rest = rest[pipe.write(rest) or 0 :]


def receive(pipe: BinaryIO) -> dict[str, Any] | None:
    """Read a message; None when the other side has closed.

    Raises:
        PipeError: something else than a message came.
    """
    head = _read(pipe, 4)
    if len(head) < 4:
        return None
    size = int.from_bytes(head, "big")
    if size > MAX_MESSAGE:
        raise PipeError(f"a message of {size} bytes")
    packed = _read(pipe, size)
    if len(packed) < size:
        return None
    try:
        message = msgpack.unpackb(packed, raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as e:
        raise PipeError("no msgpack") from e
    if not isinstance(message, dict):
        raise PipeError("no map")
    return message


def _read(pipe: BinaryIO, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = pipe.read(size - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


class Exchange:
    """Memory that two processes share, seen as a file without a name: it is gone when both are, however they end.

    Writing is by system calls, so no size is fixed and a lack of memory is an exception, not a bus error. One side
    writes a stretch before it tells the other to read it, and does not touch it while the other may.
    """

    def __init__(self, descriptor: int, name: str, path: Path | None = None) -> None:
        self.name = name
        self._descriptor, self._path = descriptor, path
        self._lock = threading.Lock()

    @classmethod
    def create(cls, folder: Path) -> Exchange:
        """Make a new, empty one.

        Args:
            folder: private folder, for systems where memory must be a file with a name.
        """
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("colorize")
            return cls(descriptor, str(descriptor))
        if WINDOWS:
            descriptor, name = tempfile.mkstemp(prefix="exchange-", suffix=".tmp", dir=folder)
            return cls(descriptor, name, Path(name))
        with tempfile.TemporaryFile(dir=folder) as file:
            descriptor = os.dup(file.fileno())
        return cls(descriptor, str(descriptor))

    @classmethod
    def attach(cls, name: str) -> Exchange:
        """Open the one a parent process has made, by its ``name``."""
        if name.isdigit():
            return cls(int(name), name)
        return cls(os.open(name, os.O_RDWR | getattr(os, "O_BINARY", 0)), name)

    @property
    def inherited(self) -> tuple[int, ...]:
        """Descriptors the other process must inherit."""
        return () if self._path else (self._descriptor,)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Copy bytes in at an offset; returns where they end.

        Raises:
            OSError: there is not enough memory.
        """
        rest = memoryview(data).cast("B")
        with self._lock:
            while rest:
                written = self._write_piece(offset, rest[:PIECE])
                offset, rest = offset + written, rest[written:]
        return offset

    def view(self, offset: int, size: int) -> memoryview:
        """Bytes in place, read-only; they stay valid when this side closes.

        Args:
            offset: a multiple of ``ALIGNED``.
            size: at least 1.

        Raises:
            OSError: there are not as many.
        """
        with self._lock:
            # Looking beyond the end would be a bus error.
            if os.fstat(self._descriptor).st_size < offset + size:
                raise OSError(f"{size} bytes were promised at {offset}, but are not there")
            return memoryview(mmap.mmap(self._descriptor, size, access=mmap.ACCESS_READ, offset=offset))

    def shrink(self) -> None:
        """Give the memory back."""
        with self._lock, contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Close this side."""
        with self._lock:
            if self._descriptor < 0:
                return
            os.close(self._descriptor)
            self._descriptor = -1
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _write_piece(self, offset: int, data: memoryview) -> int:
        if not WINDOWS:
            return os.pwrite(self._descriptor, data, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return os.write(self._descriptor, data)


def aligned(offset: int) -> int:
    """The next place where a stretch may start."""
    return -(-offset // ALIGNED) * ALIGNED


class Places:
    """Who uses which part of an exchange: results are sent from where they lie, which may take a slow client long."""

    def __init__(self) -> None:
        self._taken: list[tuple[int, int, Callable[[], bool]]] = []

    def find(self, size: int) -> int:
        """The lowest place where so many bytes are free."""
        self._taken = [part for part in self._taken if not part[2]()]
        start = 0
        for begin, end, _ in self._taken:
            if begin - start >= size:
                break
            start = max(start, aligned(end))
        return start

    def take(self, begin: int, end: int, free: Callable[[], bool]) -> None:
        """Keep a part until ``free`` says yes."""
        self._taken.append((begin, end, free))
        self._taken.sort(key=lambda part: part[0])

    @property
    def empty(self) -> bool:
        """Whether nothing is taken."""
        return self.find(0) == 0 and not self._taken
