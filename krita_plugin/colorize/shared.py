"""What all windows of Krita share: the connection to the engine. It ends when Krita does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from krita import Krita

from . import settings
from .engine import bundled
from .engine.session import Session
from .engine.setup import Setup, read_setup

_shared: tuple[Any, Session] | None = None
_at_end: list[Callable[[], None]] = []


def engine() -> tuple[Any, Session]:
    """The ``wire`` package and the session, made when they are first wanted.

    Raises:
        BundleError: what the plugin needs is not there, or not for this Python.
    """
    global _shared
    if _shared is None:
        wire = bundled.load()
        _shared = (wire, Session(wire, _setup))
        notifier = Krita.instance().notifier()
        # Without this there are no signals.
        notifier.setActive(True)
        notifier.applicationClosing.connect(_close)
    return _shared


def at_end(call: Callable[[], None]) -> None:
    """Have something called before Krita ends."""
    _at_end.append(call)


def _setup() -> Setup:
    return read_setup(settings.read("python", ""))


def _close() -> None:
    for call in _at_end:
        call()
    if _shared is not None:
        _shared[1].close()
