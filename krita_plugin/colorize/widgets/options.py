"""The options that the chosen model understands, by its descriptor; the artist's values for others are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ..i18n import tr, translated
from ..protocol.settings import PERCENT, SETTINGS, Setting, SettingError
from ..qt import QtCore, QtWidgets, Signal, not_none
from . import icons
from .controls import ComboBox, form_label, tool_button
from .setting_controls import setting_control

OUTPUTS = ("layers", "colour")


class OptionsForm(QtWidgets.QWidget):
    """Rows for model, output and what else the model takes; `changed` comes only from the artist.

    Args:
        settings: by name; those with a title get a row.
    """

    changed = Signal()

    def __init__(self, settings: Mapping[str, Setting] = SETTINGS) -> None:
        super().__init__()
        self.setObjectName("options_form")
        offered = sorted((s for s in settings.values() if s.title), key=lambda setting: setting.row)
        self._settings = {setting.name: setting for setting in offered}
        self._models: list[dict[str, Any]] = []
        self._kept: dict[str, Any] = {"output": OUTPUTS[0]}
        self._kept.update((name, s.default) for name, s in self._settings.items() if not s.per_model)
        self._of_model: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, QtWidgets.QLabel] = {}
        self.grid = QtWidgets.QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setColumnStretch(1, 1)
        self._model = ComboBox("model_combo")
        self._output = ComboBox("output_combo")
        self._output.addItem(tr("Layers: flats and shading"), OUTPUTS[0])
        self._output.addItem(tr("One layer"), OUTPUTS[1])
        self._controls = {name: setting_control(setting) for name, setting in self._settings.items()}
        self._seed_button = tool_button("seed_button", tr("Take another seed"), tr("Another seed"))
        self._add("model", tr("Mo&del"), self._model, tr("The model that colours"))
        self._add("output", tr("Result"), self._output, tr("Flats and shading as layers of a group, or one layer"))
        for name, setting in self._settings.items():
            control, layout = self._controls[name], None
            if name == "seed":
                layout = QtWidgets.QHBoxLayout()
                layout.setContentsMargins(0, 0, 0, 0)
                layout.addWidget(control, 1)
                layout.addWidget(self._seed_button)
            self._add(name, translated(setting.title), control, translated(setting.tip), layout)
        self._connect()
        self._refresh_icons()
        self._show()

    def _add(
        self, key: str, text: str, control: QtWidgets.QWidget, tip: str, layout: QtWidgets.QLayout | None = None
    ) -> None:
        label = form_label(text, control, tip)
        row = len(self._labels)
        self.grid.addWidget(label, row, 0)
        if layout is None:
            self.grid.addWidget(control, row, 1)
        else:
            self.grid.addLayout(layout, row, 1)
        self._labels[key] = label

    def _connect(self) -> None:
        self._model.activated.connect(lambda _index: self._pick_model())
        self._output.activated.connect(lambda _index: self._edited("output", self._output.currentData()))
        for name, control in self._controls.items():
            control.edited.connect(lambda value, name=name: self._edited(name, value))
        self._seed_button.clicked.connect(self._take_another_seed)

    # ----- what is asked from outside

    def set_models(self, models: list[dict[str, Any]]) -> None:
        """Show these models; those that the engine calls broken are left out."""
        self._models = [model for model in models if model.get("name") and not model.get("error")]
        self._show()

    def set_options(self, values: dict[str, Any]) -> None:
        """Show values as `options` gave them."""
        name = str(values.get("model") or self._kept.get("model", ""))
        for key, value in values.items():
            if key not in self._settings:
                self._kept[key] = value
                continue
            # Kept by another release, or changed by hand, it may be none any more.
            with contextlib.suppress(SettingError):
                self._place(key, name)[key] = self._settings[key].read(value)
        self._show()

    def options(self) -> dict[str, Any]:
        """The values that the chosen model understands; all that was set while no model is known yet."""
        model = self.model()
        if not model:
            return {**self._kept, **self._of_model.get(str(self._kept.get("model", "")), {})}
        values = {**self._kept, **self._values_of(model), "model": model["name"]}
        return {key: values[key] for key in self._keys(model)}

    def model(self) -> dict[str, Any]:
        """Descriptor of the chosen model; empty while none is known."""
        for model in self._models:
            if model["name"] == self._kept.get("model"):
                return model
        return self._models[0] if self._models else {}

    def summary(self) -> str:
        """The options in a few words."""
        values = self.options()
        parts = [self.model().get("name", "")] if len(self._models) > 1 else []
        parts.append(self._output.currentText().split(":")[0].strip())
        size = self._controls.get("size")
        if "size" in values and self.model() and isinstance(size, QtWidgets.QSpinBox):
            parts.append(size.text())
        if values.get("variations", 1) > 1 and self.model():
            parts.append(tr("{n} variations").format(n=values["variations"]))
        return ", ".join(part for part in parts if part)

    def label_width(self) -> int:
        """Width that the labels need, shown or not, so that columns do not move with the model."""
        return max(int(label.sizeHint().width()) for label in self._labels.values())

    # ----- inside

    def _keys(self, model: dict[str, Any]) -> list[str]:
        return ["model", "output", *(name for name, s in self._settings.items() if s.understood(model))]

    def _place(self, key: str, model: str) -> dict[str, Any]:
        """Where a value is kept: what belongs to a model has another value for each."""
        of_model = key in self._settings and self._settings[key].per_model
        return self._of_model.setdefault(model, {}) if of_model else self._kept

    def _values_of(self, model: dict[str, Any]) -> dict[str, Any]:
        own = [name for name, setting in self._settings.items() if setting.per_model]
        defaults = {name: model[name] for name in own if model.get(name) is not None}
        kept = self._of_model.get(model["name"], {})
        values = {**defaults, **{name: value for name, value in kept.items() if value is not None}}
        for name in values:
            low, high = self._settings[name].bounds[:2] or ("", "")
            if low in model and high in model:
                values[name] = max(model[low], min(model[high], values[name]))
        return values

    def _show(self) -> None:
        model = self.model()
        keys = set(self._keys(model)) if model else {"output"}
        if len(self._models) < 2:
            keys.discard("model")
        for key, label in self._labels.items():
            label.setVisible(key in keys)
            not_none(label.buddy()).setVisible(key in keys)
        self._seed_button.setVisible("seed" in keys)
        values = {**self._kept, **(self._values_of(model) if model else {})}
        blocked = [(box, box.blockSignals(True)) for box in (self._model, self._output, *self._controls.values())]
        self._model.clear()
        for number, each in enumerate(self._models):
            self._model.addItem(each["name"], each["name"])
            self._model.setItemData(number, each.get("title", ""), QtCore.Qt.ItemDataRole.ToolTipRole)
        self._model.setCurrentIndex(max(0, self._model.findData(model.get("name"))))
        self._output.setCurrentIndex(max(0, self._output.findData(values["output"])))
        for name, control in self._controls.items():
            control.fit(model)
            control.show_value(values.get(name))
        for box, was in blocked:
            box.blockSignals(was)

    def _pick_model(self) -> None:
        self._kept["model"] = self._model.currentData()
        self._show()
        self.changed.emit()

    def _edited(self, key: str, value: Any) -> None:
        self._place(key, self.model().get("name", ""))[key] = value
        self.changed.emit()

    def _take_another_seed(self) -> None:
        seed = self._controls["seed"]
        if isinstance(seed, QtWidgets.QSpinBox):
            seed.setValue(not_none(QtCore.QRandomGenerator.global_()).bounded(1, 100000))

    def changeEvent(self, event: QtCore.QEvent | None) -> None:  # noqa: N802
        """Icons follow the theme."""
        super().changeEvent(event)
        if not_none(event).type() == QtCore.QEvent.Type.PaletteChange:
            self._refresh_icons()

    def _refresh_icons(self) -> None:
        color = self.palette().color(self.palette().ColorRole.ButtonText)
        self._seed_button.setIcon(icons.icon("seed", color, self.fontMetrics().height()))


def worded(name: str, value: Any) -> str:
    """A setting and its value in a few words, as in "Gap size 12 px"."""
    setting = SETTINGS[name]
    if setting.choices:
        text = translated(setting.choices[value])
    elif setting.unit == PERCENT:
        text = f"{value:.0%}"
    else:
        text = f"{value:g}" + (translated(setting.suffix) if setting.unit else "")
    return f"{translated(setting.title)} {text}"
