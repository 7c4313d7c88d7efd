"""The control door: answers at once, on its own thread, whatever the device is doing."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zmq

from engine import __version__
from engine.protocol.messages import MAX_BUFFERS, PROTOCOL, Message, ProtocolError, decode, encode
from engine.service.admission import answer_zap
from engine.service.endpoints import Doors, read_frames
from engine.service.lifecycle import log_file

TICK = 200
"""Milliseconds after which a thread looks around although nothing has come."""
MODELS_WAIT = 256
"""Questions for the models that wait for the device process to come up."""

log = logging.getLogger("engine.service.control")


@dataclass
class Board:
    """What the engine's threads know of each other. Values are replaced as a whole, never changed in place.

    Attributes:
        session: of the engine.
        models: descriptors; None while nobody knows yet.
        trouble: why there are no models.
        device: cuda, mps or cpu; empty while nobody knows yet.
        loaded: names of the models in memory.
        busy: the device has a job.
        queue: jobs that wait.
        job: the one on the device, for ``status``.
        worker: pid, state and restarts of the device process.
        cache_bytes: of pixels kept.
        clients: that have jobs.
        counts: of the jobs thread.
        control_counts: of the control thread.
        active: monotonic seconds of the last sign of a client.
    """

    session: str
    models: list[dict[str, Any]] | None = None
    trouble: str = ""
    device: str = ""
    loaded: list[str] = field(default_factory=list)
    busy: bool = False
    queue: int = 0
    job: dict[str, Any] | None = None
    worker: dict[str, Any] = field(default_factory=lambda: {"pid": None, "state": "off", "restarts": 0})
    cache_bytes: int = 0
    clients: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    control_counts: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.time)
    active: float = field(default_factory=time.monotonic)

    def status(self) -> dict[str, Any]:
        """The body of ``status``."""
        counts = {
            key: self.counts[key] + self.control_counts[key]
            for key in ("jobs", "results", "errors", "cancelled", "dropped", "malformed", "refused", "wasted")
        }
        return {
            "pid": os.getpid(),
            "version": __version__,
            "protocol": PROTOCOL,
            "session": self.session,
            "uptime": round(time.time() - self.started, 1),
            "device": self.device,
            "loaded": self.loaded,
            "busy": self.busy,
            "queue": self.queue,
            "job": self.job,
            "clients": self.clients,
            "worker": self.worker,
            "cache_bytes": self.cache_bytes,
            "counts": counts,
            "log": str(log_file()),
            "trouble": self.trouble,
        }


def error_body(error: ProtocolError, *, retryable: bool = False) -> dict[str, Any]:
    """The body of an ``error``."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "retryable": retryable}


class Control(threading.Thread):
    """Serves the control socket.

    Args:
        doors: of the engine; the control socket, the gates and ``zap`` are this thread's from now on.
        board: shared with the jobs thread.
        post: hands what concerns jobs to the jobs thread.
    """

    def __init__(self, doors: Doors, board: Board, post: Callable[..., None]) -> None:
        super().__init__(name="control", daemon=True)
        self.doors, self.board, self.post = doors, board, post
        self._halt = threading.Event()
        self._asked: list[tuple[bytes, Message]] = []
        self._kinds: dict[str, Callable[[bytes, Message], None]] = {
            "ping": self._ping,
            "status": self._status,
            "models": self._models,
            "cancel": self._cancel,
            "load": self._load,
            "unload": self._unload,
            "shutdown": self._shutdown,
        }

    def halt(self) -> None:
        """Ask the thread to end, and wait for it."""
        self._halt.set()
        self.join(5.0)

    def run(self) -> None:
        """Serve until ``halt``."""
        poller = zmq.Poller()
        for socket in (self.doors.control, self.doors.zap, *(gate.monitor for gate in self.doors.gates)):
            poller.register(socket, zmq.POLLIN)
        while not self._halt.is_set():
            ready = dict(poller.poll(TICK))
            # Nothing that comes from outside may end this thread.
            try:
                # Before libzmq's question is answered: those that it asks about have to be counted by then.
                self._count_clients()
                if self.doors.zap in ready:
                    answer_zap(self.doors.zap, self.doors.client_public, self.doors.gates)
                if self.doors.control in ready:
                    self._take()
                self._tell_models()
            except Exception:
                log.exception("the control thread stumbled")

    def _count_clients(self) -> None:
        gone = [gate.look() for gate in self.doors.gates]
        self.board.control_counts["refused"] += sum(refused for refused, _ in gone)
        if gone[0][1]:
            self.post("gone")

    def _take(self) -> None:
        for _ in range(100):
            frames = read_frames(self.doors.control, MAX_BUFFERS + 2)
            if frames is None:
                return
            sender = bytes(frames[0])
            try:
                message = decode(frames[1:])
                serve = self._kinds.get(message.type)
                if serve is None:
                    kind = message.type
                    raise ProtocolError("unknown_type", f"'{kind}' is nothing for the control socket", "", message.id)
                self.board.active = time.monotonic()
                serve(sender, message)
            except ProtocolError as e:
                self.board.control_counts["malformed"] += 1
                if e.parent:
                    self._send(sender, Message("error", error_body(e), parent=e.parent))
            except Exception:
                self.board.control_counts["malformed"] += 1
                log.exception("a control message came to nothing")

    def _send(self, sender: bytes, message: Message) -> None:
        message.session = message.session or self.board.session
        # A client that is gone or does not read has no use for an answer.
        with contextlib.suppress(zmq.ZMQError):
            self.doors.control.send_multipart([sender, *encode(message)], zmq.NOBLOCK)

    def _ping(self, sender: bytes, message: Message) -> None:
        self._send(sender, message.answer("pong", {"busy": self.board.busy, "queue": self.board.queue}))

    def _status(self, sender: bytes, message: Message) -> None:
        connections = {gate.name: {"open": gate.count, "most": gate.most} for gate in self.doors.gates}
        self._send(sender, message.answer("status", {**self.board.status(), "connections": connections}))

    def _models(self, sender: bytes, message: Message) -> None:
        if len(self._asked) >= MODELS_WAIT:
            raise ProtocolError("busy", "too many ask for the models at once", "ask again", message.id)
        self._asked.append((sender, message))
        if self.board.models is None:
            self.post("wake")

    def _tell_models(self) -> None:
        models = self.board.models
        if models is None and self.board.trouble:
            models = []
        if models is not None and self._asked:
            asked, self._asked = self._asked, []
            for sender, message in asked:
                self._send(sender, message.answer("models", {"models": models, "trouble": self.board.trouble}))

    def _cancel(self, sender: bytes, message: Message) -> None:
        job = _text(message, "job")
        self.post("cancel", job)
        self._send(sender, message.answer("ok"))

    def _load(self, sender: bytes, message: Message) -> None:
        model = _text(message, "model")
        known = self.board.models
        if known is not None and model not in [m["name"] for m in known]:
            raise ProtocolError("bad_request", f"there is no model '{model}'", "ask for the models", message.id)
        self.post("load", model)
        self._send(sender, message.answer("ok"))

    def _unload(self, sender: bytes, message: Message) -> None:
        self.post("unload")
        self._send(sender, message.answer("ok"))

    def _shutdown(self, sender: bytes, message: Message) -> None:
        self._send(sender, message.answer("ok"))
        self.post("shutdown", "somebody asked for it")


def _text(message: Message, key: str) -> str:
    value = message.body.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise ProtocolError("bad_request", f"'{key}' should be a text of 1 to 64 characters", "", message.id)
    return value
