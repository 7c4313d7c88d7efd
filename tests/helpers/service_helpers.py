"""Real engines and a bare client for the tests of the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zmq
from numpy.typing import NDArray

from engine.protocol.connection import Connection, read_connection
from engine.protocol.messages import Buffer, Message, decode, digest, encode

Pixels = NDArray[np.uint8]
LAST = ("result", "error", "cancelled")
PATIENCE = 40.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def until(condition: Callable[[], Any], wait: float = PATIENCE) -> Any:
    """Wait for something to become true; returns what it was."""
    deadline = time.monotonic() + wait
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return found


class Engine:
    """An ``engine serve`` of its own, in a folder of its own."""

    def __init__(self, folder: Path, weights: Path, *options: object) -> None:
        self.folder, self.weights = folder, weights
        self.runtime, self.data = folder / "run", folder / "data"
        self.environment = {**os.environ, "COLORIZE_RUNTIME": str(self.runtime), "XDG_DATA_HOME": str(self.data)}
        self.process = self.serve(*options)
        self.connection = until(self._found)

    def serve(self, *options: object) -> subprocess.Popen[str]:
        """Start another one in the same folder."""
        return subprocess.Popen(
            self.command("serve", "--weights", self.weights, "--device", "cpu", *options),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @staticmethod
    def command(*arguments: object) -> list[str]:
        """Words of an ``engine`` command."""
        return [sys.executable, "-m", "engine.cli", *map(str, arguments)]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run another command beside it."""
        return subprocess.run(
            self.command(*arguments), env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def _found(self) -> Connection | None:
        assert self.process.poll() is None, self.process.communicate()[0]
        if not self.runtime.exists():
            return None
        found = read_connection(self.runtime / "engine.json")
        return found if found is not None and found.pid == self.process.pid else None

    def children(self) -> list[psutil.Process]:
        """Processes it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def left(self) -> list[str]:
        """Files in the private folder, but for the lock."""
        return sorted(p.name for p in self.runtime.iterdir() if p.name != "engine.lock")

    def log(self) -> str:
        """What it has written."""
        return (self.data / "colorize" / "logs" / "engine.log").read_text()

    def gone(self, children: list[psutil.Process], wait: float = PATIENCE) -> None:
        """Wait for it to end, and check that it leaves nothing behind."""
        assert self.process.wait(wait) == 0, self.process.communicate()[0]
        assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
        assert self.left() == []

    def close(self) -> None:
        """End it by force."""
        if self.process.poll() is None:
            children = self.children()
            for process in [*children, psutil.Process(self.process.pid)]:
                process.send_signal(signal.SIGKILL)
            psutil.wait_procs(children, timeout=PATIENCE)
        self.process.communicate()


class Caller:
    """A client that does nothing by itself."""

    def __init__(self, connection: Connection, keys: tuple[str, str, str] | None = None, session: str = "") -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.session = session or f"test-{id(self)}"
        self.heard: list[Message] = []
        known = keys or (connection.server_key, connection.client_public, connection.client_secret)
        self.jobs, self.control = (
            self._connect(end, known if known[0] else None) for end in (connection.jobs, connection.control)
        )

    def _connect(self, endpoint: str, keys: tuple[str, str, str] | None) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.DEALER)
        socket.linger = 0
        if keys:
            socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = (k.encode() for k in keys)
        socket.connect(endpoint)
        return socket

    def send(self, message: Message, *, control: bool = False) -> str:
        """Send a message; returns its id."""
        message.session = self.session
        (self.control if control else self.jobs).send_multipart(encode(message))
        return message.id

    def ask(self, kind: str, wait: float = PATIENCE, **body: Any) -> Message:
        """Ask on the control socket and wait for the answer."""
        ident = self.send(Message(kind, body), control=True)
        deadline = time.monotonic() + wait
        while self.control.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            answer = decode(self.control.recv_multipart())
            if answer.parent == ident:
                return answer
        raise AssertionError(f"no answer to {kind}")

    def status(self) -> dict[str, Any]:
        """How the engine is doing."""
        return self.ask("status").body

    def ready(self) -> dict[str, Any]:
        """Wait until the device process is up."""
        return until(lambda: (s := self.status())["worker"]["state"] == "ready" and s)

    def colorize(self, lineart: Pixels, hints: Pixels | None = None, **body: Any) -> str:
        """Send a job; returns its id."""
        height, width = lineart.shape[:2]
        buffers = [picture("lineart", lineart)] + ([picture("hints", hints)] if hints is not None else [])
        return self.send(Message("colorize", {"width": width, "height": height, **body}, buffers=buffers))

    def next(self, wait: float = PATIENCE) -> Message:
        """The next message on the jobs socket."""
        assert self.jobs.poll(int(wait * 1000)), "nothing came"
        self.heard.append(decode(self.jobs.recv_multipart()))
        return self.heard[-1]

    def until(self, job: str, *kinds: str, wait: float = PATIENCE) -> Message:
        """Wait for the first message of these kinds about a job; by default for its last."""
        wanted = kinds or LAST
        deadline = time.monotonic() + wait
        for message in self.heard:
            if message.parent == job and message.type in wanted:
                return message
        while True:
            message = self.next(max(0.0, deadline - time.monotonic()))
            if message.parent == job and message.type in wanted:
                return message
            assert message.parent != job or message.type not in LAST, f"{message.type} {message.body}"

    def quiet(self, wait: float = 0.3) -> None:
        """Take what still comes."""
        while self.jobs.poll(int(wait * 1000)):
            self.heard.append(decode(self.jobs.recv_multipart()))

    def lasts(self, job: str) -> list[str]:
        """Kinds of all last answers to a job."""
        self.quiet()
        return [m.type for m in self.heard if m.parent == job and m.type in LAST]

    def close(self) -> None:
        """Vanish."""
        self.context.destroy(0)


def picture(role: str, pixels: Pixels, order: str = "", x: int = 0, y: int = 0, **more: Any) -> Buffer:
    """Pixels as they travel."""
    order = order or ("L8" if pixels.ndim == 2 else "RGBA8")
    data = np.ascontiguousarray(pixels).tobytes()
    height, width = pixels.shape[:2]
    return Buffer(role, width, height, order, x, y, digest(width, height, order, data), data=data, **more)


def layer(result: Message, name: str = "colour") -> Pixels:
    """One picture of a result."""
    assert result.type == "result", result.body
    buffer = next(b for b in result.buffers if b.role == name)
    return np.frombuffer(buffer.pixels(), np.uint8).reshape(buffer.height, buffer.width, 4)
