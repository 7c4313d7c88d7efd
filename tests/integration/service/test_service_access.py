"""Who may speak to ``engine serve``, and what it makes of messages that are none."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
import zmq
from numpy.typing import NDArray
from service_helpers import PATIENCE, Caller, Engine, picture, until

from engine.protocol.messages import PROTOCOL, Message, digest, encode

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]


def test_garbage_harms_nobody(shared: Engine, call: Callable[..., Caller], sketch: Sketch) -> None:
    caller, lots = call(shared), random.Random(5)
    caller.ready()
    process = psutil.Process(shared.process.pid)
    good = encode(Message("colorize", {"width": 64, "height": 48}, buffers=[picture("lineart", sketch())]))
    before, sent = caller.status()["counts"], 0

    def header(**changes: object) -> bytes:
        whole = {"v": PROTOCOL, "id": "x", "type": "colorize", "session": "s", "body": {}, "buffers": []}
        return bytes(msgpack.packb({**whole, **changes}))

    def bytes_(most: int) -> bytes:
        return lots.randbytes(lots.randrange(most))

    def huge() -> list[bytes]:
        side = lots.choice([10**9, 2**63, 30_000, -1, 0])
        described = {"role": "lineart", "width": side, "height": side, "order": "L8"}
        return [header(buffers=[described]), b"abc"]

    def broken() -> list[bytes]:
        whole = bytearray(bytes(good[0]))
        for _ in range(lots.randrange(1, 8)):
            whole[lots.randrange(len(whole))] = lots.randrange(256)
        return [bytes(whole), bytes(good[1])]

    makers: list[Callable[[], list[bytes]]] = [
        lambda: [bytes_(200) for _ in range(lots.randrange(1, 6))],
        lambda: [bytes(good[0])[: lots.randrange(len(good[0]))], bytes(good[1])],
        lambda: [bytes(good[0]), bytes(good[1])[: lots.randrange(100)]],
        lambda: [header(v=lots.choice([0, 2, 99, -1, None, "1", 1.5]))],
        lambda: [header(type=lots.choice(["ping", "", "result", "x" * 60, 5]))],
        lambda: [header(body=lots.choice([[], 5, None, {"width": [[]] * 50}, {1: 2}]))],
        lambda: [header(buffers=lots.choice([{}, [5], [None] * 40, [{}], "x"]))],
        lambda: [b""] * lots.randrange(1, 60),
        lambda: [b"\x91" * lots.choice([100, 5000, 70_000])],
        lambda: [b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"],
        huge,
        broken,
    ]
    for number in range(10_000):
        door = caller.control if number % 3 == 0 else caller.jobs
        frames = lots.choice(makers)()
        if door is caller.control and max(map(len, frames)) > 65536:
            continue  # the socket hangs up on those, which is another test
        door.send_multipart(frames)
        sent += 1
        if number == 1000:
            memory = process.memory_info().rss
    job = caller.colorize(sketch())
    assert caller.until(job).type == "result"
    assert process.memory_info().rss < memory * 1.2
    assert caller.ask("ping").type == "pong"
    answered = caller.status()["counts"]["malformed"] - before["malformed"]
    # Some broken headers are whole messages still.
    assert 0.9 * sent < answered <= sent
    assert "stumbled" not in shared.log()
    assert "came to nothing" not in shared.log()


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    environment = {**os.environ, "COLORIZE_RUNTIME": str(tmp_path / "run"), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(
        Engine.command("serve"), env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert "open to other users" in done.stderr
    assert "chmod 700" in done.stderr


def test_a_lock_that_cannot_be_had_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "run" / "engine.lock").mkdir(parents=True)
    (tmp_path / "run").chmod(0o700)
    environment = {**os.environ, "COLORIZE_RUNTIME": str(tmp_path / "run"), "XDG_DATA_HOME": str(tmp_path)}
    command = Engine.command("serve")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "engine.lock cannot be written" in done.stderr
    assert "COLORIZE_RUNTIME" in done.stderr
    assert "bug" not in done.stderr


def test_only_the_key_of_the_connection_file_opens_a_port(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    engine = start("--listen", "tcp://127.0.0.1:0")
    known = engine.connection
    assert known.jobs.startswith("tcp://127.0.0.1:")
    assert known.control.startswith("tcp://127.0.0.1:")
    assert (engine.runtime / "engine.json").stat().st_mode & 0o777 == 0o600
    caller = call(engine)
    assert caller.until(caller.colorize(sketch())).type == "result"

    def silent(client: Caller) -> None:
        for door, kind in ((client.jobs, "hello"), (client.control, "ping")):
            door.immediate = True
            client.send(Message(kind), control=door is client.control)
        assert not client.jobs.poll(700)
        assert not client.control.poll(100)

    def refused_more(than: int) -> int:
        return int(until(lambda: (n := caller.status()["counts"]["refused"]) > than and n))

    public, secret = (k.decode() for k in zmq.curve_keypair())
    count = caller.status()["counts"]["refused"]
    silent(call(engine, keys=(known.server_key, public, secret)))
    count = refused_more(count)
    silent(call(engine, keys=(public, known.client_public, known.client_secret)))
    count = refused_more(count)
    silent(call(engine, keys=("", "", "")))
    count = refused_more(count)
    for endpoint in (known.jobs, known.control):
        host, port = endpoint.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), 5) as web:
            web.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 200)
            web.settimeout(5)
            answer = b""
            try:
                while piece := web.recv(4096):
                    answer += piece
            except (ConnectionResetError, TimeoutError):
                pass
        assert len(answer) <= 64  # a greeting of the protocol at most
        count = refused_more(count)
    assert caller.until(caller.colorize(sketch())).type == "result"
    told = engine.run("status", "--json").stdout
    for key in (known.server_key, known.client_public, known.client_secret):
        assert key not in told
        assert key not in engine.log()


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:0", "tcp://127.0.0.1", "ipc:///tmp/x", "tcp://127.0.0.1:99999"])
def test_only_this_machine_is_served(address: str, tmp_path: Path) -> None:
    environment = {**os.environ, "COLORIZE_RUNTIME": str(tmp_path / "run"), "XDG_DATA_HOME": str(tmp_path)}
    command = Engine.command("serve", "--listen", address)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def test_a_message_too_long_is_not_read(shared: Engine, call: Callable[..., Caller]) -> None:
    caller = call(shared)
    caller.control.send_multipart([b"x" * 200_000])
    assert call(shared).ask("ping").type == "pong"


def test_the_engine_never_brings_torch_in() -> None:
    modules = "engine.service.server, engine.cli, engine.cli.service"
    code = f"import sys, {modules}; print([m for m in ('torch', 'cv2', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_doctor_names_the_log(shared: Engine) -> None:
    told = shared.run("doctor").stdout
    assert str(shared.data / "colorize" / "logs" / "engine.log") in told
    assert f"an engine is running (process {shared.process.pid})" in told


def test_digests_are_the_same_on_both_sides(sketch: Sketch) -> None:
    line = sketch()
    assert picture("lineart", line).digest == digest(64, 48, "L8", line.tobytes())
