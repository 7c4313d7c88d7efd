"""PyQt5 or PyQt6, whichever this Krita has; for the driver only."""

import krita

if getattr(krita, "qt_major_version", lambda: 5)() == 6:
    from PyQt6 import QtCore, QtGui, QtWidgets
else:
    from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets"]
