"""The engine's process: started without making Krita wait, asked to end, and what became of it in words.

It knows nothing of the protocol; ``session`` talks to the engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..i18n import tr
from .setup import SANDBOX

LOG_NAME = "engine-start.log"
LOG_BYTES = 128 * 1024
"""A log longer than this is begun anew at the next start."""
TAIL_BYTES = 16 * 1024
SANDBOX_IDLE = 120
"""Seconds without this plugin's ping after which an engine outside a sandbox, which cannot watch Krita, ends."""
_LIBRARIES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "GCONV_PATH", "GIO_MODULE_DIR", "GTK_PATH")
_APP_IMAGE = ("APPDIR", "APPIMAGE", "ARGV0", "OWD")
_STRANGE = ("__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH")


def clean_environment(environment: Mapping[str, str], runtime: str) -> dict[str, str]:
    """The variables for the engine: none that lead another Python or another system's libraries astray.

    Args:
        environment: Krita's own.
        runtime: folder of the connection file, so that both sides look at the same place.
    """
    inside = environment.get("APPDIR", "")
    clean = {}
    for name, value in environment.items():
        if name.startswith(("PYTHON", "DYLD_")) or name in (*_LIBRARIES, *_APP_IMAGE, *_STRANGE):
            continue
        if inside and inside in value:
            # Krita's AppImage puts its own folders first in PATH, XDG_DATA_DIRS and others.
            parts = [p for p in value.split(os.pathsep) if not p.startswith(inside)]
            if not any(parts):
                continue
            value = os.pathsep.join(parts)
        clean[name] = value
    clean["PYTHONUTF8"] = "1"
    clean["COLORIZE_RUNTIME"] = runtime
    return clean


def arguments(command: list[str], parent: int) -> list[str]:
    """The words that have an engine serve until Krita is gone."""
    if command[0] == SANDBOX:
        # Krita's number means nothing out there.
        return [*command, "serve", "--json", "--idle-exit", str(SANDBOX_IDLE)]
    return [*command, "serve", "--json", "--parent-pid", str(parent)]


class EngineProcess:
    """One start of the engine, from the command to the end of the process.

    Args:
        command: its first words.
        runtime: folder of the connection file.
        folder: where its output is kept; a temporary file is used where that cannot be written.
    """

    def __init__(self, command: list[str], runtime: str, folder: Path) -> None:
        self.command = command
        self._environment = clean_environment(os.environ, runtime)
        self._folder = folder
        self._log: Any = None
        self._start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: Exception | None = None
        self._signal = ""
        self._lock = threading.Lock()
        # A big program is slow to fork and a network drive slow to answer: neither may hold Krita up.
        self._starter = threading.Thread(target=self._spawn, name="colorize-start", daemon=True)
        self._starter.start()

    @property
    def pid(self) -> int:
        """Number of the process; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def ended(self) -> bool:
        """Whether the process is over, or could not be started."""
        if self._failure is not None:
            return True
        return self._process is not None and self._process.poll() is not None

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs and where it could not be started."""
        return self._process.poll() if self._process is not None else None

    @property
    def adopted(self) -> bool:
        """Whether it ended because another engine serves already."""
        return self.code == 0 and _said(self.last_output()).get("adopted") is True

    @property
    def serves(self) -> bool:
        """Whether it has become the engine, rather than finding out that there is one."""
        return not self.ended() and _said(self.last_output()).get("adopted") is False

    def why(self) -> tuple[str, str]:
        """Cause and remedy, one line each, once it is over."""
        if self._failure is not None:
            return explain_failure(self._failure, self.command[0])
        return explain_end(self.code or 0, self.last_output(), self.command)

    def last_output(self, count: int = 12) -> list[str]:
        """The last lines it printed."""
        if self._log is None:
            return []
        try:
            size = os.fstat(self._log.fileno()).st_size
            start = max(self._start if self._start <= size else 0, size - TAIL_BYTES)
            text = self._read(start, size - start).decode("utf-8", "replace")
        except (OSError, ValueError):
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]

    def _read(self, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._log.fileno(), count, start)
        # The position is shared with the process, which must go on writing at the end.
        self._log.seek(start)
        data: bytes = self._log.read(count)
        self._log.seek(0, os.SEEK_END)
        return data

    def ask_to_end(self) -> None:
        """Ask the process to end; on Windows it can only be ended."""
        self._send("SIGTERM")

    def kill(self) -> None:
        """End the process by force."""
        self._send("SIGKILL")

    def close(self) -> None:
        """Let go of the log; the process is left alone."""
        with contextlib.suppress(OSError, AttributeError):
            self._log.close()

    def _send(self, name: str) -> None:
        with self._lock:
            # A process that is only just being started gets it then.
            self._signal = name
            self._pass_on()

    def _pass_on(self) -> None:
        process = self._process
        if process is None or not self._signal or process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                process.terminate()
            else:
                # The group: the command may be a script that has started the real one.
                os.killpg(process.pid, getattr(signal, self._signal))

    # ---- the starting thread

    def _spawn(self) -> None:
        self._log = _open_log(self._folder)
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            output: Any = subprocess.DEVNULL
            if self._log is not None:
                self._log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {self.command[0]}\n".encode())
                self._start = os.fstat(self._log.fileno()).st_size
                output = self._log
        except (OSError, ValueError):
            output = subprocess.DEVNULL
        try:
            process = subprocess.Popen(  # noqa: S603 (what the installer or the artist has named)
                arguments(self.command, os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._place(),
                **options,
            )
        except (OSError, ValueError) as e:
            self._failure = e
            return
        with self._lock:
            self._process = process
            self._pass_on()

    def _place(self) -> str:
        """A folder to start in: Python looks for modules there first, so no folder where anything may lie."""
        if self._folder.is_dir():
            return str(self._folder)
        beside = Path(self.command[0]).parent
        return str(beside if beside.is_absolute() and beside.is_dir() else Path.home())


def _open_log(folder: Path) -> Any:
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / LOG_NAME).open("a+b", buffering=0)
        if os.fstat(log.fileno()).st_size > LOG_BYTES:
            log.truncate(0)
        return log
    with contextlib.suppress(OSError):
        return tempfile.TemporaryFile(buffering=0)
    return None


