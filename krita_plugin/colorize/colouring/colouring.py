"""From a press of the button to a result layer: reads the document, asks the engine, puts the answer in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Dict, NamedTuple

from ..document import building, layers
from ..document.inputs import Inputs
from ..document.pixels import Picture
from ..engine.later import after
from ..engine.outcome import Outcome
from ..engine.session import Session
from ..i18n import tr
from ..protocol.settings import SETTINGS
from ..qt import QtCore, QtGui, Signal
from . import history
from .background import Background
from .sheet import Sheet, split

if TYPE_CHECKING:
    from krita import Document, Node

LAYERS = {"layers": ["flats", "shading"], "colour": ["colour"]}
"""What the engine is asked for, by the kind of output."""
PREVIEW_SIDE = 640
"""Pixels of the longer side of the picture shown in the docker, of several variations the longer side of all."""


@dataclass(frozen=True)
class Order:
    """One job on its way.

    Attributes:
        inputs: what it is made of.
        options: what was set.
        variations: how many results to make; a single one is put into the document, several are only offered.
        live: it only follows the strokes.
    """

    inputs: Inputs
    options: dict[str, Any]
    variations: int = 1
    live: bool = False

    @cached_property
    def sheet(self) -> Sheet:
        """What is shown of it on its way."""
        return Sheet(self.inputs.width, self.inputs.height, self.variations, PREVIEW_SIDE)


class Made(NamedTuple):
    """One variation as it came.

    Attributes:
        pictures: by layer.
        packed: the same as zlib, where they came so; else empty.
        seen: a QImage of it with its lines.
    """

    pictures: Dict[str, Picture]
    packed: Dict[str, Picture]
    seen: QtGui.QImage


class Colouring(QtCore.QObject):
    """Runs jobs for one docker. Every change of a document waits until the artist's stroke has ended."""

    failed = Signal(str, str)
    """Cause and remedy."""
    noted = Signal(str, str)
    """A word that is no failure, and what can be done about it."""
    previewed = Signal(object)
    """A QImage to look at, of what has come or is coming; None where there is nothing."""
    results_changed = Signal()
    live_done = Signal(object, object, object)
    """The order of a live job, its pictures, and a QImage to look at."""
    covered = Signal(object)
    """The first result has come over an opaque lineart of that document."""
    open_changed = Signal()
    """Jobs were begun or have ended."""

    def __init__(self, session: Session, protocol: Any, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self.session, self.protocol = session, protocol
        self.history = history.History()
        self.background = Background(self)
        self.writes = layers.WriteQueue(self)
        self.jobs: dict[str, Order] = {}
        self.preparing = self.arriving = 0
        self._steps: list[Iterator[Node | None]] = []
        self._generation = 0
        self._shown: QtGui.QImage | None = None
        self._passing = False

    @property
    def busy(self) -> bool:
        """Whether something the artist asked for is under way."""
        return self.preparing + self.arriving > 0 or any(not order.live for order in self.jobs.values())

    def run(self, inputs: Inputs, options: dict[str, Any], variations: int = 1) -> None:
        """Colour; one result is put into the document, several are only offered."""
        self._send(Order(inputs, options, variations))

    def run_live(self, inputs: Inputs, options: dict[str, Any], digests: dict[str, str]) -> None:
        """Colour for live mode; older live jobs of the document end by it."""
        self._submit(Order(inputs, options, live=True), digests)

    def digests(
        self, inputs: Inputs, then: Callable[[dict[str, str]], None], failed: Callable[[Exception], None] | None = None
    ) -> None:
        """Find the content addresses of all pictures, on another thread."""

        def work() -> dict[str, str]:
            return {
                role: self.protocol.digest(p.width, p.height, p.order, p.view) for role, p in inputs.pictures.items()
            }

        self.background.run(work, then, failed or self._work_failed)

    def cancel(self) -> None:
        """Give up everything that is under way, also what was not sent yet; nothing comes of it any more."""
        self._generation += 1
        self.preparing = 0
        jobs = list(self.jobs)
        self.jobs.clear()
        for job in jobs:
            self.session.cancel(job)
        self._show_finished()
        self.open_changed.emit()

    def cancel_live(self) -> None:
        """Give up live jobs; their results are not wanted any more."""
        for job, order in list(self.jobs.items()):
            if order.live:
                del self.jobs[job]
                self.session.cancel(job)

    def close(self) -> None:
        """End everything quietly; nothing is written to any document any more."""
        self._generation += 1
        jobs = list(self.jobs)
        self.jobs.clear()
        for job in jobs:
            self.session.cancel(job)
        self.writes.clear()
        self.background.close()
        for steps in self._steps:
            steps.close()  # type: ignore[attr-defined]
        self._steps.clear()

    # Jobs

    def _send(self, order: Order) -> None:
        generation = self._generation
        self.preparing += 1
        self.open_changed.emit()

        def ready(digests: dict[str, str]) -> None:
            if generation != self._generation:
                return
            self.preparing -= 1
            self._submit(order, digests)

        self.digests(order.inputs, ready)

    def message(
        self, inputs: Inputs, options: dict[str, Any], digests: dict[str, str], variations: int = 1
    ) -> tuple[dict[str, Any], list[Any]]:
        """Body and buffers of a job, as the protocol wants them."""
        body = {key: value for key, value in options.items() if key in ("model", *SETTINGS) and value is not None}
        # How many are wanted is for the order to say: live mode and frames make one whatever is set.
        body.pop("variations", None)
        body.update(width=inputs.width, height=inputs.height, order="BGRA8", trim=True, clipped=True)
        body["layers"] = LAYERS[options.get("output", "layers")]
        if variations > 1:
            # None of them is wanted at once, and as they are eight large ones would fill the memory.
            body.update(variations=variations, compress=True)
        buffers = [
            self.protocol.Buffer(role, p.width, p.height, p.order, p.x, p.y, digests[role], data=p.view)
            for role, p in inputs.pictures.items()
        ]
        return body, buffers

    def _submit(self, order: Order, digests: dict[str, str]) -> None:
        options = {**order.options, "output": "colour"} if order.live else order.options
        body, buffers = self.message(order.inputs, options, digests, order.variations)
        body["preview"] = not order.live
        if order.live:
            body["slot"] = "live " + order.inputs.document
        job: list[str] = []
        job.append(
            self.session.colorize(
                body,
                buffers,
                lambda outcome: self._ended(job[0], outcome),
                on_preview=lambda body, buffers: self._preview(job[0], body, buffers),
            )
        )
        self.jobs[job[0]] = order
        self.open_changed.emit()

    def _ended(self, job: str, outcome: Outcome) -> None:
        order = self.jobs.pop(job, None)
        if order is None:
            return
        if outcome.kind == "error":
            self.failed.emit(outcome.cause, outcome.remedy)
        if outcome.kind == "result":
            self._take(order, outcome)
        else:
            self._show_finished()
        self.open_changed.emit()

    def _take(self, order: Order, outcome: Outcome) -> None:
        """Make pictures of what came, away from the window's thread: copying and shrinking large ones takes long."""
        # The last first: the list has the newest first, and so shows them in the order of the sheet.
        for place, (seed, buffers) in reversed(list(enumerate(split(outcome.body, outcome.buffers)))):
            self._take_one(order, outcome.body, place, seed, buffers)

    def _take_one(self, order: Order, body: dict[str, Any], place: int, seed: int, buffers: list[Any]) -> None:
        generation = self._generation
        self.arriving += not order.live

        def work() -> Made:
            pictures = {b.role: Picture(bytes(b.pixels()), b.x, b.y, b.width, b.height, b.order) for b in buffers}
            seen = history.small_picture(order.inputs, pictures, PREVIEW_SIDE)
            if order.variations == 1 or any(b.codec != "zlib" for b in buffers):
                return Made(pictures, {}, seen)
            return Made({}, {b.role: replace(pictures[b.role], data=bytes(b.data)) for b in buffers}, seen)

        def then(made: Made) -> None:
            self.arriving -= not order.live
            if order.live:
                self._keep_shown(made.seen)
                self.live_done.emit(order, made.pictures, made.seen)
            elif generation == self._generation:
                self._arrived(order, body, place, seed, made)
            self.open_changed.emit()

        def failed(failure: Exception) -> None:
            self.arriving -= not order.live
            self._work_failed(failure)

        self.background.run(work, then, failed)

    def _arrived(self, order: Order, body: dict[str, Any], place: int, seed: int, made: Made) -> None:
        smooth, aspect = QtCore.Qt.TransformationMode.SmoothTransformation, QtCore.Qt.AspectRatioMode.KeepAspectRatio
        pictures = made.pictures
        result = history.Result(
            self.history.next_id(),
            replace(order.inputs, pictures={}),
            dict(order.options),
            pictures,
            made.seen.scaled(history.THUMBNAIL_SIDE, history.THUMBNAIL_SIDE, aspect, smooth),
            seed,
            float(body.get("seconds", 0.0)),
            str(body.get("note", "")),
            packed=made.packed,
        )
        self.history.add(result)
        order.sheet.draw(place, made.seen)
        self._show(order.sheet.image)
        if result.note:
            self.noted.emit(result.note, "")
        if order.variations == 1:
            self._put(result, pictures)
        if pictures:
            self.background.run(
                lambda: history.pack(pictures), lambda packed: self._packed(result, packed), self._work_failed
            )
        self.results_changed.emit()

    def _packed(self, result: history.Result, packed: dict[str, Picture]) -> None:
        result.packed, result.pictures = packed, {}
        self.history.trim()
        self.results_changed.emit()

    def _preview(self, job: str, body: dict[str, Any], buffers: list[Any]) -> None:
        """Show what is coming: all variations side by side, for the artist to cancel where none will do."""
        order, place = self.jobs.get(job), body.get("variation", 0)
        if not buffers or order is None or place not in range(order.variations):
            return
        seen, sheet = buffers[0], order.sheet
        pixels = bytes(seen.pixels())
        if sheet.lines is None:
            sheet.lines = history.small_lines(order.inputs, sheet.scale)
        image = QtGui.QImage(pixels, seen.width, seen.height, seen.width * 4, QtGui.QImage.Format.Format_RGBA8888)
        sheet.draw(place, image, (body["x"], body["y"], body["width"], body["height"]))
        self._passing = True
        self.previewed.emit(sheet.image)

    def _show(self, image: QtGui.QImage | None) -> None:
        """Show a picture that is finished."""
        self._keep_shown(image)
        self.previewed.emit(image)

    def _keep_shown(self, image: QtGui.QImage | None) -> None:
        self._shown, self._passing = image, False

    def _show_finished(self) -> None:
        """Take a preview away of which nothing has come."""
        if self._passing:
            self._show(self._shown)

    def _work_failed(self, failure: Exception) -> None:
        self.preparing = 0
        self.failed.emit(
            f"{type(failure).__name__}: {failure}", tr("Close other programs if memory is short; else report it.")
        )
        self.open_changed.emit()

    # Layers

    def apply(self, ident: str) -> history.Result | None:
        """Put a result of the list into its document (again); returns it, or None when it is not kept."""
        result: history.Result | None = self.history.find(ident)
        if result is None:
            return None
        self._show(result.thumb)
        if result.pictures:
            self._put(result, result.pictures)
        else:
            packed = result.packed
            self.background.run(
                lambda: history.unpack(packed), lambda pictures: self._put(result, pictures), self._work_failed
            )
        return result

    def _put(self, result: history.Result, pictures: dict[str, Picture]) -> None:
        self.writes.when_free(result.inputs.document, lambda document: self._build(document, result, pictures))

    def _build(self, document: Document | None, result: history.Result, pictures: dict[str, Picture]) -> None:
        where = self._where(document, result)
        if document is None or where is None:
            return
        single = list(pictures) == ["colour"] and not where.multiply
        name = layers.COLOUR if single else layers.RESULT
        steps = building.result_steps(document, pictures, where, building.free_name(document, name))
        self._steps.append(steps)
        after(self, 0, lambda: self._step(steps, result))

    def _step(self, steps: Iterator[Node | None], result: history.Result) -> None:
        if steps not in self._steps:
            return
        if self.writes.acting:
            # Not from inside Krita's own loop while it adds a layer.
            after(self, layers.STROKE_POLL_INTERVAL_MS, lambda: self._step(steps, result))
            return
        node = next(steps)
        if node is None:
            after(self, 0, lambda: self._step(steps, result))
            return
        self._steps.remove(steps)
        self.writes.when_free(result.inputs.document, lambda document: self._add(document, result, node))

    def _add(self, document: Document | None, result: history.Result, node: Node) -> None:
        where = self._where(document, result)
        if document is None or where is None:
            return
        layers.add(document, node, where.parent, where.above)
        result.node = layers.ident(node)
        if where.multiply:
            self.covered.emit(document)
        self.results_changed.emit()

    def _where(self, document: Document | None, result: history.Result) -> building.Place | None:
        """The place of a result; without one says why, and the result stays in the list."""
        inputs = result.inputs
        if document is None:
            self._kept(tr("The document was closed."))
            return None
        if (document.width(), document.height()) != (inputs.width, inputs.height):
            self._kept(tr("The size of the image has changed."))
            return None
        lineart = layers.find(document, inputs.lineart)
        if lineart is None:
            self._kept(tr("The lineart layer was deleted."))
            return None
        return building.place(lineart, inputs.opaque)

    def _kept(self, cause: str) -> None:
        self.noted.emit(cause, tr("The result is kept in the list; nothing was changed."))
