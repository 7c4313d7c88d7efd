"""Engines and clients for the benchmark of the service."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.drawing import draw_lineart, draw_strokes
from engine.protocol import Buffer, Client, Connection, Event, read_connection

Pixels = NDArray[np.uint8]
Line = tuple[str, float, str, str]
"""What was measured, the number, its unit, and the target or nothing."""

STROKES = 30
SEED = 7
WAIT_SECONDS = 300.0
"""Seconds after which something that was to come will not."""


@contextmanager
def engine(weights: Path | None) -> Iterator[Connection]:
    """An engine of its own; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="colorize-") as name:
        folder = Path(name)
        environment = {**os.environ, "COLORIZE_RUNTIME": str(folder / "run"), "XDG_DATA_HOME": str(folder / "data")}
        command = [sys.executable, "-m", "engine.cli", "serve", "--device", "cpu", "--parent-pid", str(os.getpid())]
        command += ["--weights", str(weights.absolute())] if weights else []
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            found = None
            while found is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the engine did not start")
                time.sleep(0.05)
                found = read_connection(folder / "run" / "engine.json") if (folder / "run").exists() else None
            yield found
        finally:
            process.terminate()
            process.wait(20)


def file_of(connection: Connection) -> Path:
    """The connection file of an engine as ``engine`` starts it."""
    return Path(connection.jobs.removeprefix("ipc://")).parent / "engine.json"


@contextmanager
def client_of(connection: Connection) -> Iterator[Client]:
    """A client that is ready."""
    with Client(file_of(connection)) as client:
        wait_for(client, lambda e: e.kind == "welcome")
        yield client


def wait_for(client: Client, wanted: Callable[[Event], bool]) -> Event:
    """The next event of a kind; others are dropped."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        for event in client.wait(1.0):
            if wanted(event):
                return event
    raise RuntimeError("the engine did not answer")


def picture(role: str, pixels: Pixels) -> Buffer:
    """Pixels as they travel; the client finds the digest."""
    height, width = pixels.shape[:2]
    return Buffer(role, width, height, "L8" if pixels.ndim == 2 else "RGBA8", data=pixels.tobytes())


def drawing(height: int, width: int) -> tuple[Pixels, Pixels]:
    """Lineart, uint8 HxW, and strokes, HxWx4."""
    grey: Pixels = np.rint(draw_lineart(height, width, SEED) * 255).astype(np.uint8)
    return grey, draw_strokes(height, width, STROKES, SEED)


def another(grey: Pixels, number: int) -> Pixels:
    """The same lineart but for one pixel, so that nothing remembered of the last one helps."""
    changed: Pixels = grey.copy()
    changed[0, number] ^= 1
    return changed
