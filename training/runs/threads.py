"""How many threads torch and OpenCV compute with, for processes that share the cores out themselves.

A process that is forked inherits the numbers. It must not lower OpenCV's itself: that waits for the threads of its
parent, which it does not have. So what forks processes does it within ``one_thread``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch


def use_one_thread() -> None:
    """Let this process compute with one thread from now on, as others share its cores."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """While it is entered, this process computes with one thread, and so do for good those that are forked from it."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    use_one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
