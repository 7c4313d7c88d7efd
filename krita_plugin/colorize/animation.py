"""Colours a range of frames: each by the lineart and the hints that are shown at it, into one animated layer."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from . import building, layers, timeline
from .choices import Chosen
from .i18n import tr
from .inputs import Inputs
from .pixels import Picture, canvas, is_opaque
from .qt import QtCore, QtGui, QtWidgets, Signal
from .timing import krita_call

FRAMES = "Colorize frames"
MOST = 5000
"""Frames of one job."""


def ask_for_frames(parent: Any, document: Any, chosen: Chosen, options: dict[str, Any], model: dict[str, Any]) -> Any:
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

    def __init__(self, parent: Any, first: int, last: int) -> None:
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
        return first, min(last, first + MOST - 1)


class Frames(QtCore.QObject):
    """The job. Frames on which nothing changes are coloured once. Until the end nothing is written to the document."""

    finished = Signal(str, str)
    """How it ended, in words, and a remedy if it failed; both empty when it was cancelled."""

    def __init__(
        self,
        docker: Any,
        document: Any,
        chosen: Chosen,
        options: dict[str, Any],
        model: dict[str, Any],
        first: int,
        last: int,
    ) -> None:
        super().__init__(docker)
        self._docker = docker
        self._document, self._chosen = layers.document_key(document), chosen
        self._options, self._model = {**options, "output": "colour"}, model
        self._size = (document.width(), document.height())
        self._time = document.currentTime()
        nodes = [layers.find(document, chosen[role]) for role in ("lineart", "hints")]
        found = [n for n in nodes if n is not None]
        self._frames = sorted(set().union(*(timeline.key_frames(n, first, last) for n in found)))
        self._moving = [n for n in found if timeline.moves_inside(n)]
        self._last = last
        self._folder = Path(tempfile.mkdtemp(prefix="colorize-frames-"))
        self._files: dict[int, str] = {}
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
        """Krita ends."""
        self._over = True
        shutil.rmtree(str(self._folder), ignore_errors=True)

    def _next(self) -> None:
        if self._over:
            return
        done, total = self._at, len(self._frames)
        self._docker.panel.say("notice", tr("Frame {n} of {total}").format(n=min(done + 1, total), total=total), "")
        if done == total:
            self._docker.colouring.patience.when_free(self._document, self._assemble)
        else:
            self._docker.colouring.patience.when_free(self._document, self._go_to)

    def _go_to(self, document: Any) -> None:
        """Show the frame, where a picture can only be read while it is shown."""
        if self._over or not self._there(document):
            return
        if self._moving:
            with krita_call("go to frame"):
                document.setCurrentTime(self._frames[self._at])
        self._docker.colouring.patience.when_free(self._document, self._colour)

    def _colour(self, document: Any) -> None:
        if self._over or not self._there(document):
            return
        frame, whole = self._frames[self._at], canvas(document)
        lineart = layers.find(document, self._chosen["lineart"])
        if lineart is None:
            self._finish(tr("The lineart layer was deleted."), tr("Choose another one and start again."))
            return
        drawing = timeline.read_at(lineart, whole, frame)
        if drawing is None:
            self._skip()
            return
        self._opaque = self._opaque or is_opaque(drawing)
        pictures = {"lineart": drawing}
        hints = layers.find(document, self._chosen["hints"])
        strokes = timeline.read_at(hints, whole, frame) if hints is not None else None
        if strokes is not None and self._model.get("uses_hints", True):
            pictures["hints"] = strokes
        inputs = Inputs(self._document, *self._size, self._chosen["lineart"], self._opaque, pictures)
        colouring = self._docker.colouring
        colouring.digests(inputs, lambda digests: self._send(inputs, digests))

    def _send(self, inputs: Inputs, digests: dict[str, str]) -> None:
        if self._over:
            return
        body, buffers = self._docker.colouring.message(inputs, self._options, digests)
        self._job = self._docker.session.colorize(body, buffers, self._coloured)

    def _coloured(self, outcome: Any) -> None:
        if self._over:
            return
        if outcome.kind == "cancelled":
            self._finish("", "")
        elif outcome.kind == "error":
            self._finish(outcome.cause, outcome.remedy or tr("Start again."))
        else:
            b = outcome.buffers[0]
            picture = Picture(b.pixels(), b.x, b.y, b.width, b.height, b.order)
            name = str(self._folder / f"{self._frames[self._at]:06d}.png")
            self._docker.colouring.background.run(
                lambda: self._save(picture, name), lambda saved: self._kept(name, saved), self._stumbled
            )

    def _save(self, picture: Picture, name: str) -> bool:
        """Write a frame; on the background thread."""
        image = QtGui.QImage(*self._size, QtGui.QImage.Format.Format_ARGB32)
        image.fill(0)
        painter = QtGui.QPainter(image)
        painter.setCompositionMode(QtGui.QPainter.CompositionMode.CompositionMode_Source)
        painter.drawImage(picture.x, picture.y, picture.image())
        painter.end()
        # Hardly any compression: the file is read again in a moment.
        return bool(image.save(name, "PNG", 90))

    def _kept(self, name: str, saved: bool) -> None:
        if not saved:
            self._finish(
                tr("A frame cannot be written to {folder}.").format(folder=str(self._folder)),
                tr("Free some space on the disk and start again."),
            )
            return
        self._files[self._frames[self._at]] = name
        self._skip()

    def _skip(self) -> None:
        self._at += 1
        QtCore.QTimer.singleShot(0, self._next)

    def _stumbled(self, failure: Exception) -> None:
        self._finish(f"{type(failure).__name__}: {failure}", tr("Start again."))

    def _assemble(self, document: Any) -> None:
        """Make one animated layer of all frames and put it into the document."""
        if self._over or not self._there(document):
            return
        lineart = layers.find(document, self._chosen["lineart"])
        if lineart is None or not self._files:
            self._finish(tr("There is no lineart on these frames."), tr("Choose other frames or another layer."))
            return
        # Before the layer comes: going to a frame is a step to undo, and the layer should be the last.
        self._go_back(document)
        files, first, step = self._sequence()
        with building.scratch(document) as aside:
            with krita_call("import frames"):
                made = aside.importAnimation(files, first, step)
                aside.waitForDone()
            node = aside.topLevelNodes()[-1].clone() if made else None
        if node is None:
            self._finish(tr("Krita could not take the frames."), tr("Start again."))
            return
        where = building.place(lineart, self._opaque)
        node.setName(building.free_name(document, FRAMES))
        node.setLocked(True)
        if where.multiply:
            node.setBlendingMode("multiply")
        layers.add(document, node, where.parent, where.above)
        self._finish(tr("{n} frames are coloured.").format(n=len(self._files)), "")

    def _sequence(self) -> tuple[list[str], int, int]:
        """Files in the even steps that Krita's import takes; a frame that is held is in it again."""
        frames = [f for f in self._frames if f in self._files]
        step = timeline.common_step(frames)
        files, held = [], ""
        for frame in range(frames[0], frames[-1] + 1, step):
            held = self._files.get(frame, held)
            files.append(held)
        return files, frames[0], step

    def _there(self, document: Any | None) -> bool:
        if document is None:
            self._finish(tr("The document was closed."), tr("Open it and start again."))
            return False
        if (document.width(), document.height()) != self._size:
            self._finish(tr("The size of the image has changed."), tr("Start again."))
            return False
        return True

    def _go_back(self, document: Any) -> None:
        """Show the frame that was shown at the beginning."""
        if document.currentTime() != self._time:
            document.setCurrentTime(self._time)

    def _finish(self, cause: str, remedy: str) -> None:
        if self._over:
            return
        self._over = True
        if self._job:
            self._docker.session.cancel(self._job)
        document = layers.find_document(self._document)
        if document is not None:
            self._go_back(document)
        shutil.rmtree(str(self._folder), ignore_errors=True)
        self.finished.emit(cause, remedy)
