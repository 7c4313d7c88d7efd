"""The service: takes jobs from clients, gives them to the device process one at a time, and answers exactly once.

Threads: this one owns the jobs socket and the queue, ``control`` the control socket; both are never held up by work on
pixels, which happens in the device process. It never imports torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from engine import __version__
from engine.errors import ColorizeError
from engine.protocol.connection import Connection, read_connection, remove_connection, write_connection
from engine.protocol.limits import MAX_PIXELS, MAX_SIDE
from engine.protocol.messages import MAX_BUFFERS, PROTOCOL, Message, ProtocolError, decode
from engine.service import jobs
from engine.service.admission import Context, Room, descriptors
from engine.service.control import TICK, Board, Control, error_body
from engine.service.dispatcher import Dispatcher
from engine.service.endpoints import open_doors, read_frames
from engine.service.lifecycle import Inbox, Parent
from engine.service.outbox import Outbox
from engine.service.supervisor import Supervisor
from engine.system.process import process_start

AT_ONCE = 50
"""Messages taken before anything else is looked after."""
LOOK_AROUND = 0.5
"""Seconds between two looks at the parent, the connection file and the clock."""

log = logging.getLogger("engine.service.server")


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
        listen: address, or None for a socket file where the system has them.
        device: auto, cpu, cuda or mps.
        weights: what ``--weights`` was given.
        parent_pid: end when this process does.
        idle_exit: end after so many seconds without any client.
        idle_unload: end the device process after so many seconds without a job; its memory is free then.
    """

    listen: str | None = None
    device: str = "auto"
    weights: Path | None = None
    parent_pid: int | None = None
    idle_exit: float | None = None
    idle_unload: float = 600.0


