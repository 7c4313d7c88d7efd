"""The engine as the docker sees it: one status, jobs that end exactly once, and models; nothing here waits.

It knows no Krita and no widgets; ``supervisor`` sees to it that there is an engine.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..qt import QtCore, Signal
from . import report, supervisor, words
from .jobs import Job, Pace
from .later import Later
from .outcome import Outcome, Status
from .setup import Setup, data_folder
from .supervisor import Supervisor

__all__ = ["Outcome", "Session", "Status"]

POLL_INTERVAL_MS = 250
"""Milliseconds between looks at what does not report by itself; only while something is awaited."""
CANCEL_TIMEOUT = 1.2
"""Seconds after which a job counts as cancelled although the engine has not said so."""


class Session(QtCore.QObject):
    """The engine of this Krita: starts it or adopts one, watches it, and gives it work.

    All methods return at once and belong to the thread of the event loop. Callbacks come from the event loop only.
    """

    changed = Signal()
    models_changed = Signal()

    def __init__(
        self,
        protocol: Any,
        read_setup: Callable[[], Setup],
        parent: QtCore.QObject | None = None,
        log_folder: Path | None = None,
    ) -> None:
        """Start nothing.

        Args:
            protocol: the module that ``bundled.load`` gives.
            read_setup: asked at every start how to start the engine; may raise SetupError.
            parent: QObject that owns this one.
            log_folder: where the output of the engine's start is kept; beside the plugin by default.
        """
        super().__init__(parent)
        self._protocol_version: int = protocol.PROTOCOL
        self._supervisor = Supervisor(protocol, read_setup, data_folder() if log_folder is None else log_folder, self)
        self._jobs: dict[str, Job] = {}
        self._requests: dict[str, str] = {}
        self._pace = Pace()
        self._models: list[dict[str, Any]] = []
        self._trouble: tuple[str, str] | None = None
        self._device = self._last_error = ""
        self._engine_status: dict[str, Any] = {}
        self._status = Status("off")
        self._notifier: QtCore.QSocketNotifier | None = None
        self._closed = False
        self._poll_timer = QtCore.QTimer(self)
        self._poll_timer.setInterval(POLL_INTERVAL_MS)
        self._poll_timer.timeout.connect(self._look)
        self._later = Later(self)

    @property
    def status(self) -> Status:
        """How things stand now."""
        return self._status

    @property
    def models(self) -> list[dict[str, Any]]:
        """Descriptors of the models, as far as known."""
        return list(self._models)

    @property
    def engine_pid(self) -> int:
        """Number of the engine's process; 0 while unknown."""
        return self._supervisor.pid

    # ---- for the docker

    def start(self) -> None:
        """Adopt an engine that runs, else start one; nothing where there is a good one or one is on its way."""
        if self._closed:
            return
        if self._supervisor.phase == supervisor.UP and self._trouble is not None:
            self._end_all("stopped")
            self._supervisor.restart()
        else:
            self._supervisor.start()
        self._refresh()

    def prepare(self, model: str) -> None:
        """Have a model ready for a picture that was opened, as far as there is an engine; nothing where it is."""
        if model and self._supervisor.ready:
            self._supervisor.client.submit("load", {"model": model}, control=True)

    def stop(self) -> None:
        """End the engine, for all its clients; open jobs end with an error."""
        if not self._closed:
            self._end_all("stopped")
            self._supervisor.stop()
            self._refresh()

    def close(self) -> None:
        """Krita quits: an engine that was started here is asked to end, an adopted one left alone.

        No callback comes any more, also not for open jobs.
        """
        if self._closed:
            return
        self._closed = True
        self._poll_timer.stop()
        self._later.close()
        self._supervisor.close()
        self._jobs.clear()

    def colorize(
        self,
        body: dict[str, Any],
        buffers: list[Any],
        on_end: Callable[[Outcome], None],
        on_progress: Callable[[str, int, int], None] | None = None,
        on_preview: Callable[[dict[str, Any], list[Any]], None] | None = None,
    ) -> str:
        """Give the engine a job, and start it if it is not there.

        Args:
            body: as in the protocol.
            buffers: of ``protocol.Buffer``; leave their pixels unchanged until the end.
            on_end: called once, later, with the outcome.
            on_progress: called with the stage in words, the step that is done and how many there are.
            on_preview: called with body and buffers of a preview.

        Returns:
            The job, for ``cancel``.
        """
        job = Job(uuid.uuid4().hex, dict(body), list(buffers), on_end, on_progress, on_preview)
        if self._closed:
            return job.id
        self._jobs[job.id] = job
        self._supervisor.ensure()
        if self._supervisor.phase == supervisor.FAILED:
            self.failed("no_engine", self._supervisor.cause, self._supervisor.remedy)
        elif self._supervisor.phase != supervisor.STOPPING:
            self._send(job)
        self._refresh()
        return job.id

    def cancel(self, job: str) -> None:
        """Cancel a job; its outcome comes soon, also from a dead engine, and may be a result that was quicker."""
        found = self._jobs.get(job)
        if found is None or found.cancelled >= 0:
            return
        found.cancelled = time.monotonic()
        if found.sent and self._supervisor.client is not None:
            self._supervisor.client.cancel(found.sent)
        else:
            self._end(found, Outcome("cancelled", {"reason": "cancelled"}))
        self._refresh()

    def report(self, about: dict[str, str] | None = None) -> str:
        """The text of "Copy report".

        Args:
            about: what only the caller knows, such as the version of Krita.
        """
        return report.compose(
            about or {},
            protocol=self._protocol_version,
            status=self._status,
            setup=self._supervisor.setup,
            runtime=self._supervisor.folder,
            engine_version=self._supervisor.version,
            engine_status=self._engine_status,
            models=self._models,
            last_output=self._supervisor.last_output,
            last_error=self._last_error,
        )

    # ---- for the supervisor

    def opened(self, client: Any) -> None:
        """Listen to a new client and give it the open jobs."""
        self._notifier = QtCore.QSocketNotifier(client.fileno(), QtCore.QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._read)
        for job in self._jobs.values():
            self._send(job)

    def closing(self) -> None:
        """Do not listen any more; jobs that are still open will be given to the next client."""
        if self._notifier is not None:
            self._notifier.setEnabled(False)
            self._notifier.deleteLater()
            self._notifier = None
        self._requests.clear()
        for job in self._jobs.values():
            job.again()

    def failed(self, code: str, cause: str, remedy: str) -> None:
        """No engine will come: end all jobs."""
        self._end_all(code, cause, remedy)

    def needs_engine(self) -> bool:
        """Whether a job is open."""
        return bool(self._jobs)

    # ---- what the client says

    def _read(self, *_: Any) -> None:
        client = self._supervisor.client
        if client is None:
            return
        for event in client.poll():
            self._handle(event)
        self._refresh()
        self._later.run()

    def _handle(self, event: Any) -> None:
        body = event.message.body if event.message is not None else {}
        job = self._jobs.get(self._requests.get(event.id, ""))
        if event.id and job is not None:
            self._handle_job(job, event, body)
        elif event.kind == "state":
            self._handle_state(event.detail, str(body.get("code", "")), str(body.get("reason", "")))
        elif event.kind in ("welcome", "models"):
            self._handle_models(body)
        elif event.kind == "status":
            self._engine_status = body
        elif event.id:
            self._supervisor.on_answer(event.id)

    def _handle_state(self, state: str, code: str, reason: str) -> None:
        before = self._supervisor.phase
        self._supervisor.on_client_state(state, code, reason)
        if self._supervisor.phase == supervisor.UP:
            self._ask("status")
        elif before == supervisor.UP:
            for job in self._jobs.values():
                job.halt()

    def _handle_models(self, body: dict[str, Any]) -> None:
        found = body.get("models")
        models = [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []
        trouble = str(body.get("trouble") or "")
        self._device = str(body.get("device") or self._device)
        if trouble:
            self._trouble = words.error("no_worker", trouble)
        elif not models:
            self._trouble = words.no_weights()
        else:
            self._trouble = None
        if models != self._models:
            self._models = models
            self.models_changed.emit()

    def _handle_job(self, job: Job, event: Any, body: dict[str, Any]) -> None:
        if event.kind == "progress":
            job.progress(str(body.get("stage", "")), body.get("step"), body.get("total"))
            if job.on_progress is not None:
                self._later.put(job.on_progress, words.stage(job.stage), job.step, job.total)
        elif event.kind == "preview":
            if job.on_preview is not None:
                self._later.put(job.on_preview, body, event.message.buffers)
        elif event.kind == "result":
            self._pace.learn(job)
            self._end(job, Outcome("result", body, event.message.buffers))
            if self._trouble is not None:
                self._ask("models")
            if not self._jobs:
                self._ask("status")
        elif event.kind == "cancelled":
            self._end(job, Outcome("cancelled", body))
        elif event.kind == "error":
            self._handle_error(job, body)

    def _handle_error(self, job: Job, body: dict[str, Any]) -> None:
        code, message = str(body.get("code", "")), str(body.get("message", ""))
        if job.cancelled >= 0:
            self._end(job, Outcome("cancelled", {"reason": "cancelled"}))
            return
        if code == "shutting_down" and not job.repeated:
            # Another Krita has quit and taken the engine with it; the next engine gets the job.
            self._requests.pop(job.sent, None)
            job.again()
            job.repeated = True
            self._send(job)
            return
        self._last_error = f"{code}: {message}"
        cause, remedy = words.error(code, message, str(body.get("hint", "")))
        if self._trouble is not None and code in ("no_worker", "refused"):
            cause, remedy = self._trouble
        self._end(job, Outcome("error", body, [], cause, remedy, code))
        if code in ("bad_version", "bad_endpoint"):
            self._supervisor.refused(cause, remedy)
        elif code == "no_worker":
            self._ask("models")
        self._ask("status")

    def _ask(self, what: str) -> None:
        if self._supervisor.ready:
            self._supervisor.client.submit(what, {}, control=True)

    # ---- jobs

    def _send(self, job: Job) -> None:
        client = self._supervisor.client
        if client is not None and not job.sent and job.id in self._jobs:
            job.sent = client.colorize(job.body, job.buffers)
            self._requests[job.sent] = job.id

    def _end(self, job: Job, outcome: Outcome) -> None:
        """End a job; whatever else comes for it is not passed on."""
        if self._jobs.pop(job.id, None) is not None:
            self._requests.pop(job.sent, None)
            self._later.put(job.on_end, outcome)

    def _end_all(self, code: str, cause: str = "", remedy: str = "") -> None:
        known = words.error(code)
        cause, remedy = cause or known[0], remedy or known[1]
        body = {"code": code, "message": cause, "hint": remedy, "retryable": True}
        for job in list(self._jobs.values()):
            if job.sent and self._supervisor.client is not None:
                self._supervisor.client.cancel(job.sent)
            if job.cancelled >= 0:
                self._end(job, Outcome("cancelled", {"reason": "cancelled"}))
            else:
                self._end(job, Outcome("error", body, [], cause, remedy, code))

    # ---- the status

    def _look(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if 0 <= job.cancelled < now - CANCEL_TIMEOUT:
                self._end(job, Outcome("cancelled", {"reason": "cancelled"}))
        self._supervisor.look()
        self._refresh()

    def _refresh(self) -> None:
        if self._closed:
            return
        awaited = self._supervisor.waits or bool(self._jobs)
        if awaited != self._poll_timer.isActive():
            (self._poll_timer.start if awaited else self._poll_timer.stop)()
        status = self._compose()
        if status != self._status:
            self._status = status
            self.changed.emit()

    def _compose(self) -> Status:
        phase, queue = self._supervisor.phase, len(self._jobs)
        if phase != supervisor.UP:
            state = supervisor.OFF if phase == supervisor.STOPPING else phase
            return Status(state, self._supervisor.cause, self._supervisor.remedy, queue=queue)
        if self._trouble is not None:
            return Status("failed", *self._trouble, queue=queue, device=self._device)
        if not queue:
            return Status("ready", device=self._device)
        job = next((j for j in self._jobs.values() if j.running), next(iter(self._jobs.values())))
        stage, eta = words.stage(job.stage), self._pace.left(job)
        return Status("busy", "", "", stage, job.step, job.total, eta, queue, self._device)
