"""Thumbnails of the session's results, newest first; a click puts one into the picture, which is not done here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from ..i18n import tr
from ..qt import QtCore, QtGui, QtWidgets, Signal, not_none
from . import icons
from .texts import flags

_ID = QtCore.Qt.ItemDataRole.UserRole
_IMAGE = QtCore.Qt.ItemDataRole.UserRole + 1
_APPLIED = QtCore.Qt.ItemDataRole.UserRole + 2
_COLUMN = 6  # width of a thumbnail at least, in lines of text
_MAX_ROWS = 3


def _tallness(image: QtGui.QImage) -> float:
    return float(image.height() / max(1, image.width()))


@dataclass(frozen=True)
class ResultItem:
    """A result as a thumbnail.

    Attributes:
        id: what `activated` tells.
        image: a QImage; small is enough.
        caption: a few words under it.
        details: model and settings, for the tooltip.
        applied: it is the one in the picture.
    """

    id: str
    image: QtGui.QImage
    caption: str
    details: str = ""
    applied: bool = False


class _Thumbnail(QtWidgets.QStyledItemDelegate):
    """Paints a thumbnail: picture, caption, and a frame with a check mark on the one in the picture."""

    def sizeHint(self, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex) -> QtCore.QSize:  # noqa: ARG002, N802
        """As large as the grid."""
        return cast("Gallery", self.parent()).gridSize()

    def paint(
        self, painter: QtGui.QPainter | None, option: QtWidgets.QStyleOptionViewItem, index: QtCore.QModelIndex
    ) -> None:
        """Paint one."""
        painter = not_none(painter)
        self.initStyleOption(option, index)
        gallery = cast("Gallery", option.widget)
        style, palette, line = not_none(gallery.style()), option.palette, option.fontMetrics.height()
        option.text, option.icon = "", QtGui.QIcon()
        # Qt 5 marks the text only, and there is none for it here.
        option.showDecorationSelected = True
        gap = max(2, line // 5)
        cell = option.rect.adjusted(1, 1, -1, -1)
        style.drawPrimitive(style.PrimitiveElement.PE_PanelItemViewItem, option, painter, option.widget)
        room = cell.adjusted(gap, gap, -gap, -gap - line)
        image = index.data(_IMAGE)
        size = image.size().scaled(room.size(), QtCore.Qt.AspectRatioMode.KeepAspectRatio)
        area = QtCore.QRect(QtCore.QPoint(0, 0), size)
        area.moveCenter(room.center())
        icons.paint_ground(painter, area, palette, max(3, line // 3))
        painter.drawPixmap(area, gallery.thumbnail(index, size))
        applied = bool(index.data(_APPLIED))
        if applied:
            self._mark(painter, area, palette, line)
        font = QtGui.QFont(option.font)
        font.setBold(applied)
        painter.setFont(font)
        selected = bool(option.state & style.StateFlag.State_Selected)
        role = palette.ColorRole.HighlightedText if selected else palette.ColorRole.Text
        painter.setPen(palette.color(role))
        below = QtCore.QRect(cell.left(), cell.bottom() - line - gap // 2, cell.width(), line)
        text = QtGui.QFontMetrics(font).elidedText(
            index.data(QtCore.Qt.ItemDataRole.DisplayRole), QtCore.Qt.TextElideMode.ElideRight, below.width()
        )
        painter.drawText(below, flags(QtCore.Qt.AlignmentFlag.AlignCenter), text)

    @staticmethod
    def _mark(painter: QtGui.QPainter, area: QtCore.QRect, palette: QtGui.QPalette, line: int) -> None:
        color = palette.color(palette.ColorRole.Highlight)
        pen = QtGui.QPen(color, 2)
        pen.setJoinStyle(QtCore.Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.setBrush(QtCore.Qt.BrushStyle.NoBrush)
        painter.drawRect(area)
        badge = QtCore.QRectF(area.right() - line, area.top(), line + 1, line + 1)
        painter.fillRect(badge, color)
        icons.draw(painter, "check", badge, palette.color(palette.ColorRole.HighlightedText))


class Gallery(QtWidgets.QListWidget):
    """A wrapping list of thumbnails, as tall as its rows."""

    result_activated = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("results_list")
        self.setAccessibleName(tr("Results"))
        self.setViewMode(self.ViewMode.IconMode)
        self.setMovement(self.Movement.Static)
        self.setResizeMode(self.ResizeMode.Adjust)
        self.setWrapping(True)
        self.setUniformItemSizes(True)
        self.setSelectionMode(self.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(self.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)
        self.setTabKeyNavigation(False)
        self.setItemDelegate(_Thumbnail(self))
        self._pixmaps: dict[tuple[Any, ...], QtGui.QPixmap] = {}
        self._last = QtCore.QElapsedTimer()
        self._last_id = ""
        self._shown: list[Any] = []
        self.itemClicked.connect(self._clicked)

    def set_results(self, results: list[ResultItem]) -> None:
        """Show these; the current one and the scroll position stay where they can."""
        shown = [(r.id, r.image.cacheKey(), r.caption, r.details, r.applied) for r in results]
        if shown == self._shown:
            # Building it anew between press and release would lose a click.
            return
        self._shown = shown
        current = self.currentItem()
        keep, at = current.data(_ID) if current else None, not_none(self.verticalScrollBar()).value()
        blocked = self.blockSignals(True)
        self.clear()
        known = {result.id for result in results}
        self._pixmaps = {key: value for key, value in self._pixmaps.items() if key[0] in known}
        for result in results:
            item = QtWidgets.QListWidgetItem(result.caption)
            item.setData(_ID, result.id)
            item.setData(_IMAGE, result.image)
            item.setData(_APPLIED, result.applied)
            spoken = (
                tr("{caption}, in the picture").format(caption=result.caption) if result.applied else result.caption
            )
            item.setData(QtCore.Qt.ItemDataRole.AccessibleTextRole, spoken)
            item.setData(QtCore.Qt.ItemDataRole.AccessibleDescriptionRole, result.details)
            what = tr("In the picture") if result.applied else tr("Click to put it into the picture")
            item.setToolTip((result.details + "\n" + what).strip())
            self.addItem(item)
            if result.id == keep:
                self.setCurrentItem(item)
        self.blockSignals(blocked)
        self._fit()
        not_none(self.verticalScrollBar()).setValue(at)

    def thumbnail(self, index: QtCore.QModelIndex, size: QtCore.QSize) -> QtGui.QPixmap:
        """The picture of a row, scaled once for a size."""
        ratio = self.devicePixelRatioF()
        image = index.data(_IMAGE)
        key = (index.data(_ID), image.cacheKey(), size.width(), size.height(), ratio)
        if key not in self._pixmaps:
            scaled = image.scaled(
                round(size.width() * ratio),
                round(size.height() * ratio),
                QtCore.Qt.AspectRatioMode.IgnoreAspectRatio,
                QtCore.Qt.TransformationMode.SmoothTransformation,
            )
            # One size is in use at a time; those of a dock being resized are of no use later.
            self._pixmaps = {k: v for k, v in self._pixmaps.items() if k[0] != key[0]}
            self._pixmaps[key] = QtGui.QPixmap.fromImage(scaled)
        return self._pixmaps[key]

    def _clicked(self, item: QtWidgets.QListWidgetItem) -> None:
        # The second click of a double click asks for nothing new.
        again = self._last.isValid() and self._last.elapsed() < QtWidgets.QApplication.doubleClickInterval()
        if again and item.data(_ID) == self._last_id:
            return
        self._last.start()
        self._last_id = item.data(_ID)
        self.result_activated.emit(self._last_id)

    def keyPressEvent(self, event: QtGui.QKeyEvent | None) -> None:  # noqa: N802
        """Enter and Space do what a click does."""
        keys, event = QtCore.Qt.Key, not_none(event)
        if event.key() in (keys.Key_Return, keys.Key_Enter, keys.Key_Space):
            current = self.currentItem()
            if current is not None:
                self.result_activated.emit(current.data(_ID))
            event.accept()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QtGui.QFocusEvent | None) -> None:  # noqa: N802
        """The keyboard needs a current item to start from."""
        super().focusInEvent(event)
        if self.currentItem() is None and self.count():
            self.setCurrentRow(0)

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:  # noqa: N802
        """Another width takes another number of columns."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        line = self.fontMetrics().height()
        frame = 2 * self.frameWidth()
        room = max(1, self.width() - frame - 1)
        columns = max(2, room // (line * _COLUMN))
        rows = -(-self.count() // columns)
        # By hand: a scroll bar that comes by itself takes a column away, and then is needed indeed.
        policy = QtCore.Qt.ScrollBarPolicy
        self.setVerticalScrollBarPolicy(policy.ScrollBarAlwaysOn if rows > _MAX_ROWS else policy.ScrollBarAlwaysOff)
        if rows > _MAX_ROWS:
            room -= not_none(self.verticalScrollBar()).sizeHint().width()
        side = max(line * 2, room // columns)
        # Pictures of one drawing have one shape; the cells take it, within reason.
        shape = max((not_none(self.item(row)).data(_IMAGE) for row in range(self.count())), key=_tallness, default=None)
        height = round(side * max(0.5, min(1.3, _tallness(shape)))) if shape is not None else side
        size = QtCore.QSize(side, height + line + max(2, line // 5))
        if size != self.gridSize():
            self.setGridSize(size)
        height = frame + size.height() * max(1, min(rows, _MAX_ROWS)) + 1
        if height != self.height() or self.maximumHeight() != height:
            self.setFixedHeight(height)

    def minimumSizeHint(self) -> QtCore.QSize:  # noqa: N802
        """Narrow."""
        return QtCore.QSize(self.fontMetrics().height() * 4, self.fontMetrics().height() * 4)
