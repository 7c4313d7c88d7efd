"""The doors of the engine: two sockets that only the user can reach, by a private folder or by keys made per launch."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from engine.errors import ColorizeError
from engine.protocol.limits import MAX_PIXELS
from engine.protocol.messages import MAX_HEADER
from engine.service.admission import FOR_COMMANDS, ZAP, Context, Gate, Room, Socket
from engine.service.leftovers import make_short_folder, remove_short_folder

LONGEST_PATH = 100
"""Bytes of a socket's path; systems end it somewhat above 100."""
WAITING_IN = 32
"""Messages of one client the socket takes in before the engine has looked at them."""
WAITING_OUT = 4000
"""Messages for one client that does not read them; with more it counts as gone."""
_ADDRESS = re.compile(r"tcp://(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5}|\*)")


@dataclass
class Doors:
    """The bound sockets and what a client must know to use them.

    Attributes:
        jobs: ROUTER for jobs.
        control: ROUTER for control.
        gates: of both, in this order.
        zap: where libzmq asks whether a client may come in.
        endpoints: of both.
        server_key, client_public, client_secret: Z85, empty without keys.
        folder: made for the sockets alone; None where they lie in the private one.
    """

    jobs: Socket
    control: Socket
    gates: tuple[Gate, Gate]
    endpoints: tuple[str, str]
    zap: Socket
    server_key: str = ""
    client_public: str = ""
    client_secret: str = ""
    folder: Path | None = None
    _closed: bool = field(default=False, repr=False)

    def close(self, linger: int = 500) -> None:
        """Close the sockets; what is on its way gets ``linger`` milliseconds. Socket files go too."""
        if self._closed:
            return
        self._closed = True
        for gate in self.gates:
            gate.look()  # libzmq waits for the reader of a monitor that is full
        for socket in (self.jobs, self.control):
            with contextlib.suppress(zmq.ZMQError):
                socket.disable_monitor()
            socket.close(linger)
        for socket in (*(gate.monitor for gate in self.gates), self.zap):
            socket.close(0)
        for gate in self.gates:
            gate.remove()
        if self.folder is not None:
            remove_short_folder(self.folder)


def open_doors(context: Context, folder: Path, session: str, room: Room, listen: str | None = None) -> Doors:
    """Bind the sockets.

    Args:
        context: of ZeroMQ.
        folder: private folder for socket files.
        session: of the engine; part of the names, so that no two engines ever want the same.
        room: for clients.
        listen: ``tcp://127.0.0.1:PORT`` with port 0 for any; None = a socket file where the system has them.

    Raises:
        ColorizeError: the address cannot be used.
    """
    if listen is None and sys.platform != "win32":
        return _open_files(context, folder, session, room)
    return _open_ports(context, listen or "tcp://127.0.0.1:0", room)


def _open_files(context: Context, folder: Path, session: str, room: Room) -> Doors:
    own = None
    if len(os.fsencode(folder / f"{session[:12]}.control")) > LONGEST_PATH:
        own = folder = make_short_folder()
    sockets, gates = _routers(context, room)
    zap = _listen_to_zap(context)
    endpoints = []
    try:
        for socket, gate in zip(sockets, gates, strict=True):
            path = folder / f"{session[:12]}.{gate.name}"
            endpoint = f"ipc://{path}"
            socket.bind(endpoint)
            gate.path = path
            endpoints.append(endpoint)
    except zmq.ZMQError as e:
        if own is not None:
            remove_short_folder(own)
        raise ColorizeError(
            f"{endpoint} cannot be bound ({e.strerror})", "set COLORIZE_RUNTIME to another folder"
        ) from e
    return Doors(sockets[0], sockets[1], gates, (endpoints[0], endpoints[1]), zap, folder=own)


def _open_ports(context: Context, listen: str, room: Room) -> Doors:
    found = _ADDRESS.fullmatch(listen)
    if not found or (found[2] != "*" and int(found[2]) > 65535):
        raise ColorizeError(
            f"the engine cannot listen at {listen}",
            "use tcp://127.0.0.1:0 or another port of this machine; no others are served",
            wrong_use=True,
        )
    host = "127.0.0.1" if found[1] == "localhost" else found[1]
    port = "*" if found[2] in ("*", "0") else found[2]
    sockets, gates = _routers(context, room)
    zap = _listen_to_zap(context)
    server_key, server_secret = zmq.curve_keypair()
    client_public, client_secret = zmq.curve_keypair()
    try:
        for socket in sockets:
            socket.curve_server = True
            socket.curve_secretkey = server_secret
            socket.ipv6 = host == "[::1]"
        sockets[0].bind(f"tcp://{host}:{port}")
        sockets[1].bind(f"tcp://{host}:*")
    except zmq.ZMQError as e:
        raise ColorizeError(
            f"{listen} cannot be bound ({e.strerror})", "use tcp://127.0.0.1:0 for any free port"
        ) from e
    endpoints = tuple(s.get_string(zmq.LAST_ENDPOINT).rstrip("\0") for s in sockets)
    keys = [key.decode("ascii") for key in (server_key, client_public, client_secret)]
    return Doors(sockets[0], sockets[1], gates, (endpoints[0], endpoints[1]), zap, keys[0], keys[1], keys[2])


def _listen_to_zap(context: Context) -> Socket:
    """Where libzmq asks about every client; it must be there before the first can come."""
    zap = context.socket(zmq.REP)
    zap.linger = 0
    zap.bind(ZAP)
    return zap


def _routers(context: Context, room: Room) -> tuple[tuple[Socket, Socket], tuple[Gate, Gate]]:
    sockets = []
    for affinity in (1, 2):
        socket = context.socket(zmq.ROUTER)
        # An I/O thread for each: enciphering a large picture must not hold up a ping.
        socket.affinity = affinity
        socket.linger = 0
        # A client that is gone is an error, not a message into the void; one that comes back takes its place again.
        socket.router_mandatory = True
        socket.router_handover = True
        socket.maxmsgsize = MAX_PIXELS * 4 + MAX_HEADER if affinity == 1 else MAX_HEADER
        socket.rcvhwm, socket.sndhwm = (WAITING_IN, WAITING_OUT) if affinity == 1 else (1000, 1000)
        sockets.append(socket)
    jobs, control = sockets
    gates = Gate(context, jobs, "jobs", room.clients), Gate(context, control, "control", room.clients + FOR_COMMANDS)
    return (jobs, control), gates


def read_frames(socket: Socket, most: int) -> list[Any] | None:
    """The next message as frames that are not copied, the sender first; None when there is none.

    Of a message with more than ``most`` frames only so many and one more are kept.
    """
    frames: list[Any] = []
    try:
        more = True
        while more:
            frame = socket.recv(zmq.NOBLOCK, copy=False)
            more = frame.more
            if len(frames) <= most:
                frames.append(frame)
    except zmq.Again:
        return None
    return [frames[0].bytes, *(f.buffer for f in frames[1:])]
