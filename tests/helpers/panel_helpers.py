"""A panel as the docker makes it, what to show in it, and a mouse and a keyboard for the tests of the widgets."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

MODEL = {
    "name": "plain",
    "title": "Colour from strokes",
    "stride": 32,
    "size": 512,
    "min_size": 64,
    "max_size": 1024,
    "stochastic": False,
    "steps": 0,
}
RICH = {**MODEL, "name": "rich", "stochastic": True, "steps": 20, "strength": 0.75, "guidance": 4.0}
CHOSEN = {"lineart": "i", "hints": "h", "mask": "m", "context": "below"}
TOLD_BY_CLICKS = [
    "new_set",
    "colorize",
    "cancel",
    "continue",
    "start",
    "stop",
    "report",
    "frames",
    "tidy",
    "manual",
    "setup",
]
SIGNALS = [name + "_clicked" for name in TOLD_BY_CLICKS]
SIGNALS += ["live_toggled", "live_layer_toggled", "picked", "options_changed", "result_activated", "sections_changed"]


def status(state: str, **values: Any) -> Any:
    """A Status as session.py makes it."""
    from colorize.engine.session import Status

    return Status(state, **values)


def layers(ink: str = "Ink") -> list[Any]:
    """A colouring set over a lineart and a hidden background."""
    from colorize.widgets.panel import LayerItem

    return [
        LayerItem("g", "Colouring", 0, "group"),
        LayerItem("h", "Hints", 1),
        LayerItem("m", "Mask", 1),
        LayerItem("i", ink, 0, "vector"),
        LayerItem("b", "Background", 0, "paint", visible=False),
    ]


def results(count: int, applied: int = 0) -> list[Any]:
    """Results with a picture of one colour."""
    from colorize.qt import QtGui
    from colorize.widgets.panel import ResultItem

    image = QtGui.QImage(120, 90, QtGui.QImage.Format.Format_ARGB32)
    image.fill(QtGui.QColor(200, 120, 40))
    return [ResultItem(f"r{n}", image, f"No. {n}", f"plain, 512 px, {n}", n == applied) for n in range(count)]


@contextlib.contextmanager
def shown_panel(app: Any) -> Iterator[Any]:
    """A panel with a document, on the screen; its list ``told`` has what its signals said."""
    from colorize.widgets.panel import Panel

    made = Panel()
    made.told = []
    for name in SIGNALS:
        getattr(made, name).connect(lambda *values, name=name: made.told.append((name, *values)))
    made.set_models([MODEL])
    made.set_document(True)
    made.set_layers(layers(), CHOSEN)
    made.set_status(status("ready", device="cpu"))
    made.resize(320, 800)
    made.show()
    app.processEvents()
    made.told.clear()
    yield made
    made.close()
    made.deleteLater()
    app.processEvents()


def find(panel: Any, name: str) -> Any:
    """The control of a name."""
    from colorize.qt import QtCore

    found = panel.findChild(QtCore.QObject, name)
    assert found is not None, name
    return found


def click(widget: Any) -> None:
    """Click into the middle."""
    test, core = qtest()
    test.mouseClick(widget, core.Qt.MouseButton.LeftButton)


def press(widget: Any, key: str) -> None:
    """Press a key."""
    test, core = qtest()
    test.keyClick(widget, getattr(core.Qt.Key, "Key_" + key))


def qtest() -> tuple[Any, Any]:
    """QTest and QtCore of the Qt under test."""
    from colorize.qt import QT_MAJOR, QtCore

    return importlib.import_module(f"PyQt{QT_MAJOR}.QtTest").QTest, QtCore
