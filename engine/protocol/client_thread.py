"""The client's thread: it owns the sockets, watches the engine, sends what waits and hears what comes."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from collections import OrderedDict, deque
from dataclasses import replace
from pathlib import Path

import zmq

from .connection import Connection, FolderError, connection_file, pid_alive, read_connection
from .events import LOST, PASSING, Event, Mailbox
from .messages import PROTOCOL, Buffer, Message, ProtocolError, decode, encode
from .payload import Request, prepare
from .requests import Ledger
from .sockets import CHANNELS, FULL, UP, WHY, Link

PING_EVERY = 1.0
"""Seconds."""
SILENCE = 1.5
"""Seconds without a word from the engine after which it counts as lost."""
LOOK_EVERY = 0.25
"""Seconds between looks at the connection file and at the engine's process."""
RETRY_EVERY = 2.0
"""Seconds between tries to get in where there are too many clients."""
MAX_KNOWN = 64
"""Digests remembered as known to the engine."""
MAX_NEEDS = 3
"""Times an engine may ask for pixels of one job."""
AT_ONCE = 64
"""Messages read from a socket before something else gets its turn."""
ANSWERS = ("status", "models", "ok", "pong", "welcome", "error")
"""Last answers to requests that are no jobs."""
TERMINAL = ("result", "error", "cancelled")
"""Last answers to jobs."""


