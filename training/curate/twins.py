"""What a picture's neighbours decide: near-duplicates go, and a pair's line drawing follows its coloured partner."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import numpy as np

from training.curate.duplicates import HashIndex
from training.curate.judge import Judge
from training.curate.measure import signature_distance
from training.curate.options import LINES
from training.curate.store import PAGE, credit_of, pages, parent, show

RATHER = "out IS NULL, width * height DESC, sha, path"
"""Which of two near-duplicates is kept: one in the set already, then the larger, then any, but always the same."""


def drop_duplicates(db: sqlite3.Connection, judge: Judge, tell: Callable[[str, int, int], None]) -> None:
    """Keep the first of each set of near-duplicates, in the order of ``RATHER``.

    There are no chains: what goes is near to one that is kept. What is on the allow list goes only for its own copy.
    """
    index, done = HashIndex(), 0
    bits = judge.options.duplicate_bits
    marks = ", ".join("?" * len(LINES))
    chosen = f"SELECT id FROM files WHERE reason IS NULL AND coalesce(kind, '') NOT IN ({marks}) ORDER BY {RATHER}"  # noqa: S608
    db.execute("CREATE TEMP TABLE ranked (rank INTEGER PRIMARY KEY, file INTEGER)")
    db.execute(f"INSERT INTO ranked (file) {chosen}", LINES)
    total = db.execute("SELECT count(*) FROM ranked").fetchone()[0]
    while done < total:
        query = "SELECT f.* FROM ranked JOIN files f ON f.id = file WHERE rank > ? AND rank <= ? ORDER BY rank"
        rows = db.execute(query, (done, done + PAGE)).fetchall()
        hashes = np.array([r["phash"] for r in rows], np.int64).view(np.uint64)
        ids = np.array([r["id"] for r in rows], np.int64)
        page = HashIndex()
        page.add(hashes, np.arange(len(rows)))
        near: dict[int, list[int]] = {}
        for i, number in index.near(hashes, bits) + [(i, int(ids[j])) for i, j in page.near(hashes, bits) if j < i]:
            near.setdefault(i, []).append(number)
        dropped: set[int] = set()
        for i, row in enumerate(rows):
            twin = next((t for n in near.get(i, ()) if n not in dropped and (t := _twin(db, judge, row, n))), None)
            if twin is not None:
                dropped.add(row["id"])
                change = "UPDATE files SET reason = 'near_duplicate', twin = ?, why = ? WHERE id = ?"
                db.execute(change, (twin["id"], f"of {show(twin['path'])}", row["id"]))
        kept = np.array([r["id"] not in dropped for r in rows], bool)
        index.add(hashes[kept], ids[kept])
        db.commit()
        done += len(rows)
        tell("looking for near-duplicates", done, total)
    db.execute("DROP TABLE ranked")


def _twin(db: sqlite3.Connection, judge: Judge, row: sqlite3.Row, number: int) -> sqlite3.Row | None:
    """The other row, if a row is its near-duplicate in colour too."""
    other: sqlite3.Row = db.execute("SELECT id, path, sha, signature FROM files WHERE id = ?", (number,)).fetchone()
    if row["sha"] == other["sha"]:
        return other
    if judge.allowed(row, credit_of(row)):
        return None
    near = signature_distance(row["signature"], other["signature"]) <= judge.options.duplicate_colour
    return other if near else None


def keep_pairs(db: sqlite3.Connection) -> None:
    """A line drawing of a pair goes with its coloured partner, or is left out."""
    for page in pages(db, "id, source, path, pair", "reason IS NULL AND kind = 'pair_line'"):
        for row in page:
            if partner_of(db, row) is None:
                why = "no kept pair_color with its pair_id in its folder"
                db.execute("UPDATE files SET reason = 'no_partner', why = ? WHERE id = ?", (why, row["id"]))
    db.commit()


def partner_of(db: sqlite3.Connection, line: sqlite3.Row) -> sqlite3.Row | None:
    """The coloured partner of a line drawing that is kept so far."""
    query = "SELECT * FROM files WHERE pair = ? AND source = ? AND kind = 'pair_color' AND reason IS NULL"
    rows = db.execute(query, (line["pair"], line["source"])) if line["pair"] else ()
    return next((r for r in rows if parent(r["path"]) == parent(line["path"])), None)
