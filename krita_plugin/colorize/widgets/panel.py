"""The whole docker as one widget of setters and signals; it knows neither Krita nor the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..i18n import tr
from ..qt import QtCore, QtGui, QtWidgets, Signal, not_none
from .gallery import Gallery, ResultItem
from .message_view import MessageView
from .options import OptionsForm
from .pickers import LayerItem, LayerPickers
from .preview import Preview
from .section import Section
from .status_view import StatusView
from .texts import WrapText, flags

if TYPE_CHECKING:
    from ..engine.outcome import Status

_TAB = flags(QtCore.Qt.FocusPolicy.TabFocus)

__all__ = ["LayerItem", "Panel", "ResultItem"]


class Panel(QtWidgets.QWidget):
    """Signals are what the artist does, setters what is the case; a setter emits nothing."""

    new_set_clicked = Signal()
    colorize_clicked = Signal()
    cancel_clicked = Signal()
    continue_clicked = Signal()
    start_clicked = Signal()
    stop_clicked = Signal()
    report_clicked = Signal()
    frames_clicked = Signal()
    tidy_clicked = Signal()
    manual_clicked = Signal()
    setup_clicked = Signal()
    live_toggled = Signal(bool)
    live_layer_toggled = Signal(bool)
    picked = Signal(str, str)
    options_changed = Signal()
    result_activated = Signal(str)
    sections_changed = Signal()

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("colorize_panel")
        self._present = False
        self._next_step = ""
        self._status_view = StatusView()
        self._pickers = LayerPickers()
        self._options = OptionsForm()
        self._message = MessageView()
        self._hint = WrapText("hint_label")
        self._preview = Preview()
        self._gallery = Gallery()
        self._make_action_row()
        self._layers_section = Section("layers", tr("Layers"), self._pickers)
        self._layers_section.set_tip(tr("Which layers are the lineart, the hints, the mask and the context"))
        self._options_section = Section("options", tr("Options"), self._options, open_=False)
        self._options_section.set_tip(tr("Model, kind of result and what else the model can do"))
        self._results_section = Section("results", tr("Results"), self._gallery)
        self._results_section.set_tip(tr("The results of this session; click one to put it into the picture"))
        self._lay_out()
        # Tab goes from top to bottom, not in the order in which the parts were made.
        order = list(_focusable(not_none(not_none(self._scroll.widget()).layout())))
        for number in range(1, len(order)):
            self.setTabOrder(order[number - 1], order[number])
        self._connect()
        self.set_document(False)
        self.set_results([])

    def _make_action_row(self) -> None:
        self._colorize = QtWidgets.QPushButton(tr("&Colorize"))
        self._colorize.setObjectName("colorize_button")
        self._colorize.setToolTip(tr("Colour the lineart by the hints, as one step to undo"))
        font = self._colorize.font()
        font.setBold(True)
        self._colorize.setFont(font)
        self._colorize.setMinimumHeight(self.fontMetrics().height() * 2)
        self._colorize.setMinimumWidth(1)
        self._live = QtWidgets.QCheckBox(tr("Live"))
        self._live.setObjectName("live_check")
        self._live.setToolTip(tr("Colour again after each stroke and show it as a preview here"))
        self._live_layer = QtWidgets.QCheckBox(tr("Also in a layer"))
        self._live_layer.setObjectName("live_layer_check")
        self._live_layer.setToolTip(tr("Show what live colours in one layer of the picture as well"))
        self._live_layer.hide()
        self._continue = QtWidgets.QPushButton(tr("C&ontinue from here"))
        self._continue.setObjectName("continue_button")
        self._continue.setToolTip(tr("Colour the masked part anew, with the present picture as context"))
        self._continue.setMinimumWidth(1)

    def _lay_out(self) -> None:
        line = self.fontMetrics().height()
        gap = max(3, line // 3)
        width = max(self._pickers.label_width(), self._options.label_width())
        for grid in (self._pickers.grid, self._options.grid):
            grid.setColumnMinimumWidth(0, width)
            grid.setHorizontalSpacing(gap)
            grid.setVerticalSpacing(max(2, line // 5))
        action = QtWidgets.QHBoxLayout()
        action.setSpacing(gap)
        action.addWidget(self._colorize, 1)
        action.addWidget(self._live)
        content = QtWidgets.QWidget()
        content.setObjectName("panel_content")
        column = QtWidgets.QVBoxLayout(content)
        column.setContentsMargins(gap, gap, gap, gap)
        column.setSpacing(gap)
        column.addWidget(self._status_view)
        # What is pressed again and again stays in sight in a short dock.
        column.addLayout(action)
        column.addWidget(self._live_layer)
        column.addWidget(self._continue)
        column.addWidget(self._hint)
        column.addWidget(self._message)
        column.addWidget(self._layers_section)
        column.addWidget(self._options_section)
        column.addWidget(self._preview)
        column.addWidget(self._results_section)
        column.addStretch(1)
        self._scroll = QtWidgets.QScrollArea()
        self._scroll.setObjectName("panel_scroll")
        self._scroll.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        self._scroll.setWidget(content)
        outer = QtWidgets.QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._scroll)

    def _connect(self) -> None:
        status = self._status_view
        for theirs, ours in (
            (status.start_clicked, self.start_clicked),
            (status.stop_clicked, self.stop_clicked),
            (status.cancel_clicked, self.cancel_clicked),
            (status.report_clicked, self.report_clicked),
            (status.frames_clicked, self.frames_clicked),
            (status.tidy_clicked, self.tidy_clicked),
            (status.setup_clicked, self.setup_clicked),
            (status.manual_clicked, self.manual_clicked),
            (self._pickers.new_set_clicked, self.new_set_clicked),
            (self._gallery.result_activated, self.result_activated),
            (self._live_layer.clicked, self.live_layer_toggled),
        ):
            theirs.connect(ours)
        self._colorize.clicked.connect(lambda: self.colorize_clicked.emit())
        self._continue.clicked.connect(lambda: self.continue_clicked.emit())
        self._live.clicked.connect(self._live_clicked)
        self._pickers.picked.connect(self._picked)
        self._options.changed.connect(self._options_edited)
        for section in (self._layers_section, self._options_section, self._results_section):
            section.toggled.connect(lambda _on: self.sections_changed.emit())

    # ----- setters

    def set_status(self, status: Status) -> None:
        """Show the state of the engine."""
        self._status_view.set_status(status)

    def set_document(self, present: bool) -> None:
        """Without a document only the engine and the options can be used."""
        self._present = present
        self._status_view.set_document(present)
        for widget in (self._pickers, self._continue, self._live, self._live_layer):
            widget.setEnabled(present)
        self._guide()

    def set_layers(self, layers: list[LayerItem], chosen: dict[str, str]) -> None:
        """Show the layers in the order of the layer docker, and the choice for each role."""
        self._pickers.set_layers(layers, chosen)
        self._guide()

    def set_models(self, models: list[dict[str, Any]]) -> None:
        """Show the models as their descriptors say."""
        self._options.set_models(models)
        self._refresh_options()

    def options(self) -> dict[str, Any]:
        """What is set, as far as the model understands it."""
        return self._options.options()

    def set_options(self, values: dict[str, Any]) -> None:
        """Set what `options` gave."""
        self._options.set_options(values)
        self._refresh_options()

    def set_live(self, on: bool, layer: bool) -> None:
        """Show whether live mode is on, and whether its result is in a layer too."""
        self._live.setChecked(on)
        self._live_layer.setChecked(layer)
        self._live_layer.setVisible(on)
        self._status_view.keep_cancel(on)

    def set_cancellable(self, on: bool) -> None:
        """Offer Cancel whatever the engine does: a job of many frames is also under way between two of them."""
        self._status_view.set_cancellable(on)

    def set_preview(self, image: QtGui.QImage | None) -> None:
        """Show a QImage as the newest picture, or None."""
        self._preview.set_image(image)

    def set_results(self, results: list[ResultItem]) -> None:
        """Show the results, newest first."""
        self._gallery.set_results(results)
        self._results_section.setVisible(bool(results))
        self._results_section.set_summary(str(len(results)))

    def say(self, kind: str, text: str, remedy: str = "") -> None:
        """Show a message of kind "error" or "notice"; "" takes it away."""
        news = self._message.isHidden()
        self._message.say(kind, text, remedy)
        # Once: a message that counts frames must not scroll the dock each time.
        if news and kind:
            # After the layout has made room for it.
            QtCore.QTimer.singleShot(0, self._scroll_to_message)

    def sections(self) -> dict[str, bool]:
        """Which sections are open, to be remembered."""
        return {
            "layers": self._layers_section.is_open(),
            "options": self._options_section.is_open(),
            "results": self._results_section.is_open(),
        }

    def set_sections(self, open_: dict[str, bool]) -> None:
        """Open and close sections as `sections` gave it."""
        self._layers_section.set_open(open_.get("layers", True))
        self._options_section.set_open(open_.get("options", False))
        self._results_section.set_open(open_.get("results", True))

    # ----- inside

    def _scroll_to_message(self) -> None:
        self._scroll.ensureWidgetVisible(self._message)

    def _live_clicked(self, on: bool) -> None:
        self.set_live(on, self._live_layer.isChecked())
        self.live_toggled.emit(on)

    def _picked(self, role: str, value: str) -> None:
        self._guide()
        self.picked.emit(role, value)

    def _options_edited(self) -> None:
        self._refresh_options()
        self.options_changed.emit()

    def _refresh_options(self) -> None:
        model = self._options.model()
        self._pickers.set_roles(
            {role for role in ("lineart", "hints", "mask", "context") if model.get("uses_" + role, True)} | {"mask"}
        )
        self._options_section.set_summary(self._options.summary())
        self._guide()

    def _guide(self) -> None:
        """Say the next step under the button while something is missing, and open what is needed for it."""
        needs_hints = self._options.model().get("uses_hints", True)
        step = ""
        if not self._present:
            step = "document"
        elif needs_hints and not self._pickers.value("hints"):
            step = "hints" if self._pickers.value("lineart") else "both"
        elif not self._pickers.value("lineart"):
            step = "lineart"
        if step != self._next_step and step not in ("", "document"):
            self._layers_section.set_open(True)
        self._next_step = step
        words = {
            "": "",
            "document": tr("Open a drawing to colour it."),
            "both": tr("Select the layer with your lines, press New colouring set, then draw a few colour strokes."),
            "lineart": tr("Choose the layer with your lines as lineart."),
            "hints": tr("Press New colouring set, then draw a few colour strokes."),
        }
        self._hint.set_text(words[step])
        self._hint.setVisible(bool(step))
        self._colorize.setEnabled(step in ("", "hints"))
        self._layers_section.set_summary(", ".join(self._pickers.names()))

    def sizeHint(self) -> QtCore.QSize:  # noqa: N802
        """A comfortable dock."""
        line = self.fontMetrics().height()
        return QtCore.QSize(line * 18, line * 34)

    def minimumSizeHint(self) -> QtCore.QSize:  # noqa: N802
        """As small as the dock may get; the rest scrolls."""
        line = self.fontMetrics().height()
        return QtCore.QSize(min(250, line * 10), line * 8)


def _focusable(layout: QtWidgets.QLayout) -> Iterator[QtWidgets.QWidget]:
    """Controls that Tab stops at, as they are laid out."""
    for number in range(layout.count()):
        item = not_none(layout.itemAt(number))
        widget = item.widget()
        # An empty combo box is false, like an empty list.
        inner = item.layout() if widget is None else widget.layout()
        if inner is not None:
            yield from _focusable(inner)
        elif widget is not None and _TAB & flags(widget.focusPolicy()):
            yield widget
