"""Runs a function over many items in several processes, with few items under way, and outlives what kills a process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for
from types import TracebackType
from typing import TypeVar

from engine.errors import ColorizeError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 6
"""Items under way for each process."""


def _begin() -> None:
    """In each process: one thread, Ctrl-C is the parent's, and an end when the parent is killed."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


class Pool:
    """Worker processes; a context manager that ends them."""

    def __init__(self, workers: int) -> None:
        """Args: how many processes."""
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:  # noqa: PYI034 (Self is not in Python 3.10)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._end()

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result | None]]:
        """Work on items, in any order, at most ``AHEAD`` a process at a time.

        Yields:
            Each item with its result, or with None when it took the process down with it (out of memory, a crash in a
            decoder); the others go on.

        Raises:
            ColorizeError: no process can be started at all.
        """
        source = iter(items)
        pending: dict[Future[Result], Item] = {}
        next_one: list[Item] = []
        while True:
            try:
                while len(pending) < AHEAD * self._workers and (next_one := next_one or list(islice(source, 1))):
                    future = self._started(self._workers).submit(work, next_one[0])
                    pending[future] = next_one.pop()
                if not pending:
                    return
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    yield pending.pop(future), result
            except BrokenProcessPool:  # noqa: PERF203
                suspects = list(pending.values())
                pending.clear()
                self._end()
                for item in suspects:
                    yield item, self._alone(work, item)
                self._end()

    def _alone(self, work: Callable[[Item], Result], item: Item) -> Result | None:
        try:
            return self._started(1).submit(work, item).result()
        except BrokenProcessPool:
            self._end()
            self._check()
            return None

    def _check(self) -> None:
        """Find out that it was the item's fault, or no file would be read by a machine that starts no process."""
        try:
            self._started(1).submit(os.getpid).result()
        except BrokenProcessPool as e:
            cause = "worker processes end as soon as they are started"
            raise ColorizeError(cause, "free memory, use fewer --workers, or mend the installation") from e

    def _started(self, workers: int) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
