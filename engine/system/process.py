"""How the process behaves beside the painter's own program, and how it comes up and goes without delay."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO


def yield_cores() -> None:
    """Let threads that wait for work sleep; call it before torch is imported.

    By default OpenMP's threads spin between two layers of a network: that takes a core from whoever else wants it, the
    painter's brush included, and from our own work beside the network.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Collect no garbage while modules and networks are brought in, nor ever look for any among them.

    They are a million objects that stay; looking through them takes a quarter of the time to load them, and a tenth of
    a second each time later on.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def process_start(pid: int) -> str:
    """When a process started, as a text that no other process has: equal texts and numbers mean the same process.

    In the system's own counting: clock ticks since a boot and which boot on Linux, a date to the second on macOS. Empty
    where there is no such process, or where only other systems' ways would tell.
    """
    if pid <= 0:
        return ""
    if sys.platform == "darwin":
        command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
        try:
            done = subprocess.run(  # noqa: S603 (a fixed program and a number)
                command, env={"LC_ALL": "C", "TZ": "UTC"}, capture_output=True, text=True, timeout=5, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return " ".join(done.stdout.split())
    try:
        # The name in brackets may hold anything, also brackets and spaces.
        ticks = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, IndexError):
        return ""
    return f"{boot} {ticks}"


ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""Signals that ask a process to end, as far as the system has them."""


@contextlib.contextmanager
def on_signals(handler: Callable[[int, Any], Any], names: Sequence[str] = ENDING) -> Iterator[None]:
    """Have signals handled in a block; those that are ignored on purpose (nohup) stay so."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def leave(code: int) -> NoReturn:
    """End the process at once; what is not written and closed by now is lost.

    Taking torch's modules apart would take longer than colouring a picture.

    Args:
        code: to exit with; 1 instead of 0 where the last words could not be written.
    """
    written = [_flush(stream) for stream in (sys.stdout, sys.stderr)]
    os._exit(code if all(written) else code or 1)


def _flush(stream: TextIO | None) -> bool:
    """Write out what a stream still holds; False where there was no room for it."""
    try:
        if stream is not None:
            stream.flush()
    except (BrokenPipeError, ValueError):
        # A reader that has gone, or a stream that was closed, wants nothing any more.
        return True
    except OSError as e:
        os.write(2, f"error: the output could not be written ({e.strerror})\n".encode())
        return False
    return True
