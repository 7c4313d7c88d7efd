"""Who made a picture and under which licence: from sidecars, from a manifest, from the LICENSE file of its folder.

Each field comes from the first of these that states it: ``NAME.png.json`` or ``NAME.png.txt`` beside ``NAME.png``,
``NAME.json`` or ``NAME.txt``, the row of a ``manifest.csv`` in its folder or above, and for the licence the nearest
``LICENSE`` or ``COPYING`` file in its folder or above, up to the source.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from training.curate.store import Notices, parent, show, stem

MANIFEST = "manifest.csv"
MAX_NOTE = 1 << 20
"""Bytes of a sidecar or licence that are read."""
LICENCE_FILES = frozenset(n + s for n in ("license", "licence", "copying", "unlicense") for s in ("", ".txt", ".md"))
"""Names, in small letters, of files that hold the licence of their folder."""
NAMES = {
    "author": ("author", "artist", "artists", "creator", "credit", "username", "illustrator"),
    "licence": ("license_spdx", "licence", "license", "rights"),
    "origin": ("source_repo", "source", "source_url", "url", "webpage_url", "origin"),
    "original": ("original_path", "filename"),
    "revision": ("commit", "revision"),
    "work": ("work", "series", "book", "album"),
    "kind": ("kind",),
    "pair": ("pair_id",),
    "given": ("split",),
    "note": ("note",),
}
"""Fields, and what they are called in manifests and sidecars; the first name that is there counts."""
SPLITS = {"train": "train", "training": "train"} | dict.fromkeys(
    ("test", "heldout", "held-out", "val", "valid"), "test"
)
KINDS = ("illustration", "pair_color", "pair_line", "lineart")
UNSTATED = ("", "-", "?", "none", "n/a", "na", "null", "unknown", "unlicensed", "all rights reserved")

_CC = re.compile(r"\b(?:cc|creative commons)?[ -]?(by(?:-nc)?(?:-nd|-sa)?)[ -](\d\.\d)\b")
_CC_WORDS = {"attribution": "by", "noncommercial": "nc", "non-commercial": "nc", "noderivatives": "nd"}
_CC_WORDS |= {"noderivs": "nd", "sharealike": "sa", "share-alike": "sa", "creative commons": "cc"}
_TEXTS = (
    (r"spdx-license-identifier:\s*([\w.+()-]+(?: (?:and|or|with) [\w.+()-]+)*)", None),
    (r"\bcc0\b|creativecommons\.org/publicdomain/zero", "CC0-1.0"),
    (r"public ?domain", "LicenseRef-PublicDomain"),
    (r"permission is hereby granted, free of charge|^mit( license)?$", "MIT"),
    (r"apache(-| license,? )(version )?2(\.0)?", "Apache-2.0"),
    (r"gnu affero general public license[\s\S]{0,80}version 3", "AGPL-3.0-or-later"),
    (r"gnu lesser general public license[\s\S]{0,80}version 3", "LGPL-3.0-or-later"),
    (r"gnu general public license[\s\S]{0,80}version 3", "GPL-3.0-or-later"),
    (r"gnu general public license[\s\S]{0,80}version 2", "GPL-2.0-or-later"),
)
_ID = r"(?:[A-Za-z][\w.+]*-[\w.+-]*\d[\w.+-]*|LicenseRef-[\w.-]+|MIT|ISC|Zlib|Unlicense)"
_SPDX = re.compile(rf"{_ID}(?: (?:AND|OR|WITH) {_ID})*", re.ASCII)


def spdx(text: str) -> str:
    """A licence as an SPDX identifier, from whatever a person or a licence file calls it.

    Returns:
        The identifier, ``LicenseRef-...`` for what is not known here, or nothing where nothing is allowed or stated.
    """
    text = text.strip()
    low = " ".join(text.lower().split())
    if low.rstrip(".") in UNSTATED:
        return ""
    if _SPDX.fullmatch(text):
        return text
    for pattern, name in _TEXTS:
        if found := re.search(pattern, text.lower() if name is None else low):
            return name or text[found.start(1) : found.end(1)]
    for word, short in _CC_WORDS.items():
        low = low.replace(word, short)
    low = re.sub(r"creativecommons\.org/licenses/([a-z-]+)/", r"cc \1 ", low)
    if found := _CC.search(re.sub(r"[ _-]+", "-", low)):
        return f"CC-{found[1].upper()}-{found[2]}"
    return "LicenseRef-" + re.sub(r"[^\w.]+", "-", low[:40], flags=re.ASCII).strip("-")


def fields(given: Mapping[str, Any]) -> dict[str, str]:
    """Pick the fields that are known here out of a sidecar or a manifest's row; empty ones are left out."""
    low = {str(k).strip().lower(): v for k, v in given.items() if k is not None}
    found = {}
    for name, calls in NAMES.items():
        text = next((t for c in calls if (t := _text(low.get(c)))), "")
        if name == "licence":
            text = spdx(text)
        elif name == "given":
            text = SPLITS.get(text.lower(), "")
        elif name == "kind" and text not in KINDS:
            text = ""
        if text:
            found[name] = text
    return found


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        value = next((value[k] for k in ("name", "spdx", "id", "title", "url") if k in value), "")
    if isinstance(value, list):
        return ", ".join(t for t in map(_text, value) if t)
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""


