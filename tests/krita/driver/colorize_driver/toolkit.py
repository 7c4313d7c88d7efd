"""What a scenario gets as ``t``: Krita, its widgets, real mouse strokes and keys, and ways to wait and to compare."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import krita

from .gaps import Gaps
from .qt import QtCore, QtGui, QtWidgets

CANVASES = ("KisQPainterCanvas", "KisOpenGLCanvas2")
BRUSH = "b) Basic-5 Size"
"""A round, hard brush that all versions have."""
RESTS = 2
"""So many looks in a row must find a widget where it was."""
Point = Tuple[float, float]


class Toolkit:
    """One for a scenario. Methods that return an iterator are used with ``yield from``."""

    def __init__(self, args: Dict[str, Any]) -> None:
        self.app = krita.Krita.instance()
        self.args = args
        self.data: Dict[str, Any] = {}
        self.notes: List[str] = []
        self.timeout = 40.0
        self.own_hook = False
        """Whether Krita quits with its own hook for uncaught exceptions, which shows them in a window."""
        self.gaps = Gaps()
        self.QtCore, self.QtGui, self.QtWidgets = QtCore, QtGui, QtWidgets
        self._places: Dict[Any, Tuple[float, float, float]] = {}
        self._mouse: List[subprocess.Popen[bytes]] = []
        self._born = time.monotonic()

    def prepare(self) -> None:
        """A window that fills the screen and has the keyboard, with a window manager or without."""
        window = self.window().qwindow()
        size = QtGui.QGuiApplication.primaryScreen().size()
        window.setGeometry(0, 0, size.width(), size.height())
        # The arguments may name files, which Krita has open by now.
        subprocess.run(["xdotool", "windowfocus", str(int(window.winId()))], check=False, stderr=subprocess.DEVNULL)

    def close(self) -> None:
        """Let the mouse go."""
        for process in self._mouse:
            if process.poll() is None:
                process.kill()
        subprocess.run(["xdotool", "mouseup", "1"], check=False)

    # Notes and checks

    def note(self, *words: Any) -> None:
        """A line in the result, with the time."""
        self.notes.append(f"{time.monotonic() - self._born:.3f} " + " ".join(str(w) for w in words))

    def check(self, condition: Any, what: str = "") -> None:
        """Fail where the condition is not true."""
        if not condition:
            raise AssertionError(what or "check failed")

    def equal(self, found: Any, wanted: Any, what: str = "") -> None:
        """Fail where the two differ."""
        if found != wanted:
            raise AssertionError(f"{what}\n  found  {found!r}\n  wanted {wanted!r}")

    def until(self, condition: Callable[[], Any], what: Any = "", timeout: float = 0.0) -> Iterator[Any]:
        """Wait for something to become true.

        Args:
            condition: it.
            what: what is said where it does not come true, or what tells it then.
            timeout: seconds; ``self.timeout`` by default.
        """
        deadline = time.monotonic() + (timeout or self.timeout)
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"it did not come true in time: {what() if callable(what) else what}")
            yield None

    # Krita

    def window(self) -> Any:
        """Krita's main window."""
        return self.app.activeWindow() or (self.app.windows() or [None])[0]

    def action(self, name: str) -> Any:
        """An action by its id."""
        found = self.app.action(name)
        if found is None:
            raise AssertionError(f"Krita has no action {name}")
        return found

    def docker(self, name: str = "colorize_docker") -> Any:
        """A docker by its object name, shown and brought to the front."""
        for docker in self.app.dockers():
            if docker.objectName() == name:
                docker.setVisible(True)
                docker.raise_()
                return docker
        raise AssertionError(f"no docker {name}, only {sorted(d.objectName() for d in self.app.dockers())}")

    def child(self, kind: Any, name: str, parent: Any = None) -> Any:
        """A widget in a docker by its object name.

        Args:
            kind: its class, or the class's name in QtWidgets.
            name: its object name.
            parent: the docker; Colorize by default.
        """
        kind = getattr(QtWidgets, kind) if isinstance(kind, str) else kind
        parent = parent if parent is not None else self.docker()
        found = parent.findChild(kind, name)
        if found is None:
            names = sorted({w.objectName() for w in parent.findChildren(QtWidgets.QWidget)} - {""})
            raise AssertionError(f"no widget {name} of class {kind.__name__}, only {names}")
        return found

    # Documents

    def new_doc(
        self, width: int, height: int, model: str = "RGBA", depth: str = "U8", profile: str = "", name: str = "test"
    ) -> Any:
        """A new document, shown."""
        document = self.app.createDocument(width, height, name, model, depth, profile, 300.0)
        self.window().addView(document)
        self.app.setActiveDocument(document)
        return document

    def open(self, path: str) -> Any:
        """A document from a file, shown."""
        document = self.app.openDocument(path)
        if document is None:
            raise AssertionError(f"Krita does not open {path}")
        self.window().addView(document)
        self.app.setActiveDocument(document)
        return document

    def layer(
        self,
        document: Any,
        name: str,
        pixels: Any = None,
        rect: Any = None,
        kind: str = "paintlayer",
        parent: Any = None,
    ) -> Any:
        """A new layer on top, with pixels in the document's own format."""
        node = document.createNode(name, kind)
        if pixels is not None:
            node.setPixelData(pixels, *(rect or (0, 0, document.width(), document.height())))
        (parent or document.rootNode()).addChildNode(node, None)
        return node

    def box(
        self, document: Any, node: Any, left: int, top: int, right: int, bottom: int, pixel: bytes, line: int = 4
    ) -> None:
        """Draw the frame of a rectangle into a layer of one's own making."""
        wide, high = right - left, bottom - top
        for x, y, w, h in (
            (left, top, wide, line),
            (left, bottom - line, wide, line),
            (left, top, line, high),
            (right - line, top, line, high),
        ):
            node.setPixelData(pixel * (w * h), x, y, w, h)
        document.refreshProjection()

    def tree(self, document: Any) -> List[Any]:
        """Names of all layers from the bottom up; a group is {name: [...]}."""

        def names(node: Any) -> List[Any]:
            return [
                {n.name(): names(n)} if n.childNodes() or n.type() == "grouplayer" else n.name()
                for n in node.childNodes()
            ]

        return names(document.rootNode())

    def node(self, document: Any, *path: str) -> Any:
        """A layer by the names on the way to it; None where there is none."""
        node = document.rootNode()
        for name in path:
            node = next((n for n in node.childNodes() if n.name() == name), None)
            if node is None:
                return None
        return node

    def projection(self, document: Any) -> bytes:
        """The bytes of the picture as it is shown, in the document's own format."""
        document.waitForDone()
        return bytes(document.pixelData(0, 0, document.width(), document.height()))

    def digest(self, document: Any) -> str:
        """The picture's bytes in short."""
        return hashlib.sha256(self.projection(document)).hexdigest()

    def pixel(self, document: Any, x: int, y: int) -> Tuple[int, ...]:
        """A pixel of the picture as (red, green, blue) of 8 bits."""
        colour = QtGui.QColor(document.projection(x, y, 1, 1).pixel(0, 0))
        return (colour.red(), colour.green(), colour.blue())

    def outside(self, before: bytes, after: bytes, document: Any, rect: Sequence[int]) -> int:
        """How many rows differ outside a rectangle (x, y, width, height)."""
        step = len(before) // (document.width() * document.height())
        row = document.width() * step
        x, y, w, h = rect
        bad = 0
        for line in range(document.height()):
            a, b = before[line * row : (line + 1) * row], after[line * row : (line + 1) * row]
            if y <= line < y + h:
                a, b = a[: x * step] + a[(x + w) * step :], b[: x * step] + b[(x + w) * step :]
            bad += a != b
        return bad

    def keep(self, name: str, content: bytes) -> str:
        """Put bytes into a file beside the result, for the test outside; returns the path."""
        path = Path(os.environ["KTEST_RESULT"]).parent / name
        path.write_bytes(content)
        return str(path)

    def idle(self, document: Any) -> bool:
        """Whether Krita has nothing to do for this document, asked without waiting or cutting a stroke."""
        if not document.tryBarrierLock():
            return False
        document.unlock()
        return True

    def settle(self, document: Any, quiet: float = 0.25) -> Iterator[Any]:
        """Wait until Krita is done with this document for a moment."""
        calm = time.monotonic()
        yield None
        while time.monotonic() - calm < quiet:
            if not self.idle(document):
                calm = time.monotonic()
            yield None

    def undo(self, document: Any) -> Iterator[Any]:
        """Edit > Undo, and wait for the pixels."""
        self.action("edit_undo").trigger()
        yield from self.settle(document)

    def redo(self, document: Any) -> Iterator[Any]:
        """Edit > Redo, and wait for the pixels."""
        self.action("edit_redo").trigger()
        yield from self.settle(document)

    # Mouse and keys: real events of the X server

    def xdotool(self, *words: Any) -> Iterator[Any]:
        """Run xdotool while Krita's event loop goes on."""
        process = subprocess.Popen(["xdotool", *map(str, words)])
        self._mouse.append(process)
        yield from self.until(lambda: process.poll() is not None, "xdotool")
        self.check(process.returncode == 0, f"xdotool {words} failed")

    def keys(self, *keys: str) -> Iterator[Any]:
        """Press key combinations as xdotool names them: ``ctrl+z``."""
        yield from self.xdotool("windowfocus", int(self.window().qwindow().winId()), "sleep", 0.05, "key", *keys)
        yield 0.1

    def _at_rest(self, widget: Any) -> Iterator[Any]:
        """Its middle on the screen, in view, once a panel that is being laid out anew no longer moves it."""
        last, still = None, 0
        while still < RESTS:
            area = widget.parent()
            while area is not None:
                if isinstance(area, QtWidgets.QScrollArea):
                    area.ensureWidgetVisible(widget)
                area = area.parent()
            yield 0.05
            middle = widget.rect().center()
            if isinstance(widget, QtWidgets.QCheckBox):
                middle.setX(middle.y())  # beside its words a wide one does not react
            middle = widget.mapToGlobal(middle)
            still = still + 1 if middle == last else 0
            last = middle
        return last

    def click(self, widget: Any) -> Iterator[Any]:
        """A real click on the middle of a widget, scrolled into view."""
        middle = yield from self._at_rest(widget)
        self.check(widget.isVisible(), f"{widget.objectName()} is not visible")
        yield from self.xdotool(
            "mousemove", middle.x(), middle.y(), "sleep", 0.05, "mousedown", 1, "sleep", 0.03, "mouseup", 1
        )
        yield 0.05

    def canvas(self) -> Any:
        """The canvas that is shown."""
        window = self.window().qwindow()
        shown = [
            w
            for w in window.findChildren(QtWidgets.QWidget)
            if w.metaObject().className() in CANVASES and w.isVisible() and not w.visibleRegion().isEmpty()
        ]
        self.check(shown, "no canvas is shown")
        return shown[0]

    def brush(self, rgb: Sequence[int], size: float = 30.0) -> None:
        """Take the brush tool, a round brush and a colour (0-255)."""
        self.action("KritaShape/KisToolBrush").trigger()
        view = self.window().activeView()
        presets = self.app.resources("preset")
        view.setCurrentBrushPreset(presets[BRUSH])
        view.setBrushSize(size)
        colour = krita.ManagedColor("RGBA", "U8", "")
        colour.setComponents([rgb[2] / 255, rgb[1] / 255, rgb[0] / 255, 1.0])
        view.setForeGroundColor(colour)

    def screen_points(self, points: Sequence[Point]) -> Iterator[Any]:
        """Where points of the picture are on the screen; the picture is fitted into the canvas first.

        Krita 5.1 tells scripts no transformation, so the picture's place is looked up in a grab of the canvas: all
        around it is the colour of the canvas's corners.
        """
        canvas, document = self.canvas(), self.app.activeDocument()
        key = (document.rootNode().uniqueId().toString(), document.width(), canvas.width(), canvas.height())
        if key not in self._places:
            fitting = 0.9 * min(canvas.width() / document.width(), canvas.height() / document.height())
            for zoom in (fitting, fitting * 72 / document.resolution()):  # versions differ in what a zoom of 1 is
                self.window().activeView().canvas().setZoomLevel(zoom)
                yield 0.2
                yield from self.settle(document)
                self._places[key], whole = self._fit(canvas, document)
                if whole:
                    break
            else:
                raise AssertionError("the picture does not fit into the canvas")
        left, top, scale = self._places[key]
        origin = canvas.mapToGlobal(QtCore.QPoint(0, 0))
        return [(round(origin.x() + left + x * scale), round(origin.y() + top + y * scale)) for x, y in points]

    def _fit(self, canvas: Any, document: Any) -> Tuple[Tuple[float, float, float], bool]:
        """Left, top and scale of the picture in the canvas, and whether all of it is there."""
        image = canvas.grab().toImage()
        border = image.pixel(1, 1)
        wide, high = image.width(), image.height()

        def extent(length: int, at: Callable[[int], int]) -> Tuple[int, int]:
            inner = [i for i in range(length) if at(i) != border]
            return (inner[0], inner[-1] + 1) if inner else (length, 0)

        # The middle line alone could be the border's colour: the widest of a few lines counts.
        across = [extent(wide, lambda i, y=y: image.pixel(i, y)) for y in range(high // 4, high * 3 // 4, high // 8)]
        down = [extent(high, lambda i, x=x: image.pixel(x, i)) for x in range(wide // 4, wide * 3 // 4, wide // 8)]
        left, right = min(a for a, _ in across), max(b for _, b in across)
        top, bottom = min(a for a, _ in down), max(b for _, b in down)
        scale = min((right - left) / document.width(), (bottom - top) / document.height())
        self.note(f"the picture is at {left},{top} to {right},{bottom} of {wide}x{high}, scale {scale:.3f}")
        ratio = image.devicePixelRatio()
        whole = min(left, top) > 0 and right < wide and bottom < high
        return (left / ratio, top / ratio, scale / ratio), whole

    def stroke(self, points: Sequence[Point], seconds: float = 0.3, release: bool = True) -> Iterator[Any]:
        """A stroke with the mouse through points of the picture.

        Args:
            points: at least two, in pixels of the picture.
            seconds: how long it takes.
            release: whether the button is let go; else ``lift`` does.
        """
        path = dense(points, max(4, int(seconds / 0.02)))
        spots = yield from self.screen_points(path)
        words: List[Any] = ["mousemove", *spots[0], "sleep", 0.05, "mousedown", 1, "sleep", 0.03]
        for spot in spots[1:]:
            words += ["mousemove", *spot, "sleep", round(seconds / len(spots), 4)]
        yield from self.xdotool(*words, *(["mouseup", 1] if release else []))

    def move(self, points: Sequence[Point], seconds: float = 0.3) -> Iterator[Any]:
        """Go on with a stroke whose button is down."""
        spots = yield from self.screen_points(dense(points, max(4, int(seconds / 0.02))))
        words: List[Any] = []
        for spot in spots:
            words += ["mousemove", *spot, "sleep", round(seconds / len(spots), 4)]
        yield from self.xdotool(*words)

    def lift(self) -> Iterator[Any]:
        """Let the button go."""
        yield from self.xdotool("mouseup", 1)

    # Pictures

    def grab(self, path: str, widget: Any = None) -> None:
        """Picture of a widget; of Krita's window by default."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.check((widget or self.window().qwindow()).grab().save(path), f"cannot write {path}")

    def screen(self, path: str) -> None:
        """Picture of the whole screen, with menus and dialogs."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        screen = QtGui.QGuiApplication.primaryScreen()
        self.check(screen.grabWindow(0).save(path), f"cannot write {path}")


def dense(points: Sequence[Point], count: int) -> List[Point]:
    """About so many points along a path, at even distances."""
    lengths = [((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2) ** 0.5 for a, b in zip(points, points[1:])]
    step = max(sum(lengths) / count, 1e-6)
    path: List[Point] = [points[0]]
    for (a, b), length in zip(zip(points, points[1:]), lengths):
        for i in range(1, max(1, round(length / step)) + 1):
            part = i / max(1, round(length / step))
            path.append((a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part))
    return path


def same(one: Optional[Any], other: Optional[Any]) -> bool:
    """Whether two handles mean the same layer."""
    if one is None or other is None:
        return one is other
    return bool(one.uniqueId() == other.uniqueId())
