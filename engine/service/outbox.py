"""Answers on the jobs socket: never waits for a client, and notices those that are gone or do not read."""

from __future__ import annotations

import logging
from collections import deque

import zmq

from engine.protocol.messages import Message, encode
from engine.service.admission import Socket
from engine.service.jobs import held

UNREAD = 512 * 1024**2
"""Bytes of results a client may leave unread; with more, its next jobs wait."""
LARGE = 65536
"""Bytes of pixels from which it is worth knowing when they have left."""

log = logging.getLogger("engine.service.server")


class Outbox:
    """Sends to clients by the address their messages came from.

    Args:
        socket: ROUTER for jobs.
        session: of the engine.
        most: results of one client that may be on their way; each keeps a file descriptor.
    """

    def __init__(self, socket: Socket, session: str, most: int) -> None:
        self._socket, self._session, self._most = socket, session, most
        self._gone: set[bytes] = set()
        self._unread: dict[bytes, deque[tuple[zmq.MessageTracker, int]]] = {}

    def send(self, client: bytes, message: Message) -> zmq.MessageTracker | None:
        """Send, or note that the client is gone.

        Returns:
            For pixels that are sent from where they lie: it tells when they have left.
        """
        message.session = message.session or self._session
        frames = [client, *encode(message)]
        size = held(message.buffers)
        try:
            if size < LARGE:
                self._socket.send_multipart(frames, zmq.NOBLOCK)
                return None
            tracker = self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False, track=True)
        except zmq.ZMQError as e:
            if e.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                log.error("an answer could not be sent (%s)", e)
            self._gone.add(client)
            return None
        if tracker is not None:
            self._unread.setdefault(client, deque()).append((tracker, size))
        return tracker

    def reads(self, client: bytes) -> bool:
        """Whether a client takes its results, so that it makes sense to work on more of them."""
        unread = self._unread.get(client)
        if not unread:
            return True
        while unread and unread[0][0].done:
            unread.popleft()
        if not unread:
            del self._unread[client]
        return len(unread) < self._most and sum(size for _, size in unread) < UNREAD

    def vanished(self) -> set[bytes]:
        """Clients found gone since the last call."""
        gone, self._gone = self._gone, set()
        for client in gone:
            self._unread.pop(client, None)
        return gone
