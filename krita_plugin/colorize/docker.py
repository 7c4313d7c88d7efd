"""The docker inside Krita: joins the widgets to the document, the engine and live mode."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from krita import Canvas, DockWidget, Document, Krita, Node

from . import settings, shared
from .colouring.animation import Frames, ask_for_frames
from .colouring.colouring import Colouring
from .colouring.history import Result
from .colouring.live import Live
from .document import brush, building, layers
from .document.choices import Choices
from .document.inputs import InputError, Inputs, collect
from .document.pixels import SRGB
from .i18n import tr
from .protocol.settings import SETTINGS
from .qt import QtCore, QtGui, QtWidgets, not_none
from .widgets.options import worded
from .widgets.panel import LayerItem, Panel, ResultItem

TREE_POLL_INTERVAL_MS = 1000
"""Milliseconds between looks at the layer tree, for which Krita has no signal; only while somebody looks."""
UNDESCRIBED_SETTINGS = ("size", "variations", "seed")
"""Settings that a result is not described by: the picture's own size and seed say it."""
KINDS = {"paintlayer": "paint", "grouplayer": "group", "vectorlayer": "vector"}


class ColorizeDocker(DockWidget):
    """The docker "Colorize"."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Colorize")
        self.protocol, self.session = shared.engine()
        self.choices = Choices()
        self.panel = Panel(self)
        self.setWidget(self.panel)
        self.colouring = Colouring(self.session, self.protocol, self)
        self.live = Live(self.colouring, self._live_inputs, self)
        self.frames: Frames | None = None
        self._drawn: tuple[Any, ...] | None = None
        self._hooked = False
        self._was_open = False
        self._prepared = ""
        self._tree_poll = QtCore.QTimer(self)
        self._tree_poll.setInterval(TREE_POLL_INTERVAL_MS)
        self._tree_poll.timeout.connect(self._poll_tree)
        self._tree_poll.start()
        self._end = shared.ending(self)
        for call in (self.colouring.close, self.live.stop, self._tree_poll.stop):
            self._end.callback(call)
        self._connect()
        self.panel.set_status(self.session.status)
        self.panel.set_sections(settings.read("sections", {}))
        self.panel.set_options(settings.read("options", {}))

    def canvasChanged(self, _canvas: Canvas | None) -> None:  # noqa: N802 (Krita's name)
        """Another view is shown, or the last was closed. Krita calls this often, and early."""
        QtCore.QTimer.singleShot(0, self.refresh)

    def _connect(self) -> None:
        panel, colouring = self.panel, self.colouring
        shared.listen(self._end, self.session.changed, self._show_status)
        shared.listen(self._end, self.session.models_changed, self._show_models)
        panel.start_clicked.connect(self.session.start)
        panel.stop_clicked.connect(self._stop_engine)
        panel.report_clicked.connect(self.copy_report)
        panel.cancel_clicked.connect(self.cancel)
        panel.colorize_clicked.connect(self.colorize)
        panel.continue_clicked.connect(self.continue_from_here)
        panel.new_set_clicked.connect(self.new_set)
        panel.picked.connect(self._pick)
        panel.options_changed.connect(self._keep_options)
        panel.sections_changed.connect(lambda: settings.write("sections", panel.sections()))
        panel.live_toggled.connect(self.set_live)
        panel.live_layer_toggled.connect(self._set_live_layer)
        panel.result_activated.connect(self._apply)
        panel.tidy_clicked.connect(self.remove_older)
        panel.frames_clicked.connect(self.colour_frames)
        panel.manual_clicked.connect(_open_manual)
        panel.setup_clicked.connect(self._choose_python)
        colouring.failed.connect(lambda cause, remedy: panel.say("error", cause, remedy))
        colouring.noted.connect(lambda cause, remedy: panel.say("notice", cause, remedy))
        colouring.previewed.connect(panel.set_preview)
        colouring.results_changed.connect(self._show_results)
        self.live.previewed.connect(panel.set_preview)
        self.live.failed.connect(lambda cause, remedy: panel.say("error" if cause else "", cause, remedy))
        self.live.layer_lost.connect(lambda: panel.set_live(self.live.on, False))

    # What the artist does

    def colorize(self) -> None:
        """Colour the active document."""
        self._run(go_on=False)

    def continue_from_here(self) -> None:
        """Colour the masked part anew, with the present picture as context."""
        self._run(go_on=True)

    def cancel(self) -> None:
        """Give up what is under way; live mode goes off too."""
        if self.frames is not None:
            self.frames.cancel()
        self.colouring.cancel()
        if self.live.on:
            self.set_live(False)

    def new_set(self) -> None:
        """Add hint and mask layers over the lineart as one undo step, and get ready to draw hints."""
        document = layers.active_document()
        if document is not None:
            self.colouring.writes.when_free(layers.document_key(document), self._new_set)

    def set_live(self, on: bool) -> None:
        """Follow the strokes, or stop at once."""
        if on and layers.active_document() is None:
            on = False
        self.panel.set_live(on, self.live.layer_wanted)
        if on:
            self.panel.say("", "")
            self.live.start()
        else:
            self.live.stop()

    def toggle_live(self) -> None:
        """The other of on and off."""
        self.set_live(not self.live.on)

    def copy_report(self) -> None:
        """Put a text about what is installed and what happened on the clipboard."""
        about = {
            "krita": str(Krita.instance().version()),
            "qt": str(QtCore.QT_VERSION_STR),
            "python": sys.version.split()[0],
            "system": platform.platform(),
        }
        not_none(QtWidgets.QApplication.clipboard()).setText(self.session.report(about))
        self.panel.say("notice", tr("The report is on the clipboard."), tr("It holds no picture and no keys."))

    def remove_older(self) -> None:
        """Remove all results but the topmost; each is a step to undo."""
        document = layers.active_document()
        if document is not None:
            self.colouring.writes.when_free(layers.document_key(document), self._remove_older)

    def colour_frames(self) -> None:
        """Colour a range of frames of an animation."""
        document = layers.active_document()
        if document is None or self.frames is not None:
            return
        chosen = self.choices.of(document)
        self.frames = ask_for_frames(self, document, chosen, self.panel.options(), self._model())
        if self.frames is not None:
            self.panel.set_cancellable(True)
            self._end.callback(self.frames.close)
            self.frames.finished.connect(self._frames_finished)
            self.frames.start()

    def refresh(self) -> None:
        """Show the document as it is now."""
        document = layers.active_document()
        self.panel.set_document(document is not None)
        if document is None:
            if self.live.on:
                self.set_live(False)
            return
        self._watch()
        if not self._was_open and self.isVisible():
            self._was_open = True
            self.session.start()
        self._prepare(layers.document_key(document))
        items, applied = _describe(document)
        chosen = self.choices.of(document)
        state = (layers.document_key(document), items, sorted(chosen.items()))
        if state != self._drawn:
            if self._drawn is not None and self._drawn[0] != state[0]:
                self.live.schedule_check()
            self._drawn = state
            self.panel.set_layers(items, chosen)
            self.choices.forget_closed([layers.document_key(d) for d in Krita.instance().documents()])
            self._show_results(applied)

    # Inside

    def _prepare(self, key: str) -> None:
        """Have the model ready for a picture that is new here, once there is an engine: it may have been given back."""
        name = self._model().get("name", "") if self.session.status.state == "ready" else ""
        if name and self._prepared != key:
            self._prepared = key
            self.session.prepare(name)

    def _poll_tree(self) -> None:
        if self.isVisible() or self.live.on:
            self.refresh()

    def _run(self, go_on: bool) -> None:
        document = layers.active_document()
        if document is None:
            return
        if self.colouring.busy:
            self.panel.say("notice", tr("The last picture is still on its way."), tr("Cancel ends it."))
            return
        self.panel.say("", "")
        options = self.panel.options()
        try:
            inputs = collect(document, self.choices.of(document), self._model(), go_on)
        except InputError as e:
            self.panel.say("error", e.cause, e.remedy)
            return
        self.colouring.run(inputs, options, int(options.get("variations", 1)))

    def _live_inputs(self, document: Document) -> tuple[Inputs, dict[str, Any]]:
        # Only one can be followed, so how many Colorize makes changes nothing here.
        options = {key: value for key, value in self.panel.options().items() if key != "variations"}
        return collect(document, self.choices.of(document), self._model()), options

    def _model(self) -> dict[str, Any]:
        name = self.panel.options().get("model", "")
        return next((m for m in self.session.models if m.get("name") == name), {})

    def _new_set(self, document: Document | None) -> None:
        if document is None:
            return
        chosen = self.choices.of(document)
        lineart = layers.find(document, chosen["lineart"]) or document.activeNode()
        if lineart is None:
            self.panel.say("error", tr("There is no layer to colour."), tr("Add a layer with your lineart first."))
            return
        was_grey = document.colorModel() == "GRAYA"
        if was_grey:
            # Strokes and results on it would be grey too.
            document.setColorSpace("RGBA", document.colorDepth(), SRGB)
        group = building.colouring_set(document, building.free_name(document, layers.SET))
        hints, mask = (not_none(building.child(group, name)) for name in (layers.HINTS, layers.MASK))
        top = _outermost(document, lineart)
        layers.add(document, group, layers.root(document), top, lambda: self._select(document, layers.ident(hints)))
        values = {"lineart": layers.ident(lineart), "hints": layers.ident(hints), "mask": layers.ident(mask)}
        self.choices.choose(document, values)
        brush.ready_for_hints(document)
        self.panel.say("", "")
        if was_grey:
            self.panel.say(
                "notice",
                tr("The image was in shades of grey. It is RGB now, so that it can hold colours."),
                tr("Undo twice if you do not want that."),
            )
        self.refresh()

    def _select(self, document: Document, uid: str) -> None:
        try:
            node = layers.find(document, uid)
        except layers.DELETED_HANDLE_ERRORS:
            return
        if node is not None:
            document.setActiveNode(node)

    def _remove_older(self, document: Document | None) -> None:
        if document is None:
            return
        results = [n for n, _ in layers.walk(layers.root(document)) if layers.is_result(n) and n.name() != layers.LIVE]
        for node in results:
            inside = [n for n in node.childNodes() if layers.is_result(n) and n.name() != layers.LIVE]
            if inside:
                # Over an opaque lineart the newer results are in the group of the first.
                newest = layers.ident(inside[-1])
                for older in node.childNodes():
                    if older.name() != layers.LIVE and layers.ident(older) != newest:
                        older.remove()
                break
        else:
            for node in results[1:]:
                node.remove()
        self.refresh()

    def _pick(self, role: str, value: str) -> None:
        document = layers.active_document()
        if document is not None:
            self.choices.choose(document, {role: value})
            self.panel.say("", "")
            self.live.schedule_check()
            QtCore.QTimer.singleShot(0, self.refresh)

    def _keep_options(self) -> None:
        settings.write("options", self.panel.options())
        self.live.schedule_check()

    def _set_live_layer(self, on: bool) -> None:
        self.live.layer_wanted = on
        if on and self.live.on:
            self.live.start()

    def _apply(self, ident: str) -> None:
        self.panel.say("", "")
        result = self.colouring.apply(ident)
        if result is not None:
            # One of several was chosen: the next press should make that one again.
            self.panel.set_options({**result.options, "seed": result.seed, "variations": 1})
            settings.write("options", self.panel.options())

    def _show_status(self) -> None:
        self.panel.set_status(self.session.status)

    def _show_models(self) -> None:
        self.panel.set_models(self.session.models)
        self.panel.set_options(settings.read("options", {}))

    def _show_results(self, applied: list[str] | None = None) -> None:
        if applied is None:
            document = layers.active_document()
            applied = _describe(document)[1] if document is not None else []
        self.panel.set_results([_item(r, applied) for r in self.colouring.history.results])

    def _watch(self) -> None:
        """Hear of undoable commands, from the model behind Krita's history docker."""
        if self._hooked:
            return
        # Until it is there, the slow look at the layers has to do.
        self.live.schedule_check()
        for docker in Krita.instance().dockers():
            if docker.objectName() == "History":
                view = docker.findChild(QtWidgets.QListView)
                model = view.model() if view is not None else None
                if model is not None:
                    # The model is not held: Qt does not tell Python when it deletes what Krita has made.
                    self._hooked = True
                    model.modelReset.connect(self._something_happened)

    def _something_happened(self) -> None:
        self.live.schedule_check()
        QtCore.QTimer.singleShot(150, self.refresh)

    def _stop_engine(self) -> None:
        self.set_live(False)
        self.session.stop()

    def _frames_finished(self, cause: str, remedy: str) -> None:
        self.frames = None
        self.panel.set_cancellable(False)
        self.panel.say(("error" if remedy else "notice") if cause else "", cause, remedy)

    def _choose_python(self) -> None:
        now = settings.read("python", "")
        chosen, ok = QtWidgets.QInputDialog.getText(
            self,
            tr("Engine's Python"),
            tr("Path of the Python in which the engine is installed; empty = as the installer has set it:"),
            QtWidgets.QLineEdit.EchoMode.Normal,
            now,
        )
        if ok:
            settings.write("python", chosen.strip())
            self.session.start()


