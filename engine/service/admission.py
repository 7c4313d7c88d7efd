"""How many clients may come in: libzmq ends the process when it has no file descriptor left for one on ipc.

Connections are counted by the events of a socket's monitor. Where libzmq asks whether to let one in (ZAP, ZeroMQ RFC
27) the answer is 500 while there are too many, so that the client knows. Should more come all the same, the socket file
gets another name until some have gone: those that are connected do not notice, new ones find no socket. Each result
under way takes a descriptor too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from engine.errors import ColorizeError

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

WANTED = (16384, 10240, 4096)
"""Descriptors the process asks for, the first number that the system allows; macOS knows an upper end of 10240."""
LEAST = 256
RESERVE = 128
"""Descriptors for libraries, log, device process and what the engine opens for a moment."""
MAX_CLIENTS = 200
MAX_RESULTS = 64
"""Results for one client that are on their way."""
TOLD = 32
"""Connections beyond the most that may be open at a time, to be told that they are too many."""
FOR_COMMANDS = 16
"""Further connections of the control socket, so that ``engine status`` and ``engine stop`` find a place."""
AHEAD = 1001
"""Connections libzmq accepts before it waits for the reader of the monitor: its own 1000 events and one of ours."""
HANDSHAKE = 10_000
"""Milliseconds for a connection to say that it speaks ZeroMQ."""
REFUSALS = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
ZAP = "inproc://zeromq.zap.01"
QUIET = 60.0
"""Seconds between two words in the log about too many clients."""
SHUT = ".full"
"""Ending of a socket file that nobody should find."""

log = logging.getLogger("engine.service.server")


@dataclass(frozen=True)
class Room:
    """What a number of descriptors is enough for.

    Attributes:
        clients: that may be connected.
        results: for one client that may be on their way.
    """

    clients: int = MAX_CLIENTS
    results: int = MAX_RESULTS

    @classmethod
    def of(cls, descriptors: int) -> Room:
        """Divide descriptors up.

        Raises:
            ColorizeError: there are fewer than ``LEAST``.
        """
        if descriptors < LEAST:
            raise ColorizeError(
                f"the system lets the engine open only {descriptors} files and connections at a time",
                f"allow it {LEAST} or more, for example with `ulimit -n {LEAST}` before it starts",
            )
        clients = min(MAX_CLIENTS, (descriptors - RESERVE) // 8)
        rest = descriptors - RESERVE - 2 * (clients + FOR_COMMANDS + TOLD + AHEAD)
        return cls(clients, max(2, min(MAX_RESULTS, rest // clients)))


def descriptors() -> int:
    """Raise the limit of open files as far as the engine may need, and return it; a higher one stays."""
    if sys.platform == "win32":
        return WANTED[0]  # sockets have no such limit there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in WANTED:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft == resource.RLIM_INFINITY or soft >= limit:
            break
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    return WANTED[0] if soft == resource.RLIM_INFINITY else soft


class Gate:
    """The connections of one socket. ``deleted`` may be called by any thread, all else by one.

    Args:
        context: of ZeroMQ.
        socket: not yet bound.
        name: of the socket; ZAP calls it the domain.
        most: connections.
    """

    def __init__(self, context: Context, socket: Socket, name: str, most: int) -> None:
        self.name, self.most = name, most
        self.path: Path | None = None
        """Of the socket file, once there is one."""
        self._open: set[int] = set()
        self._shut = False
        self._renaming = threading.Lock()
        self._logged = float("-inf")
        socket.handshake_ivl = HANDSHAKE
        socket.zap_domain = name.encode("ascii")
        where = f"inproc://monitor-{name}"
        socket.monitor(where, REFUSALS | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self.monitor = context.socket(zmq.PAIR)
        self.monitor.linger = 0
        self.monitor.rcvhwm = 1  # libzmq waits when this is behind, instead of accepting more and more
        self.monitor.connect(where)

    @property
    def count(self) -> int:
        """Connections that are open, also those that have not been let in yet."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether there are more than may be."""
        return len(self._open) > self.most

    def look(self) -> tuple[int, int]:
        """How many connections were refused and how many went since the last look."""
        refused = gone = 0
        with contextlib.suppress(zmq.Again):
            while True:
                event, value = struct.unpack("=Hi", self.monitor.recv_multipart(zmq.NOBLOCK)[0])
                if event == zmq.EVENT_ACCEPTED:
                    self._open.add(value)
                elif event == zmq.EVENT_DISCONNECTED:
                    self._open.discard(value)
                    gone += 1
                else:
                    refused += 1
                self._guard()
        self._guard()
        return refused, gone

    def deleted(self) -> bool:
        """Whether somebody has taken the socket file away."""
        with self._renaming:
            return self.path is not None and not os.path.lexists(self._now)

    def remove(self) -> None:
        """Remove the socket file."""
        if self.path is not None:
            self._now.unlink(missing_ok=True)

    @property
    def _now(self) -> Path:
        assert self.path is not None  # noqa: S101 (for the type checker)
        return self.path.with_name(self.path.name + SHUT) if self._shut else self.path

    def _guard(self) -> None:
        """Hide the socket file while there are far too many connections."""
        if self.path is None or self._shut == (self.count > self.most + (0 if self._shut else TOLD)):
            return
        with self._renaming, contextlib.suppress(OSError):  # gone: ``deleted`` will tell
            before, self._shut = self._now, not self._shut
            before.rename(self._now)
        now = time.monotonic()
        if self._shut and now - self._logged > QUIET:
            self._logged = now
            log.warning("the %s socket is closed to new clients: %d connections are open", self.name, self.count)


def answer_zap(zap: Socket, client_public: str, gates: tuple[Gate, ...]) -> None:
    """Answer libzmq's question whether a client may come in: with the key, if there are any, and if there is room.

    Args:
        zap: where it asks.
        client_public: the key, Z85; empty for sockets without.
        gates: of all sockets.
    """
    frames: list[Any] = zap.recv_multipart()
    number = frames[1] if len(frames) > 1 else b""
    if len(frames) < 6 or frames[0] != b"1.0" or not _known(frames, client_public):
        status = [b"400", b"the key is not known", b""]
    elif any(gate.full for gate in gates if frames[2] == gate.name.encode("ascii")):
        status = [b"500", b"there are too many clients", b""]
    else:
        status = [b"200", b"OK", b"colorize"]
    zap.send_multipart([b"1.0", number, *status, b""])


def _known(frames: list[Any], client_public: str) -> bool:
    if not client_public:
        return bool(frames[5] == b"NULL")
    return (
        len(frames) == 7
        and frames[5] == b"CURVE"
        and secrets.compare_digest(z85.encode(frames[6]), client_public.encode("ascii"))
    )
