"""Changes folders and files together or not at all: built beside, renamed into place, put back when anything fails."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import ColorizeError
from engine.system.files import atomic_write


class Change:
    """Collects what is to be done, tells it, and does it."""

    def __init__(self, staging: Path) -> None:
        """Begin a change.

        Args:
            staging: folder for what is being built, on the same disk as the folders that are replaced. It is there only
                during the change, so one that is there already was left by a change that was cut off.
        """
        self.staging = staging
        self._folders: list[tuple[Path, Callable[[Path], None]]] = []
        self._files: list[tuple[Path, bytes]] = []
        self._gone: list[Path] = []
        self._empty: list[Path] = []

    def folder(self, target: Path, build: Callable[[Path], None]) -> None:
        """Put a folder in place; ``build`` makes it at the path it is given."""
        self._folders.append((target, build))

    def file(self, target: Path, text: bytes) -> None:
        """Put a file in place, unless it is just so already."""
        self._files.append((target, text))

    def remove(self, target: Path) -> None:
        """Take a file or folder away if it is there."""
        self._gone.append(target)

    def remove_if_empty(self, folder: Path) -> None:
        """Take a folder away if nothing is left in it; they are looked at in the order they were named."""
        self._empty.append(folder)

    def describe(self) -> list[str]:
        """What ``apply`` would do, a line each."""
        lines = [f"{'replace' if t.exists() else 'create'} the folder {t}" for t, _ in self._folders]
        for target, text in self._files:
            if _content(target) != text:
                lines.append(f"{'change' if target.exists() else 'create'} the file {target}")
        lines += [f"remove {t}" for t in self._gone if _there(t)]
        return lines + [f"remove the folder {f} if nothing else is in it" for f in self._empty if f.is_dir()]

    def apply(self) -> None:
        """Do it.

        Raises:
            ColorizeError: something cannot be written; all is as it was.
        """
        with readable_trouble(self.staging.parent):
            recover(self.staging)
            with contextlib.ExitStack() as undo:
                self._apply(undo)
                undo.pop_all()  # it is done, so nothing is put back
            shutil.rmtree(self.staging, ignore_errors=True)
            for folder in self._empty:
                _rmdir(folder)

    def _apply(self, undo: contextlib.ExitStack) -> None:
        new, old = self.staging / "new", self.staging / "old"
        _make_folder(self.staging.parent, undo)
        undo.callback(_clear, self.staging)
        new.mkdir(parents=True)
        old.mkdir()
        for target, build in self._folders:
            build(new / target.name)
        for target, _ in self._folders:
            _make_folder(target.parent, undo)
            self._put_aside(target, undo)
            (new / target.name).rename(target)
            undo.callback(_drop, target)
        for target, text in self._files:
            before = _content(target)
            if before != text:
                _make_folder(target.parent, undo)
                undo.callback(_restore, target, before)
                _replace(target, text)
        for target in self._gone:
            self._put_aside(target, undo)

    def _put_aside(self, target: Path, undo: contextlib.ExitStack) -> None:
        if not _there(target):
            return
        if target.is_dir() and not target.is_symlink():
            aside = self.staging / "old" / target.name
            target.rename(aside)
            undo.callback(aside.rename, target)
        elif target.is_symlink():  # an own copy of the plugin somewhere else: only the link goes
            undo.callback(target.symlink_to, target.readlink())
            target.unlink()
        else:
            undo.callback(_restore, target, target.read_bytes())
            target.unlink()


def recover(staging: Path) -> bool:
    """Clear up after a change that was cut off; a folder that had been put aside for its successor comes back.

    Returns:
        Whether there was one.
    """
    if not staging.is_dir():
        return False
    for aside in (staging / "old").glob("*"):
        if not _there(staging.parent / aside.name):
            aside.rename(staging.parent / aside.name)
    shutil.rmtree(staging)
    return True


@contextlib.contextmanager
def readable_trouble(place: Path) -> Iterator[None]:
    """Turn what the system says about files into a cause and a remedy."""
    try:
        yield
    except OSError as e:
        where = e.filename or place
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ColorizeError(f"the disk of {place} is full", "free some space and run this again") from e
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ColorizeError(
                f"{where} cannot be changed ({e.strerror})",
                "mend its permissions, close programs that use it, try again",
            ) from e
        raise ColorizeError(f"{where} cannot be changed ({e.strerror or e})", "mend that and run this again") from e


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _make_folder(folder: Path, undo: contextlib.ExitStack) -> None:
    for missing in reversed([f for f in (folder, *folder.parents) if not f.exists()]):
        missing.mkdir()
        undo.callback(_rmdir, missing)


def _rmdir(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _clear(staging: Path) -> None:
    if not any((staging / "old").glob("*")):  # else what could not be put back waits there for the next run
        shutil.rmtree(staging, ignore_errors=True)


def _drop(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _replace(target: Path, text: bytes) -> None:
    real = Path(os.path.realpath(target))  # a file kept elsewhere by a link stays there
    mode = real.stat().st_mode & 0o7777 if real.exists() else 0o644
    with atomic_write(real, sync=True, mode=mode) as temporary:
        temporary.write_bytes(text)


def _restore(target: Path, before: bytes | None) -> None:
    if before is None:
        target.unlink(missing_ok=True)
    else:
        _replace(target, before)
