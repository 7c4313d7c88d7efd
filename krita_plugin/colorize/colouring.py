"""From a press of the button to a result layer: reads the document, asks the engine, puts the answer in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from . import building, history, layers
from .background import Background
from .i18n import tr
from .inputs import Inputs
from .pixels import Picture
from .qt import QtCore, QtGui, Signal

LAYERS = {"layers": ["flats", "shading"], "colour": ["colour"]}
"""What the engine is asked for, by the kind of output."""
PASSED_ON = ("model", "size", "steps", "strength", "guidance")
"""Options that go to the engine as they are."""
PREVIEW = 640
"""Pixels of the longer side of the picture shown in the docker."""


@dataclass(frozen=True)
class Order:
    """One job on its way.

    Attributes:
        inputs: what it is made of.
        options: what was set.
        seed: for models that draw lots.
        apply: put the result into the document.
        live: it only follows the strokes.
    """

    inputs: Inputs
    options: dict[str, Any]
    seed: int = 0
    apply: bool = True
    live: bool = False


class Colouring(QtCore.QObject):
    """Runs jobs for one docker. Every change of a document waits until the artist's stroke has ended."""

    failed = Signal(str, str)
    """Cause and remedy."""
    noted = Signal(str, str)
    """A word that is no failure, and what can be done about it."""
    previewed = Signal(object)
    """A QImage of what is coming."""
    results_changed = Signal()
    live_done = Signal(object, object, object)
    """The order of a live job, its pictures, and a QImage to look at."""
    covered = Signal(object)
    """The first result has come over an opaque lineart of that document."""
    open_changed = Signal()
    """Jobs were begun or have ended."""

    def __init__(self, session: Any, wire: Any, parent: Any = None) -> None:
        super().__init__(parent)
        self.session, self.wire = session, wire
        self.history = history.History()
        self.background = Background(self)
        self.patience = layers.Patience(self)
        self.jobs: dict[str, Order] = {}
        self.preparing = self.arriving = 0
        self._steps: list[Iterator[Any]] = []
        self._generation = 0

    @property
    def busy(self) -> bool:
        """Whether something the artist asked for is under way."""
        return self.preparing + self.arriving > 0 or any(not order.live for order in self.jobs.values())

    def run(self, inputs: Inputs, options: dict[str, Any], variations: int = 1) -> None:
        """Colour; one result is put into the document, several are only offered."""
        seed = int(options.get("seed", 0))
        self._send([Order(inputs, options, seed + i, apply=variations == 1) for i in range(variations)])

    def run_live(self, inputs: Inputs, options: dict[str, Any], digests: dict[str, str]) -> None:
        """Colour for live mode; older live jobs of the document end by it."""
        order = Order(inputs, options, int(options.get("seed", 0)), apply=False, live=True)
        self._submit(order, digests)

    def digests(
        self, inputs: Inputs, then: Callable[[dict[str, str]], None], failed: Callable[[Exception], None] | None = None
    ) -> None:
        """Find the content addresses of all pictures, on another thread."""

        def work() -> dict[str, str]:
            return {role: self.wire.digest(p.width, p.height, p.order, p.view) for role, p in inputs.pictures.items()}

        self.background.run(work, then, failed or self._stumbled)

    def cancel(self) -> None:
        """Give up everything that is under way, also what was not sent yet."""
        self._generation += 1
        self.preparing = 0
        for job in list(self.jobs):
            self.session.cancel(job)
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
        self.jobs.clear()
        self.patience.clear()
        self.background.close()
        for steps in self._steps:
            steps.close()  # type: ignore[attr-defined]
        self._steps.clear()

    # Jobs

    def _send(self, orders: list[Order]) -> None:
        generation = self._generation
        self.preparing += 1
        self.open_changed.emit()

        def ready(digests: dict[str, str]) -> None:
            if generation != self._generation:
                return
            self.preparing -= 1
            for order in orders:
                self._submit(order, digests)

        self.digests(orders[0].inputs, ready)

    def message(
        self, inputs: Inputs, options: dict[str, Any], digests: dict[str, str], seed: int = 0
    ) -> tuple[dict[str, Any], list[Any]]:
        """Body and buffers of a job, as the protocol wants them."""
        body = {key: options[key] for key in PASSED_ON if options.get(key) is not None}
        body.update(width=inputs.width, height=inputs.height, seed=seed, order="BGRA8", trim=True)
        body["layers"] = LAYERS[options.get("output", "layers")]
        buffers = [
            self.wire.Buffer(role, p.width, p.height, p.order, p.x, p.y, digests[role], data=p.view)
            for role, p in inputs.pictures.items()
        ]
        return body, buffers

    def _submit(self, order: Order, digests: dict[str, str]) -> None:
        options = {**order.options, "output": "colour"} if order.live else order.options
        body, buffers = self.message(order.inputs, options, digests, order.seed)
        body["preview"] = not order.live
        if order.live:
            body["slot"] = "live " + order.inputs.document
        job: list[str] = []
        job.append(
            self.session.colorize(
                body,
                buffers,
                lambda outcome: self._ended(job[0], outcome),
                on_preview=lambda body, buffers: self._preview(order, body, buffers),
            )
        )
        self.jobs[job[0]] = order
        self.open_changed.emit()

    def _ended(self, job: str, outcome: Any) -> None:
        order = self.jobs.pop(job, None)
        if order is None:
            return
        if outcome.kind == "error":
            self.failed.emit(outcome.cause, outcome.remedy)
        elif outcome.kind == "result":
            self._take(order, outcome)
        self.open_changed.emit()

    def _take(self, order: Order, outcome: Any) -> None:
        """Make pictures of what came, away from the window's thread: copying and shrinking large ones takes long."""
        generation = self._generation
        self.arriving += not order.live

        def work() -> tuple[dict[str, Picture], Any]:
            pictures = {
                b.role: Picture(bytes(b.pixels()), b.x, b.y, b.width, b.height, b.order) for b in outcome.buffers
            }
            return pictures, history.small_picture(order.inputs, pictures, PREVIEW)

        def then(made: tuple[dict[str, Picture], Any]) -> None:
            self.arriving -= not order.live
            if order.live:
                self.live_done.emit(order, *made)
            elif generation == self._generation:
                self._arrived(order, outcome.body, *made)
            self.open_changed.emit()

        def failed(failure: Exception) -> None:
            self.arriving -= not order.live
            self._stumbled(failure)

        self.background.run(work, then, failed)

    def _arrived(self, order: Order, body: dict[str, Any], pictures: dict[str, Picture], seen: Any) -> None:
        inputs = order.inputs
        smooth, aspect = QtCore.Qt.TransformationMode.SmoothTransformation, QtCore.Qt.AspectRatioMode.KeepAspectRatio
        result = history.Result(
            self.history.next_id(),
            replace(inputs, pictures={}),
            dict(order.options),
            pictures,
            seen.scaled(history.THUMB, history.THUMB, aspect, smooth),
            order.seed,
            float(body.get("seconds", 0.0)),
            str(body.get("note", "")),
        )
        self.history.add(result)
        self.previewed.emit(seen)
        if result.note:
            self.noted.emit(result.note, "")
        if order.apply:
            self._put(result, pictures)
        self.background.run(lambda: history.pack(pictures), lambda packed: self._packed(result, packed), self._stumbled)
        self.results_changed.emit()

    def _packed(self, result: history.Result, packed: dict[str, Picture]) -> None:
        result.packed, result.pictures = packed, {}
        self.history.trim()
        self.results_changed.emit()

    def _preview(self, order: Order, body: dict[str, Any], buffers: list[Any]) -> None:
        if not buffers or order.live:
            return
        seen = buffers[0]
        image = QtGui.QImage(
            bytes(seen.pixels()), seen.width, seen.height, seen.width * 4, QtGui.QImage.Format.Format_RGBA8888
        )
        ground, scale = history.white_ground(order.inputs, PREVIEW)
        painter = QtGui.QPainter(ground)
        x, y, w, h = (body[key] * scale for key in ("x", "y", "width", "height"))
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QtCore.QRectF(x, y, w, h), image)
        painter.end()
        self.previewed.emit(ground)

    def _stumbled(self, failure: Exception) -> None:
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
        if result.pictures:
            self._put(result, result.pictures)
        else:
            packed = result.packed
            self.background.run(
                lambda: history.unpack(packed), lambda pictures: self._put(result, pictures), self._stumbled
            )
        return result

    def _put(self, result: history.Result, pictures: dict[str, Picture]) -> None:
        self.patience.when_free(result.inputs.document, lambda document: self._build(document, result, pictures))

    def _build(self, document: Any, result: history.Result, pictures: dict[str, Picture]) -> None:
        where = self._where(document, result)
        if where is None:
            return
        single = list(pictures) == ["colour"] and not where.multiply
        name = layers.COLOUR if single else layers.RESULT
        steps = building.result_steps(document, pictures, where, building.free_name(document, name))
        self._steps.append(steps)
        QtCore.QTimer.singleShot(0, lambda: self._step(steps, result))

    def _step(self, steps: Iterator[Any], result: history.Result) -> None:
        if steps not in self._steps:
            return
        if self.patience.acting:
            # Not from inside Krita's own loop while it adds a layer.
            QtCore.QTimer.singleShot(layers.WAIT, lambda: self._step(steps, result))
            return
        node = next(steps)
        if node is None:
            QtCore.QTimer.singleShot(0, lambda: self._step(steps, result))
            return
        self._steps.remove(steps)
        self.patience.when_free(result.inputs.document, lambda document: self._add(document, result, node))

    def _add(self, document: Any, result: history.Result, node: Any) -> None:
        where = self._where(document, result)
        if where is None:
            return
        layers.add(document, node, where.parent, where.above)
        result.node = layers.ident(node)
        if where.multiply:
            self.covered.emit(document)
        self.results_changed.emit()

    def _where(self, document: Any, result: history.Result) -> building.Place | None:
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
