"""More clients than the engine has room for: it goes on serving those it has, and tells the others."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from numpy.typing import NDArray
from service_helpers import PATIENCE, Caller, Engine, until

from engine.protocol.client import Client, Event
from engine.service.admission import LEAST, RESERVE, Room, descriptors

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="socket files are of POSIX")
CROWD = 2500
"""Connections; more than the 1,024 descriptors most systems allow at first."""


@pytest.fixture
def roomy() -> Iterator[None]:
    """Descriptors enough for the tests' own side of the connections."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors() < CROWD + 500:
        pytest.skip("the system allows too few open files for this test")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def crowd(path: str, number: int, crowded: list[socket.socket]) -> None:
    """Open connections that never say a word, until there are so many or no more are taken."""
    deadline = time.monotonic() + 5
    while len(crowded) < number and time.monotonic() < deadline:
        door = socket.socket(socket.AF_UNIX)
        door.setblocking(False)
        try:
            door.connect(path)
            crowded.append(door)
        except OSError:
            door.close()
            time.sleep(0.001)


@pytest.mark.usefixtures("roomy")
def test_a_crowd_of_connections_ends_no_job(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What systems give a program at first.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        engine = start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    caller = call(engine)
    caller.ready()
    crowded: list[socket.socket] = []
    try:
        crowd(engine.connection.jobs[6:], CROWD, crowded)
        assert caller.until(caller.colorize(sketch())).type == "result"
        seen = caller.status()["connections"]["jobs"]
        assert seen["open"] > seen["most"]
        assert engine.process.poll() is None
        assert "is closed to new clients" in engine.log()
    finally:
        for door in crowded:
            door.close()
    until(lambda: (s := caller.status()["connections"]["jobs"])["open"] <= s["most"])
    late = call(engine)
    assert late.until(late.colorize(sketch())).type == "result"
    children = engine.children()
    assert "stopped" in engine.run("stop").stdout
    engine.gone(children)


@pytest.mark.usefixtures("roomy")
def test_a_client_too_many_is_told_and_comes_in_later(
    start: Callable[..., Engine], call: Callable[..., Caller]
) -> None:
    engine = start()
    caller = call(engine)
    most = caller.status()["connections"]["jobs"]["most"]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.max_sockets = 4 * most
    try:
        others = [context.socket(zmq.DEALER) for _ in range(most - 1)]
        for other in others:
            other.linger = 0
            other.connect(engine.connection.jobs)
        until(lambda: caller.status()["connections"]["jobs"]["open"] == most)
        with contextlib.closing(Client(engine.runtime / "engine.json")) as client:
            bodies = [e.message.body for e in until(lambda: turned_away(client)) if e.message is not None]
            assert "too many clients" in bodies[0]["reason"]
            assert caller.status()["counts"]["refused"] > 0
            for other in others:
                other.close(0)
            until(lambda: client.poll() is not None and client.state == "ready")
    finally:
        context.destroy(0)


def turned_away(client: Client) -> list[Event]:
    """Words of a client about not having been let in."""
    return [e for e in client.poll() if e.message is not None and e.message.body.get("code") == "too_many_clients"]


@pytest.mark.parametrize("limit", [32, LEAST - 1])
def test_an_engine_without_descriptors_says_so_at_once(limit: int, tmp_path: Path) -> None:
    environment = {**os.environ, "COLORIZE_RUNTIME": str(tmp_path / "run"), "XDG_DATA_HOME": str(tmp_path / "data")}
    done = subprocess.run(
        Engine.command("serve"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )
    assert done.returncode == 1
    assert f"open only {limit} files" in done.stderr
    assert "ulimit -n" in done.stderr


def test_an_engine_with_the_least_descriptors_serves(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    engine = start()
    caller = call(engine)
    caller.ready()
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (LEAST, LEAST))
    jobs = [caller.colorize(sketch(), layers=["flats", "shading", "colour"]) for _ in range(6)]
    assert [caller.until(job).type for job in jobs] == ["result"] * 6


def test_a_killed_engine_is_named_in_the_log_of_the_next(start: Callable[..., Engine]) -> None:
    engine = start()
    pid = engine.process.pid
    engine.process.kill()
    engine.process.wait(PATIENCE)
    start()
    said = [line for line in engine.log().splitlines() if "ended without a word" in line]
    assert len(said) == 1
    assert f"process {pid}," in said[0]


def test_an_engine_that_ends_is_not_said_to_have_crashed(start: Callable[..., Engine]) -> None:
    engine = start()
    assert engine.run("stop").returncode == 0
    start()
    assert "without a word" not in engine.log()


@pytest.mark.parametrize(("limit", "ahead"), [(LEAST, 0), (1024, 0), (4096, 1001), (16384, 1001)])
def test_room_leaves_descriptors_over(limit: int, ahead: int) -> None:
    room = Room.of(limit)
    assert room.clients >= 16
    assert room.results >= 2
    # Two sockets; beyond what may come in, libzmq accepts so many before it waits to be looked after.
    assert room.clients * (2 + room.results) + 2 * ahead <= limit - RESERVE / 2
