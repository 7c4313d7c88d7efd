"""The requests that have not had their last answer: what waits, what they weigh, and how they end, once each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from .events import Event, Mailbox
from .messages import Data, Message
from .payload import Request
from .sockets import CHANNELS

REQUEST_WAIT = 5.0
"""Seconds that a request other than a job waits for an engine; a forgotten ``shutdown`` must not meet a later one."""
MAX_PENDING = 4096
"""Requests without a last answer."""
MAX_KEPT = 1024 * 1024 * 1024
"""Bytes of pixels of unfinished jobs; a single job may have more."""


def weight(data: Data | None) -> int:
    """Bytes of pixels; 0 for what is none, which is refused later."""
    try:
        return 0 if data is None else memoryview(data).nbytes
    except (TypeError, ValueError):
        return 0


def _keys(request: Request) -> list[tuple[int, int]]:
    """What tells the pixels of a request from others: the object that holds them, and their bytes."""
    data = [b.data for b in request.message.buffers if b.data is not None]
    return [(id(d.obj) if isinstance(d, memoryview) else id(d), weight(d)) for d in data]


class Ledger:
    """Requests by id, oldest first. Used by one thread only."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self.pending: OrderedDict[str, Request] = OrderedDict()
        self.outbox: dict[str, OrderedDict[str, None]] = {channel: OrderedDict() for channel in CHANNELS}
        self._kept: dict[tuple[int, int], int] = {}
        self._kept_bytes = 0
        self.expected = 0

    def add(self, request: Request) -> bool:
        """Take a request on and let it wait; False where too much waits already."""
        more = sum(key[1] for key in set(_keys(request)) if key not in self._kept)
        if len(self.pending) >= MAX_PENDING or (self._kept and self._kept_bytes + more > MAX_KEPT):
            return False
        self.pending[request.message.id] = request
        self.keep(request)
        self.queue(request)
        return True

    def queue(self, request: Request, first: bool = False) -> None:
        """Let a request wait to be sent."""
        self.mark(request, False)
        outbox = self.outbox[request.channel]
        outbox[request.message.id] = None
        outbox.move_to_end(request.message.id, last=not first)

    def mark(self, request: Request, sent: bool) -> None:
        """Note whether the engine has a request, and how many bytes of results can be expected in all."""
        if request.sent != sent:
            self.expected += request.result_bytes if sent else -request.result_bytes
        request.sent = sent

    def keep(self, request: Request) -> None:
        """Count the pixels of a request, those it shares with others once."""
        for key in _keys(request):
            self._kept[key] = self._kept.get(key, 0) + 1
            self._kept_bytes += key[1] if self._kept[key] == 1 else 0
            request.kept.append(key)

    def release(self, request: Request) -> None:
        """Take the pixels of a request out of the account."""
        for key in request.kept:
            self._kept[key] -= 1
            if not self._kept[key]:
                self._kept_bytes -= key[1]
                del self._kept[key]
        request.kept.clear()

    def finish(self, request: Request, answer: Message) -> None:
        """Pass on the last answer of a request and forget the request."""
        ident = request.message.id
        self.pending.pop(ident, None)
        self.outbox[request.channel].pop(ident, None)
        self.release(request)
        self.mark(request, False)
        request.message.buffers = []
        # What it said on the way is no news any more, unless it ended well.
        if answer.type == "cancelled":
            self._mailbox.discard(ident)
        code = answer.body.get("code") if answer.type == "error" else ""
        self._mailbox.put(Event(answer.type, ident, answer, code if isinstance(code, str) else ""))
        cancel = self.pending.get(request.cancel)
        if cancel is not None and not cancel.sent and cancel.message.id not in self.outbox[cancel.channel]:
            # It waited for the engine to say that it knows the job; there is nothing left to cancel.
            self.end(cancel, "ok", {})

    def end(self, request: Request, kind: str, body: dict[str, Any]) -> None:
        """End a request from this side."""
        self.finish(request, request.message.answer(kind, body))

    def fail(self, request: Request, code: str, message: str, hint: str, retryable: bool) -> None:
        """End a request with an error from this side."""
        self.end(request, "error", {"code": code, "message": message, "hint": hint, "retryable": retryable})

    def supersede(self, slot: str) -> None:
        """End the jobs of a slot; the engine does the same when the new one reaches it."""
        for request in [r for r in self.pending.values() if slot and r.slot == slot]:
            self.end(request, "cancelled", {"reason": "superseded"})

    def lose(self, channel: str) -> None:
        """End or queue again what was sent through a socket that broke."""
        again = []
        for request in list(self.pending.values()):
            if request.channel != channel or not request.sent:
                continue
            request.accepted = False
            if request.cancel:
                self.end(request, "cancelled", {"reason": "cancelled"})
            elif not request.is_job or request.losses:
                reason = "the engine stopped before it answered"
                self.fail(request, "engine_gone", reason, "start the engine again and try once more", True)
            else:
                request.losses, request.needs = 1, 0
                again.append(request)
        for request in reversed(again):
            self.queue(request, first=True)

    def expire(self, now: float) -> None:
        """End what is no job and has waited too long for an engine; ``now`` in monotonic seconds."""
        for channel in CHANNELS:
            for ident in list(self.outbox[channel]):
                request = self.pending[ident]
                if not request.is_job and now - request.born >= REQUEST_WAIT:
                    self.fail(request, "no_engine", "there is no engine to answer", "start it with: engine serve", True)
