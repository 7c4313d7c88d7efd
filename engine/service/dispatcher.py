"""Where jobs are taken, handed to the device process one at a time, and answered exactly once."""

from __future__ import annotations

import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from engine import DEFAULT_MODEL
from engine.protocol.messages import Buffer, Message, ProtocolError
from engine.service import jobs
from engine.service.control import Board, error_body
from engine.service.exchange import Exchange, Places, aligned
from engine.service.jobs import Task
from engine.service.outbox import Outbox
from engine.service.supervisor import Supervisor

PARTIAL = 16
"""Jobs that wait for pixels the engine has asked for."""
YOUNG = 10.0
"""Seconds a device process must have lived to be started again although nobody waits for it."""

LARGE = 128 * 1024**2
"""Bytes of an exchange above which it is emptied when nobody uses it."""

log = logging.getLogger("engine.service.server")


class Dispatcher:
    """The queue and all that happens to a job; used by one thread.

    Args:
        board: what the engine's threads know of each other.
        outbox: for answers.
        supervisor: of the device process.
    """

    def __init__(self, board: Board, outbox: Outbox, supervisor: Supervisor) -> None:
        self.board, self.outbox, self.supervisor = board, outbox, supervisor
        self.queue, self.cache, self.cancelled = jobs.Queue(), jobs.PixelCache(), jobs.Cancelled()
        self.worked = time.monotonic()
        """When there was last a job."""
        self._wanted_model: str | None = DEFAULT_MODEL
        self._numbers = itertools.count(1)
        self._partial: OrderedDict[tuple[str, str], tuple[bytes, str, list[Buffer]]] = OrderedDict()
        self._probe_at: list[float] = []
        self._exchange: Exchange | None = None
        self._places, self._stretched = Places(), 0

    @property
    def busy(self) -> bool:
        """Whether there is a job, on the device or waiting."""
        return self.queue.running is not None or bool(self.queue)

    def close(self) -> None:
        """Tell everybody who waits that the engine stops."""
        for task in list(self.queue):
            error = ProtocolError("shutting_down", "the engine was stopped", "start it again and send the job again")
            self._finish(task, "error", error_body(error, retryable=True))

    def show(self) -> None:
        """Put on the board how things stand."""
        board, running = self.board, self.queue.running
        board.queue, board.busy = len(self.queue), running is not None
        board.job = jobs.describe(running) if running is not None else None
        board.cache_bytes, board.clients = self.cache.bytes, len({t.sender for t in self.queue})
        state = {"pid": self.supervisor.pid, "state": self.supervisor.state}
        board.worker = {**state, "restarts": self.supervisor.restarts}

    # What clients want

    def colorize(self, sender: bytes, message: Message) -> None:
        """Take a job.

        Raises:
            ProtocolError: there is something wrong with it.
        """
        request, buffers = jobs.read_request(message)
        session, ident = message.session or sender.hex(), message.id
        known = self.queue.find(ident, session)
        if known is not None:  # sent again after a broken connection
            known.sender = sender
            position = self.queue.position(known) if known is not self.queue.running else 0
            self.outbox.send(sender, message.answer("accepted", {"position": position}))
            return
        reason = self.cancelled.reason(ident)
        if reason is not None:
            self.outbox.send(sender, message.answer("cancelled", {"reason": reason}))
            return
        before = self._partial.pop((session, ident), None)
        came = {(b.role, b.digest): b for b in before[2]} if before else {}
        buffers = [came.get((b.role, b.digest), b) if b.data is None else b for b in buffers]
        buffers, missing = self.cache.resolve(session, buffers)
        if missing:
            self._partial[session, ident] = sender, request.slot, [b for b in buffers if b.data is not None]
            if len(self._partial) > PARTIAL:
                self._partial.popitem(last=False)
            self.outbox.send(sender, message.answer("need", {"digests": sorted(set(missing))}))
            return
        if self.queue.full(jobs.held(buffers)):
            error = ProtocolError("queue_full", "too many jobs are waiting", "send it again when some are done", ident)
            self.outbox.send(sender, message.answer("error", error_body(error, retryable=True)))
            return
        self._supersede(session, request.slot)
        task = Task(next(self._numbers), ident, session, sender, request, buffers)
        self.board.counts["jobs"] += 1
        self.supervisor.forgive()
        self.outbox.send(sender, message.answer("accepted", {"position": self.queue.add(task)}))

    def cancel(self, ident: str) -> None:
        """Cancel a job, also one that is still to come."""
        task = self.queue.find(ident)
        if task is None:
            self.cancelled.add(ident, "cancelled")
        else:
            self._cancel(task, "cancelled")

    def load(self, model: str) -> None:
        """Have a model ready as soon as the device process is."""
        self._wanted_model, self.worked = model, time.monotonic()
        self.supervisor.forgive()

    def unload(self) -> None:
        """End the device process when it has nothing to do; the next job starts it again."""
        self.worked = time.monotonic()
        if self.queue.running is None and not self.queue and self.supervisor.pid is not None:
            log.info("nothing to do: the device process is ended")
            self.supervisor.stop()
            self.board.loaded, self._wanted_model = [], None
            self.cache.clear()
            self._partial.clear()

    def _supersede(self, session: str, slot: str) -> None:
        """Cancel what was sent before for the same slot."""
        if not slot:
            return
        for task in list(self.queue):
            if (task.session, task.request.slot) == (session, slot):
                self._cancel(task, "superseded")
        for key in [k for k, v in self._partial.items() if (k[0], v[1]) == (session, slot)]:
            # Its pixels may be on their way; when they come it is not to replace a newer job.
            sender, _, _ = self._partial.pop(key)
            self.cancelled.add(key[1], "superseded")
            self.board.counts["cancelled"] += 1
            self.outbox.send(sender, Message("cancelled", {"reason": "superseded"}, parent=key[1], session=session))

    def _cancel(self, task: Task, reason: str) -> None:
        self.cancelled.add(task.id, reason)
        self._finish(task, "cancelled", {"reason": reason})

    def _finish(self, task: Task, kind: str, body: dict[str, Any], buffers: list[Buffer] | None = None) -> None:
        """Give a job its one last answer, unless it has had it, and let the device off it."""
        if task.over:
            return
        if not self.queue.remove(task) and kind == "cancelled":
            self.supervisor.send({"do": "cancel", "job": task.number})
        task.buffers = []
        self.board.counts[{"result": "results", "error": "errors"}.get(kind, kind)] += 1
        self.worked = self.board.active = time.monotonic()
        log.info("job %s: %s %s", task.id[:12], kind, body.get("reason") or body.get("code") or body.get("seconds"))
        self._answer(task, kind, body, buffers)

    def _answer(self, task: Task, kind: str, body: dict[str, Any], buffers: list[Buffer] | None = None) -> None:
        message = Message(kind, body, parent=task.id, session=task.session, buffers=buffers or [])
        tracker = self.outbox.send(task.sender, message)
        if tracker is not None and kind == "result":
            self._places.take(*task.room, lambda: bool(tracker.done))

    # What the device process says

    def heard(self, said: dict[str, Any]) -> None:
        """The device process said something."""
        hear: dict[str, Callable[[dict[str, Any]], None]] = {
            "ready": self._worker_ready,
            "loaded": lambda said: setattr(self.board, "loaded", said["models"]),
            "progress": self._worker_progress,
            "preview": self._worker_preview,
            "gone": self._worker_gone,
        }
        if said["say"] in hear:
            hear[said["say"]](said)
            return
        task = self.queue.running
        if task is None or said.get("job") != task.number:
            return
        try:
            if said["say"] == "result":
                self._worker_result(task, said)
            elif said["say"] == "error":
                self._finish(task, "error", said["body"])
            elif not task.over:  # cancelled, though nobody here has asked for it
                self._finish(task, "cancelled", {"reason": "cancelled"})
        finally:
            self.queue.running = None
            self.worked = time.monotonic()

    def _worker_ready(self, said: dict[str, Any]) -> None:
        self.supervisor.ready()
        self.worked = time.monotonic()
        self.board.device, self.board.models, self.board.trouble = said["device"], said["models"], ""
        if said["note"]:
            log.warning("%s", said["note"])

    def _worker_progress(self, said: dict[str, Any]) -> None:
        task = self.queue.running
        self.supervisor.moved()
        if task is not None and said["job"] == task.number and not task.over:
            stage, step, total = task.stage = tuple(said["step"])
            self._answer(task, "progress", {"stage": stage, "step": step, "total": total})

    def _worker_preview(self, said: dict[str, Any]) -> None:
        task = self.queue.running
        if task is not None and said["job"] == task.number and not task.over:
            width, height = said["size"]
            seen = Buffer("colour", width, height, "RGBA8", data=said["pixels"])
            self._answer(task, "preview", {**said["where"], "variation": said["variation"]}, [seen])

    def _worker_result(self, task: Task, said: dict[str, Any]) -> None:
        exchange = self.supervisor.exchange
        if task.over or exchange is None:
            self.board.counts["wasted"] += 1
            return
        try:
            # Seen as a whole: each view of its own would take a file descriptor until the client has read it.
            begin = min(offset for *_, offset, _ in said["layers"])
            whole = exchange.view(begin, max(offset + size for *_, offset, size in said["layers"]) - begin)
            layers = [
                Buffer(
                    name,
                    w,
                    h,
                    task.request.order,
                    x,
                    y,
                    codec=codec,
                    data=whole[offset - begin : offset - begin + size],
                )
                for name, (x, y, w, h), codec, offset, size in said["layers"]
            ]
        except (OSError, MemoryError) as e:
            error = ProtocolError("out_of_memory", f"the result cannot be taken over ({e})", "close other programs")
            self._finish(task, "error", error_body(error, retryable=True))
            return
        self._finish(task, "result", said["body"], layers)

    def _worker_gone(self, said: dict[str, Any]) -> None:  # noqa: ARG002
        age = self.supervisor.age
        became = self.supervisor.discard()
        self.board.loaded = []
        task, self.queue.running = self.queue.running, None
        if task is not None:
            error = ProtocolError(
                "worker_lost", f"the device process {became}", "try again; if it happens again, see the log"
            )
            self._finish(task, "error", error_body(error, retryable=True))
        if self.supervisor.hopeless:
            self._give_up()
        elif task is not None or age > YOUNG:
            self.supervisor.start()

    def _give_up(self) -> None:
        """The device process does not come up: say so to everybody who waits."""
        self.board.trouble = f"the device process does not start: {self.supervisor.last_words or 'it says nothing'}"
        error = ProtocolError("no_worker", self.board.trouble, "run `engine doctor`")
        for task in list(self.queue):
            self._finish(task, "error", error_body(error, retryable=True))

    # What happens by itself

    def dispatch(self) -> None:
        """Give the device its next work."""
        wanted = bool(self.queue) or self._wanted_model is not None
        if self.supervisor.state == "off" and wanted:
            self.supervisor.start()
            if self.supervisor.hopeless:
                self._give_up()
        exchange = self.supervisor.exchange
        if self.supervisor.state != "ready" or exchange is None or self.queue.running is not None:
            return
        if exchange is not self._exchange:
            self._exchange, self._places, self._stretched = exchange, Places(), 0
        if self._wanted_model is not None:
            # The process does things in order, so a job may follow at once.
            self.supervisor.send({"do": "load", "model": self._wanted_model})
            self._wanted_model = None
        task = self.queue.next(lambda task: self.outbox.reads(task.sender))
        if task is None:
            self._give_memory_back(exchange)
            return
        request, places = task.request, []
        task.room, offset = self._room(task)
        try:
            for b in task.buffers:
                end = exchange.write(offset, b.data or b"")
                places.append([asdict(replace(b, data=None)), offset, end - offset])
                offset = aligned(end)
        except (OSError, MemoryError) as e:
            self.queue.running = None
            error = ProtocolError("out_of_memory", f"the pixels cannot be handed over ({e})", "close other programs")
            self._finish(task, "error", error_body(error, retryable=True))
            return
        self._stretched = max(self._stretched, offset)
        digests = [b.digest for b in task.buffers if b.role == "lineart"]
        asked = asdict(request)
        form = {key: asked.pop(key) for key in ("compress", "order", "trim")}
        del asked["slot"]
        # Clients make their digests themselves: a wrong one must not lead to another's drawing.
        asked["drawing"] = f"{task.session}:{digests[0]}" if digests[0] else ""
        task.buffers = []
        message = {"do": "job", "job": task.number, "request": asked, "form": form}
        self.supervisor.send({**message, "buffers": places, "room": task.room[0]})

    def _room(self, task: Task) -> tuple[tuple[int, int], int]:
        """Where on the exchange a job's result goes, from and to, and its input from; nothing else lies there."""
        # Compressing what cannot be compressed makes it a thousandth longer at most.
        layer = aligned(task.request.layer_bytes * 1001 // 1000 + 64)
        out = layer * task.request.pictures
        start = self._places.find(out + sum(aligned(jobs.held([b])) for b in task.buffers))
        return (start, start + out), start + out

    def _give_memory_back(self, exchange: Exchange) -> None:
        """Free what a large job has left behind, once its result has left."""
        if self._stretched > LARGE and self._places.empty:
            exchange.shrink()
            self._stretched = 0

    def client_went(self) -> None:
        """Some client has gone; find out who."""
        # The socket may learn of it a moment later than its monitor.
        now = time.monotonic()
        self._probe_at = [now, now + 0.5]

    def drop_vanished(self) -> None:
        """Forget the jobs of clients that are gone; where one went, ask who by telling each how its job stands."""
        if self._probe_at and time.monotonic() >= self._probe_at[0]:
            self._probe_at.pop(0)
            first = {task.sender: task for task in reversed(list(self.queue))}
            for task in first.values():
                stage, step, total = task.stage
                self._answer(task, "progress", {"stage": stage, "step": step, "total": total})
        gone = self.outbox.vanished()
        for task in [t for t in self.queue if t.sender in gone]:
            log.info("job %s: its client is gone", task.id[:12])
            self.board.counts["dropped"] += 1
            if not self.queue.remove(task):
                self.supervisor.send({"do": "cancel", "job": task.number})
