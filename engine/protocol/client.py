"""The client of the engine: it never makes its caller wait, whatever the engine does.

Used by the plugin inside Krita and by scripts. Results come as events; ``Client.fileno`` tells when there are some.
"""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .client_thread import Loop
from .events import Event
from .messages import Buffer, Message

__all__ = ["Client", "Event"]

CLOSING = 5.0
"""Seconds that ``close`` waits for the thread at most; it takes milliseconds unless the computer is very busy."""


def _finish(loop: Loop, thread: threading.Thread) -> None:
    loop.stop()
    if thread is not threading.current_thread():
        thread.join(CLOSING)


class Client:
    """Talks to the engine that the connection file names, also when it is replaced by another.

    Every request gets exactly one last event: a job ``result``, ``error`` or ``cancelled``, other requests their answer
    or ``error``. Errors have ``code``, ``message``, ``hint`` and ``retryable`` in the body; the client's own codes are
    engine_gone, no_engine, no_pixels, bad_pixels, bad_body, bad_version, bad_endpoint, too_much and closed. Bodies of
    state events have ``state`` and ``reason``.

    All methods may be called from any thread and return at once; only ``wait`` and ``close`` take time.
    """

    def __init__(self, path: Path | str | None = None, session: str | None = None) -> None:
        """Start looking for the engine.

        Args:
            path: the connection file; the user's own by default.
            session: name of this client, at most 64 printable characters; a random one by default.
        """
        self.session = session or uuid.uuid4().hex
        self._loop = Loop(None if path is None else Path(path), self.session)
        # The thread knows only the loop, so that a client nobody holds any more is closed like one that was closed.
        self._thread = threading.Thread(target=self._loop.run, name="colorize-client", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _finish, self._loop, self._thread)

    @property
    def state(self) -> str:
        """``connecting`` (no engine so far), ``ready`` or ``lost`` (there was one)."""
        return self._loop.mailbox.state

    def submit(
        self,
        type: str,  # noqa: A002
        body: dict[str, Any] | None = None,
        buffers: Sequence[Buffer] = (),
        control: bool = False,
    ) -> str:
        """Send a message when that is possible.

        A job waits for an engine as long as it takes; other requests end with ``no_engine`` after 5 s without one.

        Args:
            type: colorize and hello go to the jobs socket, anything else should go to the control socket.
            body: plain values: None, bool, int, float, str, bytes, lists and dicts with text keys.
            buffers: pixels. They are not copied: leave their data unchanged until the request has ended. A digest that
                is set is believed, which saves the time to find it.
            control: use the control socket.

        Returns:
            The id that the events of this request will have.
        """
        message = Message(type, dict(body or {}), session=self.session, buffers=list(buffers))
        self._loop.submit(message, "control" if control and type != "colorize" else "jobs")
        return message.id

    def colorize(self, body: dict[str, Any], buffers: Sequence[Buffer]) -> str:
        """Send a job. Pixels the engine has already are not sent again; mostly empty ones are compressed.

        A job with ``slot`` in its body ends older jobs of that slot; they get ``cancelled`` and nothing else from then
        on. See ``submit`` for the arguments and the result.
        """
        return self.submit("colorize", body, buffers)

    def cancel(self, job_id: str) -> str:
        """Ask for a job to stop; it still gets its last event, which may be a result if it was quicker.

        Returns:
            The id of this request; it is answered with ``ok``.
        """
        return self.submit("cancel", {"job": job_id}, control=True)

    def poll(self) -> list[Event]:
        """All events since the last call, oldest first; several progress events of one job are taken together."""
        mailbox = self._loop.mailbox
        events = mailbox.take()
        if any(e.kind == "result" for e in events):
            # There may be room now for a job that was held back.
            self._loop.wake()
        return events

    def wait(self, timeout: float) -> list[Event]:
        """Like ``poll``, but waits up to so many seconds where there are no events yet."""
        end = time.monotonic() + timeout
        events = self.poll()
        while not events and time.monotonic() < end and self._thread.is_alive():
            self._loop.mailbox.wait(end - time.monotonic())
            events = self.poll()
        return events

    def fileno(self) -> int:
        """A descriptor that is readable while events wait; the same until ``close``. Do not read from it: ``poll``."""
        return self._loop.mailbox.fileno()

    def close(self) -> None:
        """End the thread and close all sockets; what was not sent is forgotten. A second call does nothing."""
        self._finalizer()

    def __enter__(self) -> Client:  # noqa: PYI034 (Python 3.8 has no Self)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
