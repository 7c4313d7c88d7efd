"""Which layer is the lineart, the hints, the mask and the context; layers are the `LayerItem`s it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..i18n import tr
from ..qt import QtCore, QtGui, QtWidgets, Signal, not_none
from . import icons
from .controls import ComboBox, form_label

ROLES = ("lineart", "hints", "mask", "context")
_VALUE = QtCore.Qt.ItemDataRole.UserRole
_DEPTH = QtCore.Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True)
class LayerItem:
    """A layer as the pickers show it; a list of them is as in Krita's layer docker, groups before their children.

    Attributes:
        id: what `picked` tells.
        name: as in the layer docker.
        depth: 0 at the top of the tree.
        kind: "paint", "group", "vector" or "other".
        visible: hidden layers show dimmed.
    """

    id: str
    name: str
    depth: int = 0
    kind: str = "paint"
    visible: bool = True


class _Indent(QtWidgets.QStyledItemDelegate):
    """The depth in the tree as an indent, in the list only."""

    def initStyleOption(self, option: QtWidgets.QStyleOptionViewItem | None, index: QtCore.QModelIndex) -> None:  # noqa: N802
        """Indent before the icon."""
        super().initStyleOption(option, index)
        option = not_none(option)
        depth = index.data(_DEPTH) or 0
        option.rect.setLeft(option.rect.left() + min(depth, 6) * option.fontMetrics.height() * 3 // 4)


class LayerPicker(ComboBox):
    """A combo box of special values and layers that holds its choice by id."""

    def __init__(self, role: str, specials: list[tuple[str, str]]) -> None:
        super().__init__(role + "_picker")
        self.role = role
        self._specials = specials
        self._shown: tuple[Any, ...] = ()
        self._waiting: tuple[list[LayerItem], str] | None = None
        self.setItemDelegate(_Indent(self))
        line = self.fontMetrics().height()
        self.setIconSize(QtCore.QSize(line, line))
        self._fill([], "")

    def set_layers(self, layers: list[LayerItem], chosen: str) -> None:
        """Show these layers and this choice; while the list is open it waits until it is closed."""
        if not_none(self.view()).isVisible():
            self._waiting = (list(layers), chosen)
        else:
            self._fill(layers, chosen)

    def value(self) -> str:
        """The id of the chosen layer or a special value."""
        return str(self.currentData(_VALUE) or "")

    def hidePopup(self) -> None:  # noqa: N802
        """Take in what came while the list was open, once the artist's choice is told."""
        super().hidePopup()
        QtCore.QTimer.singleShot(0, self._catch_up)

    def _catch_up(self) -> None:
        if self._waiting is not None and not not_none(self.view()).isVisible():
            layers, chosen = self._waiting
            self._waiting = None
            self._fill(layers, chosen)

    def picked_by_hand(self) -> None:
        """What was waiting is older than this choice."""
        if self._waiting is not None:
            self._waiting = (self._waiting[0], self.value())

    def _fill(self, layers: list[LayerItem], chosen: str) -> None:
        if self._shown != (layers, chosen):
            self._shown = (list(layers), chosen)
            self._rebuild()

    def _rebuild(self) -> None:
        layers, chosen = self._shown
        blocked = self.blockSignals(True)
        self.clear()
        for value, text in self._specials:
            self.addItem(text)
            self.setItemData(self.count() - 1, value, _VALUE)
        if layers:
            self.insertSeparator(self.count())
        palette = self.palette()
        dim = palette.color(palette.ColorGroup.Disabled, palette.ColorRole.Text)
        size = self.fontMetrics().height()
        pictures = {k: icons.icon(k, palette.color(palette.ColorRole.Text), size) for k in {i.kind for i in layers}}
        path: list[str] = []
        for item in layers:
            path[item.depth :] = [item.name]
            self.addItem(pictures[item.kind], item.name)
            row = self.count() - 1
            self.setItemData(row, item.id, _VALUE)
            self.setItemData(row, item.depth, _DEPTH)
            tip = " / ".join(path) if item.visible else tr("{name} (hidden)").format(name=" / ".join(path))
            self.setItemData(row, tip, QtCore.Qt.ItemDataRole.ToolTipRole)
            if not item.visible:
                self.setItemData(row, QtGui.QBrush(dim), QtCore.Qt.ItemDataRole.ForegroundRole)
        self.setCurrentIndex(max(0, self.findData(chosen, _VALUE)))
        self.blockSignals(blocked)
        self.update()

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802
        """Icons follow the theme."""
        super().changeEvent(event)
        if not_none(event).type() == QtCore.QEvent.Type.PaletteChange and not not_none(self.view()).isVisible():
            self._rebuild()


class LayerPickers(QtWidgets.QWidget):
    """The four rows and the button that makes a new colouring set."""

    picked = Signal(str, str)
    new_set_clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("layer_pickers")
        self._rows: dict[str, tuple[QtWidgets.QLabel, LayerPicker]] = {}
        self.grid = QtWidgets.QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setColumnStretch(1, 1)
        self._add(
            "lineart",
            tr("Line&art"),
            tr("The layer with your lines: a paint layer, a vector layer or a whole group"),
            [("", tr("Choose a layer"))],
        )
        self._add("hints", tr("Hints"), tr("The layer with your colour strokes"), [("", tr("None"))])
        self._add(
            "mask",
            tr("Mas&k"),
            tr("Where to colour: what is painted on this layer in any colour, or the selection. Nothing else changes"),
            [("", tr("Everywhere")), ("selection", tr("Selection"))],
        )
        self._add(
            "context",
            tr("Conte&xt"),
            tr("What is painted already and guides the new colours"),
            [("", tr("None")), ("below", tr("Everything below the lineart"))],
        )
        self.new_set = QtWidgets.QPushButton(tr("New colo&uring set"))
        self.new_set.setObjectName("new_set_button")
        self.new_set.setToolTip(tr("Add a group with a layer for hints and a layer for the mask above the lineart"))
        self.new_set.setMinimumWidth(1)
        self.new_set.clicked.connect(lambda: self.new_set_clicked.emit())
        self.grid.addWidget(self.new_set, len(ROLES), 0, 1, 2)

    def _add(self, role: str, text: str, tip: str, specials: list[tuple[str, str]]) -> None:
        picker = LayerPicker(role, specials)
        label = form_label(text, picker, tip)
        row = len(self._rows)
        self.grid.addWidget(label, row, 0)
        self.grid.addWidget(picker, row, 1)
        self._rows[role] = (label, picker)
        picker.activated.connect(lambda _index, role=role: self._activated(role))

    def _activated(self, role: str) -> None:
        picker = self._rows[role][1]
        picker.picked_by_hand()
        self.picked.emit(role, picker.value())

    def set_layers(self, layers: list[LayerItem], chosen: dict[str, str]) -> None:
        """Show these layers and choices."""
        for role, (_label, picker) in self._rows.items():
            picker.set_layers(layers, chosen.get(role, ""))

    def set_roles(self, roles: set[str]) -> None:
        """Show only the rows of roles that the model understands."""
        for role, (label, picker) in self._rows.items():
            label.setVisible(role in roles)
            picker.setVisible(role in roles)

    def value(self, role: str) -> str:
        """The choice for a role."""
        return self._rows[role][1].value()

    def names(self) -> list[str]:
        """Names of the layers chosen for lineart and hints."""
        return [self._rows[role][1].currentText() for role in ("lineart", "hints") if self.value(role)]

    def label_width(self) -> int:
        """Width that the labels need."""
        return max(int(label.sizeHint().width()) for label, _picker in self._rows.values())
