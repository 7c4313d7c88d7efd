"""The engine a batch works with: the one that runs, or one of its own that ends with the batch."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import engine
from engine.errors import ColorizeError
from engine.protocol import Client, Event, read_connection
from engine.service import lifecycle

COMING = 180.0
"""Seconds an engine may take until it can work: a cold disk needs long to bring torch in."""
AWAY = 3.0
"""Seconds an engine may be lost before another one is started; whoever uses it may just be restarting it."""
ENDING = 10.0
"""Seconds our own engine has to end."""
STARTS = 3
"""Starts of an engine in one batch."""


class Service:
    """Finds or starts an engine and keeps one there; ``close`` takes its own engine away again.

    Args:
        weights: for an engine that is started, as ``--weights``.
        device: auto, or where the jobs must run.

    Attributes:
        client: to send jobs with.
        own: whether the engine is started by us.
        about: what the engine says of itself; empty until ``meet``.
    """

    def __init__(self, weights: Path | None, device: str) -> None:
        self._weights, self._device = weights, device
        self._folder = lifecycle.folder()
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._starts = 0
        self._away_since: float | None = None
        self.own = False
        self.about: dict[str, Any] = {}
        if lifecycle.find_engine(self._folder) is None:
            self._start()
        self.client = Client(self._folder / "engine.json")

    def meet(self) -> None:
        """Wait for the engine, and check that it does what was asked for.

        Raises:
            ColorizeError: it does not come up, or another one with other options runs already.
        """
        while not self.about:
            self.keep()
            for event in self.client.wait(0.25):
                self.heed(event)
        connection = read_connection(self._folder / "engine.json")
        # Somebody else's may have been quicker than ours.
        self.own = self._child is not None and connection is not None and connection.pid == self._child.pid
        if self.about.get("trouble") and not self.about.get("models"):
            raise ColorizeError(str(self.about["trouble"]), "run `engine doctor`")
        if self.own:
            return
        if self._weights is not None:
            raise ColorizeError(
                "an engine serves already, so --weights has no effect", "leave --weights out, or `engine stop` it first"
            )
        if self._device not in ("auto", self.about.get("device")):
            raise ColorizeError(
                f"an engine serves already, on {self.about.get('device')}, so --device {self._device} has no effect",
                "leave --device out, or `engine stop` it first",
            )

    def heed(self, event: Event) -> None:
        """Look at an event that is not about a job."""
        if event.kind == "welcome" and event.message is not None:
            self.about = event.message.body

    def keep(self) -> None:
        """Start an engine where there is none any more; call it several times a second.

        Raises:
            ColorizeError: none comes up.
        """
        if self.client.state == "ready":
            self._away_since = None
            return
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        away = now - self._away_since
        if away > COMING:
            raise ColorizeError("the engine does not answer", f"look into its log: {lifecycle.log_file()}")
        if self._child is not None:
            code = self._child.poll()
            if code is None:
                return
            # With 0 it has left the work to another engine that was quicker.
            self._child, self.own = None, False
            if code and not self.about:
                raise ColorizeError(*self._last_words(code))
        if away > AWAY and lifecycle.find_engine(self._folder) is None:
            if self._starts >= STARTS:
                raise ColorizeError("the engine stops again and again", f"look into its log: {lifecycle.log_file()}")
            self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "engine.cli", "serve", "--device", self._device]
        # It must not stay when this process is killed.
        command += ["--parent-pid", str(os.getpid())]
        command += ["--weights", str(self._weights.absolute())] if self._weights else []
        environment = dict(os.environ)
        for name in ("COLORIZE_RUNTIME", "COLORIZE_WEIGHTS"):
            if environment.get(name):
                environment[name] = str(Path(environment[name]).absolute())
        # Ctrl-C reaches a whole group of processes; it is for us to end the engine, when it has had its last word.
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        self._close_errors()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (it is read when the process has failed)
        try:
            self._child = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                # -m looks into the current folder first, where anything may lie.
                cwd=Path(engine.__file__).resolve().parent.parent,
                env=environment,
                **options,
            )
        except OSError as e:
            raise ColorizeError(f"the engine cannot be started ({e.strerror or e})", "run `engine doctor`") from e
        self._starts += 1
        self.own = True

    def _last_words(self, code: int) -> tuple[str, str]:
        """Cause and remedy out of what an engine printed that did not come up."""
        assert self._errors is not None  # noqa: S101 (for the type checker)
        self._errors.seek(0)
        lines = self._errors.read()[-4000:].decode("utf-8", "replace").splitlines()
        said = next((line[7:] for line in reversed(lines) if line.startswith("error: ")), "")
        cause, _, remedy = said.partition("; ")
        return cause or f"the engine did not start (exit code {code})", remedy or "run `engine doctor`"

    def _close_errors(self) -> None:
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def close(self) -> None:
        """Leave the engine, and end it if it is ours."""
        self.client.close()
        child, self._child = self._child, None
        if child is None:
            return
        try:
            if child.poll() is not None:
                return
            connection = read_connection(self._folder / "engine.json")
            if connection is None or connection.pid != child.pid or lifecycle.ask(connection, "shutdown") is None:
                child.terminate()
            child.wait(ENDING)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        finally:
            self._close_errors()
