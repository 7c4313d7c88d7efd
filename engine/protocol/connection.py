"""The connection file: how a client finds the engine, and the private folder the file and the sockets lie in.

The engine writes the file when it is ready; whoever can read it may talk to the engine, so nobody but the user can.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "engine.json"
MAX_FILE = 64 * 1024
"""Bytes of a connection file; more is not one."""


class FolderError(Exception):
    """The folder for the connection file and the sockets cannot be used.

    Attributes:
        cause: what is wrong, one line, naming the folder.
        remedy: what to do about it.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause, self.remedy = cause, remedy


@dataclass
class Connection:
    """Where an engine listens and what it takes to talk to it.

    Attributes:
        pid: of the engine.
        jobs: endpoint of the jobs socket, ``ipc://...`` or ``tcp://...``.
        control: endpoint of the control socket.
        protocol: major version of the protocol.
        version: release of the engine.
        session: of the engine; another one means another engine.
        started: seconds since 1970.
        server_key: public CURVE key of the engine, Z85; empty for ipc.
        client_public: public CURVE key for clients of this engine; empty for ipc.
        client_secret: its secret half; never printed.
        process_start: when the process of that pid started, in the system's own counting, as text; empty where it is
            not known. With another one the pid is of another process.
        runtime: absolute path of the folder the file was written to; empty in files of older engines.
    """

    pid: int
    jobs: str
    control: str
    protocol: int
    version: str
    session: str
    started: float
    server_key: str = ""
    client_public: str = ""
    client_secret: str = ""
    process_start: str = ""
    runtime: str = ""

    def __repr__(self) -> str:
        """Without the keys, so that no log or traceback shows them."""
        return f"Connection(pid={self.pid}, jobs={self.jobs!r}, control={self.control!r}, session={self.session!r})"


def _default_folder() -> Path:
    # The same folders as for weights and settings; repeated here, as is writing whole or not at all below, because this
    # package is bundled into Krita, whose Python has the standard library alone.
    if os.environ.get("COLORIZE_RUNTIME"):
        # What is named by hand may be relative; what is written into the connection file may not.
        return Path(os.environ["COLORIZE_RUNTIME"]).absolute()
    if sys.platform == "win32":
        return (_from_environment("LOCALAPPDATA") or _home()) / "colorize" / "run"
    runtime = _from_environment("XDG_RUNTIME_DIR")
    if runtime is not None:
        return runtime / "colorize"
    if sys.platform == "darwin":
        return _home() / "Library" / "Application Support" / "colorize" / "run"
    return (_from_environment("XDG_DATA_HOME") or _home() / ".local" / "share") / "colorize" / "run"


def _from_environment(name: str) -> Path | None:
    """The folder a variable names; None where it names none or, against the custom of XDG, a relative one."""
    folder = Path(os.environ.get(name, ""))
    return folder if folder.is_absolute() else None


def _home() -> Path:
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        home = Path()
    if not home.is_absolute():
        raise FolderError("the user's home folder is not known", "set HOME or COLORIZE_RUNTIME to a folder of your own")
    return home


