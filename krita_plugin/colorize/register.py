"""Makes the docker and the shortcuts known to Krita; imports little, so that it works when the rest does not."""

from __future__ import annotations

import platform
import traceback

from krita import Canvas, DockWidget, DockWidgetFactory, DockWidgetFactoryBase, Extension, Krita, Window

from . import i18n
from .i18n import tr
from .qt import QtCore, QtWidgets, not_none

ACTIONS = {
    "colorize_run": "colorize",
    "colorize_continue": "continue_from_here",
    "colorize_new_set": "new_set",
    "colorize_live": "toggle_live",
    "colorize_cancel": "cancel",
}
"""Actions of ``colorize.action`` and what of the docker each calls."""


class LoadErrorDocker(DockWidget):
    """Takes the docker's place where that cannot be had."""

    cause, remedy, details = "", "", ""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Colorize")
        body = QtWidgets.QWidget(self)
        column = QtWidgets.QVBoxLayout(body)
        for name, text in (("trouble_cause", self.cause), ("trouble_remedy", self.remedy)):
            label = QtWidgets.QLabel(text, body)
            label.setObjectName(name)
            label.setWordWrap(True)
            label.setTextInteractionFlags(QtCore.Qt.TextInteractionFlag.TextSelectableByMouse)
            column.addWidget(label)
        button = QtWidgets.QPushButton(tr("Copy report"), body)
        button.setObjectName("trouble_report")
        button.clicked.connect(self._copy)
        column.addWidget(button)
        column.addStretch(1)
        self.setWidget(body)

    def canvasChanged(self, _canvas: Canvas | None) -> None:  # noqa: N802 (Krita's name)
        """There is nothing to do."""

    def _copy(self) -> None:
        system = f"Krita {Krita.instance().version()}, Python {platform.python_version()}, {platform.platform()}"
        text = "\n".join((self.cause, self.remedy, system, self.details))
        not_none(QtWidgets.QApplication.clipboard()).setText(text)


class Shortcuts(Extension):
    """Actions for menu and shortcuts; each works on the docker of its own window."""

    def setup(self) -> None:
        """Nothing to do before there is a window."""

    def createActions(self, window: Window) -> None:  # noqa: N802 (Krita's name)
        """Make the actions of a window."""
        titles = {
            "colorize_run": tr("Colorize"),
            "colorize_continue": tr("Colorize: continue from here"),
            "colorize_new_set": tr("Colorize: new colouring set"),
            "colorize_live": tr("Colorize: live on or off"),
            "colorize_cancel": tr("Colorize: cancel"),
        }
        for name, call in ACTIONS.items():
            action = window.createAction(name, titles[name], "tools/scripts")
            action.triggered.connect(lambda _checked=False, call=call: _call(call))


def _call(name: str) -> None:
    # Of the active window. The one that ``createActions`` was given does not live as long as its actions.
    for docker in Krita.instance().dockers():
        if hasattr(docker, name):
            getattr(docker, name)()
            return


def register(name: str) -> None:
    """Make the docker known; one that only says what is wrong, where the real one cannot be loaded."""
    i18n.install()
    app = Krita.instance()
    docker = _docker()
    right = getattr(DockWidgetFactoryBase, "DockRight", None)
    if right is None:  # Krita 6
        right = DockWidgetFactoryBase.DockPosition.DockRight
    app.addDockWidgetFactory(DockWidgetFactory(name, right, docker))
    app.addExtension(Shortcuts(app))


def _docker() -> type[DockWidget]:
    try:
        from .engine import bundled

        try:
            bundled.load()
        except bundled.BundleError as e:
            LoadErrorDocker.cause, LoadErrorDocker.remedy = e.cause, e.remedy
            return LoadErrorDocker
        from .docker import ColorizeDocker
    except Exception as e:
        LoadErrorDocker.cause = tr("Colorize cannot be loaded: {error}").format(error=f"{type(e).__name__}: {e}")
        LoadErrorDocker.remedy = tr(
            "Run colorize-install again; if that does not help, copy the report and send it to us."
        )
        LoadErrorDocker.details = traceback.format_exc()
        return LoadErrorDocker
    return ColorizeDocker
