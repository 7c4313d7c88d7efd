"""The working state of `training curate`: one SQLite file in the target, so that memory does not grow with the art.

A row per file holds what was measured, what was decided and what was written. Whoever holds the file open holds it
alone; the lock goes with the process, so that a run that was killed is in nobody's way.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.errors import ColorizeError

STATE = ".curate"
"""Folder of the working state in the target."""
PAGE = 2000
"""Rows in memory at a time."""
COMMIT = 200
"""Files after which the work is safe."""
CREDIT = ("author", "licence", "origin", "original", "revision", "work", "kind", "pair", "given", "note")
"""Columns of what sidecars and manifests state."""
VERSION = 1
"""Of the tables and of what is measured; a state of another version is measured anew."""

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value);
CREATE TABLE IF NOT EXISTS sources (id INTEGER PRIMARY KEY, root TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY, source INTEGER, path BLOB, size INTEGER, mtime INTEGER, seen INTEGER,
  measured INTEGER DEFAULT 0, problem TEXT, detail TEXT, sha TEXT, width INTEGER, height INTEGER, plain TEXT,
  coloured REAL, tint REAL, photo REAL, panels INTEGER, sharpness REAL, phash INTEGER, signature BLOB,
  author TEXT, licence TEXT, origin TEXT, original TEXT, revision TEXT, work TEXT, kind TEXT, pair TEXT, given TEXT,
  note TEXT, reason TEXT, why TEXT, twin INTEGER, unit TEXT, split TEXT, target TEXT,
  out TEXT, out_key TEXT, out_sha TEXT, out_width INTEGER, out_height INTEGER, out_size INTEGER,
  UNIQUE (source, path));
CREATE INDEX IF NOT EXISTS files_reason ON files (reason, sha);
CREATE INDEX IF NOT EXISTS files_target ON files (target) WHERE target <> '';
CREATE INDEX IF NOT EXISTS files_pair ON files (pair) WHERE pair <> '';
CREATE TABLE IF NOT EXISTS notes (
  source INTEGER, stem BLOB, path BLOB, size INTEGER, mtime INTEGER, seen INTEGER, fields TEXT,
  PRIMARY KEY (source, stem, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests (source INTEGER, path BLOB, fields TEXT, PRIMARY KEY (source, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS licences (source INTEGER, folder BLOB, licence TEXT, PRIMARY KEY (source, folder));
CREATE TABLE IF NOT EXISTS thumbs (id INTEGER PRIMARY KEY, stamp TEXT, data BLOB);
"""


def open_store(target: Path, *, dry: bool) -> sqlite3.Connection:
    """Open the state of a target, of which there may be none yet.

    Args:
        target: the folder of the training set.
        dry: work on a copy in a temporary file that SQLite removes, and leave the target as it is.

    Raises:
        ColorizeError: another run is at work on it, it cannot be written, or it is no such state.
    """
    path = target / STATE / "state.sqlite"
    try:
        if dry:
            db = sqlite3.connect("")
            # Even to look at it, SQLite would write beside it; so it looks at a copy.
            with tempfile.TemporaryDirectory() as folder:
                for part in path.parent.glob(f"{path.name}*"):
                    shutil.copy(part, folder)
                with contextlib.closing(sqlite3.connect(Path(folder, path.name))) as copy:
                    copy.backup(db)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(path, timeout=1.0)
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA cache_size=-65536")  # KiB
        db.row_factory = sqlite3.Row
        db.executescript("BEGIN EXCLUSIVE;" + _TABLES + "COMMIT;")
    except sqlite3.OperationalError as e:
        if "locked" in str(e):
            raise ColorizeError(f"another run is at work on {target}", "wait for its end, or stop it") from e
        raise ColorizeError(f"{path} cannot be opened: {e}", "choose another folder or mend its permissions") from e
    except sqlite3.DatabaseError as e:
        raise ColorizeError(f"{path} is damaged: {e}", "delete it; the pictures will be measured anew") from e
    except OSError as e:
        raise ColorizeError(f"{target} cannot be written: {e.strerror}", "choose another folder") from e
    if get(db, "version", VERSION) != VERSION:
        db.execute("UPDATE files SET measured = 0")
    put(db, "version", VERSION)
    return db


def get(db: sqlite3.Connection, key: str, default: Any = None) -> Any:
    """A remembered value."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return default if row is None else row[0]


def put(db: sqlite3.Connection, key: str, value: Any) -> None:
    """Remember a value, and everything done before."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
    db.commit()


def pages(db: sqlite3.Connection, columns: str, where: str, given: Sequence[Any] = ()) -> Iterator[list[sqlite3.Row]]:
    """Rows of ``files`` in the order of their ids, a page at a time; they may be changed in between."""
    # NOT INDEXED: by number, without sorting what an index on something else finds.
    query = f"SELECT {columns} FROM files NOT INDEXED WHERE id > ? AND ({where}) ORDER BY id LIMIT {PAGE}"  # noqa: S608
    last = -1
    while page := db.execute(query, (last, *given)).fetchall():
        yield page
        last = page[-1]["id"]


def parent(path: bytes) -> bytes:
    """The folder of a path in the store, which has slashes everywhere."""
    return path.rpartition(b"/")[0]


def stem(path: bytes) -> bytes:
    """A path without its last suffix; a name that begins with a dot has none."""
    folder, slash, name = path.rpartition(b"/")
    return folder + slash + (name[: name.rindex(b".")] if b"." in name[1:] else name)


def show(path: bytes) -> str:
    """A path for people and manifests: UTF-8, whatever bytes the file system allowed."""
    return path.decode("utf-8", "backslashreplace")


class Notices:
    """What went wrong beside the pictures; the first hundred in words.

    Attributes:
        count: how many there are.
        texts: the first of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.texts) < 100:
            self.texts.append(text)


def credit_of(row: sqlite3.Row) -> dict[str, str]:
    """What is stated about a file, without what is empty."""
    return {c: row[c] for c in CREDIT if row[c]}
