"""One message to the artist: what happened and what to do about it; it can be copied and dismissed."""

from __future__ import annotations

from ..i18n import tr
from ..qt import QtCore, QtGui, QtWidgets, not_none
from . import icons
from .controls import tool_button
from .texts import WrapText, sentence


class _Sign(QtWidgets.QWidget):
    """An exclamation mark or an "i"."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = "notice"
        side = self.fontMetrics().height()
        self.setFixedSize(side, side)

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: ARG002, N802
        """Red for an error, in the colour of text for a notice."""
        painter = QtGui.QPainter(self)
        color = self.palette().color(self.palette().ColorRole.WindowText)
        if self.kind == "error":
            color = icons.signal_color(0, self.palette())
        icons.draw(painter, self.kind, QtCore.QRectF(self.rect()), color)


class MessageView(QtWidgets.QFrame):
    """Hidden while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("message_view")
        self.setFrameShape(QtWidgets.QFrame.Shape.StyledPanel)
        self._sign = _Sign()
        self._text = WrapText("message_label")
        self._remedy = WrapText("message_remedy")
        for text in (self._text, self._remedy):
            # In reach of the keyboard: it can be selected and copied there.
            text.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self._close = tool_button("message_close_button", tr("Dismiss this message"), tr("Dismiss"))
        self._close.clicked.connect(lambda: self.say("", ""))
        gap = max(2, self.fontMetrics().height() // 4)
        texts = QtWidgets.QVBoxLayout()
        texts.setSpacing(gap)
        texts.addWidget(self._text)
        texts.addWidget(self._remedy)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(gap, gap, gap, gap)
        row.setSpacing(gap)
        row.addWidget(self._sign, 0, QtCore.Qt.AlignmentFlag.AlignTop)
        row.addLayout(texts, 1)
        row.addWidget(self._close, 0, QtCore.Qt.AlignmentFlag.AlignTop)
        self._refresh_icons()
        self.say("", "")

    def say(self, kind: str, text: str, remedy: str = "") -> None:
        """Show a message of kind "error" or "notice", or none with ""."""
        self._sign.kind = kind if kind == "error" else "notice"
        self._sign.update()
        self._text.set_text(sentence(text))
        self._remedy.set_text(sentence(remedy))
        self._remedy.setVisible(bool(remedy))
        self.setAccessibleName(tr("Error") if kind == "error" else tr("Message"))
        self.setAccessibleDescription((text + " " + remedy).strip())
        self.setVisible(bool(kind and text))

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802
        """Icons follow the theme."""
        super().changeEvent(event)
        if not_none(event).type() == QtCore.QEvent.Type.PaletteChange:
            self._refresh_icons()

    def _refresh_icons(self) -> None:
        color = self.palette().color(self.palette().ColorRole.WindowText)
        size = self.fontMetrics().height()
        self._close.setIcon(icons.icon("close", color, size))
        self._close.setIconSize(QtCore.QSize(size * 3 // 4, size * 3 // 4))
