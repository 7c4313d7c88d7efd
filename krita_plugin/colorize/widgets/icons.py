"""Small line icons in the colours of the palette, sharp at every scaling; Krita's own icon files are not needed."""

from __future__ import annotations

from ..qt import QtCore, QtGui

UNIT = 16.0  # the drawings below are on a grid of 16 x 16


def _more(p: QtGui.QPainter) -> None:
    p.setBrush(p.pen().color())
    p.setPen(QtCore.Qt.PenStyle.NoPen)
    for x in (3.5, 8.0, 12.5):
        p.drawEllipse(QtCore.QPointF(x, 8.0), 1.4, 1.4)


def _close(p: QtGui.QPainter) -> None:
    p.drawLine(QtCore.QPointF(4, 4), QtCore.QPointF(12, 12))
    p.drawLine(QtCore.QPointF(12, 4), QtCore.QPointF(4, 12))


def _check(p: QtGui.QPainter) -> None:
    p.drawPolyline(QtGui.QPolygonF([QtCore.QPointF(3.5, 8.5), QtCore.QPointF(6.8, 11.8), QtCore.QPointF(12.5, 4.8)]))


def _paint(p: QtGui.QPainter) -> None:
    p.drawRoundedRect(QtCore.QRectF(2.5, 3.5, 11, 9), 1, 1)
    path = QtGui.QPainterPath(QtCore.QPointF(4.5, 10))
    path.cubicTo(6.5, 3.5, 8.5, 13.5, 11.5, 6)
    p.drawPath(path)


def _group(p: QtGui.QPainter) -> None:
    points = [(2.5, 12.5), (2.5, 3.5), (6.5, 3.5), (8, 5.5), (13.5, 5.5), (13.5, 12.5)]
    p.drawPolygon(QtGui.QPolygonF([QtCore.QPointF(x, y) for x, y in points]))


def _vector(p: QtGui.QPainter) -> None:
    path = QtGui.QPainterPath(QtCore.QPointF(3.5, 12.5))
    path.cubicTo(3.5, 5, 12.5, 11, 12.5, 3.5)
    p.drawPath(path)
    for x, y in ((3.5, 12.5), (12.5, 3.5)):
        p.drawRect(QtCore.QRectF(x - 1.5, y - 1.5, 3, 3))


def _other(p: QtGui.QPainter) -> None:
    p.drawRoundedRect(QtCore.QRectF(2.5, 3.5, 11, 9), 1, 1)


def _seed(p: QtGui.QPainter) -> None:
    p.drawRoundedRect(QtCore.QRectF(2.5, 2.5, 11, 11), 2, 2)
    p.setBrush(p.pen().color())
    p.setPen(QtCore.Qt.PenStyle.NoPen)
    for x, y in ((5.4, 5.4), (8, 8), (10.6, 10.6), (10.6, 5.4), (5.4, 10.6)):
        p.drawEllipse(QtCore.QPointF(x, y), 1.1, 1.1)


def _mark(p: QtGui.QPainter, dot: float, top: float, bottom: float) -> None:
    p.drawEllipse(QtCore.QRectF(2, 2, 12, 12))
    p.drawLine(QtCore.QPointF(8, top), QtCore.QPointF(8, bottom))
    p.drawPoint(QtCore.QPointF(8, dot))


def _error(p: QtGui.QPainter) -> None:
    _mark(p, 11.0, 4.8, 8.6)


def _notice(p: QtGui.QPainter) -> None:
    _mark(p, 5.0, 7.4, 11.2)


_DRAWINGS = {
    "more": _more,
    "close": _close,
    "check": _check,
    "paint": _paint,
    "group": _group,
    "vector": _vector,
    "other": _other,
    "seed": _seed,
    "error": _error,
    "notice": _notice,
}


def draw(painter: QtGui.QPainter, name: str, area: QtCore.QRectF, color: QtGui.QColor) -> None:
    """Draw an icon into a square."""
    painter.save()
    painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
    painter.translate(area.x(), area.y())
    painter.scale(area.width() / UNIT, area.height() / UNIT)
    pen = QtGui.QPen(color, 1.3)
    pen.setCapStyle(QtCore.Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(QtCore.Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    _DRAWINGS[name](painter)
    painter.restore()


def icon(name: str, color: QtGui.QColor, size: int) -> QtGui.QIcon:
    """A QIcon of a logical size in one colour; make it again when the palette changes."""
    made = QtGui.QIcon()
    for factor in (1.0, 1.25, 1.5, 2.0, 3.0):
        side = max(1, round(size * factor))
        pixmap = QtGui.QPixmap(side, side)
        pixmap.fill(QtCore.Qt.GlobalColor.transparent)
        painter = QtGui.QPainter(pixmap)
        draw(painter, name, QtCore.QRectF(0, 0, side, side), color)
        painter.end()
        made.addPixmap(pixmap)
    return made


def signal_color(hue: int, palette: QtGui.QPalette) -> QtGui.QColor:
    """A colour that says something (green, amber, red), as light as the theme needs it to be seen on the window."""
    dark = palette.color(palette.ColorRole.Window).lightness() < 128
    return QtGui.QColor.fromHsl(hue, 170, 150 if dark else 100)


def paint_ground(painter: QtGui.QPainter, area: QtCore.QRect, palette: QtGui.QPalette, cell: int) -> None:
    """The chequered ground under a picture that may be transparent."""
    painter.fillRect(area, palette.color(palette.ColorRole.Base))
    painter.save()
    painter.setClipRect(area)
    other = palette.color(palette.ColorRole.Mid)
    other.setAlpha(70)
    for row, y in enumerate(range(area.top(), area.bottom() + 1, cell)):
        for x in range(area.left() + cell * (row % 2), area.right() + 1, 2 * cell):
            painter.fillRect(QtCore.QRect(x, y, cell, cell), other)
    painter.restore()
