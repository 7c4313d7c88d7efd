"""The state of the engine in words, with progress, Cancel, the menu "More" and, where something broke, the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..i18n import tr
from ..qt import QAction, QtCore, QtGui, QtWidgets, Signal, not_none
from . import icons
from .controls import tool_button
from .texts import WrapText, sentence

if TYPE_CHECKING:
    from ..engine.outcome import Status

_GREEN, _AMBER, _RED, _BLUE = 130, 40, 0, 205
# state: hue of the dot; None = only a ring
_HUES: dict[str, int | None] = {
    "off": None,
    "starting": _AMBER,
    "ready": _GREEN,
    "busy": _BLUE,
    "lost": _RED,
    "failed": _RED,
}
_BROKEN = ("lost", "failed")


def device_words(device: str) -> str:
    """The engine's name of a device as an artist says it."""
    names = {"cpu": tr("CPU"), "cuda": tr("graphics card"), "mps": tr("graphics chip")}
    return names.get(device.split(":")[0], device)


def eta_words(seconds: float) -> str:
    """Time left, rounded to what one can trust; empty if unknown."""
    if seconds < 0:
        return ""
    if seconds < 1:
        return tr("almost done")
    if seconds < 90:
        return tr("about {n} s").format(n=round(seconds))
    return tr("about {n} min").format(n=round(seconds / 60))


def status_words(status: Status) -> list[str]:
    """The status as one line, then shorter ones for a narrow dock."""
    if status.state == "starting":
        return [tr("Starting...")]
    if status.state == "ready":
        if not status.device:
            return [tr("Ready")]
        return [tr("Ready ({device})").format(device=device_words(status.device)), tr("Ready")]
    if status.state == "busy":
        return _busy_words(status)
    if status.state == "lost":
        return [tr("Lost: {cause}").format(cause=status.cause) if status.cause else tr("Lost")]
    if status.state == "failed":
        return [tr("Cannot start: {cause}").format(cause=status.cause) if status.cause else tr("Cannot start")]
    return [tr("Off")]


def _busy_words(status: Status) -> list[str]:
    share = tr("{n} %").format(n=round(100 * status.step / status.total)) if status.total > 0 else ""
    eta = eta_words(status.eta)
    waiting = tr("{n} more waiting").format(n=status.queue - 1) if status.queue > 1 else ""
    stage = status.stage[:1].lower() + status.stage[1:]
    word = tr("Colouring: {stage}").format(stage=stage) if stage else tr("Colouring")
    lines = [
        [word, share, eta, waiting],
        [word, share, eta],
        [sentence(stage), share, eta],
        [tr("Colouring"), share, eta],
        [tr("Colouring"), share],
        [tr("Busy"), share],
        [share or tr("Colouring")],
    ]
    texts = [", ".join(part for part in line if part) for line in lines]
    return list(dict.fromkeys(texts))


class _Dot(QtWidgets.QWidget):
    """A dot in the colour of the state; the word beside it says the same."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self.state = "off"
        self.setFixedSize(self.fontMetrics().height() * 2 // 3, height)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: ARG002, N802
        """Filled, or a ring while the engine is off."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        hue = _HUES.get(self.state)
        color = icons.signal_color(0 if hue is None else hue, self.palette())
        if hue is None:
            color = self.palette().color(self.palette().ColorRole.WindowText)
        painter.setPen(QtGui.QPen(color, 1.4))
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush if hue is None else QtGui.QBrush(color))
        radius = self.fontMetrics().height() * 0.24
        painter.drawEllipse(QtCore.QRectF(self.rect()).center(), radius, radius)


