"""A disclosure: a header that opens and closes what is under it, and says in short what is inside while closed."""

from __future__ import annotations

from ..i18n import tr
from ..qt import QtCore, QtWidgets, Signal
from .texts import QuietLabel


class Section(QtWidgets.QWidget):
    """Header and content; `toggled` comes only from the artist."""

    toggled = Signal(bool)

    def __init__(self, name: str, title: str, content: QtWidgets.QWidget, open_: bool = True) -> None:
        super().__init__()
        self.setObjectName(name + "_section")
        self._content = content
        self._open = open_
        self._text = ""
        self._button = QtWidgets.QToolButton()
        self._button.setObjectName(name + "_section_button")
        self._button.setText(title)
        self._button.setAccessibleName(title)
        self._button.setAutoRaise(True)
        self._button.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self._button.setToolButtonStyle(QtCore.Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.clicked.connect(lambda: self._clicked())
        self._summary = QuietLabel()
        self._summary.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred)
        self._summary.setAlignment(QtCore.Qt.AlignmentFlag.AlignLeft | QtCore.Qt.AlignmentFlag.AlignVCenter)
        header = QtWidgets.QHBoxLayout()
        header.setContentsMargins(0, 0, 0, 0)
        header.addWidget(self._button)
        header.addWidget(self._summary, 1)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(max(2, self.fontMetrics().height() // 5))
        column.addLayout(header)
        column.addWidget(content)
        self.set_open(open_)

    def is_open(self) -> bool:
        """Whether the content shows."""
        return self._open

    def set_open(self, on: bool) -> None:
        """Open or close without telling."""
        self._open = on
        self._button.setArrowType(QtCore.Qt.ArrowType.DownArrow if on else QtCore.Qt.ArrowType.RightArrow)
        self._content.setVisible(on)
        self._tell()

    def set_summary(self, text: str) -> None:
        """What the header says while closed."""
        self._text = text
        self._tell()

    def set_tip(self, text: str) -> None:
        """Tooltip of the header."""
        self._button.setToolTip(text)

    def _tell(self) -> None:
        self._summary.setText("" if self._open else self._text)
        state = tr("open") if self._open else tr("closed")
        self._button.setAccessibleDescription(", ".join(part for part in (state, self._text) if part))

    def _clicked(self) -> None:
        self.set_open(not self._open)
        self.toggled.emit(self._open)