class Loop:
    """State of the client's thread. ``submit``, ``cancel``, ``wake`` and ``stop`` may be called from any thread."""

    def __init__(self, path: Path | None, session: str) -> None:
        self.mailbox = Mailbox()
        self.session = session
        self._path = path
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._lock = threading.Lock()
        self._inbox: deque[tuple[Message, str]] = deque()
        self._stopping = False
        self._over = False
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._link: Link | None = None
        self._signature: tuple[int, int, int] | None = None
        self._connection: Connection | None = None
        self._pid_seen = self._welcomed = self._answered = self._told = False
        self._refusal: tuple[str, str, str, bool] | None = None
        self._hello = ""
        self._heard = self._pinged = self._greeted = self._looked = self._turned = float("-inf")
        self._ledger = Ledger(self.mailbox)
        self._notes: deque[Message] = deque(maxlen=1000)
        self._retries: dict[str, float] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    # ---- for the caller's thread

    def submit(self, message: Message, channel: str) -> None:
        """Take a message on; it is looked at by the thread."""
        with self._lock:
            if not self._over:
                self._inbox.append((message, channel))
                self._ring()
                return
        body = {"code": "closed", "message": "the client is closed", "hint": "make another", "retryable": False}
        self.mailbox.put(Event("error", message.id, message.answer("error", body), "closed"))

    def wake(self) -> None:
        """Make the thread look at everything again."""
        with self._lock:
            self._ring()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping = True
        self.wake()

    def _ring(self) -> None:
        if not self._over:
            # A full pair is as good as one with one more byte.
            with contextlib.suppress(OSError):
                self._wake_write.send(b"\0")

    # ---- the thread

    def run(self) -> None:
        """Work until ``stop``; then close everything that was opened."""
        try:
            while not self._stopping:
                try:
                    self._turn()
                except Exception as e:  # noqa: PERF203
                    # Nothing may end the thread silently: begin again with fresh sockets.
                    self._connection, self._signature = None, None
                    with contextlib.suppress(Exception):
                        self._close_link("client_failed", f"the client failed ({type(e).__name__}: {e})")
                    time.sleep(LOOK_EVERY)
        finally:
            if self._link is not None:
                self._link.close()
            if self._context is not None:
                self._context.term()
            with self._lock:
                self._over = True
                self._wake_read.close()
                self._wake_write.close()
            self.mailbox.close()

    def _turn(self) -> None:
        now = time.monotonic()
        if now - self._turned > PING_EVERY:
            # This side slept (a suspended computer, a stopped process): the engine's silence proves nothing.
            self._heard = max(self._heard, now)
        self._turned = now
        while self._inbox:
            self._take(*self._inbox.popleft(), now)
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._look()
            self._ledger.expire(now)
        self._watch(now)
        self._flush()
        self._wait()
        self._read()

    def _wait(self) -> None:
        poller = zmq.Poller()
        poller.register(self._wake_read.fileno(), zmq.POLLIN)
        link = self._link
        if link is not None:
            for channel in CHANNELS:
                waiting = self._may_send(channel) and bool(self._ledger.outbox[channel])
                poller.register(link.sockets[channel], zmq.POLLIN | (zmq.POLLOUT if waiting else 0))
                poller.register(link.monitors[channel], zmq.POLLIN)
        poller.poll(int(LOOK_EVERY * 1000))
        with contextlib.suppress(OSError):
            self._wake_read.recv(4096)

    # ---- the engine: found, watched, lost

    def _look(self) -> None:
        """Look whether there is another engine and whether the process of this one is there."""
        try:
            path = connection_file() if self._path is None else self._path
            found = os.stat(path)  # noqa: PTH116 (cheaper, four times a second)
            signature = (found.st_ino, found.st_mtime_ns, found.st_size)
        except (OSError, FolderError):
            # A deleted file is no reason to leave an engine that answers.
            signature = None
        if signature is not None and signature != self._signature:
            self._signature = signature
            connection = read_connection(path)
            if connection is not None and connection != self._connection:
                self._open_link(connection)
        if self._link is not None:
            # A number that never lived here belongs to another name space (a sandbox), so it says nothing.
            alive = pid_alive(self._link.connection.pid)
            if self._pid_seen and not alive:
                self._close_link("engine_ended")
            self._pid_seen = self._pid_seen or alive

    def _open_link(self, connection: Connection) -> None:
        self._close_link("engine_replaced")
        self._retries.clear()
        self._connection = connection
        self._pid_seen, self._refusal, self._told = pid_alive(connection.pid), None, False
        if connection.protocol != PROTOCOL:
            self._refuse(
                "bad_version",
                f"the engine {connection.version} speaks version {connection.protocol} of the protocol, not {PROTOCOL}",
                "use plugin and engine of the same release",
            )
            return
        try:
            self._context = self._context or zmq.Context()
            self._link = Link(self._context, connection)
        except (zmq.ZMQError, ValueError, AttributeError) as e:
            if getattr(e, "errno", None) in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
                raise
            # AttributeError: a libzmq without CURVE.
            self._refuse("bad_endpoint", f"the engine's address cannot be used ({e})", "start the engine again")

    def _close_link(self, code: str, reason: str = "") -> None:
        for channel in CHANNELS:
            self._drain(channel)
        link, self._link = self._link, None
        if link is None:
            return
        link.close()
        for channel in CHANNELS:
            self._lose(channel)
        self._say("lost", code, reason)

    def _refuse(self, code: str, message: str, hint: str) -> None:
        """No talking to this engine: end what waits, and what comes until there is another."""
        self._refusal = (code, message, hint, False)
        if self._link is not None:
            self._link.close()
            self._link = None
        self._say("lost", code, message)
        for request in list(self._ledger.pending.values()):
            self._ledger.fail(request, *self._refusal)
        for channel in CHANNELS:
            self._lose(channel)

    def _say(self, state: str, code: str = "", reason: str = "") -> None:
        if state == self.mailbox.state:
            return
        if state == "lost" and self.mailbox.state == "connecting" and self._refusal is None:
            return
        self._tell(state, code, reason or LOST.get(code, ""))

    def _tell(self, state: str, code: str, reason: str) -> None:
        body = {"state": state, "code": code, "reason": reason}
        self.mailbox.put(Event("state", "", Message("state", body), state))

    @property
    def _ready(self) -> bool:
        return self._link is not None and self.mailbox.state == "ready"

    def _watch(self, now: float) -> None:
        """Keep the conversation going and notice when it stops."""
        link = self._link
        if link is None:
            return
        for channel in [c for c, when in self._retries.items() if now >= when]:
            del self._retries[channel]
            if not link.up[channel]:
                link.reconnect(channel)
        if link.up["jobs"] and not self._welcomed and now - self._greeted >= PING_EVERY:
            hello = Message("hello", {"protocol": PROTOCOL}, session=self.session)
            if link.send("jobs", encode(hello)):
                self._hello, self._greeted = hello.id, now
        # While it does not answer, the ping that is out will tell when it does; more of them would only pile up.
        every = PING_EVERY if self._ready or not self._answered else 5 * PING_EVERY
        ping = Message("ping", session=self.session)
        if link.up["control"] and now - self._pinged >= every and link.send("control", encode(ping)):
            self._pinged = now
        if self._ready and now - self._heard > SILENCE:
            self._say("lost", "engine_silent")

    def _lose(self, channel: str) -> None:
        """A socket broke: what it carried may be lost with it."""
        if channel == "jobs":
            self._welcomed, self._greeted = False, float("-inf")
            self._known.clear()
        else:
            self._answered, self._pinged = False, float("-inf")
            self._notes.clear()
        self._ledger.lose(channel)

    # ---- requests: taken, sent, ended

    def _take(self, message: Message, channel: str, now: float) -> None:
        request = Request(message, channel, now)
        if not all(isinstance(b, Buffer) for b in message.buffers):
            message.buffers = []
            self._ledger.fail(request, "bad_body", "the buffers are no buffers", "give a list of Buffer", False)
            return
        if message.type == "cancel" and self._cancel(request):
            return
        if request.is_job:
            slot = message.body.get("slot")
            request.slot = slot if isinstance(slot, str) else ""
            self._ledger.supersede(request.slot)
        if self._refusal is not None:
            # Another engine may have come this moment.
            self._look()
        if self._refusal is not None:
            self._ledger.fail(request, *self._refusal)
        elif not self._ledger.add(request):
            hint = "wait for some to finish"
            self._ledger.fail(request, "too_much", "too many jobs wait for the engine", hint, True)

    def _cancel(self, request: Request) -> bool:
        """Cancel a job of this client; False where the engine has to be asked in the usual way."""
        job = self._ledger.pending.get(str(request.message.body.get("job", "")))
        if job is None or not job.is_job:
            return False
        if self._ready and job.sent:
            if job.cancel or job.accepted:
                job.cancel = job.cancel or request.message.id
                return False
            # The other socket could be faster than the job: asked once the engine is known to have it.
            job.cancel = request.message.id
            self._ledger.pending[request.message.id] = request
            return True
        if self._link is not None and (job.sent or job.needs):
            self._notes.append(request.message)
        self._ledger.end(job, "cancelled", {"reason": "cancelled"})
        self._ledger.end(request, "ok", {})
        return True

    def _may_send(self, channel: str) -> bool:
        return self._ready and not (channel == "jobs" and self.mailbox.full(self._ledger.expected))

    def _flush(self) -> None:
        """Send what waits, as far as the engine takes it."""
        link = self._link
        if link is None:
            return
        while self._ready and self._notes and link.send("control", encode(self._notes[0])):
            self._notes.popleft()
        for channel in CHANNELS:
            outbox = self._ledger.outbox[channel]
            while outbox and self._may_send(channel):
                ident = next(iter(outbox))
                if not self._send(link, self._ledger.pending[ident]):
                    break
                outbox.pop(ident, None)

    def _send(self, link: Link, request: Request) -> bool:
        """Send one request; True where it need not wait any longer."""
        message = request.message
        try:
            if not request.prepared:
                self._ledger.release(request)
                message.buffers = [prepare(b) for b in message.buffers]
                request.prepared = True
                self._ledger.keep(request)
            lean = [
                replace(b, codec="none", data=None) if b.digest in self._known and b.digest not in request.whole else b
                for b in message.buffers
            ]
            frames = encode(replace(message, buffers=lean))
        except ProtocolError as e:
            self._ledger.fail(request, e.code, e.message, e.hint, False)
            return True
        except (AttributeError, TypeError, ValueError, KeyError, BufferError) as e:
            reason = f"the message cannot be sent ({type(e).__name__}: {e})"
            self._ledger.fail(request, "bad_body", reason, "give plain values and buffers of pixels", False)
            return True
        if not link.send(request.channel, frames):
            return False
        self._ledger.mark(request, True)
        request.whole.clear()
        for b in lean:
            if b.codec != "none":
                self._known[b.digest] = None
            if b.digest in self._known:
                self._known.move_to_end(b.digest)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return True

    # ---- what the engine says

    def _read(self) -> None:
        for channel in CHANNELS:
            self._drain(channel, AT_ONCE)
            for change in self._link.changes(channel) if self._link is not None else ():
                if change == UP:
                    self._pinged = self._greeted = float("-inf")
                    continue
                self._drain(channel)
                self._lose(channel)
                self._say("lost", "connection_broken")
                if change == FULL:
                    self._retries[channel] = time.monotonic() + RETRY_EVERY
                if change in WHY and not self._told:
                    self._told = True
                    self._tell(self.mailbox.state, *WHY[change])

    def _drain(self, channel: str, most: int = sys.maxsize) -> None:
        """Hear what has arrived. Before a loss is dealt with: an answer that came in time counts."""
        for _ in range(most):
            frames = self._link.receive(channel) if self._link is not None else None
            if frames is None:
                return
            try:
                message = decode(frames)
            except ProtocolError as e:
                if e.code == "bad_version":
                    self._refuse(e.code, e.message, e.hint)
                continue
            self._heard = time.monotonic()
            self._hear(message, channel)

    def _hear(self, message: Message, channel: str) -> None:
        if self._hello and message.parent == self._hello and channel == "jobs":
            self._greeting(message)
        self._answered = self._answered or channel == "control"
        if self._welcomed and self._answered and self._link is not None:
            self._say("ready")
        request = self._ledger.pending.get(message.parent)
        if request is None or request.channel != channel:
            return
        if request.is_job:
            self._hear_job(request, message)
        elif message.type in ANSWERS:
            self._ledger.finish(request, message)

    def _greeting(self, message: Message) -> None:
        body = message.body
        if message.type == "welcome" and body.get("protocol", PROTOCOL) == PROTOCOL:
            self._welcomed = True
            self.mailbox.put(Event("welcome", "", message))
        elif message.type == "welcome" or body.get("code") == "bad_version":
            said = str(body.get("message", f"the engine speaks version {body.get('protocol')} of the protocol"))
            self._refuse("bad_version", said, "use plugin and engine of the same release")

    def _hear_job(self, job: Request, message: Message) -> None:
        if message.type in TERMINAL:
            self._ledger.finish(job, message)
            return
        if message.type == "need":
            self._need(job, message.body.get("digests"))
        elif message.type in PASSING:
            self.mailbox.put(Event(message.type, job.message.id, message))
        if not job.accepted:
            job.accepted = True
            if job.cancel in self._ledger.pending:
                self._ledger.queue(self._ledger.pending[job.cancel])

    def _need(self, job: Request, digests: object) -> None:
        """Send a job again with the pixels the engine has no longer."""
        asked = {d for d in digests if isinstance(d, str)} if isinstance(digests, list) else set()
        job.needs += 1
        there = {b.digest for b in job.message.buffers if b.data is not None}
        # An engine that asks again has little room: give it everything at once.
        job.whole = asked if job.needs == 1 else there
        for d in asked:
            self._known.pop(d, None)
        if not asked or not asked <= there or job.needs > MAX_NEEDS:
            self._notes.append(Message("cancel", {"job": job.message.id}, session=self.session))
            reason = "the engine asks for pixels that are not there, or for the same again and again"
            self._ledger.fail(job, "no_pixels", reason, "send the job again with all its pixels", True)
        elif job.sent and not job.cancel:
            self._ledger.queue(job, first=True)
