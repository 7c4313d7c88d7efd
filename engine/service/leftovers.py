"""Takes away what an engine has made and nothing else: a name alone does not make a file or a folder its own."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from engine.errors import ColorizeError
from engine.protocol.connection import FILE_NAME, read_connection

SHORT = Path("/tmp")  # noqa: S108 (folders in it are made by mkdtemp: random, with mode 0700)
"""Where sockets lie when the path of the private folder is too long for them."""
_PREFIX = "colorize-"
_FOLDER = re.compile(rf"{_PREFIX}[a-z0-9_]{{8}}")
_SOCKET = re.compile(r"[0-9a-f]{12}\.(jobs|control)(\.full)?")
_FILE = re.compile(rf"exchange-[a-z0-9_]{{8}}\.tmp|\.{re.escape(FILE_NAME)}\.[a-z0-9_]{{8}}")


def make_short_folder() -> Path:
    """A new folder with a short path and mode 0700, for sockets alone.

    Raises:
        ColorizeError: it cannot be made.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=SHORT))
    except OSError as e:
        raise ColorizeError(
            f"no folder for the sockets can be made in {SHORT} ({e.strerror})",
            "set COLORIZE_RUNTIME to a folder with a shorter path",
        ) from e


def remove_short_folder(folder: Path) -> None:
    """Remove a folder of ``make_short_folder`` with its sockets; one that holds anything else stays."""
    if folder.parent != SHORT or not _FOLDER.fullmatch(folder.name):
        return
    with contextlib.suppress(OSError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return
        _remove_sockets(folder)
        folder.rmdir()


def clean_up(where: Path) -> None:
    """Remove what a killed engine has left: sockets, unfinished files and the connection file that names them.

    Call it under ``lifecycle.starting``.

    Args:
        where: the private folder; what else lies there stays, and so does the folder.
    """
    old = read_connection(where / FILE_NAME)
    _remove_sockets(where)
    for path in _entries(where):
        if _FILE.fullmatch(path.name):
            _remove(path, stat.S_ISREG)
    if old is None:
        return
    _remove(where / FILE_NAME, stat.S_ISREG)
    if old.jobs.startswith("ipc://"):
        remove_short_folder(Path(old.jobs[6:]).parent)


def _remove_sockets(folder: Path) -> None:
    for path in _entries(folder):
        if _SOCKET.fullmatch(path.name):
            _remove(path, stat.S_ISSOCK)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _remove(path: Path, is_kind: Callable[[int], bool]) -> None:
    """Unlink a path if it is of the kind that the engine makes under such a name."""
    with contextlib.suppress(OSError):
        if is_kind(path.lstat().st_mode):
            path.unlink()
