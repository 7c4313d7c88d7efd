"""The options that the chosen model understands, by its descriptor; the artist's values for others are kept."""

from __future__ import annotations

from typing import Any

from ..i18n import tr
from ..qt import QtCore, QtWidgets, Signal
from . import icons
from .controls import ComboBox, DoubleSpinBox, SpinBox, form_label, tool_button

OUTPUTS = ("layers", "colour")
_AUTOMATIC = -1  # in the box of the gap; among the options it is None
_MAX_GAP = 1000
_MAX_SEED = 2**31 - 8  # of a Qt number box, so that the seeds of further variations fit too; the protocol takes more
# Values that belong to a model; another model has defaults of its own.
_OF_MODEL = ("size", "steps", "strength", "guidance")


class OptionsForm(QtWidgets.QWidget):
    """Rows for model, output and what else the model takes; `changed` comes only from the artist."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("options_form")
        self._models: list[dict[str, Any]] = []
        self._kept: dict[str, Any] = {
            "output": OUTPUTS[0],
            "shading": 1.0,
            "gap": None,
            "seed": 0,
            "variations": 1,
        }
        self._of_model: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, Any] = {}
        self.grid = QtWidgets.QGridLayout(self)
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setColumnStretch(1, 1)
        self._model = ComboBox("model_combo")
        self._output = ComboBox("output_combo")
        self._output.addItem(tr("Layers: flats and shading"), OUTPUTS[0])
        self._output.addItem(tr("One layer"), OUTPUTS[1])
        self._size = SpinBox("size_spin", 64, 1024, 64, tr(" px"))
        self._shading = SpinBox("shading_spin", 0, 200, 10, tr(" %"))
        self._gap = SpinBox("gap_spin", _AUTOMATIC, _MAX_GAP, 1, tr(" px"))
        self._gap.setSpecialValueText(tr("Automatic"))
        self._variations = SpinBox("variations_spin", 1, 8)
        self._seed = SpinBox("seed_spin", 0, _MAX_SEED)
        self._steps = SpinBox("steps_spin", 1, 200)
        self._strength = SpinBox("strength_spin", 0, 100, 5, tr(" %"))
        self._guidance = DoubleSpinBox("guidance_spin", 0.0, 20.0, 0.5)
        self._dice = tool_button("seed_button", tr("Take another seed"), tr("Another seed"))
        self._add("model", tr("Mo&del"), self._model, tr("The model that colours"))
        self._add("output", tr("Result"), self._output, tr("Flats and shading as layers of a group, or one layer"))
        tip = tr("Short side of the picture that the model works on. Larger sees finer detail and takes longer")
        self._add("size", tr("Detail"), self._size, tip)
        tip = tr("How strong light and shade are: 0 % is flat colours alone, 100 % as the model has learned")
        self._add("shading", tr("Shade"), self._shading, tip)
        tip = tr(
            "The widest gap in a line that is closed, in pixels of the image: raise it where colour leaks, "
            "lower it where an opening is meant. 0 closes none"
        )
        self._add("gap", tr("Gap size"), self._gap, tip)
        self._add("variations", tr("Variations"), self._variations, tr("How many different results to make"))
        seed = QtWidgets.QHBoxLayout()
        seed.setContentsMargins(0, 0, 0, 0)
        seed.addWidget(self._seed, 1)
        seed.addWidget(self._dice)
        tip = tr("The same seed gives the same result again; another one a different result")
        self._add("seed", tr("Seed"), self._seed, tip, seed)
        tip = tr("Rounds that the model takes. More is slower and often cleaner")
        self._add("steps", tr("Steps"), self._steps, tip)
        tip = tr("How far the model may go from its best guess: 0 % is the guess itself, 100 % is free")
        self._add("strength", tr("Strength"), self._strength, tip)
        tip = tr("How closely the model keeps to your hints: 1 as it has learned to; any other takes twice as long")
        self._add("guidance", tr("Guidance"), self._guidance, tip)
        self._connect()
        self._refresh_icons()
        self._show()

    def _add(self, key: str, text: str, control: Any, tip: str, layout: Any = None) -> None:
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
        for key, box in (
            ("size", self._size),
            ("variations", self._variations),
            ("seed", self._seed),
            ("steps", self._steps),
            ("guidance", self._guidance),
        ):
            box.valueChanged.connect(lambda value, key=key: self._edited(key, value))
        self._strength.valueChanged.connect(lambda value: self._edited("strength", value / 100))
        self._shading.valueChanged.connect(lambda value: self._edited("shading", value / 100))
        self._gap.valueChanged.connect(lambda value: self._edited("gap", None if value == _AUTOMATIC else value))
        self._dice.clicked.connect(self._roll)

    # ----- what is asked from outside

    def set_models(self, models: list[dict[str, Any]]) -> None:
        """Show these models; those that the engine calls broken are left out."""
        self._models = [model for model in models if model.get("name") and not model.get("error")]
        self._show()

    def set_options(self, values: dict[str, Any]) -> None:
        """Show values as `options` gave them."""
        name = str(values.get("model") or self._kept.get("model", ""))
        for key, value in values.items():
            if key in _OF_MODEL:
                self._of_model.setdefault(name, {})[key] = value
            else:
                self._kept[key] = value
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
        if "size" in values and self.model():
            parts.append(self._size.text())
        if values.get("variations", 1) > 1 and self.model():
            parts.append(tr("{n} variations").format(n=values["variations"]))
        return ", ".join(part for part in parts if part)

    def label_width(self) -> int:
        """Width that the labels need, shown or not, so that columns do not move with the model."""
        return max(int(label.sizeHint().width()) for label in self._labels.values())

    # ----- inside

    @staticmethod
    def _keys(model: dict[str, Any]) -> list[str]:
        keys = ["model", "output", "shading", "gap"]
        if model.get("max_size", 0) > model.get("min_size", 0):
            keys.append("size")
        if model.get("stochastic"):
            keys += ["variations", "seed"]
        if model.get("steps", 0) > 0:
            keys.append("steps")
        return keys + [key for key in ("strength", "guidance") if model.get(key) is not None]

    def _values_of(self, model: dict[str, Any]) -> dict[str, Any]:
        defaults = {key: model[key] for key in _OF_MODEL if model.get(key) is not None}
        values = {**defaults, **self._of_model.get(model["name"], {})}
        if "size" in values and "min_size" in model and "max_size" in model:
            values["size"] = max(model["min_size"], min(model["max_size"], values["size"]))
        return values

    def _show(self) -> None:
        model = self.model()
        keys = set(self._keys(model)) if model else {"output"}
        if len(self._models) < 2:
            keys.discard("model")
        for key, label in self._labels.items():
            label.setVisible(key in keys)
            label.buddy().setVisible(key in keys)
        self._dice.setVisible("seed" in keys)
        values = {**self._kept, **(self._values_of(model) if model else {})}
        boxes = (self._model, self._output, self._size, self._shading, self._gap, self._variations, self._seed)
        more = (self._steps, self._strength, self._guidance)
        blocked = [(box, box.blockSignals(True)) for box in (*boxes, *more)]
        self._model.clear()
        for number, each in enumerate(self._models):
            self._model.addItem(each["name"], each["name"])
            self._model.setItemData(number, each.get("title", ""), QtCore.Qt.ItemDataRole.ToolTipRole)
        self._model.setCurrentIndex(max(0, self._model.findData(model.get("name"))))
        self._output.setCurrentIndex(max(0, self._output.findData(values["output"])))
        self._size.setRange(model.get("min_size", 1), model.get("max_size", 30000))
        self._size.setSingleStep(max(1, model.get("stride", 32)))
        self._size.setValue(values.get("size", self._size.minimum()))
        self._shading.setValue(round(100 * values["shading"]))
        self._gap.setValue(_AUTOMATIC if values["gap"] is None else values["gap"])
        self._variations.setValue(values["variations"])
        self._seed.setValue(min(_MAX_SEED, values["seed"]))
        self._steps.setValue(values.get("steps", 1))
        self._strength.setValue(round(100 * values.get("strength", 1.0)))
        self._guidance.setValue(values.get("guidance", 1.0))
        for box, was in blocked:
            box.blockSignals(was)

    def _pick_model(self) -> None:
        self._kept["model"] = self._model.currentData()
        self._show()
        self.changed.emit()

    def _edited(self, key: str, value: Any) -> None:
        if key in _OF_MODEL:
            self._of_model.setdefault(self.model().get("name", ""), {})[key] = value
        else:
            self._kept[key] = value
        self.changed.emit()

    def _roll(self) -> None:
        self._seed.setValue(QtCore.QRandomGenerator.global_().bounded(1, 100000))

    def changeEvent(self, event: Any) -> None:  # noqa: N802
        """Icons follow the theme."""
        super().changeEvent(event)
        if event.type() == QtCore.QEvent.Type.PaletteChange:
            self._refresh_icons()

    def _refresh_icons(self) -> None:
        color = self.palette().color(self.palette().ColorRole.ButtonText)
        self._dice.setIcon(icons.icon("dice", color, self.fontMetrics().height()))
