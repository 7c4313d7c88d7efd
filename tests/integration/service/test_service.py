"""``engine serve`` with real processes and sockets: jobs, order, cancelling, and everything that can break."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
import service_helpers
import zmq
from numpy.typing import NDArray
from service_helpers import LAST, Caller, Engine, layer, picture, posix, until

from engine.protocol.messages import PROTOCOL, Buffer, Message, digest, encode

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]


@pytest.fixture
def start(tmp_path: Path, small_weights: Path) -> Iterator[Callable[..., Engine]]:
    """Starter of engines that are taken away after the test."""
    engines: list[Engine] = []

    def make(*options: object) -> Engine:
        engines.append(Engine(tmp_path, small_weights, *options))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def poster() -> Pixels:
    """A drawing that takes a while."""
    rows = np.arange(2400)[:, None]
    columns = np.arange(1800)[None]
    lines = ((rows % 60 < 3) | (columns % 60 < 3)) & ((rows // 60 + columns // 60) % 5 > 0)
    return np.where(lines, 0, 255).astype(np.uint8)


# Jobs


def test_a_job_gives_the_bytes_of_the_pipeline(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch, strokes: Sketch, small_weights: Path
) -> None:
    from engine.models.checkpoint import load_model
    from engine.pipeline import Job, JobSettings, Pipeline

    line, hints = sketch(200, 150), strokes(200, 150)
    mask = np.zeros(line.shape, np.uint8)
    mask[:, :140] = 255
    context = np.random.default_rng(0).integers(0, 256, (*line.shape, 4), dtype=np.uint8)
    expected = Pipeline(load_model(small_weights)).run(
        Job(line.astype(np.float32) / 255, hints, mask, context, JobSettings(size=128, seed=3))
    )
    caller = call(shared)
    body = {"width": 200, "height": 150, "size": 128, "seed": 3, "layers": ["flats", "shading", "colour"]}
    inputs = [picture("lineart", line), picture("hints", hints), picture("mask", mask), picture("context", context)]
    first = caller.until(caller.send(Message("colorize", body, buffers=inputs)))
    assert [b.role for b in first.buffers] == ["flats", "shading", "colour"]
    assert (first.body["device"], first.body["seed"], first.body["size"], first.body["note"]) == ("cpu", 3, 128, "")
    for name in ("flats", "shading", "colour"):
        np.testing.assert_array_equal(layer(first, name), getattr(expected, name))

    # The same in other clothes: BGRA, only the painted part of the hints, and packed results.
    part, order = hints[1:80, 1:120], [2, 1, 0, 3]
    inputs[1] = picture("hints", part[..., order], "BGRA8", 1, 1)
    inputs[3] = picture("context", context[..., order], "BGRA8")
    second = caller.until(caller.send(Message("colorize", {**body, "compress": True}, buffers=inputs)))
    assert [b.codec for b in second.buffers] == ["zlib"] * 3
    for name in ("flats", "shading", "colour"):
        np.testing.assert_array_equal(layer(second, name), getattr(expected, name))
    assert caller.lasts(first.parent) == ["result"]

    # Only the part that was painted, and the mask as a part of the canvas too.
    inputs[2] = picture("mask", mask[:, :140], x=0, y=0)
    trimmed = {**body, "order": "BGRA8", "trim": True}
    third = caller.until(caller.send(Message("colorize", trimmed, buffers=inputs)))
    for buffer in third.buffers:
        whole = getattr(expected, buffer.role)
        x, y, w, h = buffer.x, buffer.y, buffer.width, buffer.height
        np.testing.assert_array_equal(layer(third, buffer.role)[..., order], whole[y : y + h, x : x + w])
        rest = whole.copy()
        rest[y : y + h, x : x + w] = 0
        assert not rest.any()
        assert w <= 140


@pytest.mark.parametrize("kind", ["on white", "on transparent", "white ink", "scan"])
def test_ink_is_read_as_from_a_file(kind: str, sketch: Sketch, save: Callable[..., Path]) -> None:
    from engine.imaging.files.reading import read_lineart
    from engine.service.buffers import paper

    line = sketch(120, 90)
    rgba = np.full((*line.shape, 4), 255, np.uint8)
    rgba[..., :3] = line[..., None] * np.array([1, 0.5, 0.2]) + (255 - line[..., None]) * np.array([0.1, 0, 0.4])
    if kind == "on white":
        rgba[line == 255] = 255
    elif kind == "on transparent":
        rgba[..., 3] = 255 - line
    elif kind == "white ink":
        rgba = np.dstack([np.full((*line.shape, 3), 255, np.uint8), 255 - line])
    expected = read_lineart(save("line.png", rgba)).paper
    np.testing.assert_array_equal(paper(picture("lineart", rgba)), expected)
    np.testing.assert_array_equal(paper(picture("lineart", rgba[..., [2, 1, 0, 3]], "BGRA8")), expected)


def test_welcome_models_and_status_tell_what_there_is(shared: Engine, call: Callable[..., Caller]) -> None:
    caller = call(shared)
    hello = caller.send(Message("hello"))
    welcome = caller.until(hello, "welcome").body
    assert (welcome["protocol"], welcome["session"], welcome["device"]) == (PROTOCOL, shared.connection.session, "cpu")
    assert welcome["limits"]["pixels"] > 35_000_000
    models = caller.ask("models").body["models"]
    assert models == welcome["models"]
    assert {"small", "stenciltorch"} <= {m["name"] for m in models}
    assert all(m["size"] >= m["min_size"] > 0 for m in models)
    told = shared.run("status", "--json").stdout
    assert '"running": true' in told
    assert "secret" not in told
    assert "key" not in told


def test_queued_jobs_run_in_order_and_each_ends_once(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller = call(shared)
    line = sketch()
    jobs = [caller.colorize(poster, preview=True)] + [caller.colorize(line, seed=n) for n in range(5)]
    for job in jobs:
        caller.until(job)
    kinds = [(m.type, m.parent) for m in caller.heard]
    assert [p for t, p in kinds if t == "accepted"] == jobs
    assert [m.body["position"] for m in caller.heard if m.type == "accepted"] == [0, 1, 2, 3, 4, 5]
    assert [p for t, p in kinds if t == "result"] == jobs
    assert all(caller.lasts(job) == ["result"] for job in jobs)
    stages = [m.body["stage"] for m in caller.heard if m.type == "progress" and m.parent == jobs[1]]
    assert stages[-5:] == ["regions", "colours", "flats", "shading", "done"]
    (preview,) = [m for m in caller.heard if m.type == "preview"]
    assert preview.parent == jobs[0]
    assert preview.body == {"x": 0, "y": 0, "width": 1800, "height": 2400, "variation": 0}
    assert preview.buffers[0].width < 1800
    assert preview.buffers[0].size == len(preview.buffers[0].pixels())


def test_control_answers_while_a_job_runs_and_jobs_can_be_cancelled(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller = call(shared)
    running, queued, after = caller.colorize(poster), caller.colorize(poster), caller.colorize(sketch())
    caller.until(running, "progress")
    until(lambda: caller.ask("ping", 1).body == {"busy": True, "queue": 2})
    assert caller.ask("cancel", job=queued).type == "ok"
    assert caller.until(queued).body == {"reason": "cancelled"}
    assert not [m for m in caller.heard if m.parent == running and m.type == "result"]
    caller.ask("cancel", job=running)
    assert caller.until(running).type == "cancelled"
    assert caller.until(after).type == "result"
    assert [caller.lasts(j) for j in (running, queued, after)] == [["cancelled"], ["cancelled"], ["result"]]
    # A wish to cancel may be faster than the pixels of the job.
    late = Message("colorize", {"width": 64, "height": 48}, buffers=[picture("lineart", sketch())])
    caller.ask("cancel", job=late.id)
    time.sleep(0.3)
    caller.send(late)
    assert caller.until(late.id).type == "cancelled"


def test_a_ping_is_answered_within_50_ms_while_a_poster_is_coloured(
    shared: Engine, call: Callable[..., Caller], poster: Pixels
) -> None:
    caller, other = call(shared), call(shared)
    other.ask("ping")
    job = caller.colorize(np.tile(poster, (3, 3))[:7000, :5000], layers=["flats", "shading", "colour"])
    waits = []
    while not caller.jobs.poll(5) or caller.next().type not in LAST:
        started = time.perf_counter()
        other.ask("ping")
        waits.append(time.perf_counter() - started)
    assert caller.heard[-1].type == "result"
    assert caller.heard[-1].parent == job
    assert len(waits) > 200
    assert np.percentile(waits, 99) < 0.05


def test_a_newer_job_of_a_slot_replaces_older_ones_of_the_same_client(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller, other = call(shared), call(shared)
    running = caller.colorize(poster, slot="live")
    caller.until(running, "progress")
    foreign = other.colorize(sketch(), slot="live")
    queued, elsewhere = caller.colorize(sketch(), slot="live"), caller.colorize(sketch(), slot="else")
    last = caller.colorize(sketch(), seed=1, slot="live")
    for job in (running, queued):
        assert caller.until(job).body == {"reason": "superseded"}
    assert caller.until(last).type == caller.until(elsewhere).type == other.until(foreign).type == "result"
    assert [caller.lasts(j) for j in (running, queued, last)] == [["cancelled"], ["cancelled"], ["result"]]


def test_pixels_are_sent_once_and_asked_for_when_they_are_gone(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch, strokes: Sketch
) -> None:
    caller = call(shared, session="cache")
    line, hints = picture("lineart", sketch(80, 60)), picture("hints", strokes(80, 60))
    known = Buffer("lineart", 80, 60, "L8", digest=line.digest, codec="none")
    body = {"width": 80, "height": 60}
    early = Message("colorize", body, buffers=[known, hints])
    caller.send(early)
    assert caller.until(early.id, "need").body == {"digests": [line.digest]}
    again = Message(
        "colorize", body, early.id, buffers=[line, Buffer(**{**vars(hints), "codec": "none", "data": None})]
    )
    caller.send(again)
    first = caller.until(early.id, "result")
    later = caller.send(Message("colorize", body, buffers=[known, hints]))
    second = caller.until(later)
    np.testing.assert_array_equal(layer(first), layer(second))
    # What one client has sent is nothing to another.
    other = call(shared, session="another")
    foreign = other.send(Message("colorize", body, buffers=[known]))
    assert other.until(foreign, "need").body == {"digests": [line.digest]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"width": "64"}, "'width'"),
        ({"height": True}, "'height'"),
        ({"width": 65}, "64x48"),
        ({"width": 4, "height": 4}, "'width'"),
        ({"seed": -1}, "'seed'"),
        ({"size": 2.5}, "'size'"),
        ({"layers": ["lines"]}, "'layers'"),
        ({"layers": [["colour"]]}, "'layers'"),
        ({"layers": []}, "'layers'"),
        ({"slot": 7}, "'slot'"),
        ({"preview": 1}, "'preview'"),
        ({"size": 10_000}, "working size"),
    ],
)
def test_a_wrong_job_is_refused_with_the_reason(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch, body: dict[str, object], words: str
) -> None:
    caller = call(shared)
    whole = {"width": 64, "height": 48, "unknown": [1, {"a": 2}], **body}
    answer = caller.until(caller.send(Message("colorize", whole, buffers=[picture("lineart", sketch())])))
    assert answer.type == "error"
    assert answer.body["code"] in ("bad_job", "refused")
    assert words in answer.body["message"]
    assert answer.body["retryable"] is False


def test_pixels_that_cannot_be_unpacked_cost_only_their_job(
    shared: Engine, call: Callable[..., Caller], sketch: Sketch
) -> None:
    caller = call(shared)
    broken = Buffer("lineart", 64, 48, "L8", codec="zlib", data=b"x" * 100)
    job = caller.send(Message("colorize", {"width": 64, "height": 48}, buffers=[broken]))
    assert caller.until(job).body["code"] == "bad_pixels"
    assert caller.until(caller.colorize(sketch())).type == "result"


def test_a_live_slot_computes_few_of_many_updates_and_ends_with_the_last(
    shared: Engine, call: Callable[..., Caller], poster: Pixels, strokes: Sketch
) -> None:
    caller = call(shared)
    line = picture("lineart", poster)
    known = Buffer(**{**vars(line), "codec": "none", "data": None})
    before, jobs = caller.ready()["counts"], []
    for number in range(50):
        hints = picture("hints", strokes(), x=number, y=7 * number)
        body = {"width": 1800, "height": 2400, "slot": "live", "seed": number}
        jobs.append(caller.send(Message("colorize", body, buffers=[known if number else line, hints])))
        time.sleep(0.05)
    last = caller.until(jobs[-1])
    assert last.type == "result"
    assert last.body["seed"] == 49
    caller.quiet()
    assert caller.heard[-1].parent == jobs[-1]
    assert all(len([m for m in caller.heard if m.parent == j and m.type in LAST]) == 1 for j in jobs)
    after = caller.status()["counts"]
    assert sum(after[k] - before[k] for k in ("results", "wasted")) <= 3
    assert sum(after[k] - before[k] for k in ("results", "cancelled")) == 50


def test_a_thousand_jobs_of_four_clients_reach_whom_they_belong_to(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    engine = start()
    clients = [call(engine) for _ in range(4)]
    clients[0].ready()
    line, sent, done, memory = sketch(), [[] for _ in clients], [0] * 4, []

    def resident() -> int:
        return sum(p.memory_info().rss for p in [psutil.Process(engine.process.pid), *engine.children()])

    while sum(done) < 1000:
        for which, client in enumerate(clients):
            while len(sent[which]) < min(250, done[which] + 4):
                sent[which].append(client.colorize(line, seed=1000 * which + len(sent[which]), size=64))
            while client.jobs.poll(2):
                message = client.next()
                if message.type in LAST:
                    assert message.type == "result"
                    # In order, each once, and each to its own request.
                    assert message.parent == sent[which][done[which]]
                    assert message.body["seed"] == 1000 * which + done[which]
                    done[which] += 1
                    if sum(done) in (200, 600, 1000):
                        memory.append(resident())
            client.heard.clear()
    assert clients[0].status()["counts"]["results"] == 1000
    assert max(memory) < 1.05 * memory[0]


# Malformed messages


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


# Life


def one_at_work(caller: Caller, sketch: Sketch, poster: Pixels) -> tuple[int, str, str]:
    """Have the device work on a large job while a small one waits: its process, and the ids of both."""
    worker: int = caller.ready()["worker"]["pid"]
    first, second = caller.colorize(poster), caller.colorize(sketch())
    caller.until(first, "progress")
    return worker, first, second


@posix
def test_a_killed_worker_costs_its_job_only(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller = call(start())
    worker, lost, kept = one_at_work(caller, sketch, poster)
    os.kill(worker, signal.SIGKILL)
    error = caller.until(lost).body
    assert (error["code"], error["retryable"]) == ("worker_lost", True)
    assert "SIGKILL" in error["message"]
    assert caller.until(kept).type == "result"
    state = caller.status()["worker"]
    assert state["pid"] != worker
    assert state["restarts"] == 1
    assert [caller.lasts(j) for j in (lost, kept)] == [["error"], ["result"]]


@posix
def test_a_worker_that_hangs_is_replaced(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller = call(start())
    worker, lost, kept = one_at_work(caller, sketch, poster)
    os.kill(worker, signal.SIGSTOP)
    started = time.monotonic()
    error = caller.until(lost).body
    assert time.monotonic() - started < 10
    assert (error["code"], error["retryable"]) == ("worker_lost", True)
    assert "no sign of life" in error["message"]
    assert caller.until(kept).type == "result"
    assert not psutil.pid_exists(worker)


@posix
def test_a_killed_engine_leaves_no_worker_and_is_replaced(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    engine = start()
    caller = call(engine)
    caller.ready()
    caller.until(caller.colorize(poster), "progress")
    children = engine.children()
    assert children
    engine.process.kill()
    engine.process.wait(5)
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert len(engine.left()) == 3  # two sockets and the connection file
    assert "no engine" in engine.run("status").stdout
    second = start()
    assert len(second.left()) == 3
    assert second.connection.session != engine.connection.session
    assert second.connection.jobs != engine.connection.jobs
    again = call(second)
    assert again.until(again.colorize(sketch())).type == "result"


@posix
def test_an_engine_that_hangs_is_replaced_and_gives_way(
    start: Callable[..., Engine], call: Callable[..., Caller]
) -> None:
    engine = start()
    children = engine.children()
    engine.process.send_signal(signal.SIGSTOP)
    try:
        second = start()
    finally:
        engine.process.send_signal(signal.SIGCONT)
    assert second.connection.pid != engine.connection.pid
    assert engine.process.wait(10) == 0
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert call(second).ask("ping").type == "pong"
    assert len(second.left()) == 3


def test_a_second_engine_leaves_the_first_alone(shared: Engine) -> None:
    second = shared.serve()
    assert "serves already" in second.communicate(timeout=20)[0]
    assert second.returncode == 0
    assert shared.process.poll() is None


def test_engines_that_start_at_once_agree_on_one(start: Callable[..., Engine]) -> None:
    engine = start()
    assert "stopped" in engine.run("stop").stdout
    engine.gone([])
    several = [engine.serve() for _ in range(3)]
    until(lambda: sum(p.poll() is None for p in several) == 1)
    assert "stopped" in engine.run("stop").stdout
    assert [p.wait(10) for p in several] == [0, 0, 0]
    said = sorted(p.communicate()[0].split(" ")[0] for p in several)
    assert said == ["an", "an", "ready;"]
    assert engine.left() == []


@pytest.mark.parametrize("how", ["stop", "shutdown", "SIGTERM", "SIGINT"])
def test_an_engine_ends_without_leaving_anything(
    how: str, start: Callable[..., Engine], call: Callable[..., Caller], poster: Pixels
) -> None:
    engine = start()
    caller = call(engine)
    children = engine.children()
    job = caller.colorize(poster)
    caller.until(job, "accepted")
    if how == "stop":
        assert engine.run("stop").returncode == 0
    elif how == "shutdown":
        assert caller.ask("shutdown").type == "ok"
    else:
        engine.process.send_signal(getattr(signal, how))
    error = caller.until(job).body
    assert (error["code"], error["retryable"]) == ("shutting_down", True)
    engine.gone(children)
    assert "no engine is running" in engine.run("stop").stdout


def test_an_engine_ends_with_its_parent(start: Callable[..., Engine]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    engine = start("--parent-pid", parent.pid)
    children = engine.children()
    time.sleep(1)
    assert engine.process.poll() is None
    parent.kill()  # nobody waits for it, so it stays as a zombie
    engine.gone(children)
    parent.wait()


def test_an_engine_that_nobody_needs_ends(start: Callable[..., Engine], call: Callable[..., Caller]) -> None:
    engine = start("--idle-exit", 2)
    caller = call(engine)
    for _ in range(6):
        caller.ask("ping")
        time.sleep(0.5)
    assert engine.process.poll() is None
    engine.gone(engine.children())


def test_an_idle_engine_frees_the_device_and_takes_it_again(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    engine = start("--idle-unload", 1)
    caller = call(engine)
    assert caller.ask("models").body["models"]
    until(lambda: caller.status()["worker"]["state"] == "off")
    assert engine.children() == []
    assert caller.until(caller.colorize(sketch())).type == "result"
    caller.ask("unload")
    until(lambda: engine.children() == [], 5)
    caller.ask("load", model="small")
    until(lambda: caller.status()["loaded"] == ["small"])


def test_a_deleted_connection_file_comes_back(shared: Engine, call: Callable[..., Caller]) -> None:
    path = shared.runtime / "engine.json"
    path.unlink()
    until(path.exists, 5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert call(shared).ask("ping").type == "pong"


@posix
def test_an_engine_whose_sockets_are_deleted_ends(start: Callable[..., Engine]) -> None:
    engine = start()
    children = engine.children()
    shutil.rmtree(engine.runtime)
    assert engine.process.wait(10) == 0
    assert not psutil.wait_procs(children, timeout=5)[1]


def test_a_device_process_that_does_not_start_is_reported(
    tmp_path: Path,
    start: Callable[..., Engine],
    call: Callable[..., Caller],
    sketch: Sketch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libtorch.so is damaged')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    engine = start()
    caller = call(engine)
    error = caller.until(caller.colorize(sketch())).body
    assert error["code"] == "no_worker"
    assert "libtorch.so is damaged" in error["message"]
    assert "doctor" in error["hint"]
    assert caller.until(caller.send(Message("hello")), "welcome").body["trouble"] == error["message"]
    shutil.rmtree(broken)
    assert caller.until(caller.colorize(sketch())).type == "result"


@posix
def test_a_full_disk_for_the_log_harms_nobody(
    tmp_path: Path, start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    logs = tmp_path / "data" / "colorize" / "logs"
    logs.mkdir(parents=True)
    (logs / "engine.log").symlink_to("/dev/full")
    engine = start()
    caller = call(engine)
    assert caller.until(caller.colorize(sketch())).type == "result"
    children = engine.children()
    engine.run("stop")
    engine.gone(children)


@posix
def test_the_jobs_of_a_client_that_vanishes_are_dropped(
    shared: Engine, call: Callable[..., Caller], poster: Pixels, sketch: Sketch, tmp_path: Path
) -> None:
    caller = call(shared)
    before = caller.ready()["counts"]["dropped"]
    np.save(tmp_path / "poster.npy", poster)
    script = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from service_helpers import Caller
from engine.protocol.connection import read_connection
caller = Caller(read_connection(Path(sys.argv[2])))
poster = np.load(sys.argv[3])
jobs = [caller.colorize(poster) for _ in range(8)]
huge = np.tile(poster, (4, 4))
caller.until(jobs[0], "progress")
print("sending", flush=True)
for _ in range(200):
    caller.colorize(huge)
"""
    paths = [Path(service_helpers.__file__).parent, shared.runtime / "engine.json", tmp_path / "poster.npy"]
    client = subprocess.Popen([sys.executable, "-c", script, *map(str, paths)], stdout=subprocess.PIPE)
    assert client.stdout is not None
    client.stdout.readline()
    client.kill()
    client.communicate()
    until(lambda: caller.status()["counts"]["dropped"] - before >= 4)
    until(lambda: (s := caller.status())["queue"] == 0 and not s["busy"])
    assert caller.until(caller.colorize(sketch())).type == "result"


def test_a_path_too_long_for_sockets_is_no_hindrance(
    tmp_path: Path, small_weights: Path, call: Callable[..., Caller]
) -> None:
    folder = tmp_path / ("long" * 20) / "é è"
    folder.mkdir(parents=True)
    engine = Engine(folder, small_weights)
    try:
        elsewhere = Path(engine.connection.jobs[6:]).parent
        assert elsewhere.stat().st_mode & 0o777 == 0o700
        assert call(engine).ask("ping").type == "pong"
        children = engine.children()
        engine.process.terminate()
        engine.gone(children)
        assert not elsewhere.exists()
    finally:
        engine.close()


def test_an_open_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    environment = {**os.environ, "COLORIZE_RUNTIME": str(tmp_path / "run"), "XDG_DATA_HOME": str(tmp_path)}
    done = subprocess.run(
        Engine.command("serve"), env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "open to other users" in done.stderr
    assert "chmod 700" in done.stderr


# Keys


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
        return int(until(lambda: (n := caller.status()["counts"]["refused"]) > than and n, 5))

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
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
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
