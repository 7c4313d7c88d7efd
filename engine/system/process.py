"""How the process behaves beside the painter's own program, and how it comes up and goes without delay."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator
from typing import NoReturn, TextIO


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
