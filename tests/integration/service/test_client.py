"""The client over real sockets against an engine of a few lines: jobs, pixels, slots, cancelling, and its limits."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from client_helpers import PATIENCE, TERMINAL, StandIn, Talk, picture, until

from engine.protocol import Buffer, digest


def test_a_job_with_all_its_events_and_pixels(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in()
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


def test_pixels_are_sent_once_and_again_when_they_are_needed(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    engine = stand_in()
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


def test_an_engine_that_always_wants_more_or_what_nobody_has(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    engine = stand_in()
    end = talk.last(talk.client.colorize({"do": "need forever"}, [picture()]))
    assert (end.kind, end.detail) == ("error", "no_pixels")
    assert len(engine.heard()) == 4
    known = digest(64, 64, "L8", b"gone")
    end = talk.last(talk.client.colorize({}, [Buffer("lineart", 64, 64, "L8", digest=known, codec="none")]))
    assert (end.kind, end.detail) == ("error", "no_pixels")


def test_newer_jobs_of_a_slot_replace_older_ones(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in()
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


def test_exactly_one_last_event_also_when_the_engine_sends_two(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in()
    idents = [talk.client.colorize({"do": "two results"}, [picture(n)]) for n in range(100)]
    for ident in idents:
        end = talk.last(ident)
        assert end.message is not None
        assert end.message.body == {"first": True}


def test_cancel_reaches_jobs_that_wait_run_and_have_only_just_been_sent(
    stand_in: Callable[..., StandIn], talk: Talk
) -> None:
    early = talk.client.colorize({}, [picture()])
    assert talk.last(talk.client.cancel(early)).kind == "ok"
    assert talk.last(early).kind == "cancelled"
    engine = stand_in()
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
    talk.until(lambda: talk.client.state == "lost")
    talk.client.cancel(frozen)
    assert talk.last(frozen).kind == "cancelled"
    engine.signal(signal.SIGCONT)
    talk.until(lambda: any(m["body"]["job"] == frozen for m in engine.heard("cancel")))
    assert talk.last(frozen).kind == "cancelled"


def test_what_cannot_be_sent_ends_with_an_error(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    stand_in()
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


def test_the_descriptor_is_readable_exactly_while_events_wait(stand_in: Callable[..., StandIn], talk: Talk) -> None:
    def readable(timeout: float) -> bool:
        return bool(select.select([talk.client.fileno()], [], [], timeout)[0])

    assert not readable(0)
    stand_in()
    for _ in range(20):
        ident = talk.client.colorize({"steps": 50}, [picture()])
        while "result" not in talk.kinds(ident):
            assert readable(PATIENCE)
            talk.events += talk.client.poll()
    assert sum(e.kind == "result" for e in talk.events) == 20
    assert talk.client.poll() == []
    assert not readable(0)


def test_a_caller_that_does_not_listen_costs_little_memory(
    stand_in: Callable[..., StandIn], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.protocol.events.MAX_WAITING", 1_000_000)
    engine = stand_in()
    line = Buffer("lineart", 1000, 1000, "L8", data=os.urandom(1_000_000))
    body = {"width": 1000, "height": 1000, "steps": 1000}
    idents = [talk.client.colorize(body, [line]) for _ in range(6)]
    until(engine.heard)
    time.sleep(0.5)
    assert len(engine.heard()) <= 2  # the others are held back
    for ident in idents:
        assert talk.last(ident).kind == "result"
        assert talk.kinds(ident).count("progress") < 1000  # taken together


def test_jobs_are_held_back_by_the_bytes_of_all_their_variations(
    stand_in: Callable[..., StandIn], talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.protocol.events.MAX_WAITING", 1_000_000)
    engine = stand_in()
    talk.ready()
    for many in (1, 8):
        body = {"do": "wait", "width": 200, "height": 200, "layers": ["colour"], "variations": many}
        idents = [talk.client.colorize(body, [picture(side=200)]) for _ in range(3)]
        let_through = idents if many == 1 else idents[:1]
        talk.until(lambda ids=let_through: all("accepted" in talk.kinds(ident) for ident in ids))
        time.sleep(0.3)
        assert [m["id"] for m in engine.heard() if m["id"] in idents] == let_through
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
