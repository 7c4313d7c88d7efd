"""``engine serve`` with real processes and sockets: what a job gives, the order of jobs, cancelling, live slots."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from service_helpers import LAST, Caller, Engine, layer, picture, posix, until

from engine.protocol.messages import PROTOCOL, Buffer, Message

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]


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
    until(lambda: caller.ask("ping").body == {"busy": True, "queue": 2})
    assert caller.ask("cancel", job=queued).type == "ok"
    assert caller.until(queued).body == {"reason": "cancelled"}
    assert not [m for m in caller.heard if m.parent == running and m.type == "result"]
    caller.ask("cancel", job=running)
    assert caller.until(running).type == "cancelled"
    assert caller.until(after).type == "result"
    assert [caller.lasts(j) for j in (running, queued, after)] == [["cancelled"], ["cancelled"], ["result"]]
    # A request to cancel may be faster than the pixels of the job.
    late = Message("colorize", {"width": 64, "height": 48}, buffers=[picture("lineart", sketch())])
    caller.ask("cancel", job=late.id)
    caller.send(late)
    assert caller.until(late.id).type == "cancelled"


def test_pings_are_answered_while_a_poster_is_coloured(
    shared: Engine, call: Callable[..., Caller], poster: Pixels
) -> None:
    caller, other = call(shared), call(shared)
    other.ask("ping")
    job = caller.colorize(np.tile(poster, (2, 2)), layers=["flats", "shading", "colour"])
    busy = 0
    while not caller.jobs.poll(5) or caller.next().type not in LAST:
        busy += other.ask("ping").body["busy"]
    assert caller.heard[-1].type == "result"
    assert caller.heard[-1].parent == job
    # Were they answered between its stages alone, there would be fewer.
    assert busy > 20


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


@posix
def test_a_live_slot_computes_few_of_many_updates_and_ends_with_the_last(
    shared: Engine, call: Callable[..., Caller], poster: Pixels, strokes: Sketch
) -> None:
    caller = call(shared)
    line = picture("lineart", poster)
    known = Buffer(**{**vars(line), "codec": "none", "data": None})
    begun, jobs = caller.ready(), []
    before, worker = begun["counts"], psutil.Process(begun["worker"]["pid"])
    try:
        for number in range(50):
            hints = picture("hints", strokes(), x=number, y=7 * number)
            body = {"width": 1800, "height": 2400, "slot": "live", "seed": number}
            jobs.append(caller.send(Message("colorize", body, buffers=[known if number else line, hints])))
            if number == 0:
                caller.until(jobs[0], "progress")
                worker.suspend()  # or a fast one would be done with many of them meanwhile
        caller.until(jobs[-1], "accepted")
    finally:
        worker.resume()
    last = caller.until(jobs[-1])
    assert last.type == "result"
    assert last.body["seed"] == 49
    caller.quiet()
    assert caller.heard[-1].parent == jobs[-1]
    assert all(len([m for m in caller.heard if m.parent == j and m.type in LAST]) == 1 for j in jobs)
    after = caller.status()["counts"]
    assert sum(after[k] - before[k] for k in ("results", "wasted")) <= 2
    assert sum(after[k] - before[k] for k in ("results", "cancelled")) == 50


def test_hundreds_of_jobs_of_four_clients_reach_whom_they_belong_to(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    engine = start()
    clients = [call(engine) for _ in range(4)]
    clients[0].ready()
    line, sent, done, memory = sketch(), [[] for _ in clients], [0] * 4, []

    def resident() -> int:
        return sum(p.memory_info().rss for p in [psutil.Process(engine.process.pid), *engine.children()])

    while sum(done) < 400:
        for which, client in enumerate(clients):
            while len(sent[which]) < min(100, done[which] + 4):
                sent[which].append(client.colorize(line, seed=1000 * which + len(sent[which]), size=64))
            while client.jobs.poll(2):
                message = client.next()
                if message.type in LAST:
                    assert message.type == "result"
                    # In order, each once, and each to its own request.
                    assert message.parent == sent[which][done[which]]
                    assert message.body["seed"] == 1000 * which + done[which]
                    done[which] += 1
                    if sum(done) in (100, 250, 400):
                        memory.append(resident())
            client.heard.clear()
    assert clients[0].status()["counts"]["results"] == 400
    assert max(memory) < 1.1 * memory[0]
