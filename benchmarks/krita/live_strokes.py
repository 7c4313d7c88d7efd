"""Runs inside Krita for krita_live.py: strokes with the mouse in live mode, and when each was to be seen.

Args: strokes (how many), layer (a live layer too), live (or without live mode at all, for comparison).
"""

import itertools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "krita" / "scenarios"))

import steps

COLOURS = ((200, 40, 40), (40, 80, 200), (250, 205, 170), (90, 60, 40), (60, 150, 90))
IN_THE_WAY = ("PresetDocker", "sharedtooldocker", "ColorSelectorNg", "HistogramDocker")
QUIET = 0.35
"""Seconds without anything new after which a stroke is done with."""
LOST = 30.0
"""Seconds after which a stroke that changed nothing is given up."""
SEEN = 0.3
"""Part of the canvas that is drawn anew where a layer of the whole picture has changed."""


def scenario(t):
    """Set live mode on, draw, and note what is seen when."""
    document = t.app.activeDocument()
    for other in t.app.dockers():
        # They would leave no room for the preview.
        if other.objectName() in IN_THE_WAY:
            other.setVisible(False)
    docker = t.docker()
    yield from steps.ready(t)
    yield from steps.new_set(t, document)
    docker.panel.set_sections({"layers": False, "options": False, "results": False})
    t.brush(COLOURS[0], max(6, document.height() // 40))
    # The first stroke looks for the picture on the screen, and the first job loads the model.
    yield from t.stroke(path(0, document), 0.15)
    watch = Watch(t, docker)
    if t.args["live"]:
        yield from t.click(t.child("QCheckBox", "live_check"))
        yield from t.until(lambda: watch.preview.isVisible(), "the first picture")
        if t.args["layer"]:
            box = t.child("QCheckBox", "live_layer_check")
            spot = box.mapToGlobal(t.QtCore.QPoint(10, box.height() // 2))  # its middle may be beside its text
            yield from t.xdotool("mousemove", spot.x(), spot.y(), "sleep", 0.05, "click", 1)
            yield from t.until(lambda: t.node(document, "Colorize live") is not None, "the live layer")
        t.child("QScrollArea", "panel_scroll").ensureWidgetVisible(watch.preview)
    yield from t.settle(document, 1.0)
    t.check(not t.args["live"] or not watch.preview.visibleRegion().isEmpty(), "the preview is in sight")
    rows = []
    t.gaps.start()
    for number in range(1, t.args["strokes"] + 1):
        t.brush(COLOURS[number % len(COLOURS)], max(6, document.height() // 40))
        watch.begin()
        yield from t.stroke(path(number, document), 0.15)
        deadline = time.monotonic() + (LOST if t.args["live"] else 1.0)
        yield from t.until(lambda end=deadline: watch.done() or time.monotonic() > end, "a stroke", LOST + 1)
        rows.append(watch.row())
    t.data.update(rows=rows, gaps=t.gaps.stop(), scale=t.notes[-1:])


def path(number, document):
    """A short stroke, each at another place all over the picture."""
    wide, high = document.width(), document.height()
    x, y = 0.1 + 0.75 * (number * 0.618 % 1), 0.1 + 0.75 * (number * 0.377 % 1)
    size = 0.07 if number % 2 else -0.05
    return [(x * wide, y * high), ((x + 0.05) * wide, (y + size / 2) * high), ((x + 0.02) * wide, (y + size) * high)]


def clock_of_server(event):
    """When the X server had an event, on this process's monotonic clock: it may have waited for Krita."""
    now = time.monotonic()
    waited = (int(now * 1000) - int(event.timestamp())) % (1 << 32) / 1000
    return now - waited if waited < LOST else now


def event_filter(t, call):
    """A Qt event filter that calls a function and lets everything through."""

    class Filter(t.QtCore.QObject):
        def eventFilter(self, watched, event):  # noqa: N802
            call(watched, event)
            return False

    return Filter(t.window().qwindow())


class Watch:
    """Notes what happens between lifting the pen and the picture; seconds of ``time.monotonic``."""

    def __init__(self, t, docker):
        self.t, self.live, self.colouring = t, docker.live, docker.colouring
        self.preview, self.canvas = t.child("QWidget", "preview"), t.canvas()
        self.up, self.paint = event_filter(t, self._lifted), event_filter(t, self._painted)
        for widget in (self.preview, self.canvas):
            widget.installEventFilter(self.paint)
        self.begin()
        run_live, ended, show = self.colouring.run_live, self.colouring._ended, self.live._show  # noqa: SLF001

        def run(*args):
            self.note("asked")
            self.runs += 1
            run_live(*args)
            self.note("sent")

        def end(job, outcome):
            self.note("answered")
            self.device = outcome.body.get("seconds", 0.0) if outcome.kind == "result" else None
            ended(job, outcome)

        def put(document):
            show(document)
            self.note("written")

        self.colouring.run_live, self.colouring._ended, self.live._show = run, end, put  # noqa: SLF001
        self.colouring.live_done.connect(lambda *_: self.note("made"))

    def begin(self):
        """The next stroke."""
        self.at, self.runs, self.device, self.last = {}, 0, None, time.monotonic()
        # Of the canvas itself one does not hear reliably: Krita's own filter lets nothing through.
        self.t.QtWidgets.QApplication.instance().installEventFilter(self.up)

    def note(self, what):
        """It is now."""
        self.last = self.at[what] = time.monotonic()

    def _painted(self, watched, event):
        if event.type() != self.t.QtCore.QEvent.Type.Paint:
            return
        if watched is self.preview:
            if "made" in self.at and self.at.get("seen", 0) < self.at["made"]:
                self.note("seen")
        elif "written" in self.at and self.at.get("in_layer", 0) < self.at["written"]:
            box = event.region().boundingRect()
            if box.width() * box.height() > SEEN * self.canvas.width() * self.canvas.height():
                self.note("in_layer")

    def _lifted(self, watched, event):
        if watched is self.canvas and event.type() == self.t.QtCore.QEvent.Type.MouseButtonRelease:
            self.at = {"up": clock_of_server(event)}
            self.note("heard")
            self.t.QtWidgets.QApplication.instance().removeEventFilter(self.up)

    def done(self):
        """Whether the newest picture is seen, and nothing else has come for a moment."""
        way = ["up", "asked", "answered", "made"]
        ends = ["seen", "in_layer"] if self.live.layer_wanted else ["seen"]
        return time.monotonic() - self.last > QUIET and all(
            all(name in self.at for name in (*way, end))
            and all(self.at[a] <= self.at[b] for a, b in itertools.pairwise((*way, end)))
            for end in ends
        )

    def row(self):
        """Seconds since the pen was lifted, by what happened; none where it was not heard of."""
        up = self.at.get("up")
        if up is None:
            return {"runs": 0}
        # The plugin's own notes of its calls are on another clock.
        offset = time.monotonic() - time.perf_counter() - up
        asked = self.at.get("asked", time.monotonic()) - up
        calls = [(name, a + offset, b - a) for name, a, b in list(sys.modules["colorize.document.timing"].intervals)]
        locks = [a for name, a, _ in calls if name == "lock" and 0 < a < asked]
        look = max(locks, default=None)
        return {
            **{name: at - up for name, at in self.at.items()},
            "runs": self.runs,
            "device": self.device,
            "looks": len(locks),
            "look": look,
            "read": sum(d for name, a, d in calls if name == "read" and look is not None and look < a < asked),
        }