class StatusView(QtWidgets.QWidget):
    """The top of the docker."""

    start_clicked = Signal()
    stop_clicked = Signal()
    cancel_clicked = Signal()
    report_clicked = Signal()
    frames_clicked = Signal()
    tidy_clicked = Signal()
    setup_clicked = Signal()
    manual_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("status_view")
        self._state = "off"
        self._keep_cancel = False
        self._cancellable = False
        self._cancel = QtWidgets.QToolButton()
        self._cancel.setObjectName("cancel_button")
        self._cancel.setText(tr("Cancel"))
        self._cancel.setToolTip(tr("Stop this colouring; the picture stays as it is"))
        self._cancel.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self._cancel.clicked.connect(lambda: self.cancel_clicked.emit())
        # The first line of the text sits in the middle of the buttons, and the row is as high without them.
        self._height = self._cancel.sizeHint().height()
        self._dot = _Dot(self._height)
        self._label = WrapText("status_label", max(0, (self._height - self.fontMetrics().height()) // 2))
        self._more = tool_button("more_button", tr("Engine, frames, manual"), tr("More"))
        self._more.setPopupMode(QtWidgets.QToolButton.ToolButtonPopupMode.InstantPopup)
        self._more.setStyleSheet("QToolButton::menu-indicator { image: none; width: 0px; }")
        self._menu = QtWidgets.QMenu(self)
        self._menu.setObjectName("more_menu")
        self._menu.setToolTipsVisible(True)
        self._more.setMenu(self._menu)
        self._actions: dict[str, QAction] = {}
        self._fill_menu()
        self._bar = QtWidgets.QProgressBar()
        self._bar.setObjectName("progress_bar")
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName(tr("Progress"))
        self._bar.setFixedHeight(max(4, self.fontMetrics().height() // 3))
        self._bar.setMinimumWidth(1)
        self._remedy = WrapText("status_remedy")
        self._again = QtWidgets.QPushButton(tr("Start a&gain"))
        self._again.setObjectName("start_again_button")
        self._again.setToolTip(tr("Start the engine again"))
        self._again.clicked.connect(lambda: self.start_clicked.emit())
        self._report = QtWidgets.QPushButton(tr("Co&py report"))
        self._report.setObjectName("report_button")
        self._report.setToolTip(tr("Copy what happened to the clipboard, to ask for help with"))
        self._report.clicked.connect(lambda: self.report_clicked.emit())
        self._lay_out()
        self._refresh_icons()
        self._show("off")

    def _fill_menu(self) -> None:
        def add(name: str, text: str, tip: str, signal: QtCore.pyqtBoundSignal) -> None:
            action = QAction(text, self)
            action.setObjectName(name + "_action")
            action.setToolTip(tip)
            action.triggered.connect(lambda: signal.emit())
            self._actions[name] = action
            self._menu.addAction(action)

        add("frames", tr("Colour frames..."), tr("Colour a range of animation frames"), self.frames_clicked)
        add("tidy", tr("Remove older results"), tr("Remove the result layers but the latest"), self.tidy_clicked)
        self._menu.addSeparator()
        tip = tr("Start the engine now; Colorize starts it by itself too")
        add("start", tr("Start engine"), tip, self.start_clicked)
        add("stop", tr("Stop engine"), tr("Stop the engine and free its memory"), self.stop_clicked)
        tip = tr("Choose the Python that runs the engine")
        add("setup", tr("Engine's Python..."), tip, self.setup_clicked)
        self._menu.addSeparator()
        tip = tr("Copy the state of the engine to the clipboard, to ask for help with")
        add("report", tr("Copy report"), tip, self.report_clicked)
        add("manual", tr("Manual"), tr("Open the manual page in the browser"), self.manual_clicked)

    def _lay_out(self) -> None:
        gap = max(2, self.fontMetrics().height() // 4)
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(gap)
        top = QtCore.Qt.AlignmentFlag.AlignTop
        row.addWidget(self._dot, 0, top)
        row.addWidget(self._label, 1)
        row.addWidget(self._cancel, 0, top)
        row.addWidget(self._more, 0, top)
        for button in (self._cancel, self._more):
            button.setFixedHeight(self._height)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(gap)
        column.addLayout(row)
        policy = self._bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._bar.setSizePolicy(policy)
        column.addWidget(self._bar)
        # Under the text, not under the dot.
        indented = QtWidgets.QHBoxLayout()
        indented.setContentsMargins(self._dot.width() + gap, 0, 0, 0)
        indented.addWidget(self._remedy)
        column.addLayout(indented)
        self._buttons = QtWidgets.QWidget()
        buttons = QtWidgets.QHBoxLayout(self._buttons)
        buttons.setContentsMargins(0, 0, 0, 0)
        buttons.setSpacing(gap)
        for push in (self._again, self._report):
            push.setMinimumWidth(1)
            # Room by need: at 250 pixels there is none to spare.
            buttons.addWidget(push, push.sizeHint().width())
        column.addWidget(self._buttons)

    def set_status(self, status: Status) -> None:
        """Show a state of the engine."""
        self._label.set_text(*status_words(status))
        self._label.setToolTip(self._tip(status))
        self._remedy.set_text(sentence(status.remedy) if status.state in _BROKEN else "")
        self._bar.setRange(0, max(0, status.total))
        self._bar.setValue(max(0, min(status.step, status.total)))
        self._show(status.state)

    def keep_cancel(self, on: bool) -> None:
        """Leave Cancel in its place between jobs too: live mode has one after each stroke, and should not flicker."""
        self._keep_cancel = on
        self._show(self._state)

    def set_cancellable(self, on: bool) -> None:
        """Offer Cancel whatever the engine does."""
        self._cancellable = on
        self._show(self._state)

    def set_document(self, present: bool) -> None:
        """What needs a document is off without one."""
        for name in ("frames", "tidy"):
            self._actions[name].setEnabled(present)

    def _tip(self, status: Status) -> str:
        if status.state == "off":
            return tr("The engine starts by itself with the first colouring")
        return self._label.text()

    def _show(self, state: str) -> None:
        self._state = state
        self._dot.state = state
        self._dot.update()
        busy, broken = state == "busy", state in _BROKEN
        self._bar.setVisible(busy)
        self._cancel.setVisible(busy or self._cancellable or self._keep_cancel)
        self._cancel.setEnabled(busy or self._cancellable)
        self._remedy.setVisible(broken and bool(self._remedy.text()))
        self._buttons.setVisible(broken)
        self._actions["start"].setEnabled(state == "off" or broken)
        self._actions["stop"].setEnabled(state in ("starting", "ready", "busy"))
        if not self._label.text():
            self._label.set_text(tr("Off"))

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802
        """Icons follow the theme."""
        super().changeEvent(event)
        if not_none(event).type() == QtCore.QEvent.Type.PaletteChange:
            self._refresh_icons()

    def _refresh_icons(self) -> None:
        color = self.palette().color(self.palette().ColorRole.ButtonText)
        self._more.setIcon(icons.icon("more", color, self.fontMetrics().height()))
