"""Finds the pictures in the source folders, and what lies beside them about authors and licences.

Folders are read entry by entry and every find goes straight into the store, so that neither deep trees nor folders of a
million files fill the memory. Links to folders are listed and not followed; nothing that cannot be read stops the scan.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from training.curate.credit import LICENCE_FILES, MANIFEST, load_manifest, read_licence
from training.curate.store import Notices, show, stem

SUFFIXES = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".heic",
        ".heif",
        ".jxl",
        ".jp2",
        ".psd",
        ".kra",
        ".xcf",
        ".svg",
        ".tga",
    ]
)
"""What is taken for a picture by its name; what cannot be read among it is reported and not overlooked."""
NOTES = (".json", ".txt")
BATCH = 1000

_FILE = """
INSERT INTO files (source, path, size, mtime, seen, measured, problem, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (source, path) DO UPDATE SET seen = excluded.seen,
  problem = CASE WHEN excluded.measured THEN excluded.problem ELSE problem END,
  detail = CASE WHEN excluded.measured THEN excluded.detail ELSE detail END,
  measured = CASE WHEN excluded.measured THEN 1
    WHEN size = excluded.size AND mtime = excluded.mtime THEN measured ELSE 0 END,
  size = excluded.size, mtime = excluded.mtime
"""
_NOTE = """
INSERT INTO notes (source, stem, path, size, mtime, seen) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (source, stem, path) DO UPDATE SET seen = excluded.seen,
  fields = CASE WHEN size = excluded.size AND mtime = excluded.mtime THEN fields END,
  size = excluded.size, mtime = excluded.mtime
"""


class Scan:
    """One walk over all sources.

    Attributes:
        files: pictures found so far.
        others: files found so far that are neither pictures nor notes about them.
        warnings: what could not be read besides pictures.
    """

    def __init__(self, db: sqlite3.Connection, run: int, target: Path) -> None:
        """Args: the store, the number of this run, and the target, which is left out where it lies in a source."""
        self._db, self._run, self._target = db, run, os.fsencode(os.path.realpath(target))
        self._waiting: list[tuple[object, ...]] = []
        self.files = self.others = 0
        self.warnings = Notices()

    def walk(self, source: int, root: Path) -> Iterator[int]:
        """Go through one source; yields the number of files so far, now and then."""
        base = os.fsencode(root)
        stack = [b""]
        while stack:
            folder = stack.pop()
            try:
                entries = os.scandir(base + b"/" + folder if folder else base)
            except OSError as e:
                self._add(source, folder or b".", f"the folder cannot be listed: {e.strerror}")
                self._keep_below(source, folder)
                continue
            with entries:
                for entry in entries:
                    self._take(source, folder, entry, stack)
                    if len(self._waiting) >= BATCH:
                        self._store()
                        yield self.files
        self._store()
        yield self.files

    def finish(self) -> None:
        """Forget notes that are gone, and let what could not be opened last time be tried again."""
        self._db.execute("DELETE FROM notes WHERE seen <> ?", (self._run,))
        self._db.execute("UPDATE files SET measured = 0 WHERE measured = 2")
        self._db.commit()

    def _take(self, source: int, folder: bytes, entry: os.DirEntry[bytes], stack: list[bytes]) -> None:
        path = folder + b"/" + entry.name if folder else entry.name
        name = entry.name.decode("utf-8", "replace").lower()
        suffix = PurePosixPath(name).suffix
        try:
            if entry.is_dir(follow_symlinks=False):
                if os.path.realpath(entry.path) != self._target:
                    stack.append(path)
                return
            if entry.is_symlink() and entry.is_dir():
                self._add(source, path, "a link to a folder, which is not followed")
            elif name in LICENCE_FILES:
                licence = read_licence(Path(os.fsdecode(entry.path)))
                self._db.execute("INSERT OR REPLACE INTO licences VALUES (?, ?, ?)", (source, folder, licence))
            elif name == MANIFEST:
                load_manifest(self._db, source, folder, Path(os.fsdecode(entry.path)))
            elif suffix in NOTES:
                found = entry.stat()
                self._db.execute(_NOTE, (source, stem(path), path, found.st_size, found.st_mtime_ns, self._run))
            elif suffix not in SUFFIXES:
                self.others += 1
            elif not stat.S_ISREG((found := entry.stat()).st_mode):
                self._add(source, path, "not a file")
            else:
                self.files += 1
                self._waiting.append((source, path, found.st_size, found.st_mtime_ns, self._run, 0, None, None))
        except FileNotFoundError:
            self._add(source, path, "a link to nothing" if entry.is_symlink() else "gone while it was read")
        except (OSError, ValueError) as e:
            if suffix in SUFFIXES:
                self._add(source, path, getattr(e, "strerror", None) or str(e))
            else:
                self.warnings.add(f"{show(entry.path)}: {e}")

    def _add(self, source: int, path: bytes, problem: str) -> None:
        """List what cannot be read at all."""
        self.files += 1
        self._waiting.append((source, path, -1, -1, self._run, 1, "broken", problem))

    def _keep_below(self, source: int, folder: bytes) -> None:
        """What was found earlier in a folder that cannot be listed now is not gone."""
        low, high = (folder + b"/", folder + b"0") if folder else (b"", b"\xff")
        self._db.execute(
            "UPDATE files SET seen = ? WHERE source = ? AND path >= ? AND path < ?", (self._run, source, low, high)
        )

    def _store(self) -> None:
        self._db.executemany(_FILE, self._waiting)
        self._db.commit()
        self._waiting.clear()
