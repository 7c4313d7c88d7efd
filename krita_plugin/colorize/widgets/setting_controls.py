"""The control for one setting of a job, by its kind: a number box, a list or a tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..i18n import tr, translated
from ..protocol.settings import CHOICE, PERCENT, REAL, SWITCH, Setting
from ..qt import QtWidgets, Signal
from .controls import ComboBox, DoubleSpinBox, SpinBox


def setting_control(setting: Setting) -> _WholeBox | _RealBox | _List | _Tick:
    """The control for a setting, called after it: `gap_spin`, `edges_combo`, `NAME_check`.

    Its signal `edited` has the new value, as messages hold it. `fit` takes the descriptor of a model, `show_value` a
    value, None for one that is not known or left to the engine.
    """
    if setting.kind == SWITCH:
        return _Tick(setting)
    if setting.kind == CHOICE:
        return _List(setting)
    return _RealBox(setting) if setting.kind == REAL and setting.unit != PERCENT else _WholeBox(setting)


class _WholeBox(SpinBox):
    """A whole number, or a fraction in whole per cent; where nothing is the default, the lowest says "Automatic"."""

    edited = Signal(object)

    def __init__(self, setting: Setting) -> None:
        self._setting, self._factor = setting, 100 if setting.unit == PERCENT else 1
        self._automatic = setting.default is None and not setting.per_model
        low = round(setting.low * self._factor) - self._automatic
        high = round((setting.high if setting.most is None else setting.most) * self._factor)
        suffix = translated(setting.suffix) if setting.unit else ""
        super().__init__(f"{setting.name}_spin", low, high, round(setting.step), suffix)
        if self._automatic:
            self.setSpecialValueText(tr("Automatic"))
        self.valueChanged.connect(self._tell)

    def _tell(self, shown: int) -> None:
        if self._automatic and shown == self.minimum():
            self.edited.emit(None)
        else:
            self.edited.emit(shown if self._factor == 1 else shown / self._factor)

    def fit(self, model: Mapping[str, Any]) -> None:
        """Take the range of a model, where the setting has one of its own there."""
        if self._setting.bounds and model:
            low, high, step = (model.get(attribute) for attribute in self._setting.bounds)
            self.setRange(low or self.minimum(), high or self.maximum())
            self.setSingleStep(step or self.singleStep())

    def show_value(self, value: float | None) -> None:
        """Show a value, or the lowest there is."""
        self.setValue(self.minimum() if value is None else min(self.maximum(), round(value * self._factor)))


class _RealBox(DoubleSpinBox):
    """A number with a fraction."""

    edited = Signal(object)

    def __init__(self, setting: Setting) -> None:
        high = setting.high if setting.most is None else setting.most
        super().__init__(f"{setting.name}_spin", setting.low, high, setting.step)
        self.valueChanged.connect(lambda value: self.edited.emit(value))

    def fit(self, model: Mapping[str, Any]) -> None:
        """Every model has the same range."""

    def show_value(self, value: float | None) -> None:
        """Show a value, or the lowest there is."""
        self.setValue(self.minimum() if value is None else value)


class _List(ComboBox):
    """One of some choices."""

    edited = Signal(object)

    def __init__(self, setting: Setting) -> None:
        super().__init__(f"{setting.name}_combo")
        for value, title in setting.choices.items():
            self.addItem(translated(title), value)
        self.activated.connect(lambda _index: self.edited.emit(self.currentData()))

    def fit(self, model: Mapping[str, Any]) -> None:
        """Every model has the same choices."""

    def show_value(self, value: str | None) -> None:
        """Show a choice, or the first."""
        self.setCurrentIndex(max(0, self.findData(value)))


class _Tick(QtWidgets.QCheckBox):
    """On or off."""

    edited = Signal(object)

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.setObjectName(f"{setting.name}_check")
        self.toggled.connect(lambda on: self.edited.emit(on))

    def fit(self, model: Mapping[str, Any]) -> None:
        """Every model has both."""

    def show_value(self, value: bool | None) -> None:
        """Show a state; nothing is off."""
        self.setChecked(bool(value))
