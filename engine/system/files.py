"""Writes files whole or not at all; without torch, numpy and Pillow, so that everybody can use it."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path


def temporary_in(folder: Path) -> Path:
    """A name in a folder that nobody else has.

    Not by ``tempfile``, which tries its names for hours in a folder that Windows lets nobody write to.
    """
    return folder / f".colorize-{secrets.token_hex(6)}.tmp"


@contextlib.contextmanager
def atomic_write(
    path: Path, *, sync: bool = False, mode: int | None = None, folder: Path | None = None
) -> Iterator[Path]:
    """Yield an empty file to write to; it takes the place of ``path`` at the end of the block, or goes away.

    A reader sees the old file or the whole new one. The folder must exist.

    Args:
        path: the file; a link is replaced, not followed.
        sync: wait until the content is on the disk before the file gets its name, so that it also outlives the machine.
        mode: permissions of the file; what the user's umask says without. Until it has its name nobody else can open
            one that is given a mode.
        folder: where the file lies meanwhile, on the same disk; beside ``path`` without.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    temporary = temporary_in(folder or path.parent)
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else 0o600))
        yield temporary
        if sync:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):  # it has its name, or the folder was never writable
            temporary.unlink()
