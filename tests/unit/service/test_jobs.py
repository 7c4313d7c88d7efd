"""The engine's queue, its cache of pixels, and the memory it shares with the device process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.protocol.limits import MAX_PIXELS, MAX_SIDE, MAX_VARIATIONS
from engine.protocol.messages import MAX_BUFFERS, Buffer, Message, ProtocolError, decode
from engine.protocol.settings import SETTINGS, JobSettings
from engine.service.exchange import ALIGNED, Exchange, Places
from engine.service.jobs import LAYERS, Cancelled, PixelCache, Queue, Request, Task, read_request


def task(number: int, size: int = 10) -> Task:
    pixels = Buffer("lineart", size, 1, "L8", data=b"x" * size)
    return Task(number, f"id{number}", "session", b"sender", Request(8, 8), [pixels])


def pixels(name: str, size: int = 100, *, sent: bool = True) -> Buffer:
    data = name.encode() * size if sent else None
    return Buffer("lineart", size, 1, "L8", digest=name, codec="raw" if sent else "none", data=data)


def asked(width: int = 64, height: int = 48, **body: Any) -> Request:
    """What becomes of the body of a job."""
    lineart = Buffer("lineart", width, height, "L8", digest="known", codec="none")
    return read_request(Message("colorize", {"width": width, "height": height, **body}, buffers=[lineart]))[0]


def test_settings_are_read_and_have_their_defaults() -> None:
    settings = asked(strength=0.25, steps=12, guidance=1, variations=8, shading=0, gap=12, clipped=True).settings
    assert settings == JobSettings(
        strength=0.25, steps=12, guidance=1.0, variations=8, shading=0.0, gap=12, clipped=True
    )
    assert isinstance(settings.guidance, float)
    assert asked().settings == JobSettings()
    assert asked(**dict.fromkeys(SETTINGS)) == asked()


def test_a_message_of_the_first_release_is_read_as_it_was_and_unknown_values_are_left_alone() -> None:
    """A header of ``colorize`` as a client of that release packs it, with three values that mean nothing here."""
    header = bytes.fromhex(
        "88a17601a26964a3303031a6706172656e74a0a474797065a8636f6c6f72697a65a773657373696f6ea173a4626f6479"
        "87a5776964746840a668656967687430a56d6f64656cac7374656e63696c746f726368a473697a65cd0200a473656564"
        "07a66c617965727392a5666c617473a773686164696e67a7756e68656172649101a7627566666572739188a4726f6c65"
        "a76c696e65617274a5776964746840a668656967687430a56f72646572a24c38a17800a17900a5636f646563a3726177"
        "a46d6f726501a3616e64c0"
    )
    request, buffers = read_request(decode([header, bytes(64 * 48)]))
    assert request == Request(64, 48, "stenciltorch", JobSettings(size=512, seed=7), layers=("flats", "shading"))
    assert [(b.role, b.width, b.height) for b in buffers] == [("lineart", 64, 48)]


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("strength", [-0.01, 1.01, float("nan"), float("inf"), "0.5", True, [0.5]], "a number from 0 to 1$"),
        ("steps", [0, 1001, -4, 2.0, "4", True], "a number from 1 to 1000$"),
        ("guidance", [-1, 20.5, float("nan"), "1", False, {}], "a number from 0 to 20$"),
        ("variations", [0, 9, 1.0, "2", True], "a number from 1 to 8$"),
        ("shading", [-0.1, 2.1, float("nan"), "1", True], "a number from 0 to 2$"),
        ("gap", [-1, 1001, 2.5, "4", True], "a number from 0 to 1000$"),
        ("size", [0, 30001, 2.5, "4", True], "a number from 1 to 30000$"),
        ("seed", [-1, 2**63, 1.0, "4", True], "a number from 0 to 9223372036854775807$"),
        ("clipped", [1, "yes"], "true or false$"),
    ],
)
def test_values_that_make_no_sense_are_refused(key: str, values: list[Any], words: str) -> None:
    for value in values:
        with pytest.raises(ProtocolError, match=f"'{key}' should be {words}") as failure:
            asked(**{key: value})
        assert failure.value.code == "bad_job"


def test_a_result_has_room_for_all_variations_but_not_for_any_size() -> None:
    assert MAX_VARIATIONS * len(LAYERS) <= MAX_BUFFERS
    # All layers of one picture always may be asked for.
    assert asked(MAX_PIXELS // MAX_SIDE, MAX_SIDE, layers=list(LAYERS)).pictures == 3
    assert asked(4000, 3000, layers=list(LAYERS), variations=8).pictures == 24
    with pytest.raises(ProtocolError, match="8 variations at 7000x5000") as failure:
        asked(7000, 5000, layers=["flats", "shading"], variations=8)
    assert failure.value.code == "too_large"
    assert "at most 7 of them" in failure.value.hint
    asked(7000, 5000, layers=["flats", "shading"], variations=7)


def test_jobs_run_in_order_and_know_their_place() -> None:
    queue, tasks = Queue(), [task(n) for n in range(4)]
    assert [queue.add(t) for t in tasks] == [0, 1, 2, 3]
    assert queue.next(lambda _: True) is tasks[0]
    assert [queue.position(t) for t in tasks[1:]] == [1, 2, 3]
    assert queue.remove(tasks[2])
    assert not queue.remove(tasks[0])
    assert list(queue) == [tasks[1], tasks[3]]
    assert queue.find("id0") is None
    assert queue.find("id3") is tasks[3]
    assert queue.find("id3", "another session") is None
    assert queue.next(lambda t: t is not tasks[1]) is tasks[3]


def test_a_queue_refuses_what_it_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.service.jobs.MAX_WAITING", 25)
    queue = Queue()
    assert not queue.full(1000)
    first = task(1)
    queue.add(first)
    assert not queue.full(15)
    assert queue.full(16)
    queue.remove(first)
    assert not queue.full(1000)


def test_pixels_are_kept_per_client_and_the_longest_unused_go() -> None:
    cache = PixelCache(limit=250, clients=2)
    assert cache.resolve("a", [pixels("1"), pixels("2")])[1] == []
    filled, missing = cache.resolve("a", [pixels("1", sent=False)])
    assert (filled[0].data, filled[0].codec, missing) == (b"1" * 100, "raw", [])
    cache.resolve("a", [pixels("3")])
    assert cache.bytes == 200
    assert cache.resolve("a", [pixels("2", sent=False)])[1] == ["2"]
    assert cache.resolve("a", [pixels("1", sent=False), pixels("3", sent=False)])[1] == []
    assert cache.resolve("b", [pixels("1", sent=False)])[1] == ["1"]
    # A digest does not stand for pixels of another size.
    assert cache.resolve("a", [pixels("1", 50, sent=False)])[1] == ["1"]
    cache.resolve("b", [pixels("1")])
    cache.resolve("c", [pixels("1")])
    assert cache.resolve("a", [pixels("1", sent=False)])[1] == ["1"]
    cache.clear()
    assert cache.bytes == 0


def test_pixels_larger_than_the_cache_are_used_but_not_kept() -> None:
    cache = PixelCache(limit=50)
    filled, missing = cache.resolve("a", [pixels("1")])
    assert (filled[0].data, missing, cache.bytes) == (b"1" * 100, [], 0)


def test_cancelled_ids_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.service.jobs.ENDED", 2)
    cancelled = Cancelled()
    for name in ("1", "2", "3"):
        cancelled.add(name, "why")
    assert [cancelled.reason(name) for name in ("1", "2", "3")] == [None, "why", "why"]


def test_places_do_not_overlap_until_they_are_free() -> None:
    places, free = Places(), set()
    taken: list[tuple[int, int]] = []
    for number, size in enumerate([100, ALIGNED, ALIGNED + 1, 5]):
        start = places.find(size)
        assert start % ALIGNED == 0
        assert all(start >= end or start + size <= begin for begin, end in taken)
        places.take(start, start + size, lambda number=number: number in free)
        taken.append((start, start + size))
    assert not places.empty
    free.add(1)
    assert places.find(ALIGNED) == taken[1][0]
    assert places.find(ALIGNED + 1) > taken[3][0]
    free.update(range(4))
    assert places.empty


def test_an_exchange_is_the_same_on_both_sides(tmp_path: Path) -> None:
    ours = Exchange.create(tmp_path)
    theirs = Exchange.attach(ours.name)
    data = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    assert ours.write(ALIGNED, data) == ALIGNED + len(data)
    seen = theirs.view(ALIGNED, len(data))
    assert seen == data
    assert seen.readonly
    with pytest.raises(OSError, match="promised"):
        theirs.view(ALIGNED, len(data) + 1)
    ours.close()
    assert seen == data
    assert list(tmp_path.iterdir()) == []
