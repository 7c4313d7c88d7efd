"""The client over real sockets against an engine of a few lines, in a process of its own to be stopped and killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import zmq

from engine.protocol import Buffer, Client, Event, Message, decode, digest, encode, read_connection

ROOT = Path(__file__).resolve().parents[3]
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


class Engine:
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


def until(true: Callable[[], Any], seconds: float = 15) -> None:
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

    def until(self, true: Callable[[], Any], seconds: float = 15) -> None:
        """Listen until something is true."""

        def done() -> Any:
            self.events += self.client.wait(0.02)
            return true()

        until(done, seconds)

    def ready(self) -> None:
        """Listen until the engine is there."""
        self.until(lambda: self.client.state == "ready")

    def last(self, ident: str, seconds: float = 15) -> Event:
        """The last event of a request; there has to be exactly one, also a little later."""
        self.until(lambda: any(k in (*TERMINAL, "ok", "pong") for k in self.kinds(ident)), seconds)
        self.events += self.client.wait(0.05)
        ends = [e for e in self.of(ident) if e.kind in (*TERMINAL, "ok", "pong")]
        assert len(ends) == 1
        return ends[0]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def make(name: str = "first", **options: Any) -> Engine:
        engines.append(Engine(tmp_path, name, **options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.kill()


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    spoken = Talk(tmp_path)
    yield spoken
    spoken.client.close()


def picture(seed: int = 0, side: int = 64, role: str = "lineart") -> Buffer:
    return Buffer(role, side, side, "L8", data=bytes((i * 7 + seed) % 251 for i in range(side * side)))


def test_a_job_with_all_its_events_and_pixels(start: Callable[..., Engine], talk: Talk) -> None:
    start()
    line = picture()
    ident = talk.client.colorize({"width": 64, "height": 64}, [line])
    end = talk.last(ident)
    assert talk.kinds(ident) == ["accepted", "progress", "result"]
    assert end.message is not None
    assert bytes(end.message.buffers[0].pixels()) == line.data
    assert talk.states() == ["ready"]
    welcome = next(e for e in talk.events if e.kind == "welcome")
    assert welcome.message is not None
    assert welcome.message.body["session"] == "first"
    assert line.digest == ""  # the caller's buffer is left alone
    assert talk.last(talk.client.submit("ping", control=True)).kind == "pong"


def test_submit_returns_at_once_without_an_engine_and_the_job_waits_for_one(
    start: Callable[..., Engine], talk: Talk
) -> None:
    slowest, idents = 0.0, []
    big = Buffer("lineart", 5000, 7000, "L8", data=bytes(35_000_000))
    for _ in range(20):
        begin = time.perf_counter()
        idents.append(talk.client.colorize({"width": 5000, "height": 7000, "slot": "live"}, [big]))
        slowest = max(slowest, time.perf_counter() - begin)
    assert slowest < 0.1
    assert talk.client.state == "connecting"
    for ident in idents[:-1]:
        assert talk.last(ident).kind == "cancelled"
    engine = start()
    assert talk.last(idents[-1]).kind == "result"
    assert len(engine.heard()) == 1


def test_other_requests_do_not_wait_for_an_engine_for_ever(
    start: Callable[..., Engine], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.protocol.requests.REQUEST_WAIT", 0.5)
    end = talk.last(talk.client.submit("shutdown", control=True))
    assert (end.kind, end.detail) == ("error", "no_engine")
    engine = start()
    talk.ready()
    assert not engine.heard("shutdown")


def test_an_engine_killed_in_mid_job_is_replaced_and_the_job_sent_again_once(
    start: Callable[..., Engine], talk: Talk
) -> None:
    first = start()
    ident = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(ident))
    began = time.monotonic()
    first.kill(bury=False)  # a zombie is as dead
    talk.until(lambda: talk.client.state == "lost", 2)
    assert time.monotonic() - began < 2
    first.kill()
    second = start("second")
    talk.until(lambda: second.heard())
    assert second.heard()[0]["id"] == ident
    assert second.heard()[0]["codecs"] == ["raw"]  # the new engine knows no digest
    talk.last(talk.client.submit("release", control=True))
    assert talk.last(ident).kind == "result"
    assert len(first.heard()) == len(second.heard()) == 1
    assert talk.states() == ["ready", "lost", "ready"]


def test_a_job_lost_twice_is_given_up_and_others_are_not(start: Callable[..., Engine], talk: Talk) -> None:
    first = start()
    ident = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(ident))
    first.kill()
    second = start("second")
    talk.until(lambda: second.heard())
    later = talk.client.colorize({"do": "wait"}, [picture(1)])
    talk.until(lambda: "accepted" in talk.kinds(later))
    second.kill()
    end = talk.last(ident, 2)
    assert (end.kind, end.detail) == ("error", "engine_gone")
    assert end.message is not None
    assert end.message.body["retryable"] is True
    third = start("third")
    talk.until(lambda: third.heard())
    talk.last(talk.client.submit("release", control=True))
    assert talk.last(later).kind == "result"
    assert [m["id"] for m in third.heard()] == [later]


def test_a_frozen_engine_is_lost_within_two_seconds_and_ready_when_it_goes_on(
    start: Callable[..., Engine], talk: Talk
) -> None:
    engine = start()
    ident = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(ident))
    engine.signal(signal.SIGSTOP)
    began = time.monotonic()
    talk.until(lambda: talk.client.state == "lost", 2)
    assert time.monotonic() - began < 2
    begin = time.perf_counter()
    meanwhile = talk.client.colorize({}, [picture(2)])
    assert time.perf_counter() - begin < 0.05
    engine.signal(signal.SIGCONT)
    talk.until(lambda: talk.client.state == "ready", 2)
    talk.last(talk.client.submit("release", control=True))
    assert talk.last(ident).kind == talk.last(meanwhile).kind == "result"
    assert len(engine.heard()) == 2  # nothing was sent twice


def test_the_connection_file_may_go_but_not_the_engine(
    start: Callable[..., Engine], talk: Talk, tmp_path: Path
) -> None:
    start()
    talk.ready()
    (tmp_path / "engine.json").unlink()
    time.sleep(0.6)
    (tmp_path / "engine.json").write_text("{broken")
    time.sleep(0.6)
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"
    assert talk.states() == ["ready"]


def test_a_stale_file_is_no_engine(start: Callable[..., Engine], talk: Talk) -> None:
    start("dead").kill()
    ident = talk.client.colorize({}, [picture()])
    talk.until(lambda: True)
    time.sleep(0.5)
    assert talk.client.state == "connecting"
    start("alive")
    assert talk.last(ident).kind == "result"


def test_pixels_are_sent_once_and_again_when_they_are_needed(start: Callable[..., Engine], talk: Talk) -> None:
    engine = start()
    line, other = picture(side=512), picture(1)
    hints = bytearray(512 * 512 * 4)
    talk.last(talk.client.colorize({}, [line]))
    talk.last(talk.client.colorize({}, [line, Buffer("hints", 512, 512, "RGBA8", data=bytes(hints))]))
    hints[4000:4400] = os.urandom(400)
    talk.last(talk.client.colorize({}, [line, Buffer("hints", 512, 512, "RGBA8", data=bytes(hints))]))
    assert [m["codecs"] for m in engine.heard()] == [["raw"], ["none", "sparse"], ["none", "sparse"]]
    assert engine.heard()[2]["bytes"] < 0.02 * (engine.heard()[0]["bytes"] + len(hints))
    talk.last(talk.client.submit("forget", control=True))
    ident = talk.client.colorize({}, [line, other])
    end = talk.last(ident)
    assert end.kind == "result"
    assert end.message is not None
    assert bytes(end.message.buffers[0].pixels()) == line.data
    assert [m["codecs"] for m in engine.heard()[3:]] == [["none", "raw"], ["raw", "none"]]
    assert {m["id"] for m in engine.heard()[3:]} == {ident}


def test_an_engine_that_always_wants_more_or_what_nobody_has(start: Callable[..., Engine], talk: Talk) -> None:
    engine = start()
    end = talk.last(talk.client.colorize({"do": "need forever"}, [picture()]))
    assert (end.kind, end.detail) == ("error", "no_pixels")
    assert len(engine.heard()) == 4
    known = digest(64, 64, "L8", b"gone")
    end = talk.last(talk.client.colorize({}, [Buffer("lineart", 64, 64, "L8", digest=known, codec="none")]))
    assert (end.kind, end.detail) == ("error", "no_pixels")


def test_newer_jobs_of_a_slot_replace_older_ones(start: Callable[..., Engine], talk: Talk) -> None:
    start()
    other = talk.client.colorize({"slot": "other", "do": "wait"}, [picture()])
    idents = []
    for n in range(30):
        idents.append(talk.client.colorize({"slot": "live", "do": "wait", "n": n}, [picture(n)]))
        talk.events += talk.client.wait(0.01)
    last = talk.client.colorize({"slot": "live"}, [picture()])
    assert talk.last(last).kind == "result"
    for ident in idents:
        assert talk.last(ident).kind == "cancelled"
    ends = [e.id for e in talk.events if e.kind in TERMINAL]
    assert ends == [*idents, last]
    assert talk.kinds(other) == ["accepted"]


def test_exactly_one_last_event_also_when_the_engine_sends_two(start: Callable[..., Engine], talk: Talk) -> None:
    start()
    idents = [talk.client.colorize({"do": "two results"}, [picture(n)]) for n in range(100)]
    for ident in idents:
        end = talk.last(ident)
        assert end.message is not None
        assert end.message.body == {"first": True}


def test_cancel_reaches_jobs_that_wait_run_and_have_only_just_been_sent(
    start: Callable[..., Engine], talk: Talk
) -> None:
    early = talk.client.colorize({}, [picture()])
    assert talk.last(talk.client.cancel(early)).kind == "ok"
    assert talk.last(early).kind == "cancelled"
    engine = start()
    talk.ready()
    for _ in range(20):
        ident = talk.client.colorize({"do": "wait"}, [picture()])
        assert talk.last(talk.client.cancel(ident)).kind == "ok"
        assert talk.last(ident).kind == "cancelled"
    running = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(running))
    talk.client.cancel(running)
    assert talk.last(running).kind == "cancelled"
    assert early not in [m["id"] for m in engine.heard()]
    # Cancelled while the engine could not be asked: it hears of it later, and the job never comes back.
    frozen = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(frozen))
    engine.signal(signal.SIGSTOP)
    talk.until(lambda: talk.client.state == "lost", 2)
    talk.client.cancel(frozen)
    assert talk.last(frozen).kind == "cancelled"
    engine.signal(signal.SIGCONT)
    talk.until(lambda: any(m["body"]["job"] == frozen for m in engine.heard("cancel")))
    assert talk.last(frozen).kind == "cancelled"


def test_an_answer_that_came_before_the_end_counts(start: Callable[..., Engine], talk: Talk) -> None:
    start()
    talk.ready()
    assert talk.last(talk.client.submit("shutdown", control=True)).kind == "ok"
    talk.until(lambda: talk.client.state == "lost", 2)


def test_what_cannot_be_sent_ends_with_an_error(start: Callable[..., Engine], talk: Talk) -> None:
    start()
    bad: list[tuple[dict[str, Any], list[Any], str]] = [
        ({}, [Buffer("lineart", 64, 64, "L8", data=b"short")], "bad_pixels"),
        ({}, [Buffer("lineart", 64, 64, "L8")], "no_pixels"),
        ({}, [Buffer("lineart", 64, 64, "CMYK", data=b"")], "bad_body"),
        ({}, [Buffer("lineart", 64, 64, "L8", data="text")], "bad_pixels"),  # type: ignore[arg-type]
        ({}, ["lineart"], "bad_body"),
        ({"value": object()}, [], "bad_body"),
        ({"value": "x" * 70000}, [], "bad_body"),
    ]
    for body, buffers, code in bad:
        end = talk.last(talk.client.colorize(body, buffers))
        assert (end.kind, end.detail) == ("error", code)
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"
    assert talk.states() == ["ready"]


def test_another_version_is_refused_with_a_remedy(start: Callable[..., Engine], talk: Talk) -> None:
    start(protocol=2)
    end = talk.last(talk.client.colorize({}, [picture()]))
    assert (end.kind, end.detail) == ("error", "bad_version")
    assert end.message is not None
    assert "same release" in end.message.body["hint"]
    assert talk.client.state == "lost"
    start("right")
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"


def test_a_wrong_key_gets_nothing_and_the_right_one_does(
    start: Callable[..., Engine], talk: Talk, tmp_path: Path
) -> None:
    engine = start(curve=True)
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"
    values = json.loads((tmp_path / "engine.json").read_text())
    values["server_key"] = zmq.curve_keypair()[0].decode()
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "engine.json").touch(0o600)
    (wrong / "engine.json").write_text(json.dumps(values))
    stranger = Talk(wrong)
    ident = stranger.client.colorize({}, [picture()])
    end = time.monotonic() + 1.5
    stranger.until(lambda: time.monotonic() > end)
    stranger.client.close()
    assert stranger.kinds(ident) == []
    assert stranger.client.state == "connecting"
    assert len(engine.heard()) == len(engine.heard("hello")) == 1
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"


def test_an_unusable_address_or_key_is_told(talk: Talk, tmp_path: Path) -> None:
    values = {"pid": os.getpid(), "jobs": "tcp://127.0.0.1:1", "control": "tcp://127.0.0.1:1", "protocol": 1}
    (tmp_path / "engine.json").touch(0o600)
    (tmp_path / "engine.json").write_text(
        json.dumps({**values, "version": "1", "session": "s", "started": 1, "server_key": "short"})
    )
    end = talk.last(talk.client.colorize({}, [picture()]))
    assert (end.kind, end.detail) == ("error", "bad_endpoint")


def test_the_descriptor_is_readable_exactly_while_events_wait(start: Callable[..., Engine], talk: Talk) -> None:
    def readable(timeout: float) -> bool:
        return bool(select.select([talk.client.fileno()], [], [], timeout)[0])

    assert not readable(0)
    start()
    for _ in range(20):
        talk.client.colorize({"steps": 50}, [picture()])
        assert readable(5)
        while readable(0.3):
            talk.events += talk.client.poll()
    assert sum(e.kind == "result" for e in talk.events) == 20
    assert talk.client.poll() == []


def test_a_caller_that_does_not_listen_costs_little_memory(
    start: Callable[..., Engine], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.protocol.events.MAX_WAITING", 1_000_000)
    engine = start()
    line = Buffer("lineart", 1000, 1000, "L8", data=os.urandom(1_000_000))
    body = {"width": 1000, "height": 1000, "steps": 1000}
    idents = [talk.client.colorize(body, [line]) for _ in range(6)]
    time.sleep(1.5)
    assert 1 <= len(engine.heard()) <= 2  # the others are held back
    for ident in idents:
        assert talk.last(ident).kind == "result"
        assert talk.kinds(ident).count("progress") < 1000  # taken together


def test_jobs_are_held_back_by_the_bytes_of_all_their_variations(
    start: Callable[..., Engine], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.protocol.events.MAX_WAITING", 1_000_000)
    engine = start()
    talk.ready()
    for many in (1, 8):
        body = {"do": "wait", "width": 200, "height": 200, "layers": ["colour"], "variations": many}
        idents = [talk.client.colorize(body, [picture(side=200)]) for _ in range(3)]
        talk.until(lambda idents=idents: "accepted" in talk.kinds(idents[0]))
        time.sleep(0.3)
        assert len([m for m in engine.heard() if m["id"] in idents]) == (3 if many == 1 else 1)
        for ident in idents:
            talk.client.cancel(ident)
        for ident in idents:
            assert talk.last(ident).kind == "cancelled"


def test_too_much_is_refused(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.protocol.requests.MAX_KEPT", 100_000)
    shared = picture(side=256)
    several = [talk.client.colorize({}, [shared]) for _ in range(5)]  # the same pixels count once
    end = talk.last(talk.client.colorize({}, [picture(1, side=256)]))
    assert (end.kind, end.detail) == ("error", "too_much")
    for ident in several:
        talk.client.cancel(ident)
    for ident in several:
        assert talk.last(ident).kind == "cancelled"
    waits = talk.client.colorize({}, [picture(1, side=256)])
    talk.events += talk.client.wait(0.1)
    assert talk.kinds(waits) == []


def resources() -> tuple[int, int]:
    return threading.active_count(), psutil.Process().num_fds()


def test_close_leaves_no_thread_and_no_descriptor(start: Callable[..., Engine], tmp_path: Path) -> None:
    start()
    with contextlib.closing(Client(tmp_path / "engine.json")) as warm:  # what pyzmq opens once and keeps
        until(lambda: warm.state == "ready")
    before = resources()
    for n in range(5):
        client = Client(tmp_path / "engine.json")
        if n % 2:
            until(lambda c=client: c.state == "ready")  # type: ignore[misc]
        client.colorize({"do": "wait"}, [picture(side=512)])
        began = time.monotonic()
        client.close()
        client.close()
        assert time.monotonic() - began < 2
        assert client.fileno() == -1
        ident = client.colorize({}, [picture()])
        assert [(e.id, e.detail) for e in client.poll() if e.kind == "error"] == [(ident, "closed")]
    Client(tmp_path / "engine.json").wait(5)  # and nobody holds it any more
    until(lambda: resources() == before)


def test_a_script_that_does_not_close_ends_all_the_same(start: Callable[..., Engine], tmp_path: Path) -> None:
    start()
    script = (
        "import sys; from engine.protocol import Client; c = Client(sys.argv[1]); c.wait(5); c.colorize({}, []);"
        "print(c.state)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "engine.json")],
        cwd=ROOT,
        timeout=20,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nonsense_from_an_engine_is_survived(talk: Talk, tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sockets = [context.socket(zmq.ROUTER) for _ in range(2)]
    for s, name in zip(sockets, ("jobs", "control"), strict=True):
        s.linger = 0
        s.bind(f"ipc://{tmp_path}/{name}")
    values = {"pid": os.getpid(), "protocol": 1, "version": "1", "session": "odd", "started": 1}
    ends = {name: f"ipc://{tmp_path}/{name}" for name in ("jobs", "control")}
    (tmp_path / "engine.json").touch(0o600)
    (tmp_path / "engine.json").write_text(json.dumps({**values, **ends}))
    odd: list[list[bytes]] = [[b""], [b"x" * 70000], [b"\xc1", b"a", b"b"], [b"a"] * 40]
    odd += [[bytes(f) for f in encode(Message("result", parent="nobody"))]]
    for s in sockets:
        peer, *frames = s.recv_multipart()
        asked = decode(frames)
        for nonsense in odd:
            s.send_multipart([peer, *nonsense])
        kind = "welcome" if asked.type == "hello" else "pong"
        s.send_multipart([peer, *encode(asked.answer(kind, {"protocol": 1}))])
    talk.ready()
    assert talk.states() == ["ready"]
    context.destroy(0)
