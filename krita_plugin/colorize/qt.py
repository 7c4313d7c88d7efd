"""Qt as the running Krita has it: PyQt5 up to Krita 5, PyQt6 from Krita 6. The only module that names either."""

from __future__ import annotations

import importlib
import os
from typing import Any

try:
    import krita
except ImportError:  # outside Krita: tests of the widgets choose by QT_MAJOR
    krita = None


def _major() -> int:
    # Krita 5.1 has no qt_major_version; importing the wrong PyQt raises or, worse, loads a second Qt.
    if krita is None:
        return int(os.environ.get("QT_MAJOR", "5"))
    return int(getattr(krita, "qt_major_version", lambda: 5)())


QT_MAJOR = _major()
_name = f"PyQt{QT_MAJOR}"
QtCore: Any = importlib.import_module(_name + ".QtCore")
QtGui: Any = importlib.import_module(_name + ".QtGui")
QtWidgets: Any = importlib.import_module(_name + ".QtWidgets")
Signal: Any = QtCore.pyqtSignal
QAction: Any = QtGui.QAction if QT_MAJOR >= 6 else QtWidgets.QAction
