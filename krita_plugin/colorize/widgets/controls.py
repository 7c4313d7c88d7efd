"""Combo and number boxes for a narrow, scrolling dock: they shrink, elide, and take the wheel only with the focus."""

from __future__ import annotations

from typing import Any

from ..qt import QtCore, QtGui, QtWidgets, not_none

_MIN_CHARACTERS = 5


class _WheelByFocus:
    """Goes before a box's Qt class: scrolling the dock must not change what the box holds."""

    def wheelEvent(self: Any, event: Any) -> None:  # noqa: N802
        """Take the wheel only with the focus."""
        if self.hasFocus():
            super().wheelEvent(event)  # type: ignore[misc]  # the Qt class comes after it
        else:
            event.ignore()


class ComboBox(_WheelByFocus, QtWidgets.QComboBox):
    """A combo box that may be narrower than its texts."""

    def __init__(self, name: str, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(_MIN_CHARACTERS)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)

    def showPopup(self) -> None:  # noqa: N802
        """Show the list wide enough for its texts, within reason: the box itself may be too narrow for them."""
        view = not_none(self.view())
        bar = not_none(view.verticalScrollBar()).sizeHint().width()
        wanted = view.sizeHintForColumn(0) + bar + self.fontMetrics().height()
        view.setTextElideMode(QtCore.Qt.TextElideMode.ElideMiddle)
        view.setMinimumWidth(max(self.width(), min(wanted, self.fontMetrics().averageCharWidth() * 60)))
        super().showPopup()

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: ARG002, N802
        """As ever, but with the text elided; Qt would cut it."""
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        style = QtWidgets.QStyle
        field = not_none(self.style()).subControlRect(
            style.ComplexControl.CC_ComboBox, option, style.SubControl.SC_ComboBoxEditField, self
        )
        room = field.width() - 4 - (0 if option.currentIcon.isNull() else option.iconSize.width() + 4)
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, QtCore.Qt.TextElideMode.ElideMiddle, room
        )
        painter.drawComplexControl(style.ComplexControl.CC_ComboBox, option)
        painter.drawControl(style.ControlElement.CE_ComboBoxLabel, option)


class SpinBox(_WheelByFocus, QtWidgets.QSpinBox):
    """A whole number."""

    def __init__(self, name: str, low: int, high: int, step: int = 1, suffix: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self.setRange(low, high)
        self.setSingleStep(step)
        self.setSuffix(suffix)
        _shrinkable(self)


class DoubleSpinBox(_WheelByFocus, QtWidgets.QDoubleSpinBox):
    """A number with a fraction."""

    def __init__(self, name: str, low: float, high: float, step: float) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setRange(low, high)
        self.setSingleStep(step)
        _shrinkable(self)


def _shrinkable(box: QtWidgets.QAbstractSpinBox) -> None:
    box.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
    # A change counts when the artist is done typing it, not at every digit.
    box.setKeyboardTracking(False)
    box.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
    box.setMinimumWidth(box.fontMetrics().averageCharWidth() * (_MIN_CHARACTERS + 6))


def form_label(text: str, buddy: QtWidgets.QWidget, tip: str) -> QtWidgets.QLabel:
    """The label of a row, with the tooltip and the accessible name of its control set too."""
    label = QtWidgets.QLabel(text)
    label.setBuddy(buddy)
    label.setToolTip(tip)
    buddy.setToolTip(tip)
    buddy.setAccessibleName(text.replace("&", ""))
    return label


def tool_button(name: str, tip: str, accessible: str) -> QtWidgets.QToolButton:
    """A flat button for an icon, reached by Tab too."""
    button = QtWidgets.QToolButton()
    button.setObjectName(name)
    button.setAutoRaise(True)
    button.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
    button.setToolTip(tip)
    button.setAccessibleName(accessible)
    return button
