"""What the client's thread has to say, kept until the caller asks for it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import OrderedDict
from dataclasses import dataclass

from .limits import MAX_VARIATIONS
from .messages import Message

MAX_EVENTS = 10000
"""Events kept for a caller that does not ask; then the oldest go."""
MAX_WAITING = 512 * 1024 * 1024
"""Bytes of pixels waiting for the caller or expected from the engine; with more, no further jobs are sent to it."""
STATES_KEPT = 16
LOST = {
    "engine_ended": "the engine's process has ended",
    "engine_silent": "the engine does not answer",
    "connection_broken": "the connection broke",
    "engine_replaced": "another engine has taken over",
}
"""Codes of the state ``lost``, and what they mean. An engine that is refused has the code of the refusal instead."""
PASSING = ("accepted", "progress", "preview")
"""Kinds of which only the newest of a job matters; of previews the newest of each variation."""


@dataclass
class Event:
    """Something that happened.

    Attributes:
        kind: accepted, progress, preview, result, error, cancelled, pong, status, models, ok, welcome or state.
        id: of the request it answers, as ``submit`` returned it; empty for welcome and state.
        message: what the engine sent; made by the client itself for state and where there was no engine to answer.
        detail: for state: connecting, ready or lost; for error: its code; else empty.
    """

    kind: str
    id: str = ""
    message: Message | None = None
    detail: str = ""


def pixel_bytes(event: Event) -> int:
    """Bytes of the pixels an event holds."""
    if event.message is None:
        return 0
    return sum(memoryview(b.data).nbytes for b in event.message.buffers if b.data is not None)


def _variation(event: Event) -> int:
    """Which picture of a job a preview shows; 0 for all else."""
    found = event.message.body.get("variation") if event.kind == "preview" and event.message is not None else 0
    return found if isinstance(found, int) and 0 <= found < MAX_VARIATIONS else 0


class Mailbox:
    """Events from one thread to another, with a descriptor that is readable while there are some."""

    def __init__(self) -> None:
        self.state = "connecting"
        self._events: OrderedDict[tuple[str, str, int], Event] = OrderedDict()
        self._bytes = 0
        self._states = 0
        self._changed = threading.Condition()
        self._closed = False
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, -1 after ``close``."""
        return self._read.fileno()

    def full(self, expected: int = 0) -> bool:
        """Whether so much waits, or will with so many more bytes, that what can be held back should be."""
        return self._bytes + expected > MAX_WAITING or len(self._events) > MAX_EVENTS // 2

    def put(self, event: Event) -> None:
        """Add an event; an older one of the same kind, request and variation gives way."""
        with self._changed:
            key = (event.kind, event.id, _variation(event))
            if event.kind == "state":
                self.state = event.detail
                self._states += 1
                key = ("state", str(self._states % STATES_KEPT), 0)
            self._drop(key)
            while len(self._events) >= MAX_EVENTS:
                self._drop(next(iter(self._events)))
            self._events[key] = event
            self._bytes += pixel_bytes(event)
            if len(self._events) == 1 and not self._closed:
                # One byte for any number of events, so the pair never fills up.
                with contextlib.suppress(OSError):
                    self._write.send(b"\0")
            self._changed.notify_all()

    def discard(self, ident: str) -> None:
        """Forget what is no news any more of a request that is over."""
        with self._changed:
            for kind in PASSING:
                for variation in range(MAX_VARIATIONS if kind == "preview" else 1):
                    self._drop((kind, ident, variation))
            self._quiet()

    def take(self) -> list[Event]:
        """All events, oldest first."""
        with self._changed:
            events = list(self._events.values())
            self._events.clear()
            self._bytes = 0
            self._quiet()
            return events

    def wait(self, timeout: float) -> None:
        """Wait until there are events, at most so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closed, timeout)

    def close(self) -> None:
        """Close the descriptor; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._read.close()
            self._write.close()
            self._changed.notify_all()

    def _drop(self, key: tuple[str, str, int]) -> None:
        event = self._events.pop(key, None)
        if event is not None:
            self._bytes -= pixel_bytes(event)

    def _quiet(self) -> None:
        if not self._events and not self._closed:
            with contextlib.suppress(OSError):
                self._read.recv(16)
