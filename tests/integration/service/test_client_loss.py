"""The client when its engine is late, gone, frozen, replaced, of another kind, or talks nonsense, and its own end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import zmq
from client_helpers import PATIENCE, ROOT, StandIn, Talk, picture, until

from engine.protocol import Buffer, Client, Message, decode, encode
from engine.protocol.payload import prepare


def test_submit_returns_at_once_without_an_engine_and_the_job_waits_for_one(
    stand_in: Callable[..., StandIn], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared_in = []

    def watched(buffer: Buffer) -> Buffer:
        prepared_in.append(threading.current_thread())
        return prepare(buffer)

    monkeypatch.setattr("engine.protocol.client_thread.prepare", watched)
    big = Buffer("lineart", 5000, 7000, "L8", data=bytes(35_000_000))
    idents = [talk.client.colorize({"width": 5000, "height": 7000, "slot": "live"}, [big]) for _ in range(20)]
    assert talk.client.state == "connecting"
    for ident in idents[:-1]:
        assert talk.last(ident).kind == "cancelled"
    engine = stand_in()
    assert talk.last(idents[-1]).kind == "result"
    assert len(engine.heard()) == 1
    # What takes time with many pixels is done by the client's own thread.
    assert prepared_in
    assert threading.main_thread() not in prepared_in


def test_other_requests_do_not_wait_for_an_engine_for_ever(
    stand_in: Callable[..., StandIn], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.protocol.requests.REQUEST_WAIT", 0.5)
    end = talk.last(talk.client.submit("shutdown", control=True))
    assert (end.kind, end.detail) == ("error", "no_engine")
    engine = stand_in()
    talk.ready()
    assert not engine.heard("shutdown")


def test_an_engine_killed_in_mid_job_is_replaced_and_the_job_sent_again_once(
    stand_in: Callable[..., StandIn], talk: Talk
) -> None:
    first = stand_in()
    ident = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(ident))
    first.kill(bury=False)  # a zombie is as dead
    talk.until(lambda: talk.client.state == "lost")
    first.kill()
    second = stand_in("second")
    talk.until(lambda: second.heard())
    assert second.heard()[0]["id"] == ident
    assert second.heard()[0]["codecs"] == ["raw"]  # the new engine knows no digest
    talk.last(talk.client.submit("release", control=True))
    assert talk.last(ident).kind == "result"
    assert len(first.heard()) == len(second.heard()) == 1
    assert talk.states() == ["ready", "lost", "ready"]


def test_a_job_lost_twice_is_given_up_and_others_are_not(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    first = stand_in()
    ident = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(ident))
    first.kill()
    second = stand_in("second")
    talk.until(lambda: second.heard())
    later = talk.client.colorize({"do": "wait"}, [picture(1)])
    talk.until(lambda: "accepted" in talk.kinds(later))
    second.kill()
    end = talk.last(ident)
    assert (end.kind, end.detail) == ("error", "engine_gone")
    assert end.message is not None
    assert end.message.body["retryable"] is True
    third = stand_in("third")
    talk.until(lambda: third.heard())
    talk.last(talk.client.submit("release", control=True))
    assert talk.last(later).kind == "result"
    assert [m["id"] for m in third.heard()] == [later]


def test_a_frozen_engine_is_lost_and_ready_when_it_goes_on(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    engine = stand_in()
    ident = talk.client.colorize({"do": "wait"}, [picture()])
    talk.until(lambda: "accepted" in talk.kinds(ident))
    engine.signal(signal.SIGSTOP)
    talk.until(lambda: talk.client.state == "lost")
    # It returns, though nobody is there to take it.
    meanwhile = talk.client.colorize({}, [picture(2)])
    engine.signal(signal.SIGCONT)
    talk.until(lambda: talk.client.state == "ready")
    talk.last(talk.client.submit("release", control=True))
    assert talk.last(ident).kind == talk.last(meanwhile).kind == "result"
    assert len(engine.heard()) == 2  # nothing was sent twice


def test_the_connection_file_may_go_but_not_the_engine(
    stand_in: Callable[..., StandIn], talk: Talk, tmp_path: Path
) -> None:
    stand_in()
    talk.ready()
    (tmp_path / "engine.json").unlink()
    time.sleep(0.6)
    (tmp_path / "engine.json").write_text("{broken")
    time.sleep(0.6)
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"
    assert talk.states() == ["ready"]


def test_a_stale_file_is_no_engine(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in("dead").kill()
    ident = talk.client.colorize({}, [picture()])
    talk.until(lambda: True)
    time.sleep(0.5)
    assert talk.client.state == "connecting"
    stand_in("alive")
    assert talk.last(ident).kind == "result"


def test_an_answer_that_came_before_the_end_counts(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in()
    talk.ready()
    assert talk.last(talk.client.submit("shutdown", control=True)).kind == "ok"
    talk.until(lambda: talk.client.state == "lost")


def test_another_version_is_refused_with_a_remedy(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in(protocol=2)
    end = talk.last(talk.client.colorize({}, [picture()]))
    assert (end.kind, end.detail) == ("error", "bad_version")
    assert end.message is not None
    assert "same release" in end.message.body["hint"]
    assert talk.client.state == "lost"
    stand_in("right")
    assert talk.last(talk.client.colorize({}, [picture()])).kind == "result"


def test_a_wrong_key_gets_nothing_and_the_right_one_does(
    stand_in: Callable[..., StandIn], talk: Talk, tmp_path: Path
) -> None:
    engine = stand_in(curve=True)
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


def resources() -> tuple[int, int]:
    return threading.active_count(), psutil.Process().num_fds()


def test_close_leaves_no_thread_and_no_descriptor(stand_in: Callable[..., StandIn], tmp_path: Path) -> None:
    stand_in()
    with contextlib.closing(Client(tmp_path / "engine.json")) as warm:  # what pyzmq opens once and keeps
        until(lambda: warm.state == "ready")
    before = resources()
    for n in range(5):
        client = Client(tmp_path / "engine.json")
        if n % 2:
            until(lambda c=client: c.state == "ready")  # type: ignore[misc]
        client.colorize({"do": "wait"}, [picture(side=512)])
        client.close()
        client.close()
        assert client.fileno() == -1
        ident = client.colorize({}, [picture()])
        assert [(e.id, e.detail) for e in client.poll() if e.kind == "error"] == [(ident, "closed")]
    Client(tmp_path / "engine.json").wait(5)  # and nobody holds it any more
    until(lambda: resources() == before)


def test_a_script_that_does_not_close_ends_all_the_same(stand_in: Callable[..., StandIn], tmp_path: Path) -> None:
    stand_in()
    script = (
        "import sys; from engine.protocol import Client; c = Client(sys.argv[1]); c.wait(5); c.colorize({}, []);"
        "print(c.state)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "engine.json")],
        cwd=ROOT,
        timeout=PATIENCE,
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