def read_note(path: Path) -> dict[str, str]:
    """The fields of a sidecar: a JSON object, or lines ``Author: NAME`` and so on; other text says nothing.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no UTF-8, or no JSON object where it should be one.
    """
    with path.open("rb") as file:
        text = file.read(MAX_NOTE).decode("utf-8-sig")
    if path.suffix.lower() == ".json":
        try:
            given = json.loads(text)
        except RecursionError as e:
            raise ValueError("nested too deeply") from e
        return fields(given) if isinstance(given, dict) else {}
    lines = (line.partition(":") for line in text.splitlines() if ":" in line)
    return fields({key: value for key, _, value in lines})


def read_licence(path: Path) -> str:
    """The licence that a licence file states, as ``spdx`` gives it.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return spdx(file.read(MAX_NOTE).decode("utf-8", "replace"))


def load_manifest(db: sqlite3.Connection, source: int, folder: bytes, path: Path) -> None:
    """Put the rows of a manifest into the store, streaming.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no CSV in UTF-8, or has no column ``file``.
    """

    def rows(reader: csv.DictReader[str]) -> Iterable[tuple[int, bytes, str]]:
        for row in reader:
            name = os.fsencode(PurePosixPath((row.get("file") or "").replace("\\", "/")))
            yield source, folder + b"/" + name if folder else name, json.dumps(fields(row))

    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if "file" not in (reader.fieldnames or ()):
                raise ValueError("it has no column 'file', so it tells nothing about the pictures")
            db.executemany("INSERT OR REPLACE INTO manifests VALUES (?, ?, ?)", rows(reader))
    except csv.Error as e:
        raise ValueError(str(e)) from e


class Credits:
    """Looks up what is known about a file."""

    def __init__(self, db: sqlite3.Connection, roots: Mapping[int, Path]) -> None:
        """Args: the store after the scan, and the folders of the sources by their numbers."""
        self._db, self._roots = db, roots
        self._folder = lru_cache(maxsize=4096)(self._licence_of)
        self.warnings = Notices()

    def of(self, source: int, path: bytes) -> dict[str, str]:
        """All fields of ``NAMES`` that some place states for a file; the nearest place counts."""
        query = "SELECT * FROM notes WHERE source = ? AND stem IN (?, ?) ORDER BY length(stem), path DESC"
        notes = self._db.execute(query, (source, path, stem(path))).fetchall()
        row = self._db.execute("SELECT fields FROM manifests WHERE source = ? AND path = ?", (source, path)).fetchone()
        known: dict[str, str] = {}
        if licence := self._folder(source, parent(path)):
            known["licence"] = licence
        known |= json.loads(row[0]) if row else {}
        for note in notes:
            known |= self._read(note)
        return known

    def _licence_of(self, source: int, folder: bytes) -> str:
        query = "SELECT licence FROM licences WHERE source = ? AND folder = ?"
        row = self._db.execute(query, (source, folder)).fetchone()
        if row is not None and row[0]:
            return str(row[0])
        return self._folder(source, parent(folder)) if folder else ""

    def _read(self, note: sqlite3.Row) -> dict[str, str]:
        if note["fields"] is None:
            path = self._roots[note["source"]] / os.fsdecode(note["path"])
            try:
                found = read_note(path)
            except (OSError, ValueError) as e:
                self.warnings.add(f"{show(os.fsencode(path))}: {e}")
                return {}
            key = (json.dumps(found), note["source"], note["stem"], note["path"])
            self._db.execute("UPDATE notes SET fields = ? WHERE source = ? AND stem = ? AND path = ?", key)
            return found
        return dict(json.loads(note["fields"]))