def _describe(document: Document) -> tuple[list[LayerItem], list[str]]:
    """The layer tree for the pickers, and the ids of all results in it."""
    items, results = [], []
    for node, depth in layers.walk(layers.root(document)):
        uid = layers.ident(node)
        if layers.is_result(node):
            results.append(uid)
        kind = KINDS.get(node.type(), "other")
        items.append(LayerItem(uid, str(node.name()), depth, kind, bool(node.visible())))
    return items, results


def _item(result: Result, applied: list[str]) -> ResultItem:
    options = result.options
    size = f"{result.inputs.width} x {result.inputs.height}"
    parts = [str(options.get("model", "")), size, tr("{seconds:.1f} s").format(seconds=result.seconds)]
    if "seed" in options:
        parts.append(tr("seed {seed}").format(seed=result.seed))
    parts.extend(
        worded(name, options[name])
        for name, setting in SETTINGS.items()
        if name in options and name not in UNDESCRIBED_SETTINGS and options[name] != setting.default
    )
    caption = tr("seed {seed}").format(seed=result.seed) if "seed" in options else tr("No. {n}").format(n=result.id)
    return ResultItem(result.id, result.thumb, caption, "\n".join(p for p in parts if p), result.node in applied)


def _outermost(document: Document, node: Node) -> Node:
    """The top-level layer that holds a layer."""
    root = layers.document_key(document)
    while layers.ident(not_none(node.parentNode())) != root:
        node = not_none(node.parentNode())
    return node


def _open_manual() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    french = QtCore.QLocale().name().lower().startswith("fr")
    page = os.path.join(folder, "manual_fr.html" if french else "manual.html")  # noqa: PTH118
    QtGui.QDesktopServices.openUrl(QtCore.QUrl.fromLocalFile(page))
