"""Keeps an engine for this Krita: adopts or starts one, notices its loss, starts another once, and says why it failed.

It has no timer and no thread of its own: ``Session`` passes the time and what the client says.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..i18n import tr
from . import words
from .process import EngineProcess
from .setup import SANDBOX, Setup, SetupError

ADOPT_TIMEOUT = 2.0
"""Seconds that an engine which is there has to answer before another is started, which replaces it if it is dead."""
CONNECTION_FILE_TIMEOUT = 90.0
"""Seconds until a started engine has said where it is; a cold disk takes long."""
START_TIMEOUT = 400.0
"""Seconds for an engine to be ready: it tries three times for two minutes to bring its device process up."""
MAX_ADOPTIONS = 3
"""Times in a row that an engine may be said to run and yet not be found."""
SILENCE_TIMEOUT = 10.0
"""Seconds without a word after which an engine that still runs is replaced."""
MIN_SILENCE_TO_REPLACE = 3.0
"""Seconds of silence after which the artist may have it replaced."""
RESTART_DELAY = 0.7
"""Seconds that a loss is shown before the engine is started again."""
LOSS_WINDOW = 60.0
"""Two losses within that time, and it is not started again."""
RETRY_DELAY = 3.0
"""Seconds in which jobs do not try again what has just failed."""
STOP_TIMEOUT = 3.0
"""Seconds that an engine has to end by itself."""

OFF, STARTING, UP, LOST, FAILED, STOPPING = "off", "starting", "up", "lost", "failed", "stopping"


class Listener(Protocol):
    """Who has jobs for the engine."""

    def opened(self, client: Any) -> None:
        """There is a client; give it what is open."""

    def closing(self) -> None:
        """The client goes; what it was given is forgotten."""

    def failed(self, code: str, cause: str, remedy: str) -> None:
        """No engine will come by itself: end what is open."""

    def needs_engine(self) -> bool:
        """Whether a job is open."""


class Supervisor:
    """The engine's life as this Krita sees it.

    Attributes:
        phase: where in it the engine is.
        cause: of the phase, one line, or empty.
        remedy: what to do, one line, or empty.
        client: of the protocol package; None where nobody has asked for an engine.
        setup: how the engine is started, as far as known.
        version: release of the engine that runs or ran.
        pid: number of its process; 0 while unknown.
    """

    def __init__(self, protocol: Any, read_setup: Callable[[], Setup], log_folder: Path, listener: Listener) -> None:
        self._protocol, self._read_setup, self._log_folder, self._listener = protocol, read_setup, log_folder, listener
        self.phase = OFF
        self.cause = self.remedy = ""
        self.client: Any = None
        self.setup: Setup | None = None
        self.version = ""
        self._setup_trouble = ("", "")
        self._path = Path()
        self._process: EngineProcess | None = None
        self.pid = 0
        self._last_output: list[str] = []
        self._since = self._adopt_until = self._restart_at = self._retry_at = 0.0
        self._launched = self._again = self._asked_to_end = False
        self._adoptions = 0
        self._shutdown = ""
        self._losses: deque[float] = deque(maxlen=2)

    @property
    def ready(self) -> bool:
        """Whether the engine can be asked something now."""
        return self.client is not None and self.client.state == "ready"

    @property
    def folder(self) -> str:
        """Where the connection file is looked for; empty before the first time."""
        return str(self._path.parent) if self._path.name else ""

    @property
    def waits(self) -> bool:
        """Whether ``look`` should be called now and then."""
        return self.phase in (STARTING, LOST, STOPPING)

    @property
    def last_output(self) -> list[str]:
        """The last lines that the start of the engine printed."""
        return (self._process.last_output() if self._process is not None else []) or self._last_output

    # ---- requests

    def start(self) -> None:
        """The artist wants an engine, whatever happened before."""
        self._losses.clear()
        self._retry_at = 0.0
        if self.phase == LOST and time.monotonic() - self._since > MIN_SILENCE_TO_REPLACE:
            self._replace()
        else:
            self.ensure()

    def ensure(self) -> None:
        """A job wants an engine: start one, unless that has failed just now."""
        if self.phase == STOPPING:
            self._again = True
        elif self.phase in (OFF, FAILED) and time.monotonic() >= self._retry_at:
            self._begin()

    def restart(self) -> None:
        """End the engine and start another."""
        self.stop()
        self.ensure()

    def stop(self) -> None:
        """End the engine, whoever started it, and start none."""
        self._again = self._asked_to_end = False
        if self.phase in (OFF, STOPPING):
            return
        process = self._process
        if process is not None and process.ended():
            self._discard()
        self._shutdown = self.client.submit("shutdown", {}, control=True) if self.ready else ""
        if process is not None and not self._shutdown:
            (process.kill if self.phase == LOST else process.ask_to_end)()
        self._enter(STOPPING)
        self.look()

    def close(self) -> None:
        """Krita quits: take along what was started here, leave alone what was not."""
        process = self._process
        if process is not None and not process.ended():
            answered = False
            if self.ready and process.serves:
                request = self.client.submit("shutdown", {}, control=True)
                answered = any(e.id == request and e.kind == "ok" for e in self.client.wait(0.2))
            if not answered:
                process.ask_to_end()
        self._discard()
        self._disconnect(0.2)
        self._enter(OFF)

    # ---- events

    def on_client_state(self, state: str, code: str, reason: str) -> None:
        """The client has found the engine ready, or lost it."""
        if self.phase == STOPPING:
            return
        if state == "ready":
            found = self._protocol.read_connection(self._path)
            if found is not None:
                self.version = found.version
            self.pid = found.pid if found is not None and self._protocol.pid_alive(found.pid) else 0
            if self._process is not None and self._process.ended():
                self._discard()  # it has given way to the engine that is there
            self.cause = self.remedy = ""
            self._adoptions = 0
            self._enter(UP)
        elif state == "lost" and self.phase == UP:
            self.cause, self.remedy = words.lost(code, reason), tr("wait a moment, or start it again")
            self._enter(LOST)
            self._look_after_loss(time.monotonic())

    def on_answer(self, request: str) -> None:
        """The client has the answer to something that is no job."""
        if request == self._shutdown:
            self._shutdown = ""

    def refused(self, cause: str, remedy: str) -> None:
        """The client will not talk to the engine that is there."""
        if self.phase not in (UP, STOPPING):
            self._fail(cause, remedy)

    def look(self) -> None:
        """See how it goes; called now and then while ``waits``."""
        now = time.monotonic()
        if self.phase == STARTING:
            self._look_for_start(now)
        elif self.phase == LOST:
            self._look_after_loss(now)
        elif self.phase == STOPPING:
            self._look_for_end(now)

    # ---- start

    def _begin(self, cause: str = "") -> None:
        self.setup = None
        try:
            self.setup = self._read_setup()
        except SetupError as e:
            # Not the end: an engine may be running all the same.
            self._setup_trouble = e.cause, e.remedy
        try:
            runtime = self.setup.runtime if self.setup is not None else ""
            path = Path(runtime) / "engine.json" if runtime else Path(self._protocol.connection_file())
        except self._protocol.FolderError as e:
            self._fail(e.cause, e.remedy)
            return
        self._connect(path)
        self.cause, self.remedy, self._launched = cause, "", False
        self._enter(STARTING)
        there = self._engine_there()
        self._adopt_until = self._since + (ADOPT_TIMEOUT if there else 0.0)
        if self.phase == STARTING and not there:
            self._launch()

    def _engine_there(self) -> bool:
        """Whether the connection file names a process that lives; gives up where it speaks another protocol."""
        found = self._protocol.read_connection(self._path)
        sandboxed = self.setup is not None and self.setup.command[0] == SANDBOX
        # Out of a sandbox, the numbers of processes mean nothing.
        if found is None or not (sandboxed or self._protocol.pid_alive(found.pid)):
            return False
        if found.protocol != self._protocol.PROTOCOL:
            self.version = found.version
            self._fail(
                tr("the plugin and the engine {version} are of different releases").format(version=found.version),
                tr("close other programs that use the engine, run colorize-install again and start Krita again"),
            )
        return True

    def _launch(self) -> None:
        if self.setup is None:
            self._fail(*self._setup_trouble)
            return
        self._discard()
        self._launched = True
        self._process = EngineProcess(self.setup.command, str(self._path.parent), self._log_folder)

    def _look_for_start(self, now: float) -> None:
        there = self._engine_there()
        if self.phase != STARTING:
            return
        process, waited = self._process, now - self._since
        if process is not None and process.ended():
            if not process.adopted:
                self._fail(*process.why())
                return
            self._adoptions += 1
            self._discard()
        elif process is None and not self._launched and (now >= self._adopt_until or not there):
            # Without a command the one that is there is the only hope.
            if self.setup is not None or not there or waited > START_TIMEOUT:
                self._launch()
        elif process is not None and not there and waited > CONNECTION_FILE_TIMEOUT:
            self._fail(
                tr("the engine runs, but is not to be found in {folder}").format(folder=self._path.parent),
                tr("copy the report and send it to us"),
            )
        elif process is None and self._launched and not there and waited > ADOPT_TIMEOUT:
            # What was adopted has gone before it could be reached, or lives in another folder.
            if self._adoptions < MAX_ADOPTIONS:
                self._begin(self.cause)
            else:
                self._fail(
                    tr("an engine runs, but is not to be found in {folder}").format(folder=self._path.parent),
                    tr("run colorize-install again, then start Krita again"),
                )
        elif waited > START_TIMEOUT:
            self._fail(tr("the engine does not answer"), tr("copy the report and send it to us"))

    def _fail(self, cause: str, remedy: str, pause: float = RETRY_DELAY, code: str = "no_engine") -> None:
        self.cause, self.remedy = cause, remedy
        self._retry_at = time.monotonic() + pause
        if self._process is not None and not self._process.ended():
            self._process.ask_to_end()
        self._discard()
        self._enter(FAILED)
        self._listener.failed(code, cause, remedy)

    # ---- loss

    def _look_after_loss(self, now: float) -> None:
        if self._restart_at:
            if now >= self._restart_at:
                self._begin(self.cause)
            return
        process = self._process
        ended = process is not None and process.ended()
        gone = not self._protocol.pid_alive(self.pid) if self.pid else ended
        # A script that has started the engine needs a moment to end after it, and knows the exit code.
        if gone and (process is None or ended or now - self._since > ADOPT_TIMEOUT):
            self._died(now)
        elif now - self._since > SILENCE_TIMEOUT:
            self._replace()

    def _died(self, now: float) -> None:
        """The engine's process is gone, though nobody here has asked for it."""
        process = self._process
        self._restart_at = now + RESTART_DELAY
        self.remedy = tr("it is started again by itself")
        if process is None or not process.ended() or process.adopted:
            # It was another's, who may just have quit; ours comes in its place.
            self._discard()
            return
        self.cause, remedy = process.why()
        stopped = process.code == 0
        self._discard()
        if stopped and not self._listener.needs_engine():
            self._disconnect()
            self.cause, self.remedy = tr("the engine was stopped from outside"), ""
            self._enter(OFF)
            return
        self._losses.append(now)
        if len(self._losses) == 2 and now - self._losses[0] < LOSS_WINDOW:
            self._fail(self.cause, remedy, LOSS_WINDOW, "engine_gone")

    def _replace(self) -> None:
        """Have another engine take the place of one that runs but does not answer."""
        if self._process is not None:
            self._process.kill()
            self._discard()
        self._begin(self.cause)
        if self.phase == STARTING and not self._launched:
            self._launch()

    # ---- end

    def _look_for_end(self, now: float) -> None:
        waited, process = now - self._since, self._process
        if process is not None:
            gone = process.ended()
        else:
            gone = not self._shutdown and not (self.pid and self._protocol.pid_alive(self.pid))
        if not gone and process is not None and waited < 2 * STOP_TIMEOUT:
            if waited > STOP_TIMEOUT and not self._asked_to_end:
                self._asked_to_end = True
                process.ask_to_end()
            return
        if not gone and process is None and waited < STOP_TIMEOUT:
            return
        if process is not None and not gone:
            process.kill()
        self._discard()
        self._disconnect()
        self.cause = self.remedy = ""
        self._enter(OFF)
        if self._again:
            self._again = False
            self._begin()

    def _enter(self, phase: str) -> None:
        self.phase, self._since, self._restart_at = phase, time.monotonic(), 0.0
        if phase in (OFF, FAILED):
            self.pid = 0

    def _discard(self) -> None:
        """Let go of the process, and keep what it said last."""
        if self._process is not None:
            self._last_output = self._process.last_output() or self._last_output
            self._process.close()
            self._process = None

    # ---- the client

    def _connect(self, path: Path) -> None:
        if self.client is not None and path == self._path:
            return
        self._disconnect()
        self._path = path
        self.client = self._protocol.Client(path)
        self._listener.opened(self.client)

    def _disconnect(self, wait: float = 0.0) -> None:
        if self.client is None:
            return
        self._listener.closing()
        client, self.client = self.client, None
        # Its thread may be packing pixels, which is not for Krita to wait for.
        closer = threading.Thread(target=client.close, name="colorize-close", daemon=True)
        closer.start()
        closer.join(wait)
