"""Steps through a scenario on Krita's own event loop, writes what came of it, and quits Krita as a user would.

Environment:
    KTEST_SCENARIO: Python file with ``def scenario(t)``, a generator. It may yield None (one turn of the event loop),
        a number (seconds), or a callable (wait until it is true, at most ``t.timeout`` seconds).
    KTEST_RESULT: the JSON file to write.
    KTEST_TIMEOUT: seconds for the whole scenario.
    KTEST_ARGS: JSON object for ``t.args``.
    KTEST_FILES: set where Krita was given pictures to open.

What nobody catches once the result is written goes into a file beside it, whose name ends in ``.late``. A scenario may
set ``t.own_hook``: then Krita quits with its own hook for that, which opens a window, as at an artist's.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import krita

from .qt import QtCore, QtWidgets
from .toolkit import Toolkit


class Runner(krita.Extension):
    """The extension; one for the process."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.born = time.monotonic()
        self.deadline = self.born + float(os.environ.get("KTEST_TIMEOUT", "60"))
        self.kit: Any = None
        self.steps: Any = None
        self.busy = False
        self.over = False
        self.wait: Any = None
        self.since = self.born
        self.timer = QtCore.QTimer(self)
        self.timer.timeout.connect(self.tick)
        # Qt does not fire a timer again while its own slot sits in a modal dialog: the watchdog needs another one.
        self.dog = QtCore.QTimer(self)
        self.dog.timeout.connect(self.watch)

    def setup(self) -> None:
        """Start; called by Krita when all plugins are loaded."""
        # Krita's own hook opens a modal dialog, which would hang the run.
        self.hooks = sys.excepthook, threading.excepthook
        sys.excepthook = self.uncaught
        threading.excepthook = lambda a: self.uncaught(a.exc_type, a.exc_value, a.exc_traceback)
        self.kit = Toolkit(json.loads(os.environ.get("KTEST_ARGS", "{}")))
        self.wait = self.visible
        self.timer.start(5)
        self.dog.start(250)

    def createActions(self, window: Any) -> None:  # noqa: N802
        """Required by Krita."""

    def visible(self) -> bool:
        """Whether Krita's window is up, with the picture that was named at the start."""
        window = self.kit.window()
        shown = window is not None and window.qwindow().isVisible()
        return shown and (krita.Krita.instance().activeDocument() is not None or "KTEST_FILES" not in os.environ)

    def uncaught(self, kind: Any, error: Any, trace: Any) -> None:
        """Fail, whoever raised it."""
        text = "".join(traceback.format_exception(kind, error, trace))
        if self.over:
            # The result is written, and of Qt nothing may be touched any more.
            with Path(os.environ["KTEST_RESULT"] + ".late").open("a", encoding="utf-8") as late:
                late.write(text)
            return
        # From another thread a timer of this one may not be touched.
        QtCore.QMetaObject.invokeMethod(self.dog, "start", QtCore.Qt.ConnectionType.QueuedConnection)
        self.failure = text
        if threading.current_thread() is threading.main_thread():
            self.finish("uncaught", text)

    failure = ""
    hooks: Any = None

    def watch(self) -> None:
        """End a run that hangs, and say in what."""
        if self.failure:
            self.finish("uncaught", self.failure)
        elif time.monotonic() > self.deadline:
            self.finish("timeout", "the scenario is not done in time; " + self.waiting_for() + self.modal())

    def modal(self) -> str:
        """The dialog that is in the way."""
        dialog = QtWidgets.QApplication.activeModalWidget()
        if dialog is None:
            return ""
        texts = [label.text() for label in dialog.findChildren(QtWidgets.QLabel)]
        return f"\nopen dialog: {dialog.metaObject().className()} {dialog.windowTitle()!r} {texts}"

    def waiting_for(self) -> str:
        """Where the scenario stands."""
        if self.steps is None:
            return "it waited for Krita's window"
        # The scenario itself may sit in a `yield from`: the innermost frame says more.
        inner = self.steps
        while getattr(inner, "gi_yieldfrom", None) is not None and hasattr(inner.gi_yieldfrom, "gi_frame"):
            inner = inner.gi_yieldfrom
        lines = []
        for generator in {id(g): g for g in (self.steps, inner)}.values():
            frame = generator.gi_frame
            if frame is not None:
                lines.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        return f"it waited at {' > '.join(lines)} for {self.wanted()}"

    def wanted(self) -> str:
        """The condition that does not come true, as its source."""
        what = getattr(self.wait, "what", "")
        if what or not callable(self.wait):
            return what or repr(self.wait)
        try:
            return inspect.getsource(self.wait).strip()
        except (OSError, TypeError):
            return repr(self.wait)

    def tick(self) -> None:
        """One step, where what the scenario waits for has come."""
        if self.busy or self.over or inside_krita():
            return
        self.busy = True
        begin = time.perf_counter()
        try:
            self.step()
        except StopIteration:
            self.finish("passed", "")
        except BaseException:
            self.finish("failed", traceback.format_exc() + self.modal())
        finally:
            self.busy = False
            if self.kit is not None:
                self.kit.gaps.scenario(begin, time.perf_counter())

    def step(self) -> None:
        """Go on with the scenario, or wait."""
        now = time.monotonic()
        if callable(self.wait):
            if not self.wait():
                if now - self.since > self.kit.timeout:
                    raise TimeoutError(f"waited {self.kit.timeout:.0f} s; {self.waiting_for()}")
                return
        elif self.wait is not None and now - self.since < self.wait:
            return
        if self.steps is None:
            self.kit.data["startup"] = round(now - self.born, 2)
            self.kit.prepare()
            path = Path(os.environ["KTEST_SCENARIO"])
            sys.path.insert(0, str(path.parent))
            code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
            names = {"__name__": "scenario", "__file__": str(path)}
            exec(code, names)  # noqa: S102
            self.steps = names["scenario"](self.kit)  # type: ignore[operator]
        self.wait = next(self.steps)
        self.since = time.monotonic()

    def finish(self, outcome: str, message: str) -> None:
        """Write the result and quit."""
        if self.over:
            return
        self.over = True
        self.timer.stop()
        self.dog.stop()
        self.kit.close()
        if outcome != "passed":
            with contextlib.suppress(Exception):
                self.kit.screen(os.environ["KTEST_RESULT"] + ".png")
        result = {
            "outcome": outcome,
            "message": message,
            "data": self.kit.data,
            "notes": self.kit.notes,
            "seconds": round(time.monotonic() - self.born, 2),
            "krita": krita.Krita.instance().version(),
            "python": sys.version.split()[0],
        }
        path = Path(os.environ["KTEST_RESULT"])
        new = path.with_suffix(".new")
        new.write_text(json.dumps(result, indent=1, default=repr), encoding="utf-8")
        new.replace(path)
        QtCore.QTimer.singleShot(0, self.quit)

    def quit(self) -> None:
        """Quit as File > Quit does; ``QApplication.quit()`` crashes Krita 5.1."""
        dialog = QtWidgets.QApplication.activeModalWidget()
        if dialog is not None:
            dialog.close()
        if nested() and time.monotonic() < self.deadline + 5:
            QtCore.QTimer.singleShot(20, self.quit)
            return
        app = krita.Krita.instance()
        for document in app.documents():
            document.waitForDone()
            document.setModified(False)  # or it asks whether to save
        if self.kit.own_hook:
            sys.excepthook, threading.excepthook = self.hooks
        app.action("file_quit").trigger()


def nested() -> bool:
    """Whether other Python code waits in a call that has an event loop of its own."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if "colorize_driver" not in frame.f_back.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def inside_krita() -> bool:
    """Whether the plugin waits in Krita, whose ``addChildNode`` lets events through; no artist can act there."""
    dialog = QtWidgets.QApplication.activeModalWidget()
    return nested() and (dialog is None or dialog.metaObject().className() == "KisDelayedSaveDialog")
