"""An engine of a few lines, in a process of its own to be stopped and killed, and a client that keeps what it hears."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.protocol import Buffer, Client, Event, read_connection

PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[2]
TERMINAL = ("result", "error", "cancelled")

# What it does with a job is told by the job itself: body["do"]. Everything it receives is written to a log.
ENGINE = r"""
import json, os, sys, time, zmq
from pathlib import Path
from engine.protocol import *

options = json.loads(sys.argv[1])
folder, name = Path(options["folder"]), options["name"]
context = zmq.Context()
sockets, ends, keys = {}, {}, {}
if options["curve"]:
    public, secret = zmq.curve_keypair()
    client_public, client_secret = zmq.curve_keypair()
    named = {"server_key": public, "client_public": client_public, "client_secret": client_secret}
    keys = {name: key.decode() for name, key in named.items()}
for channel in ("jobs", "control"):
    s = sockets[channel] = context.socket(zmq.ROUTER)
    s.linger = 0
    if options["curve"]:
        s.curve_server, s.curve_secretkey = True, secret
        s.bind("tcp://127.0.0.1:*")
    else:
        s.bind(f"ipc://{folder}/{name}-{channel}")
    ends[channel] = s.last_endpoint.decode().rstrip("\0")
log = open(folder / f"{name}.log", "a", buffering=1)
write_connection(
    Connection(os.getpid(), ends["jobs"], ends["control"], PROTOCOL, "1.0", name, time.time(), **keys),
    folder / "engine.json",
)
poller = zmq.Poller()
for s in sockets.values():
    poller.register(s, zmq.POLLIN)
cache, waiting, held = {}, {}, []

def say(channel, peer, message, type, body=None, buffers=()):
    sockets[channel].send_multipart([peer, *encode(message.answer(type, body, buffers))])

def job(peer, m):
    missing = [b.digest for b in m.buffers if b.codec == "none" and b.digest not in cache]
    for b in m.buffers:
        if b.codec != "none":
            cache[b.digest] = bytes(b.pixels())
    if m.body.get("do") == "need forever":
        missing = [b.digest for b in m.buffers]
    if missing:
        say("jobs", peer, m, "need", {"digests": missing})
        return
    slot = m.body.get("slot")
    for other in [w for w, (_, o) in waiting.items() if slot and o.body.get("slot") == slot]:
        p, o = waiting.pop(other)
        say("jobs", p, o, "cancelled", {"reason": "superseded"})
    do = m.body.get("do", "finish")
    if do == "quiet":
        waiting[m.id] = (peer, m)
        return
    say("jobs", peer, m, "accepted", {"position": 0})
    if do == "wait":
        waiting[m.id] = (peer, m)
        return
    for step in range(m.body.get("steps", 1)):
        say("jobs", peer, m, "progress", {"stage": "colours", "step": step, "total": m.body.get("steps", 1)})
    if do == "two results":
        say("jobs", peer, m, "result", {"first": True})
    line = m.buffers[0] if m.buffers else None
    out = [Buffer("colour", line.width, line.height, line.order, data=cache[line.digest])] if line else []
    say("jobs", peer, m, "result", {"engine": name}, out)

while True:
    for s, _ in poller.poll():
        channel = "jobs" if s is sockets["jobs"] else "control"
        peer, *frames = s.recv_multipart()
        m = decode(frames)
        if m.type != "ping":
            print(json.dumps({"type": m.type, "id": m.id, "body": m.body, "bytes": sum(map(len, frames)),
                              "codecs": [b.codec for b in m.buffers]}), file=log)
        if m.type == "hello":
            say(channel, peer, m, "welcome", {"protocol": options["protocol"], "version": "1.0", "session": name})
        elif m.type == "ping":
            say(channel, peer, m, "pong", {"busy": False, "queue": len(waiting)})
        elif m.type == "colorize":
            job(peer, m)
        elif m.type == "forget":
            cache.clear()
            say(channel, peer, m, "ok")
        elif m.type == "release":
            for p, o in waiting.values():
                say("jobs", p, o, "result", {"engine": name})
            waiting.clear()
            say(channel, peer, m, "ok")
        elif m.type == "cancel":
            if m.body["job"] in waiting:
                p, o = waiting.pop(m.body["job"])
                say("jobs", p, o, "cancelled", {"reason": "cancelled"})
            say(channel, peer, m, "ok")
        elif m.type == "shutdown":
            say(channel, peer, m, "ok")
            time.sleep(0.2)
            os._exit(0)
"""


class StandIn:
    """One stand-in, ready when made."""

    def __init__(self, folder: Path, name: str, curve: bool = False, protocol: int = 1) -> None:
        options = {"folder": str(folder), "name": name, "curve": curve, "protocol": protocol}
        self.folder, self.name = folder, name
        self.process = subprocess.Popen([sys.executable, "-c", ENGINE, json.dumps(options)], cwd=ROOT)
        until(lambda: (found := read_connection(folder / "engine.json")) is not None and found.session == name)

    def heard(self, type: str = "colorize") -> list[dict[str, Any]]:  # noqa: A002
        """The messages of a type it has received so far."""
        path = self.folder / f"{self.name}.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [m for m in map(json.loads, lines) if m["type"] == type]

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self, bury: bool = True) -> None:
        """Kill it; unburied it stays as a zombie."""
        self.process.kill()
        if bury:
            self.process.wait()


def until(true: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


class Talk:
    """A client and all it has said."""

    def __init__(self, folder: Path) -> None:
        self.client = Client(folder / "engine.json")
        self.events: list[Event] = []

    def of(self, ident: str) -> list[Event]:
        """All events of a request."""
        return [e for e in self.events if e.id == ident]

    def kinds(self, ident: str) -> list[str]:
        """Kinds of the events of a request."""
        return [e.kind for e in self.of(ident)]

    def states(self) -> list[str]:
        """All states so far."""
        return [e.detail for e in self.events if e.kind == "state"]

    def until(self, true: Callable[[], Any], seconds: float = PATIENCE) -> None:
        """Listen until something is true."""

        def done() -> Any:
            self.events += self.client.wait(0.02)
            return true()

        until(done, seconds)

    def ready(self) -> None:
        """Listen until the engine is there."""
        self.until(lambda: self.client.state == "ready")

    def last(self, ident: str, seconds: float = PATIENCE) -> Event:
        """The last event of a request; there has to be exactly one, also a little later."""
        self.until(lambda: any(k in (*TERMINAL, "ok", "pong") for k in self.kinds(ident)), seconds)
        self.events += self.client.wait(0.05)
        ends = [e for e in self.of(ident) if e.kind in (*TERMINAL, "ok", "pong")]
        assert len(ends) == 1
        return ends[0]


def picture(seed: int = 0, side: int = 64, role: str = "lineart") -> Buffer:
    """Pixels that differ by the seed."""
    return Buffer(role, side, side, "L8", data=bytes((i * 7 + seed) % 251 for i in range(side * side)))
