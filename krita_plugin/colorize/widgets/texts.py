"""Labels that fit a narrow dock: text that wraps anywhere and can be selected, and one line that shortens itself."""

from __future__ import annotations

from typing import Any

from ..qt import QtCore, QtGui, QtWidgets, not_none


class WrapText(QtWidgets.QTextEdit):
    """Plain text as a label shows it, but long paths wrap too, and it can be selected and copied."""

    def __init__(self, name: str, above: int = 0) -> None:
        super().__init__()
        self.setObjectName(name)
        self._above = above
        self.setViewportMargins(0, above, 0, 0)
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.ClickFocus)
        self.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        self.setWordWrapMode(QtGui.QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        viewport = not_none(self.viewport())
        viewport.setAutoFillBackground(False)
        viewport.setCursor(QtCore.Qt.CursorShape.IBeamCursor)
        not_none(self.document()).setDocumentMargin(0)
        policy = QtWidgets.QSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._variants: tuple[str, ...] = ("",)

    def set_text(self, text: str, *shorter: str) -> None:
        """Show a text; with shorter ones it stays on one line and the longest that fits is shown."""
        self._variants = (text, *shorter)
        self.setAccessibleName(text)
        self._fit()

    def text(self) -> str:
        """The whole text, whichever is shown."""
        return self._variants[0]

    def _fit(self) -> None:
        metrics, width = self.fontMetrics(), self.width()
        fitting = [text for text in self._variants if metrics.horizontalAdvance(text) < width]
        shown = (fitting or self._variants[-1:])[0] if len(self._variants) > 1 else self._variants[0]
        if shown != self.toPlainText():
            self.setPlainText(shown)
            self.updateGeometry()

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """Height of the wrapped text."""
        if len(self._variants) > 1:
            return int(self.fontMetrics().height()) + self._above
        # Not the shown document: a new width there would lay the visible text out again.
        document = not_none(not_none(self.document()).clone())
        document.setTextWidth(max(1, width))
        return int(document.size().height() + 0.999) + self._above

    def sizeHint(self) -> QtCore.QSize:  # noqa: N802
        """As wide as there is room."""
        return QtCore.QSize(self.fontMetrics().height() * 6, self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QtCore.QSize:  # noqa: N802
        """Small: the text wraps."""
        return QtCore.QSize(self.fontMetrics().height() * 2, self.fontMetrics().height() + self._above)

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802
        """Another width may take a longer or need a shorter text."""
        super().resizeEvent(event)
        self._fit()


class QuietLabel(QtWidgets.QLabel):
    """One line of secondary text, elided in the middle."""

    def minimumSizeHint(self) -> QtCore.QSize:  # noqa: N802
        """It may vanish where there is no room."""
        return QtCore.QSize(0, self.fontMetrics().height())

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: ARG002, N802
        """Text in a weaker tone of the palette."""
        painter = QtGui.QPainter(self)
        painter.setOpacity(0.7)
        painter.setPen(self.palette().color(self.foregroundRole()))
        area = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), QtCore.Qt.TextElideMode.ElideMiddle, area.width())
        painter.drawText(area, flags(QtCore.Qt.AlignmentFlag.AlignLeft, QtCore.Qt.AlignmentFlag.AlignVCenter), text)


def flags(*members: Any) -> int:
    """Alignment and the like as the number that drawText takes: enums in PyQt6, numbers in PyQt5."""
    return sum(int(getattr(member, "value", member)) for member in members)


def sentence(text: str) -> str:
    """The text with a capital at its start, for a line of its own."""
    return text[:1].upper() + text[1:]
