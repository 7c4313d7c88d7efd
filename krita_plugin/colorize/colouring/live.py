"""Live mode: notices strokes, undo and redo, and has the picture coloured again.

Krita tells Python of no stroke, but the model behind its history docker is reset by every undoable command, also while
that docker is hidden (the docker passes it on by ``schedule_check``). That only starts a short delay, after which the
pixels decide whether anything has changed. Nothing here waits for a stroke, or cuts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple

from ..document import building, layers
from ..document.inputs import InputError, Inputs
from ..document.pixels import Picture, fill
from ..document.timing import krita_call
from ..engine.later import after
from ..i18n import tr
from ..qt import QtCore, QtGui, Signal
from .colouring import Colouring, Order

if TYPE_CHECKING:
    from krita import Document, Node

CHECK_DELAY_MS = 15
"""Milliseconds after a sign until the pixels are looked at; signs come in twos."""
RECHECK_DELAY_MS = 60
"""Milliseconds until they are looked at again when nothing has changed, or a stroke is under way."""
MAX_RECHECKS = 4
"""How often they are: the pixels of an undo come later than its sign."""
PREVIEW_PAINT_MS = 30
"""Milliseconds until the docker has painted a preview; a layer can wait for that, not the other way round."""

Collect = Callable[["Document"], Tuple[Inputs, Dict[str, Any]]]


class Live(QtCore.QObject):
    """Follows the strokes in the active document while it is on."""

    previewed = Signal(object)
    failed = Signal(str, str)
    """Cause and remedy; empty when what was wrong is mended."""
    layer_lost = Signal()
    """The artist has removed the live layer, so it is not wanted."""

    def __init__(self, colouring: Colouring, collect: Collect, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self.on = False
        self.layer_wanted = False
        self._colouring, self._collect = colouring, collect
        self._delay = QtCore.QTimer(self)
        self._delay.setSingleShot(True)
        self._delay.timeout.connect(self._look)
        self._rechecks = 0
        self._seen: dict[str, Any] = {}
        self._hashing = False
        self._again = False
        self._made: dict[str, str] = {}
        self._shown: dict[str, Picture] = {}
        self._newest: tuple[Order, dict[str, Picture]] | None = None
        colouring.live_done.connect(self._done)
        colouring.covered.connect(self._hide_under_result)

    def start(self) -> None:
        """Follow from now on; the picture is coloured at once."""
        self.on = True
        self._seen.clear()
        self.schedule_check()

    def stop(self) -> None:
        """Off means off: nothing that was begun is shown any more."""
        self.on = False
        self._delay.stop()
        self._newest = None
        self._colouring.cancel_live()

    def schedule_check(self) -> None:
        """Something may have changed: look at the pixels soon."""
        if self.on:
            self._rechecks = MAX_RECHECKS
            self._delay.start(CHECK_DELAY_MS)

    # Looking

    def _look(self) -> None:
        document = layers.active_document() if self.on else None
        if document is None:
            return
        if self._hashing:
            self._again = True
            return
        if not layers.is_free(document):
            self._delay.start(RECHECK_DELAY_MS)
            return
        try:
            inputs, options = self._collect(document)
        except InputError as e:
            if self._seen.get("error") != e.cause:
                self._seen["error"] = e.cause
                self.failed.emit(e.cause, e.remedy)
            return
        if self._seen.pop("error", None) is not None:
            self.failed.emit("", "")
        self._hashing = True
        self._colouring.digests(inputs, lambda digests: self._compare(inputs, options, digests), self._work_failed)

    def _compare(self, inputs: Inputs, options: dict[str, Any], digests: dict[str, str]) -> None:
        self._hashing = False
        if not self.on:
            return
        # Where a layer begins is not in its digest.
        places = {role: (p.x, p.y) for role, p in inputs.pictures.items()}
        state = (digests, places, options)
        if self._seen.get(inputs.document) != state:
            self._seen[inputs.document] = state
            self._rechecks = 0
            self._colouring.run_live(inputs, options, digests)
        elif self._rechecks > 0:
            self._rechecks -= 1
            self._delay.start(RECHECK_DELAY_MS)
        if self._again:
            self._again = False
            self.schedule_check()

    def _work_failed(self, failure: Exception) -> None:
        self._hashing = False
        self.failed.emit(f"{type(failure).__name__}: {failure}", tr("Close other programs if memory is short."))

    # Showing

    def _done(self, order: Order, pictures: dict[str, Picture], seen: QtGui.QImage) -> None:
        if not self.on:
            return
        self.previewed.emit(seen)
        if self.layer_wanted:
            waiting = self._newest is not None
            self._newest = (order, pictures)
            if not waiting:
                key = order.inputs.document
                after(self, PREVIEW_PAINT_MS, lambda: self._colouring.writes.when_free(key, self._show))

    def _show(self, document: Document | None) -> None:
        """Put the newest picture into the live layer; rewriting it is no undo step."""
        newest, self._newest = self._newest, None
        if newest is None or not self.on or document is None:
            return
        inputs, picture = newest[0].inputs, newest[1]["colour"]
        key = inputs.document
        if layers.document_key(document) != key or (document.width(), document.height()) != (
            inputs.width,
            inputs.height,
        ):
            return
        lineart = layers.find(document, inputs.lineart)
        if lineart is None:
            return
        node = layers.find(document, self._made.get(key, ""))
        if node is None and key in self._made:
            del self._made[key]
            self._shown.pop(key, None)
            self.layer_wanted = False
            self.layer_lost.emit()
        elif node is None:
            self._add(document, inputs, lineart, picture)
        else:
            self._rewrite(document, node, key, picture)

    def _add(self, document: Document, inputs: Inputs, lineart: Node, picture: Picture) -> None:
        where = building.place(lineart, inputs.opaque)
        node = document.createNode(layers.LIVE, "paintlayer")
        fill(node, picture)
        node.setLocked(True)
        if where.multiply:
            node.setBlendingMode("multiply")
        layers.add(document, node, where.parent, where.above)
        self._made[inputs.document] = layers.ident(node)
        self._shown[inputs.document] = picture

    def _hide_under_result(self, document: Document) -> None:
        """Hide a live layer that multiplies with a result; the next one goes inside the result's group."""
        key = layers.document_key(document)
        node = layers.find(document, self._made.get(key, ""))
        if node is not None and node.blendingMode() == "multiply":
            node.setVisible(False)
            document.refreshProjection()
            del self._made[key]
            self._shown.pop(key, None)

    def _rewrite(self, document: Document, node: Node, key: str, picture: Picture) -> None:
        before = self._shown.get(key)
        rect = (picture.x, picture.y, picture.width, picture.height)
        if before is not None and (before.x, before.y, before.width, before.height) != rect:
            fill(node, nothing_in(before))
        fill(node, picture)
        self._shown[key] = picture
        with krita_call("refresh"):
            document.refreshProjection()


def nothing_in(picture: Picture) -> Picture:
    """The same rectangle with nothing in it."""
    return Picture(bytes(picture.view.nbytes), picture.x, picture.y, picture.width, picture.height, picture.order)