def runtime_folder() -> Path:
    """The user's private folder for the connection file and the sockets; made with mode 0700 where it is missing.

    ``$COLORIZE_RUNTIME``, else ``$XDG_RUNTIME_DIR/colorize``, else ``run`` in the user's data folder.

    Raises:
        FolderError: it cannot be made, is no folder, belongs to someone else or is open to others, or the user has no
            home folder to put it in.
    """
    folder = _default_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        # Not through a link: what it points to could be swapped after the check.
        found = folder.lstat()
    except OSError as e:
        raise FolderError(
            f"the folder {folder} cannot be made ({e.strerror or e})",
            "free the name, or set COLORIZE_RUNTIME to a folder of your own",
        ) from e
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError(f"{folder} is no folder", "move it away, or set COLORIZE_RUNTIME to a folder of your own")
    if sys.platform != "win32":
        if found.st_uid != os.geteuid():
            raise FolderError(
                f"the folder {folder} belongs to another user (number {found.st_uid})",
                "set COLORIZE_RUNTIME to a folder of your own",
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise FolderError(
                f"the folder {folder} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
                f"close it with: chmod 700 '{folder}'",
            )
    return folder


def connection_file() -> Path:
    """Path of the connection file; the file need not exist.

    Raises:
        FolderError: see ``runtime_folder``.
    """
    return runtime_folder() / FILE_NAME


def write_connection(connection: Connection, path: Path | None = None) -> None:
    """Write the connection file: mode 0600, and a reader sees the old file or the whole new one.

    Raises:
        FolderError: see ``runtime_folder``.
        OSError: the disk is full, or the like; the old file is still there.
    """
    path = connection_file() if path is None else Path(path)
    # mkstemp makes the file with mode 0600.
    handle, name = tempfile.mkstemp(dir=str(path.parent), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as f:
            json.dump(asdict(connection), f, indent=1)
            f.flush()
            os.fsync(f.fileno())
        os.replace(name, str(path))  # noqa: PTH105 (the name is a text)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def _private(found: os.stat_result) -> bool:
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE:
        return False
    if sys.platform == "win32":
        return True
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _parse(values: Any) -> Connection | None:
    """A connection out of JSON; None where a value is missing or of another type. Unknown values are ignored."""
    if not isinstance(values, dict):
        return None
    texts = ("jobs", "control", "version", "session")
    optional = ("server_key", "client_public", "client_secret", "process_start", "runtime")
    if any(not isinstance(values.get(k), str) or not values[k] for k in texts):
        return None
    if any(not isinstance(values.get(k, ""), str) for k in optional):
        return None
    if any(not values[k].startswith(("ipc://", "tcp://")) for k in ("jobs", "control")):
        return None
    for k in ("pid", "protocol"):
        if not isinstance(values.get(k), int) or isinstance(values[k], bool) or not 0 < values[k] < 2**31:
            return None
    started = values.get("started")
    if not isinstance(started, (int, float)) or isinstance(started, bool) or not math.isfinite(started):
        return None
    good: dict[str, Any] = {k: values[k] for k in (*texts, "pid", "protocol")}
    return Connection(**good, started=float(started), **{k: values.get(k, "") for k in optional})


def read_connection(path: Path | None = None) -> Connection | None:
    """Read the connection file; None where there is none, or it is broken, somebody else's or open to others.

    Raises:
        FolderError: no path was given, and see ``runtime_folder``.
    """
    path = connection_file() if path is None else Path(path)
    try:
        with path.open("rb") as f:
            if not _private(os.fstat(f.fileno())):
                return None
            text = f.read(MAX_FILE)
        return _parse(json.loads(text.decode("utf-8")))
    except (OSError, ValueError, RecursionError, OverflowError):
        return None


def remove_connection(session: str, path: Path | None = None) -> None:
    """Remove the connection file, but only if it is still the one of that session.

    Raises:
        FolderError: no path was given, and see ``runtime_folder``.
    """
    path = connection_file() if path is None else Path(path)
    found = read_connection(path)
    if found is not None and found.session == session:
        with contextlib.suppress(OSError):
            path.unlink()


def pid_alive(pid: int) -> bool:
    """Whether a process of that number runs; a dead one that its parent has not yet reaped (a zombie) does not."""
    if pid <= 0:
        return False
    if sys.platform == "win32":
        return _pid_alive_windows(pid)
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:  # noqa: PTH123
            # The name in brackets may hold anything, also brackets and spaces.
            return f.read(1024).rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return True


def _pid_alive_windows(pid: int) -> bool:
    # os.kill(pid, 0) would end the process there.
    import ctypes

    kernel: Any = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    synchronize, timeout = 0x00100000, 0x102
    handle = kernel.OpenProcess(synchronize, False, pid)
    if not handle:
        access_denied = 5
        return bool(kernel.GetLastError() == access_denied)
    try:
        return bool(kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) == timeout)
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))
