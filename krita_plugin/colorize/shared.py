"""What all windows of Krita share: the connection to the engine. It ends when Krita does, after the dockers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from krita import Krita

from . import settings
from .engine import bundled
from .engine.session import Session
from .engine.setup import Setup, read_setup
from .qt import QtCore, QtWidgets

_shared: tuple[Any, Session] | None = None
_end = contextlib.ExitStack()


def engine() -> tuple[Any, Session]:
    """The ``protocol`` package and the session, made when they are first wanted.

    Raises:
        BundleError: what the plugin needs is not there, or not for this Python.
    """
    global _shared
    if _shared is None:
        protocol = bundled.load()
        session = Session(protocol, _setup)
        _shared = (protocol, session)
        _end.callback(session.close)
        notifier = Krita.instance().notifier()
        # Without this there are no signals.
        notifier.setActive(True)
        notifier.applicationClosing.connect(_end.close)
    return _shared


def ending(docker: QtWidgets.QWidget) -> contextlib.ExitStack:
    """The one end of a docker: what is pushed on it is called once, the last first.

    That is when the docker is deleted or when Krita says that it ends, whichever comes first: under a window manager
    Krita's windows are deleted before. A widget says so while the objects that it owns are still there.

    Args:
        docker: a QWidget. When its end comes it may be half gone, so what is called may use what it owns, not itself.
    """
    end = contextlib.ExitStack()
    # Held here: a signal holds no object that is not Qt's, and the docker's own half may go before Qt's.
    _end.callback(end.close)
    docker.destroyed.connect(end.close)
    return end


def listen(end: contextlib.ExitStack, signal: QtCore.pyqtBoundSignal, slot: Callable[..., None]) -> None:
    """Connect a signal of an object of ours that outlives a docker, until the docker's end."""
    signal.connect(slot)
    end.callback(_disconnect, signal, slot)


def _disconnect(signal: QtCore.pyqtBoundSignal, slot: Callable[..., None]) -> None:
    # It is not connected any more where Qt has noticed that the slot's object goes.
    with contextlib.suppress(TypeError):
        signal.disconnect(slot)


def _setup() -> Setup:
    return read_setup(settings.read("python", ""))