def _said(lines: list[str]) -> dict[str, Any]:
    """The last line that is a JSON map, as the engine prints for programs."""
    for line in reversed(lines):
        if line.startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                said = json.loads(line)
                if isinstance(said, dict):
                    return said
    return {}


def explain_failure(error: Exception, program: str) -> tuple[str, str]:
    """Cause and remedy where the engine's program could not be started at all."""
    remedy = tr("run colorize-install again, or choose the engine's Python in the menu of the docker")
    if isinstance(error, FileNotFoundError):
        return tr("the engine's Python is not there: {program}").format(program=program), remedy
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return tr("the engine's Python cannot be started ({reason}): {program}").format(
        reason=reason, program=program
    ), remedy


def explain_end(code: int, lines: list[str], command: list[str]) -> tuple[str, str]:
    """Cause and remedy of an engine that has ended, from its exit code and its last output."""
    again = tr("start it again; if it happens again, copy the report and send it to us")
    install = tr("run colorize-install again, or choose the engine's Python in the menu of the docker")
    said = _said(lines)
    if said.get("ok") is False and isinstance(said.get("error"), str):
        remedy = said.get("remedy")
        return said["error"], remedy if isinstance(remedy, str) and remedy else again
    text = "\n".join(lines)
    missing = re.search(r"No module named '?([\w.]+)'?", text)
    if missing:
        python = next((word for word in reversed(command) if os.path.isabs(word)), command[0])  # noqa: PTH117
        if missing.group(1).split(".")[0] == "engine":
            return tr("the engine is not installed in {python}").format(python=python), install
        return tr("the engine's Python lacks the module {module}: {python}").format(
            module=missing.group(1), python=python
        ), install
    became = end_in_words(code)
    last = next((line.strip() for line in reversed(lines) if not line.startswith("{")), "")
    cause = f"{became}: {last[:200]}" if last and code > 0 else became
    if code in (-9, 137):
        return cause, tr("close other programs if memory is short, then start it again")
    return cause, again


def end_in_words(code: int) -> str:
    """What an exit code means."""
    if code == 0:
        return tr("the engine was stopped")
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return tr("the engine was ended by {signal}").format(signal=name)
    shown = hex(code) if code > 0xFFFF else str(code)  # Windows has them that long
    return tr("the engine ended with code {code}").format(code=shown)
