"""Qt as the running Krita has it: PyQt5 up to Krita 5, PyQt6 from Krita 6. The only module that names either.

The plugin keeps to what both have, so the types of the newer one are checked.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, TypeVar

__all__ = ["QT_MAJOR", "QAction", "QtCore", "QtGui", "QtWidgets", "Signal", "not_none"]

T = TypeVar("T")


def _major() -> int:
    try:
        import krita
    except ImportError:  # outside Krita: tests of the widgets choose by QT_MAJOR
        return int(os.environ.get("QT_MAJOR", "5"))
    # Krita 5.1 has no qt_major_version; importing the wrong PyQt raises or, worse, loads a second Qt.
    return int(getattr(krita, "qt_major_version", lambda: 5)())


QT_MAJOR = _major()
if TYPE_CHECKING:
    from PyQt6 import QtCore, QtGui, QtWidgets
    from PyQt6.QtGui import QAction

    Signal = QtCore.pyqtSignal
else:
    _name = f"PyQt{QT_MAJOR}"
    QtCore = importlib.import_module(_name + ".QtCore")
    QtGui = importlib.import_module(_name + ".QtGui")
    QtWidgets = importlib.import_module(_name + ".QtWidgets")
    Signal = QtCore.pyqtSignal
    QAction = QtGui.QAction if QT_MAJOR >= 6 else QtWidgets.QAction


def not_none(found: T | None) -> T:
    """What Qt's or Krita's types call optional, where it cannot be missing.

    Raises:
        AttributeError: it is missing all the same, as when it is used.
    """
    if found is None:
        raise AttributeError("there is no such object")
    return found
