"""Writes the report of a curated set: counts, and thumbnails of what was left out and why, in one HTML file."""

from __future__ import annotations

import base64
import io
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment
from PIL import Image

from engine.system.files import atomic_write
from training.curate.decode import Problem, read_head, read_pixels
from training.curate.measure import shrink
from training.curate.options import REASONS, TEST, TRAIN
from training.curate.page import PAGE
from training.curate.pool import Pool
from training.curate.store import show
from training.curate.write import source_path

THUMB = 176
"""Longest side of a thumbnail in pixels; twice what is shown of most, for dense screens."""
UNITS = 30
"""Artists or works that are listed."""


def thumbnail(path: str) -> bytes:
    """A small WebP of a file; empty when it cannot be decoded."""
    try:
        small = Image.fromarray(shrink(read_pixels(Path(path), read_head(Path(path))), 2 * THUMB))
    except (Problem, OSError):
        return b""
    small.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=72, method=4)
    return buffer.getvalue()


def write_report(
    db: sqlite3.Connection,
    roots: Mapping[int, Path],
    file: Path,
    about: Mapping[str, Any],
    each: int,
    pool: Pool,
    tell: Callable[[str, int, int], None],
) -> None:
    """Write the report.

    Args:
        db: the store, decided.
        roots: folders of the sources.
        file: where to.
        about: title, files, seconds, options (list of name and value), dry, digest, warnings, others.
        each: pictures shown for each reason.
        pool: processes that make the thumbnails; those of an earlier report are taken again.
        tell: told of progress.

    Raises:
        OSError: it cannot be written.
    """
    counts = dict(db.execute("SELECT coalesce(reason, split), count(*) FROM files GROUP BY 1").fetchall())
    sections = []
    for key, title in ({TRAIN: "Training set", TEST: "Test set"} | REASONS).items():
        if counts.get(key):
            where = "reason = ?" if key in REASONS else "reason IS NULL AND split = ?"
            # Digests are in no order that means anything, so these are any pictures, and always the same.
            query = f"SELECT * FROM files WHERE {where} ORDER BY sha LIMIT ?"  # noqa: S608
            rows = db.execute(query, (key, each)).fetchall()
            sections.append({"key": key, "title": title, "count": counts[key], "rows": rows})
    wanted = {row["id"]: row for s in sections for row in s["rows"] if row["problem"] is None}
    for row in list(wanted.values()):
        if row["twin"]:
            wanted[row["twin"]] = db.execute("SELECT * FROM files WHERE id = ?", (row["twin"],)).fetchone()
    thumbs = _thumbs(db, roots, wanted, pool, tell)
    for section in sections:
        section["figures"] = [_figure(row, wanted, thumbs) for row in section.pop("rows")]
    units = db.execute(
        "SELECT unit, split, count(*) AS count, group_concat(DISTINCT nullif(licence, '')) AS licences FROM files"
        " WHERE reason IS NULL GROUP BY unit, split ORDER BY count(*) DESC, unit LIMIT ?",
        (UNITS,),
    ).fetchall()
    total_units = db.execute("SELECT count(DISTINCT unit) FROM files WHERE reason IS NULL").fetchone()[0]
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(PAGE)
    with atomic_write(file) as path:
        text = page.render(sections=sections, units=units, total_units=total_units, kept=(TRAIN, TEST), **about)
        path.write_text(text, encoding="utf-8", errors="replace")


def _thumbs(
    db: sqlite3.Connection,
    roots: Mapping[int, Path],
    wanted: Mapping[int, sqlite3.Row],
    pool: Pool,
    tell: Callable[[str, int, int], None],
) -> dict[int, str]:
    """Thumbnails as data URIs by file; made where there is none of that content yet, and kept for the next report."""
    old = {r["id"]: r["data"] for r in db.execute("SELECT * FROM thumbs") if _stamp(wanted.get(r["id"])) == r["stamp"]}
    paths = {source_path(roots, row): number for number, row in wanted.items() if number not in old}
    for done, (path, data) in enumerate(pool.each(thumbnail, list(paths)), 1):
        old[paths[path]] = data or b""
        tell("making thumbnails", done, len(paths))
    db.execute("DELETE FROM thumbs")
    db.executemany("INSERT INTO thumbs VALUES (?, ?, ?)", ((n, _stamp(wanted[n]), d) for n, d in old.items()))
    db.commit()
    return {n: "data:image/webp;base64," + base64.b64encode(d).decode() for n, d in old.items() if d}


def _stamp(row: sqlite3.Row | None) -> str:
    return "" if row is None else f"{row['sha']} {row['size']} {row['mtime']}"


def _figure(row: sqlite3.Row, wanted: Mapping[int, sqlite3.Row], thumbs: Mapping[int, str]) -> dict[str, Any]:
    twin = wanted.get(row["twin"]) if row["twin"] else None
    return {
        "name": show(row["path"]),
        "image": thumbs.get(row["id"]),
        "twin": None if twin is None else {"name": show(twin["path"]), "image": thumbs.get(twin["id"])},
        "why": row["why"] or "",
        "credit": ", ".join(t for t in (row["author"], row["licence"]) if t),
    }