class Server:
    """One engine, from binding its sockets to taking everything away again.

    Args:
        folder: private folder of sockets and connection file.
        options: how to serve.
        asked: why to stop; anybody may add a reason at any time, a signal handler too.

    Raises:
        ColorizeError: the sockets cannot be bound, or the system allows too few open files.
    """

    def __init__(self, folder: Path, options: Options, asked: list[str] | None = None) -> None:
        self.folder, self.options = folder, options
        self._asked = [] if asked is None else asked
        self.session = uuid.uuid4().hex
        self.board = Board(self.session)
        self.inbox = Inbox()
        room = Room.of(descriptors())
        self.context: Context = zmq.Context(io_threads=2)
        try:
            self.doors = open_doors(self.context, folder, self.session, room, options.listen)
        except BaseException:
            self.context.destroy(0)
            raise
        self.supervisor = Supervisor(
            options.device, options.weights, folder, lambda number, said: self.inbox.put("worker", number, said)
        )
        self.outbox = Outbox(self.doors.jobs, self.session, room.results)
        self.dispatcher = Dispatcher(self.board, self.outbox, self.supervisor)
        self.control = Control(self.doors, self.board, self.inbox.put)
        self.parent = Parent(options.parent_pid) if options.parent_pid else None
        self._greeted: list[tuple[bytes, Message]] = []
        self._looked = time.monotonic()
        self.connection = Connection(
            os.getpid(),
            *self.doors.endpoints,
            PROTOCOL,
            __version__,
            self.session,
            time.time(),
            self.doors.server_key,
            self.doors.client_public,
            self.doors.client_secret,
            process_start(os.getpid()),
            str(folder.absolute()),
        )

    def publish(self) -> None:
        """Say where the engine is, for clients to find it.

        Raises:
            ColorizeError: the connection file cannot be written.
        """
        self.control.start()
        try:
            write_connection(self.connection, self.folder / "engine.json")
        except OSError as e:
            raise ColorizeError(
                f"{self.folder / 'engine.json'} cannot be written ({e.strerror})", "free some space"
            ) from e
        log.info("version %s serves at %s", __version__, " and ".join(self.doors.endpoints))

    def run(self) -> str:
        """Serve until there is a reason not to; returns the reason."""
        poller = zmq.Poller()
        poller.register(self.doors.jobs, zmq.POLLIN)
        poller.register(self.inbox.receiver.fileno(), zmq.POLLIN)
        self.supervisor.start()
        while not self._asked:
            poller.poll(TICK)
            # Nothing that comes from outside may end the engine.
            for step in (self._take, self._take_inbox, self._look_around, self.dispatcher.dispatch, self._tell):
                _guarded(step)
        return self._asked[0]

    def close(self) -> None:
        """Answer what is open, then take device process, sockets and connection file away."""
        self.dispatcher.close()
        log.info("stops: %s", self._asked[0] if self._asked else "it failed")
        self.supervisor.stop()
        with contextlib.suppress(RuntimeError):  # it has never started
            self.control.halt()
        remove_connection(self.session, self.folder / "engine.json")
        self.doors.close()
        self.context.destroy(500)
        self.inbox.close()

    # What comes from clients

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            frames = read_frames(self.doors.jobs, MAX_BUFFERS + 2)
            if frames is None:
                return
            self._serve(bytes(frames[0]), frames[1:])

    def _serve(self, sender: bytes, frames: list[Any]) -> None:
        try:
            message = decode(frames)
            self.board.active = time.monotonic()
            if message.type == "hello":
                self._hello(sender, message)
            elif message.type == "colorize":
                self.dispatcher.colorize(sender, message)
            else:
                kind = message.type
                raise ProtocolError("unknown_type", f"'{kind}' is nothing for the jobs socket", "", message.id)
        except ProtocolError as e:
            self.board.counts["malformed"] += 1
            if e.parent:
                self.outbox.send(sender, Message("error", error_body(e), parent=e.parent))
        except Exception:
            self.board.counts["malformed"] += 1
            log.exception("a message came to nothing")

    def _hello(self, sender: bytes, message: Message) -> None:
        if len(self._greeted) < jobs.MAX_JOBS:
            self._greeted.append((sender, message))

    # What comes from other threads

    def _take_inbox(self) -> None:
        for kind, *values in self.inbox.take():
            _guarded(lambda kind=kind, values=values: self._obey(kind, values))  # type: ignore[misc]

    def _obey(self, kind: str, values: list[Any]) -> None:
        if kind == "worker":
            number, said = values
            if number == self.supervisor.number:
                self.dispatcher.heard(said)
        elif kind == "cancel":
            self.dispatcher.cancel(values[0])
        elif kind == "load":
            self.dispatcher.load(values[0])
        elif kind == "unload":
            self.dispatcher.unload()
        elif kind == "wake" and self.board.models is None:
            self.supervisor.start()
        elif kind == "gone":
            self.dispatcher.client_went()
        elif kind == "shutdown":
            self._asked.append(values[0])

    # What the engine does by itself

    def _look_around(self) -> None:
        self.dispatcher.drop_vanished()
        now = time.monotonic()
        if now - self._looked > 4 * LOOK_AROUND + TICK / 1000:
            log.warning("the engine stood still for %.1f seconds", now - self._looked)
            self.supervisor.excuse()
        self.supervisor.watch(working=self.dispatcher.queue.running is not None)
        if now - self._looked < LOOK_AROUND:
            return
        self._looked = now
        if self.dispatcher.busy:
            self.dispatcher.worked = self.board.active = now
        if self.parent is not None and not self.parent.alive():
            self._asked.append(f"its parent, process {self.parent.pid}, is gone")
        if self.options.idle_exit is not None and now - self.board.active > self.options.idle_exit:
            self._asked.append(f"nobody needed it for {self.options.idle_exit:g} seconds")
        if self.supervisor.state == "ready" and now - self.dispatcher.worked > self.options.idle_unload:
            self.dispatcher.unload()
        self._check_file(busy=self.dispatcher.busy)

    def _check_file(self, *, busy: bool) -> None:
        """Write the connection file again where it was deleted; give way to another engine that has taken over."""
        if any(gate.deleted() for gate in self.doors.gates):
            if not busy:  # nobody new can come in
                self._asked.append("its sockets were deleted")
            return
        found = read_connection(self.folder / "engine.json")
        if found is None:
            with contextlib.suppress(OSError):
                write_connection(self.connection, self.folder / "engine.json")
                log.warning("the connection file was gone and is written again")
        elif found.session != self.session and not busy:
            self._asked.append(f"another engine, process {found.pid}, has taken over")

    def _tell(self) -> None:
        """Show the other thread how things stand, and welcome those who have waited to hear it."""
        self.dispatcher.show()
        board = self.board
        if not self._greeted or (board.models is None and not board.trouble):
            return
        limits = {"side": MAX_SIDE, "pixels": MAX_PIXELS, "jobs": jobs.MAX_JOBS, "cache_bytes": jobs.CACHE}
        body = {"protocol": PROTOCOL, "version": __version__, "session": self.session, "limits": limits}
        body |= {"device": board.device, "models": board.models or [], "trouble": board.trouble}
        greeted, self._greeted = self._greeted, []
        for sender, message in greeted:
            self.outbox.send(sender, message.answer("welcome", body))


def _guarded(step: Callable[[], None]) -> None:
    """Run a step of the loop: nothing that comes from outside may end the engine."""
    try:
        step()
    except Exception:
        log.exception("the engine stumbled")
