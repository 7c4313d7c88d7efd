"""How long Krita's own calls took: whoever measures the docker's share of a pause can take them off."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Deque, Tuple

MAX_KEPT_CALLS = 4096
intervals: Deque[Tuple[str, float, float]] = deque(maxlen=MAX_KEPT_CALLS)
"""Name, start and end (``time.perf_counter``) of the last calls."""


@contextlib.contextmanager
def krita_call(name: str) -> Iterator[None]:
    """Note how long a call into Krita takes."""
    start = time.perf_counter()
    try:
        yield
    finally:
        intervals.append((name, start, time.perf_counter()))
