"""Writes what is in the set: manifest.csv and .parquet, rejected.csv, and dataset.json with one digest of the whole."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.system.files import atomic_write
from training.curate.split import PAIR_LINE
from training.curate.store import PAGE, show

COLUMNS = {
    "file": "out",
    "source_repo": "origin",
    "original_path": "original",
    "commit": "revision",
    "author": "author",
    "license_spdx": "licence",
    "kind": "kind",
    "split": "split",
    "pair_id": "pair",
    "width": "out_width",
    "height": "out_height",
    "note": "note",
    "sha256": "out_sha",
    "group": "unit",
    "source_file": "path",
    "source_sha256": "sha",
}
"""Columns of the manifests, and those of the store; the first twelve are what ``training pack`` reads."""
_NUMBERS = ("width", "height")
REJECTED = ("file", "reason", "detail", "sha256", "author", "license_spdx")


def shown_sources(db: sqlite3.Connection) -> dict[int, str]:
    """What comes before the paths of each source: the name of its folder, or nothing where there is one source only."""
    roots = dict(db.execute("SELECT id, root FROM sources").fetchall())
    return {number: f"{Path(root).name}/" if len(roots) > 1 else "" for number, root in roots.items()}


def kept_rows(db: sqlite3.Connection) -> Iterator[list[dict[str, Any]]]:
    """Rows of the manifest in the order of their files, a page at a time."""
    chosen = ", ".join(f"{column} AS '{name}'" for name, column in COLUMNS.items())
    before = shown_sources(db)
    cursor = db.execute(f"SELECT source, {chosen} FROM files WHERE reason IS NULL AND out <> '' ORDER BY out")  # noqa: S608
    while page := cursor.fetchmany(PAGE):
        rows: list[dict[str, Any]] = [{k: "" if r[k] is None else r[k] for k in COLUMNS} for r in page]
        for row, found in zip(rows, page, strict=True):
            row["source_file"] = before[found["source"]] + show(row["source_file"])
            row["original_path"] = row["original_path"] or row["source_file"]
            row["kind"] = row["kind"] or "illustration"
            if row["kind"].startswith("pair_"):  # an own name for each pair, wherever it came from
                row["pair_id"] = PurePosixPath(row["file"]).stem.removesuffix(PAIR_LINE)
        yield rows


def write_manifests(db: sqlite3.Connection, target: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Write all four files, each whole or not at all.

    Args:
        db: the store, decided and written.
        target: folder of the set.
        about: further entries for dataset.json.

    Returns:
        What dataset.json says: among others ``digest``, the SHA-256 over file, digest, split and licence of all.

    Raises:
        OSError: something cannot be written.
    """
    digest, counts = hashlib.sha256(), {"train": 0, "test": 0}
    schema = pa.schema([(name, pa.int32() if name in _NUMBERS else pa.string()) for name in COLUMNS])
    with contextlib.ExitStack() as stack:
        csv_path, parquet_path = (
            stack.enter_context(atomic_write(target / f"manifest.{s}")) for s in ("csv", "parquet")
        )
        file = stack.enter_context(csv_path.open("w", newline="", encoding="utf-8"))
        parquet = stack.enter_context(pq.ParquetWriter(parquet_path, schema, compression="zstd"))
        table = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        table.writeheader()
        for rows in kept_rows(db):
            table.writerows(rows)
            parquet.write_table(pa.Table.from_pylist(rows, schema))
            for row in rows:
                counts[row["split"]] += 1
                line = (row["file"], row["sha256"], row["split"], row["license_spdx"])
                digest.update(("\0".join(line) + "\n").encode())
    with atomic_write(target / "rejected.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(REJECTED)
        query = (
            "SELECT source, path, reason, why, sha, author, licence FROM files"
            " WHERE reason IS NOT NULL ORDER BY source, path"
        )
        before = shown_sources(db)
        writer.writerows((before[source] + show(path), *rest) for source, path, *rest in db.execute(query))
    about = {"digest": digest.hexdigest(), **counts, **about}
    with atomic_write(target / "dataset.json") as path:
        path.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return about
