"""Colours a range of frames: each by the lineart and the hints that are shown at it, into one animated layer."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..document import building, layers, timeline
from ..document.choices import Chosen
from ..document.inputs import Inputs
from ..document.kra import FrameFile
from ..document.pixels import Picture, canvas, is_opaque
from ..engine.outcome import Outcome
from ..i18n import tr
from ..qt import QtCore, QtWidgets, Signal

if TYPE_CHECKING:
    from typing import TypeGuard

    from krita import Document, Node

    from ..docker import ColorizeDocker

FRAMES = "Colorize frames"
MAX_FRAMES = 5000
"""Frames of one job."""


def ask_for_frames(
    parent: ColorizeDocker, document: Document, chosen: Chosen, options: dict[str, Any], model: dict[str, Any]
) -> Frames | None:
    """Ask which frames, and make the job; None where the artist does not want it or there is no lineart."""
    if layers.find(document, chosen["lineart"]) is None:
        parent.panel.say("error", tr("No lineart is chosen."), tr("Choose the layer with your lines under Layers."))
        return None
    dialog = FrameDialog(parent, document.playBackStartTime(), document.playBackEndTime())
    if not dialog.exec():
        return None
    return Frames(parent, document, chosen, options, model, *dialog.range())


class FrameDialog(QtWidgets.QDialog):
    """Asks for the first and the last frame."""

    def __init__(self, parent: QtWidgets.QWidget, first: int, last: int) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Colour frames"))
        form = QtWidgets.QFormLayout(self)
        note = QtWidgets.QLabel(
            tr(
                "Each frame is coloured by the hints shown at it: give the hint layer key frames where the colours "
                "should change. The result is one animated layer, one step to undo."
            )
        )
        note.setWordWrap(True)
        form.addRow(note)
        self._first, self._last = QtWidgets.QSpinBox(), QtWidgets.QSpinBox()
        for box, name, label, value in (
            (self._first, "first_frame", tr("First frame:"), first),
            (self._last, "last_frame", tr("Last frame:"), last),
        ):
            box.setObjectName(name)
            box.setRange(0, 100000)
            box.setValue(value)
            form.addRow(label, box)
        kinds = QtWidgets.QDialogButtonBox.StandardButton
        buttons = QtWidgets.QDialogButtonBox(kinds.Ok | kinds.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)

    def range(self) -> tuple[int, int]:
        """First and last frame, in that order."""
        first, last = sorted((self._first.value(), self._last.value()))
        return first, min(last, first + MAX_FRAMES - 1)


class Frames(QtCore.QObject):
    """The job. Frames on which nothing changes are coloured once. Until the end nothing is written to the document."""

    finished = Signal(str, str)
    """How it ended, in words, and a remedy if it failed; both empty when it was cancelled."""

    def __init__(
        self,
        docker: ColorizeDocker,
        document: Document,
        chosen: Chosen,
        options: dict[str, Any],
        model: dict[str, Any],
        first: int,
        last: int,
    ) -> None:
        super().__init__(docker)
        self._docker = docker
        self._session = docker.session
        self._document, self._chosen = layers.document_key(document), chosen
        self._options, self._model = {**options, "output": "colour"}, model
        self._size = (document.width(), document.height())
        nodes = [layers.find(document, chosen[role]) for role in ("lineart", "hints")]
        found = [n for n in nodes if n is not None]
        self._frames = sorted(set().union(*(timeline.key_frames(n, first, last) for n in found)))
        self._folder = Path(tempfile.mkdtemp(prefix="colorize-frames-"))
        self._file = FrameFile(self._folder / "frames.kra", *self._size)
        self._coloured = 0
        self._opaque = False
        self._at = 0
        self._job = ""
        self._over = False

    def start(self) -> None:
        """Begin with the first frame."""
        self._next()

    def cancel(self) -> None:
        """Stop; what was coloured so far is thrown away."""
        self._finish("", "")

    def close(self) -> None:
        """The docker or Krita ends."""
        self._over = True
        self._session.cancel(self._job)
        self._clean_up()

    def _next(self) -> None:
        if self._over:
            return
        done, total = self._at, len(self._frames)
        self._docker.panel.say("notice", tr("Frame {n} of {total}").format(n=min(done + 1, total), total=total), "")
        if done == total:
            self._docker.colouring.background.run(self._file.close, lambda _: self._ready(), self._unwritten)
        else:
            self._docker.colouring.writes.when_free(self._document, self._read)

    def _read(self, document: Document | None) -> None:
        """Read the layers at the next frame, and have them coloured."""
        if self._over or not self._there(document):
            return
        frame = self._frames[self._at]
        lineart = layers.find(document, self._chosen["lineart"])
        if lineart is None:
            self._finish(tr("The lineart layer was deleted."), tr("Choose another one and start again."))
            return
        drawing = self._picture(document, lineart, frame)
        if drawing is None:
            # The frame before must not go on to be shown.
            self._keep(frame, Picture(bytes(4), 0, 0, 1, 1))
            return
        self._opaque = self._opaque or is_opaque(drawing)
        pictures = {"lineart": drawing}
        hints = layers.find(document, self._chosen["hints"])
        strokes = self._picture(document, hints, frame) if hints is not None else None
        if strokes is not None and self._model.get("uses_hints", True):
            pictures["hints"] = strokes
        inputs = Inputs(self._document, *self._size, self._chosen["lineart"], self._opaque, pictures)
        colouring = self._docker.colouring
        colouring.digests(inputs, lambda digests: self._send(inputs, digests), self._work_failed)

    def _picture(self, document: Document, node: Node, frame: int) -> Picture | None:
        if timeline.moves_inside(node):
            return timeline.read_group_at(document, node, frame)
        return timeline.read_at(node, canvas(document), frame)

    def _send(self, inputs: Inputs, digests: dict[str, str]) -> None:
        if self._over:
            return
        body, buffers = self._docker.colouring.message(inputs, self._options, digests)
        self._job = self._session.colorize(body, buffers, self._ended)

    def _ended(self, outcome: Outcome) -> None:
        if self._over:
            return
        if outcome.kind == "cancelled":
            self._finish("", "")
        elif outcome.kind == "error":
            self._finish(outcome.cause, outcome.remedy or tr("Start again."))
        else:
            b = outcome.buffers[0]
            self._coloured += 1
            self._keep(self._frames[self._at], Picture(b.pixels(), b.x, b.y, b.width, b.height, b.order))

    def _keep(self, frame: int, picture: Picture) -> None:
        """Write a frame, away from the window's thread."""
        self._docker.colouring.background.run(
            lambda: self._file.add(frame, picture), lambda _: self._kept(), self._unwritten
        )

    def _kept(self) -> None:
        self._at += 1
        QtCore.QTimer.singleShot(0, self._next)

    def _unwritten(self, failure: Exception) -> None:
        self._finish(
            tr("The frames cannot be written to {folder}: {error}").format(folder=str(self._folder), error=failure),
            tr("Free some space on the disk and start again."),
        )

    def _work_failed(self, failure: Exception) -> None:
        self._finish(f"{type(failure).__name__}: {failure}", tr("Start again."))

    def _ready(self) -> None:
        self._docker.colouring.writes.when_free(self._document, self._assemble)

    def _assemble(self, document: Document | None) -> None:
        """Take the animated layer out of the file and put it into the document."""
        if self._over or not self._there(document):
            return
        lineart = layers.find(document, self._chosen["lineart"])
        if lineart is None or not self._coloured:
            self._finish(tr("There is no lineart on these frames."), tr("Choose other frames or another layer."))
            return
        where = building.place(lineart, self._opaque)
        node = building.layer_of(self._file.path, document, building.free_name(document, FRAMES), where)
        if node is None:
            self._finish(tr("Krita could not take the frames."), tr("Start again."))
            return
        layers.add(document, node, where.parent, where.above)
        self._finish(tr("{n} frames are coloured.").format(n=self._coloured), "")

    def _there(self, document: Document | None) -> TypeGuard[Document]:
        if document is None:
            self._finish(tr("The document was closed."), tr("Open it and start again."))
            return False
        if (document.width(), document.height()) != self._size:
            self._finish(tr("The size of the image has changed."), tr("Start again."))
            return False
        return True

    def _finish(self, cause: str, remedy: str) -> None:
        if self._over:
            return
        self._over = True
        self._session.cancel(self._job)
        # In the thread that writes, so that nothing is written after.
        self._docker.colouring.background.run(self._clean_up, lambda _: None, lambda _: None)
        self.finished.emit(cause, remedy)

    def _clean_up(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.abandon()
        shutil.rmtree(str(self._folder), ignore_errors=True)
