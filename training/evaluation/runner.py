"""Runs an evaluation: every method on every picture with every number of hints, resumable, in one process or many."""

from __future__ import annotations

import itertools
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ColorizeError
from engine.system.files import atomic_write
from engine.system.progress import ProgressBar
from training.evaluation import metrics
from training.evaluation.heldout import list_pictures, load_picture, varied
from training.evaluation.measure import Facts, Measured, Panel, judge, measure_masked
from training.evaluation.methods import Checkpoint, Coloured, Studio
from training.evaluation.plan import MASK, ORIGINAL, Failures, Findings, Keys, Piece, Plan, Task
from training.evaluation.records import Records
from training.evaluation.tables import count_name
from training.runs.threads import one_thread, use_one_thread

SHEET_PICTURES = 12
BROKEN = (ColorizeError, OSError, ValueError, RuntimeError, cv2.error, Image.DecompressionBombError)
"""What a bad picture can raise; it is counted and listed, and the rest goes on."""


class _Worker:
    """Does tasks; one per process."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self.plan, self.out = plan, out
        self.records = Records(out / "records")
        self.studio = Studio(plan.device)
        self.panel = Panel(plan.judges, plan.device)

    def check(self) -> None:
        """Load every checkpoint, so that a bad one is known before hours of work."""
        for method in self.plan.methods:
            if isinstance(method, Checkpoint):
                self.studio.pipeline(method.weights)

    def do(self, task: Task) -> Failures:
        """Do what is left on one picture and write the records; returns what failed."""
        key = task.source.key
        try:
            facts = Facts(load_picture(task.index, task.source, self.out / "cache"), self.plan.seed)
        except BROKEN as e:
            return [(key, "every method", _reason(e))]
        failures: Failures = []
        for piece in task.pieces:
            failure = self._try(facts, piece, show=task.show)
            if failure is not None:
                failures.append((key, f"{piece.unit.method}, {piece.unit.what}", failure))
        return failures

    def _try(self, facts: Facts, piece: Piece, *, show: bool) -> str | None:
        """Do one piece and write its record; returns why it failed."""
        try:
            measured = self._measure(facts, piece, show=show)
        except BROKEN as e:
            return _reason(e)
        # A folder that cannot be written ends everything.
        self.records.write(piece.unit, piece.key, measured)
        return None

    def _measure(self, facts: Facts, piece: Piece, *, show: bool) -> Measured:
        method, original = piece.method, facts.picture.original
        if method is None:
            features = {(ORIGINAL, eye): found for eye, found in self.panel.features(original).items()}
            cells = (
                {f"{c}/{i}": cell for c in self.plan.counts for i, cell in enumerate(facts.cells(c))} if show else {}
            )
            self._keep({ORIGINAL: (original, 0.0)}, facts, None)
            return Measured(features=features, cells=cells)
        if piece.unit.what == MASK and isinstance(method, Checkpoint):
            pipeline = method.settings.follow(self.studio.pipeline(method.weights))
            row = measure_masked(facts.picture, self.plan.seed, pipeline, method.size, method.settings)
            return Measured(rows=[{"method": method.name, **row}])
        coloured = self.studio.colour(method, facts.picture, facts.hints(piece.count))
        self._keep(coloured, facts, piece.count)
        return judge(facts, piece.count, coloured, self.panel, show=show)

    def _keep(self, coloured: Coloured, facts: Facts, count: int | None) -> None:
        if not self.plan.pictures:
            return
        for output, (result, _) in coloured.items():
            seen = result if count is None else metrics.with_ink(result, facts.picture.lineart)
            path = picture_path(self.out, output, count, facts.picture.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                Image.fromarray(seen).save(temporary, "PNG")


def picture_path(out: Path, output: str, count: int | None, key: str) -> Path:
    """Where a finished picture is kept; None stands for the original."""
    return out / "pictures" / (ORIGINAL if count is None else f"{count_name(count)}-hints/{output}") / f"{key}.png"


def _reason(failure: BaseException) -> str:
    cause = failure.cause if isinstance(failure, ColorizeError) else f"{type(failure).__name__}: {failure}"
    return " ".join(cause.split())


def evaluate(plan: Plan, out: Path, jobs: int = 1, bar: ProgressBar | None = None) -> Findings:
    """Do an evaluation, or the rest of one that was interrupted.

    Results depend on neither ``jobs`` nor where it was interrupted: every process computes with one thread.

    Args:
        plan: what to evaluate.
        out: folder that gets ``records``, ``cache`` and, if wanted, ``pictures``.
        jobs: processes.
        bar: shows how far it is; nothing does without.

    Raises:
        ColorizeError: no such art or weights, the folder cannot be written, or a process died.
    """
    bar = bar or ProgressBar(silent=True)
    listed = list_pictures(plan.art, plan.splits, plan.limit)
    shown = varied([source.image.parent.name for _, source in listed], SHEET_PICTURES)
    with one_thread():
        worker = _Worker(plan, out)
        worker.check()
        failures: Failures = []
        tasks: list[Task] = []
        every: list[Task] = []
        keys = Keys(plan)
        for place, (index, source) in enumerate(listed):
            try:
                pieces = keys.pieces(index, source)
            except ColorizeError as e:
                failures.append((source.key, "every method", e.cause))
                continue
            task = Task(index, source, place in shown, pieces)
            every.append(task)
            left = tuple(p for p in pieces if not _done(worker, p, task))
            if left:
                tasks.append(replace(task, pieces=left))
        if len(every) > len(tasks):
            bar.say(f"{len(every) - len(tasks)} of {len(every)} pictures are done already")
        for number, (task, found) in enumerate(_work(worker, tasks, jobs), 1):
            failures += found
            why = "".join(f"; {who}: {failure}" for _, who, failure in found)
            bar(task.source.key + why, number, len(tasks), each=True)
    findings = _collect(worker.records, every, plan)
    findings.failures = sorted([*failures, *findings.failures])
    findings.measured = sum(len(t.pieces) for t in tasks)
    if not findings.rows:
        what = f" ({findings.failures[0][0]}: {findings.failures[0][2]})" if findings.failures else ""
        raise ColorizeError(f"nothing could be measured{what}", "look at the pictures and the numbers of hints")
    return findings


def _done(worker: _Worker, piece: Piece, task: Task) -> bool:
    """Whether a piece of work has its record, the small pictures for the sheets, and its picture if wanted."""
    found = worker.records.read(piece.unit, piece.key)
    if found is None:
        return False
    if piece.unit.what == MASK:
        return True
    if task.show and not found.cells and (found.rows or piece.method is None):
        return False
    if not worker.plan.pictures:
        return True
    outputs = [r["method"] for r in found.rows] if piece.method else [ORIGINAL]
    count = piece.count if piece.method else None
    return all(picture_path(worker.out, o, count, task.source.key).is_file() for o in outputs)


_worker: _Worker | None = None
"""The worker of this process, when it is one of many."""


def _begin(plan: Plan, out: Path) -> None:
    global _worker
    # Ctrl-C reaches every process of a terminal; only the first one answers, and lets the others finish their picture.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    use_one_thread()
    _worker = _Worker(plan, out)


def _do(task: Task) -> Failures | tuple[str, str]:
    """Do a task; cause and remedy when all must stop, since our errors do not survive the way between processes."""
    if _worker is None:
        raise RuntimeError("this process has no worker")
    try:
        return _worker.do(task)
    except ColorizeError as e:
        return e.cause, e.remedy


def _work(worker: _Worker, tasks: list[Task], jobs: int) -> Iterator[tuple[Task, Failures]]:
    """Do the tasks; yields each with what failed as it is done."""
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, worker.do(task)
        return
    # A fork would inherit the locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    left = iter(tasks)
    with ProcessPoolExecutor(min(jobs, len(tasks)), context, _begin, (worker.plan, worker.out)) as pool:
        # No more than can be worked on, or stopping would have to wait for those that are queued.
        waiting = {pool.submit(_do, task): task for task in itertools.islice(left, jobs)}
        try:
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    task, found = waiting.pop(future), future.result()
                    if isinstance(found, tuple):
                        raise ColorizeError(*found)
                    waiting |= {pool.submit(_do, following): following for following in itertools.islice(left, 1)}
                    yield task, found
        except BrokenProcessPool as e:
            cause = "a process of the evaluation was ended, most likely for want of memory"
            raise ColorizeError(cause, "start it again with fewer --jobs; it goes on where it stopped") from e


def _collect(records: Records, tasks: list[Task], plan: Plan) -> Findings:
    """Read everything back in the order of the pictures."""
    out = Findings()
    for task in tasks:
        key = task.source.key
        cells: dict[int, dict[str, NDArray[np.uint8]]] = {c: {} for c in plan.counts}
        for piece in task.pieces:
            found = records.read(piece.unit, piece.key)
            if found is None:
                continue
            if piece.unit.what == MASK:
                out.masked += found.rows
                continue
            if piece.method is not None:
                out.add(piece.count, found)
                if not found.rows:
                    out.failures.append((key, f"{piece.unit.method}, {piece.unit.what}", "it gave no picture"))
            for (output, eye), values in found.features.items():
                out.features.setdefault((eye, output, piece.count), {})[key] = values
            for name, cell in found.cells.items():
                if piece.method is not None:
                    cells[piece.count][name] = cell
                else:
                    number, _, column = name.partition("/")
                    cells[int(number)][f"{ORIGINAL}/{column}"] = cell
        for count, row in cells.items() if task.show else ():
            if row:
                out.shown.setdefault(count, []).append((key, row))
    return out
