"""The newest picture of the model, as wide as the dock; it is no layer and cannot be mistaken for art."""

from __future__ import annotations

from ..i18n import tr
from ..qt import QtCore, QtGui, QtWidgets
from . import icons

_MAX_LINES = 20  # height at most, in lines of text


class Preview(QtWidgets.QWidget):
    """A picture that keeps its shape; hidden without one."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("preview")
        self.setAccessibleName(tr("Preview"))
        self.setToolTip(tr("Preview of the newest colouring"))
        self._image: QtGui.QImage | None = None
        self._scaled: QtGui.QImage | None = None
        policy = QtWidgets.QSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.hide()

    def set_image(self, image: QtGui.QImage | None) -> None:
        """Show a QImage, or nothing."""
        shown = None if image is None or image.isNull() else image
        same_shape = shown is not None and self._image is not None and shown.size() == self._image.size()
        self._image, self._scaled = shown, None
        self.setVisible(shown is not None)
        if not same_shape:
            self.updateGeometry()
        self.update()

    def image(self) -> QtGui.QImage | None:
        """The picture that is shown, or None."""
        return self._image

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """As the picture's shape asks for, within reason."""
        if self._image is None:
            return 0
        height = width * self._image.height() // max(1, self._image.width())
        return int(max(self.fontMetrics().height(), min(height, self.fontMetrics().height() * _MAX_LINES)))

    def sizeHint(self) -> QtCore.QSize:  # noqa: N802
        """As wide as there is room."""
        return QtCore.QSize(self.fontMetrics().height() * 10, self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QtCore.QSize:  # noqa: N802
        """Small."""
        return QtCore.QSize(1, self.fontMetrics().height())

    def paintEvent(self, event: QtGui.QPaintEvent | None) -> None:  # noqa: ARG002, N802
        """The picture in the middle, on a chequered ground."""
        if self._image is None:
            return
        size = self._image.size().scaled(self.size(), QtCore.Qt.AspectRatioMode.KeepAspectRatio)
        area = QtCore.QRect(QtCore.QPoint(0, 0), size)
        area.moveCenter(self.rect().center())
        ratio = self.devicePixelRatioF()
        pixels = QtCore.QSize(round(size.width() * ratio), round(size.height() * ratio))
        if self._scaled is None or self._scaled.size() != pixels:
            self._scaled = self._image.scaled(
                pixels,
                QtCore.Qt.AspectRatioMode.IgnoreAspectRatio,
                QtCore.Qt.TransformationMode.SmoothTransformation,
            )
        painter = QtGui.QPainter(self)
        icons.paint_ground(painter, area, self.palette(), max(4, self.fontMetrics().height() // 2))
        painter.drawImage(area, self._scaled)
