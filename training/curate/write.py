"""Brings the folder of the set in line with what was decided: takes out, writes what is new, leaves the rest alone.

Each picture is written under a temporary name in the working folder and renamed, then noted in the store; so a run that
is killed leaves only whole pictures, and the next one writes those again that were not noted yet.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from engine.errors import ColorizeError
from training.curate.export import SUFFIXES, TEMPORARY, Order, Written, export
from training.curate.options import LINES
from training.curate.pool import Pool
from training.curate.store import COMMIT, pages


def source_path(roots: Mapping[int, Path], row: sqlite3.Row) -> str:
    """Where the file of a row lies."""
    return str(roots[row["source"]] / os.fsdecode(row["path"]))


class Writer:
    """Writes a set.

    Attributes:
        written, removed: how many pictures it has written and taken out.
    """

    def __init__(self, db: sqlite3.Connection, target: Path, roots: Mapping[int, Path], short_side: int) -> None:
        """Args: the store, the folder of the set, the folders of the sources, and the most pixels of a short side."""
        self._db, self._target, self._roots, self._short_side = db, target, roots, short_side
        self.written = self.removed = 0

    def take_out(self, where: str) -> None:
        """Remove the pictures of rows, also such as a killed run wrote and did not note."""
        for page in pages(self._db, "id, out, target", f"target <> '' AND ({where})"):
            for row in page:
                self.removed += bool(row["out"])
                self.forget(row)
            self._db.commit()

    def forget(self, row: sqlite3.Row) -> None:
        """Remove the picture of one row."""
        stem = self._target / row["target"]
        for suffix in SUFFIXES:
            stem.with_name(stem.name + suffix).unlink(missing_ok=True)
        for folder in stem.parents[:2]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        self._db.execute("UPDATE files SET target = '', out = NULL, out_key = NULL WHERE id = ?", (row["id"],))

    def write(self, pool: Pool, tell: Callable[[str, int, int], None]) -> None:
        """Write the pictures that are not there yet.

        Raises:
            ColorizeError: the target cannot be written.
        """
        temporary = self._target / TEMPORARY
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        total = self._db.execute("SELECT count(*) FROM files WHERE reason IS NULL").fetchone()[0]
        for done, (order, result) in enumerate(pool.each(export, self._orders()), 1):
            self._record(order, result)
            if self.written % COMMIT == 0:
                self._db.commit()
            tell("writing the set", self._there + done, total)
        self._db.commit()
        temporary.rmdir()

    def _orders(self) -> Iterator[Order]:
        self._there = 0
        for page in pages(self._db, "*", "reason IS NULL"):
            for row in page:
                if row["out_key"] != self._key(row) or not self._is_there(row):
                    path, line = source_path(self._roots, row), row["kind"] in LINES
                    yield Order(row["id"], path, str(self._target), row["target"], self._short_side, line)
                else:
                    self._there += 1

    def _record(self, order: Order, written: Written | None) -> None:
        written = written or Written(source_problem="writing it ends the process, for want of memory or by a crash")
        if written.target_problem:
            raise ColorizeError(
                f"the set cannot be written: {written.target_problem}", "free some space or mend permissions"
            )
        row = self._db.execute("SELECT * FROM files WHERE id = ?", (order.number,)).fetchone()
        if written.source_problem:
            self.forget(row)
            change = "UPDATE files SET reason = 'broken', why = ?, measured = 2 WHERE id = ?"
            self._db.execute(change, (written.source_problem, order.number))
            return
        if row["out"] and row["out"] != written.out:
            (self._target / row["out"]).unlink(missing_ok=True)
        change = ", ".join(f"{c} = ?" for c in ("out", "out_key", "out_sha", "out_width", "out_height", "out_size"))
        values = (written.out, self._key(row), written.sha, written.width, written.height, written.size)
        self._db.execute(f"UPDATE files SET {change} WHERE id = ?", (*values, order.number))  # noqa: S608
        self.written += 1

    def _is_there(self, row: sqlite3.Row) -> bool:
        try:
            return bool((self._target / row["out"]).stat().st_size == row["out_size"])
        except OSError:
            return False

    def _key(self, row: sqlite3.Row) -> str:
        """What the written picture depends on."""
        return f"{row['sha']} {row['target']} {self._short_side} {row['kind'] in LINES}"
