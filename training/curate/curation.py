"""From folders of pictures to a training set: scan, measure, judge, drop near-duplicates, split, write, list.

Each step reads and writes the store (``store``) and works only on what is new to it, so that a run goes on
where another was stopped or killed, and a second one does next to nothing. Judging is apart from measuring: other
thresholds or lists take no second decoding. What is in the set depends on files, options and, among near-duplicates,
on which of them came first: a picture that is in the set stays, for a model may have been trained on it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ColorizeError
from training.curate.credit import Credits
from training.curate.judge import Judge
from training.curate.manifest import write_manifests
from training.curate.measure import Measures, as_row, measure
from training.curate.pool import Pool
from training.curate.scan import Scan
from training.curate.split import PAIR_LINE, split_of, stem_of, unit_of
from training.curate.store import COMMIT, CREDIT, credit_of, get, pages, put, show
from training.curate.twins import drop_duplicates, keep_pairs, partner_of
from training.curate.write import Writer, source_path

Tell = Callable[[str, int, int], None]
"""Told of progress: the step, how many are done, how many there are (0 while nobody knows)."""


@dataclass
class Result:
    """What a run did and found.

    Attributes:
        files: pictures looked at.
        kept: pictures in the set by split.
        rejected: pictures by reason.
        units: artists or works by split.
        measured, written, removed: how many files were new to decode, to write, to take out of the set.
        others: files that are no pictures.
        troubles, warnings: how many sidecars and manifests could not be read, and the first of them in words.
        about: what dataset.json says; empty in a dry run.
    """

    files: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    measured: int = 0
    written: int = 0
    removed: int = 0
    others: int = 0
    warnings: list[str] = field(default_factory=list)
    troubles: int = 0
    about: dict[str, Any] = field(default_factory=dict)


class Curation:
    """One run over some sources.

    Attributes:
        roots: folders of the sources by their numbers in the store.
        result: what was done so far.
    """

    def __init__(self, db: sqlite3.Connection, sources: list[Path], target: Path, judge: Judge, pool: Pool, tell: Tell):
        """Args: the store of the target, the folders, the judge, worker processes, and who is told of progress.

        Raises:
            ColorizeError: the set was also made from folders that are not named now.
        """
        self._db, self._target, self._judge, self._pool, self._tell = db, target, judge, pool, tell
        self._options = judge.options
        self.roots: dict[int, Path] = {}
        for source in sources:
            root = os.path.realpath(source)
            db.execute("INSERT OR IGNORE INTO sources (root) VALUES (?)", (root,))
            number = db.execute("SELECT id FROM sources WHERE root = ?", (root,)).fetchone()[0]
            self.roots[number] = Path(root)
        for number, root in db.execute("SELECT id, root FROM sources"):
            if number not in self.roots:
                remedy = "name it too, or begin a new set in another folder"
                raise ColorizeError(f"{target} was also made from {root}", remedy, wrong_use=True)
        self.result = Result()

    def run(self, *, dry: bool) -> Result:
        """Do all steps; a dry one writes nothing to the target.

        Raises:
            ColorizeError: the target cannot be written.
            OSError: the target cannot be written.
        """
        scan = self._scan()
        credits_ = Credits(self._db, self.roots)
        self._credit(credits_)
        self._measure()
        self._decide()
        drop_duplicates(self._db, self._judge, self._tell)
        keep_pairs(self._db)
        writer = Writer(self._db, self._target, self.roots, self._options.short_side)
        self._place(None if dry else writer)
        if not dry:
            writer.take_out("reason IS NOT NULL")
            self._db.execute("DELETE FROM files WHERE reason = 'gone'")
            self._db.commit()
            writer.write(self._pool, self._tell)
            self.result.written, self.result.removed = writer.written, writer.removed
        self._count()
        if not dry:
            about = {"rejected": self.result.rejected, "units": self.result.units, "options": asdict(self._options)}
            self.result.about = write_manifests(self._db, self._target, about)
        for notices in (scan.warnings, credits_.warnings):
            self.result.troubles += notices.count
            self.result.warnings += notices.texts
        return self.result

    def _scan(self) -> Scan:
        db = self._db
        run = get(db, "run", 0) + 1
        put(db, "run", run)
        db.execute("DELETE FROM manifests")
        db.execute("DELETE FROM licences")
        scan = Scan(db, run, self._target)
        for number, root in self.roots.items():
            for found in scan.walk(number, root):
                self._tell("looking for pictures", found, 0)
        scan.finish()
        db.execute("UPDATE files SET reason = 'gone' WHERE seen <> ?", (run,))
        db.execute("UPDATE files SET reason = NULL WHERE seen = ? AND reason = 'gone'", (run,))
        db.commit()
        self.result.files, self.result.others = scan.files, scan.others
        return scan

    def _credit(self, credits_: Credits) -> None:
        """Look up who made what; decide what need not be decoded."""
        db, change = self._db, ", ".join(f"{c} = ?" for c in CREDIT)
        done = 0
        for page in pages(db, f"id, source, path, sha, {', '.join(CREDIT)}", "reason IS NOT 'gone'"):
            for row in page:
                known = credits_.of(row["source"], row["path"])
                if known != credit_of(row):
                    values = [known.get(c, "") for c in CREDIT]
                    db.execute(f"UPDATE files SET {change} WHERE id = ?", (*values, row["id"]))  # noqa: S608
                reason, why = self._judge.before(row, known) or (None, None)
                db.execute("UPDATE files SET reason = ?, why = ?, twin = NULL WHERE id = ?", (reason, why, row["id"]))
            db.commit()
            done += len(page)
            self._tell("looking up authors and licences", done, self.result.files)

    def _measure(self) -> None:
        db, where = self._db, "measured = 0 AND reason IS NULL"
        total = db.execute(f"SELECT count(*) FROM files WHERE {where}").fetchone()[0]  # noqa: S608
        columns = list(vars(Measures()))
        change = f"UPDATE files SET {', '.join(f'{c} = ?' for c in columns)} WHERE id = ?"  # noqa: S608
        paths: dict[str, list[int]] = {}

        def items() -> Iterator[str]:
            for page in pages(db, "id, source, path", where):
                for row in page:
                    path = source_path(self.roots, row)
                    paths.setdefault(path, []).append(row["id"])
                    yield path

        for path, found in self._pool.each(measure, items()):
            if found is None:
                found = Measures(
                    problem="broken", detail="decoding it ends the process, for want of memory or by a crash"
                )
            values = as_row(found)
            db.execute(change, (*(values[c] for c in columns), paths[path].pop()))
            if not paths[path]:
                del paths[path]
            self.result.measured += 1
            self._tell("measuring", self.result.measured, total)
            if self.result.measured % COMMIT == 0:
                db.commit()
        db.commit()

    def _decide(self) -> None:
        for page in pages(self._db, "*", "reason IS NULL"):
            for row in page:
                if found := self._judge.after(row, credit_of(row)):
                    self._db.execute("UPDATE files SET reason = ?, why = ? WHERE id = ?", (*found, row["id"]))
            self._db.commit()

    def _place(self, writer: Writer | None) -> None:
        """Decide the split, and where each picture goes; what lies elsewhere is taken out, if there is a writer."""
        db = self._db
        for page in pages(db, "*", "reason IS NULL"):
            for row in page:
                # Both of a pair are named for the coloured one.
                partner = partner_of(db, row) if row["kind"] == "pair_line" else None
                lead = row if partner is None else partner
                credit, path = credit_of(lead), show(lead["path"])
                unit = unit_of(credit, path, self.roots[lead["source"]].name, self._options)
                split = split_of(unit, credit.get("given", ""), self._options)
                place = stem_of(path, lead["sha"], unit, split) + (PAIR_LINE if partner is not None else "")
                if writer is not None and row["target"] not in (None, "", place):
                    writer.forget(row)
                if (row["unit"], row["split"], row["target"]) != (unit, split, place):
                    change = "UPDATE files SET unit = ?, split = ?, target = ? WHERE id = ?"
                    db.execute(change, (unit, split, place, row["id"]))
            db.commit()
        db.execute(
            "UPDATE files SET reason = 'near_duplicate', why = 'the same file', target = '', out = NULL"
            " WHERE reason IS NULL AND EXISTS"
            " (SELECT 1 FROM files f INDEXED BY files_target"
            "  WHERE f.target = files.target AND f.target <> '' AND f.reason IS NULL AND f.id < files.id)"
        )
        db.commit()

    def _count(self) -> None:
        seen = "reason IS NOT 'gone'"
        select = self._db.execute
        self.result.rejected = dict(
            select(f"SELECT reason, count(*) FROM files WHERE reason IS NOT NULL AND {seen} GROUP BY reason").fetchall()  # noqa: S608
        )
        kept = "FROM files WHERE reason IS NULL GROUP BY split"
        self.result.kept = dict(select(f"SELECT split, count(*) {kept}").fetchall())
        self.result.units = dict(select(f"SELECT split, count(DISTINCT unit) {kept}").fetchall())
