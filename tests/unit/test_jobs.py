"""The engine's queue, its cache of pixels, and the memory it shares with the device process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.exchange import ALIGNED, Exchange, Places
from engine.jobs import Cancelled, PixelCache, Queue, Request, Task
from engine.wire.messages import Buffer


def task(number: int, size: int = 10) -> Task:
    pixels = Buffer("lineart", size, 1, "L8", data=b"x" * size)
    return Task(number, f"id{number}", "session", b"sender", Request(8, 8), [pixels])


def pixels(name: str, size: int = 100, *, sent: bool = True) -> Buffer:
    data = name.encode() * size if sent else None
    return Buffer("lineart", size, 1, "L8", digest=name, codec="raw" if sent else "none", data=data)


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
    monkeypatch.setattr("engine.jobs.MAX_WAITING", 25)
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
    monkeypatch.setattr("engine.jobs.ENDED", 2)
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
