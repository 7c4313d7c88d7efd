"""The two sockets to one engine, and the monitors that tell when they break."""

from __future__ import annotations

import contextlib
import struct

import zmq

from .connection import Connection
from .limits import MAX_PIXELS
from .messages import MAX_HEADER, Data

UP, DOWN, REFUSED, FULL = "up", "down", "refused", "full"
WHY = {
    REFUSED: ("refused", "the engine refused the connection: it has other keys"),
    FULL: ("too_many_clients", "the engine has too many clients; close other programs that use it"),
}
"""Code and words for a client that was not let in."""
CHANNELS = ("control", "jobs")
NO_ROOM = 500
"""Status code of a refusal because of too many clients; libzmq may take it for final."""
_WAITING = {"jobs": 2, "control": 100}
"""Messages libzmq may hold back per channel; what is held by us instead can still be cancelled and costs no copy."""


def use_keys(socket: zmq.Socket[bytes], connection: Connection) -> None:
    """Have a socket speak CURVE where the engine of ``connection`` does.

    Raises:
        zmq.ZMQError: a key is no good.
    """
    if connection.server_key:
        socket.curve_serverkey = connection.server_key.encode("ascii", "replace")
        socket.curve_publickey = connection.client_public.encode("ascii", "replace")
        socket.curve_secretkey = connection.client_secret.encode("ascii", "replace")


class Link:
    """Sockets to one engine. Used by one thread only, which closes it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], connection: Connection) -> None:
        """Start connecting; nothing waits here.

        Raises:
            zmq.ZMQError: an endpoint or a key is no good.
        """
        self.connection, self._context = connection, context
        self.up = dict.fromkeys(CHANNELS, False)
        self.sockets: dict[str, zmq.Socket[bytes]] = {}
        self.monitors: dict[str, zmq.Socket[bytes]] = {}
        try:
            for channel in CHANNELS:
                self._connect(channel)
        except BaseException:
            self.close()
            raise

    def reconnect(self, channel: str) -> None:
        """Start anew with a socket that was not let in.

        Raises:
            zmq.ZMQError: there are no descriptors left.
        """
        self._disconnect(channel)
        self.up[channel] = False
        self._connect(channel)

    def _connect(self, channel: str) -> None:
        known = self.connection
        socket = self.sockets[channel] = self._context.socket(zmq.DEALER)
        socket.linger = 0
        # Without a peer nothing is queued, so nothing old reaches an engine that comes back.
        socket.immediate = True
        socket.sndhwm = _WAITING[channel]
        socket.maxmsgsize = MAX_PIXELS * 4 + MAX_HEADER
        socket.reconnect_ivl = 100
        socket.reconnect_ivl_max = 1000
        use_keys(socket, known)
        self.monitors[channel] = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED
            | zmq.EVENT_DISCONNECTED
            | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
        )
        self.monitors[channel].linger = 0
        socket.connect(known.jobs if channel == "jobs" else known.control)

    def changes(self, channel: str) -> list[str]:
        """What happened to a socket since the last call, in order: ``UP``, ``DOWN``, ``REFUSED`` or ``FULL``."""
        found = []
        with contextlib.suppress(zmq.Again):
            while True:
                frames = self.monitors[channel].recv_multipart(zmq.NOBLOCK)
                # Parsed here, as pyzmq's own parser imports asyncio.
                number, value = struct.unpack("=Hi", frames[0])
                if number == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    found.append(UP)
                elif number == zmq.EVENT_DISCONNECTED:
                    found.append(DOWN)
                else:
                    found.append(FULL if (number, value) == (zmq.EVENT_HANDSHAKE_FAILED_AUTH, NO_ROOM) else REFUSED)
                self.up[channel] = found[-1] == UP
        return found

    def send(self, channel: str, frames: list[Data]) -> bool:
        """Hand a message over; False where there is no peer or it does not keep up."""
        try:
            # Copied: sending without a copy would start pyzmq's own collector thread, which stays for good.
            self.sockets[channel].send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, channel: str) -> list[Data] | None:
        """The next message, not copied; None where there is none."""
        try:
            frames = self.sockets[channel].recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return [f.buffer for f in frames]

    def close(self) -> None:
        """Close everything."""
        for channel in list(self.sockets):
            self._disconnect(channel)

    def _disconnect(self, channel: str) -> None:
        socket, monitor = self.sockets.pop(channel), self.monitors.pop(channel, None)
        if monitor is not None:
            with contextlib.suppress(zmq.ZMQError):
                socket.disable_monitor()
            monitor.close(0)
        socket.close(0)
