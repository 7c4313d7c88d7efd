"""A study on disk: its design, its raters and their answers in one SQLite file.

What is kept of a rater: a random code, the number in the order of beginning, the tasks and their answers. No name, no
network address, no browser, no language, no time.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import ColorizeError
from training.study.design import Design, plan

FILE = "study.sqlite"
PICTURES = "pictures"
"""Folder of the blinded copies, beside the file."""
APPLICATION = 0x434D4F53
"""SQLite's application id: "CMOS"."""
FORMAT = 1
LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Of a rater's code: none that is read as another."""
CODE = 8
"""Letters of a code: 31^8, some 8.5e11."""
MOST_RATERS = 5000
"""A page that was left open to the world must not fill the disk."""
WAIT = 20.0
"""Seconds to wait for another writer."""

_SCHEMA = """
CREATE TABLE study (token TEXT NOT NULL, title TEXT NOT NULL, mode TEXT NOT NULL, each INTEGER NOT NULL,
                    seed INTEGER NOT NULL);
CREATE TABLE methods (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE drawings (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE pictures (drawing INTEGER NOT NULL REFERENCES drawings, method INTEGER NOT NULL REFERENCES methods,
                       file TEXT NOT NULL UNIQUE, PRIMARY KEY (drawing, method)) WITHOUT ROWID;
CREATE TABLE raters (id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE tasks (rater INTEGER NOT NULL REFERENCES raters, position INTEGER NOT NULL, drawing INTEGER NOT NULL,
                    first INTEGER NOT NULL, second INTEGER, PRIMARY KEY (rater, position),
                    FOREIGN KEY (drawing, first) REFERENCES pictures,
                    FOREIGN KEY (drawing, second) REFERENCES pictures) WITHOUT ROWID;
CREATE TABLE answers (rater INTEGER NOT NULL, position INTEGER NOT NULL, value INTEGER NOT NULL
                      CHECK (value BETWEEN 1 AND 5), PRIMARY KEY (rater, position),
                      FOREIGN KEY (rater, position) REFERENCES tasks) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Session:
    """Where a rater stands: ``done`` of ``total`` tasks, and the first one without an answer (``total`` at the end)."""

    rater: int
    total: int
    done: int
    next: int


@dataclass(frozen=True)
class Shown:
    """A task as the rater sees it.

    Attributes:
        pictures: names of one blinded copy to rate, or of two to choose from.
        answer: what was answered before, if anything.
    """

    pictures: tuple[str, ...]
    answer: int | None

    @property
    def values(self) -> range:
        """What may be answered: 1..5, or 1 for the first and 2 for the second."""
        return range(1, 6) if len(self.pictures) == 1 else range(1, 3)


@dataclass(frozen=True)
class Answer:
    """An answer with the blinding taken off.

    Attributes:
        rater: a label that tells raters apart, and nothing else about them.
        kind: of the task.
        drawing: its name.
        methods: the one that was rated, or the two that were shown, the first one first.
        value: 1..5, or 1 or 2 for the one that was preferred.
    """

    rater: str
    kind: Literal["rating", "pair"]
    drawing: str
    methods: tuple[str, ...]
    value: int


def create(
    folder: Path,
    design: Design,
    methods: Sequence[str],
    drawings: Sequence[str],
    files: dict[tuple[int, int], str],
    title: str,
) -> None:
    """Write a new study into a folder that has none; the copies are the caller's.

    Args:
        folder: where to; it exists.
        design: with as many methods and drawings as are named.
        methods: names.
        drawings: names.
        files: names of the copies by numbers of drawing and method.
        title: shown to raters; may be empty.
    """
    path = folder / FILE
    path.touch(mode=0o600)
    with contextlib.closing(_connect(path)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_SCHEMA)
        with _transaction(db):
            row = (secrets.token_urlsafe(16), title, design.mode, design.each, design.seed)
            db.execute("INSERT INTO study VALUES (?, ?, ?, ?, ?)", row)
            db.executemany("INSERT INTO methods VALUES (?, ?)", enumerate(methods))
            db.executemany("INSERT INTO drawings VALUES (?, ?)", enumerate(drawings))
            db.executemany("INSERT INTO pictures VALUES (?, ?, ?)", [(*key, file) for key, file in files.items()])


class Store:
    """An opened study; may be used by several threads and processes at once.

    Attributes:
        folder: where it lies.
        token: the secret part of the address.
        title: shown to raters; may be empty.
        design: what it asks.
        methods: names, by number.
        drawings: names, by number.
        files: names of the blinded copies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._path = folder, folder / FILE
        if not self._path.is_file():
            raise ColorizeError(f"there is no study in {folder}", "make one with `training study make`")
        with self._open() as db:
            self.token, self.title, mode, each, seed = db.execute("SELECT * FROM study").fetchone()
            self.methods: list[str] = [name for (name,) in db.execute("SELECT name FROM methods ORDER BY id")]
            self.drawings: list[str] = [name for (name,) in db.execute("SELECT name FROM drawings ORDER BY id")]
            self.files = frozenset(file for (file,) in db.execute("SELECT file FROM pictures"))
        self.design = Design(len(self.methods), len(self.drawings), each, mode, seed)

    def begin(self) -> str:
        """Add a rater and their tasks.

        Returns:
            Their code.

        Raises:
            ColorizeError: there are too many raters.
        """
        code = "".join(secrets.choice(LETTERS) for _ in range(CODE))
        with self._open() as db, _transaction(db):
            (rater,) = db.execute("SELECT count(*) FROM raters").fetchone()
            if rater >= MOST_RATERS:
                raise ColorizeError(f"{MOST_RATERS} raters have begun this study", "make another one")
            db.execute("INSERT INTO raters VALUES (?, ?)", (rater, code))
            db.executemany(
                "INSERT INTO tasks VALUES (?, ?, ?, ?, ?)",
                [(rater, n, t.drawing, t.first, t.second) for n, t in enumerate(plan(self.design, rater))],
            )
        return code

    def session(self, code: str) -> Session | None:
        """Where the rater with this code stands, or None if nobody has it."""
        with self._open() as db:
            found = db.execute("SELECT id FROM raters WHERE code = ?", (code,)).fetchone()
            if found is None:
                return None
            total, done, following = db.execute(
                "SELECT count(*), count(value), min(CASE WHEN value IS NULL THEN position END)"
                " FROM tasks LEFT JOIN answers USING (rater, position) WHERE rater = ?",
                found,
            ).fetchone()
        return Session(found[0], total, done, total if following is None else following)

    def task(self, session: Session, position: int) -> Shown | None:
        """One task of a rater, or None if there is no such one or it is not their turn for it yet."""
        if not 0 <= position <= session.next:
            return None
        with self._open() as db:
            row = db.execute(
                "SELECT a.file, b.file, value FROM tasks AS t"
                " JOIN pictures AS a ON a.drawing = t.drawing AND a.method = first"
                " LEFT JOIN pictures AS b ON b.drawing = t.drawing AND b.method = second"
                " LEFT JOIN answers USING (rater, position) WHERE rater = ? AND position = ?",
                (session.rater, position),
            ).fetchone()
        if row is None:
            return None
        first, second, value = row
        return Shown((first,) if second is None else (first, second), value)

    def answer(self, session: Session, position: int, value: int) -> None:
        """Keep an answer, or correct it; when this returns it is on the disk."""
        with self._open() as db:
            db.execute(
                "INSERT INTO answers VALUES (?, ?, ?)"
                " ON CONFLICT (rater, position) DO UPDATE SET value = excluded.value",
                (session.rater, position, value),
            )

    def picture(self, file: str) -> bytes | None:
        """The bytes of a blinded copy, or None if the study has none of that name."""
        return (self.folder / PICTURES / file).read_bytes() if file in self.files else None

    def raters(self) -> dict[str, bool]:
        """Labels of all who answered anything, and whether they finished."""
        with self._open() as db:
            rows = db.execute(
                "SELECT code, count(value) = count(*) FROM raters JOIN tasks ON rater = id"
                " LEFT JOIN answers USING (rater, position) GROUP BY code HAVING count(value) > 0"
            ).fetchall()
        return {self._label(code): bool(finished) for code, finished in rows}

    def answers(self) -> list[Answer]:
        """All answers, ordered by label so that nobody sees in which order the raters came."""
        with self._open() as db:
            rows = db.execute(
                "SELECT code, drawing, first, second, value FROM answers JOIN tasks USING (rater, position)"
                " JOIN raters ON id = rater ORDER BY position"
            ).fetchall()
        found = [
            Answer(
                self._label(code),
                "rating" if second is None else "pair",
                self.drawings[drawing],
                tuple(self.methods[m] for m in (first, second) if m is not None),
                value,
            )
            for code, drawing, first, second, value in rows
        ]
        return sorted(found, key=lambda answer: answer.rater)

    def _label(self, code: str) -> str:
        return hashlib.sha256(f"{self.token} {code}".encode()).hexdigest()[:8]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(_connect(self._path)) as db:
                known = db.execute("PRAGMA application_id").fetchone(), db.execute("PRAGMA user_version").fetchone()
                if known != ((APPLICATION,), (FORMAT,)):
                    raise ColorizeError(f"{self._path} is no study that is known here", "make a new one")
                yield db
        except sqlite3.Error as e:
            raise ColorizeError(f"{self._path} cannot be used: {e}", "see that the disk has space and is local") from e


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA synchronous = FULL")  # in WAL mode anything less may lose answers with the power
    return db


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Take the writer's place at once, so that what is read inside cannot change before it is used."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
