"""Takes the pictures of the docker for the documentation, in all its states.

Krita is started with an example's lineart. Args: folder (where pictures go), strokes (a file of strokes), hints (the
same as a picture), only (``states``, ``look`` or ``variations``), name (of the picture of a look).
"""

import os
import signal
from pathlib import Path

import first_use
import steps
import variations

IN_THE_WAY = ("PresetDocker", "sharedtooldocker", "ColorSelectorNg", "HistogramDocker")


def scenario(t):
    document = t.app.activeDocument()
    for docker in t.app.dockers():
        if docker.objectName() in IN_THE_WAY:
            docker.setVisible(False)
    docker = t.docker()
    # In any language.
    yield from t.until(lambda: docker.session.status.state == "ready", "ready")
    yield 0.5
    if t.args["only"] == "look":
        yield from look(t, document, docker)
    elif t.args["only"] == "variations":
        yield from lots(t, document, docker)
    else:
        yield from states(t, document, docker)


def save(t, name, widget=None):
    """Grab a widget into the folder."""
    t.grab(str(Path(t.args["folder"]) / f"{name}.png"), widget)


def draw(t, document):
    """New colouring set and the example's strokes, with the mouse."""
    yield from steps.new_set(t, document)
    for rgb, size, points in first_use.strokes(t.args["strokes"]):
        t.brush(rgb, size)
        yield from t.stroke(points, 0.1)
    yield from t.settle(document)


def floating(docker, width, height):
    """The docker by itself, of a size of our own."""
    docker.setFloating(True)
    docker.resize(width, height)
    yield 0.4


def look(t, document, docker):
    """One picture in another theme or language."""
    yield from steps.new_set(t, document)
    image = t.QtGui.QImage(t.args["hints"]).convertToFormat(t.QtGui.QImage.Format.Format_ARGB32)
    size = image.width(), image.height()
    bits = image.constBits().asstring(size[0] * size[1] * 4)
    t.node(document, "Colouring", "Hints").setPixelData(bits, 0, 0, *size)
    document.refreshProjection()
    yield from steps.colorize(t, document)
    yield 0.5
    yield from floating(docker, 330, 780)
    save(t, t.args["name"], docker)


def lots(t, document, docker):
    """Four variations of a model that samples, one of them in the picture."""
    yield from steps.new_set(t, document)
    variations.hint_half(t, document)
    yield from variations.options_by_model(t)
    yield from variations.variations(t, document)
    yield from variations.click_result(t, f"seed {variations.SEED + 1}")
    yield from t.until(lambda: variations.applied(t), "the result")
    docker.panel.set_sections({"layers": False, "options": True, "results": True})
    yield from floating(docker, 330, 840)
    save(t, "variations", docker)


def states(t, document, docker):
    """Empty, with strokes, with a result, narrow, busy, and in trouble."""
    yield from draw(t, document)
    yield 0.5
    t.screen(str(Path(t.args["folder"]) / "strokes.png"))
    yield from steps.colorize(t, document)
    t.node(document, "Colouring").setVisible(False)
    document.refreshProjection()
    yield from t.settle(document)
    yield 1.2
    t.screen(str(Path(t.args["folder"]) / "result.png"))
    yield from floating(docker, 330, 780)
    save(t, "idle", docker)
    docker.resize(250, 780)
    yield 0.5
    save(t, "narrow", docker)
    docker.resize(330, 560)
    yield from busy(t, document, docker)
    yield from trouble(t, docker)


def busy(t, document, docker):
    """The drawing four times as large takes long enough to be seen at work."""
    document.scaleImage(document.width() * 4, document.height() * 4, 300, 300, "Bicubic")
    yield from t.settle(document)
    docker.panel.set_sections({"layers": False, "options": False, "results": True})
    bar = t.child("QProgressBar", "progress_bar")
    count = len(steps.results(t, document))
    yield from steps.press(t, "colorize_button")
    yield from t.until(lambda: bar.isVisible() and bar.value() > 0, "progress")
    save(t, "busy", docker)
    yield from t.until(lambda: len(steps.results(t, document)) > count, "the result")
    yield from t.settle(document)


def trouble(t, docker):
    """The engine is ended by force, twice."""
    for _ in range(2):
        yield from steps.ready(t)
        os.kill(docker.session.engine_pid, signal.SIGKILL)
        yield from t.until(lambda: not steps.status(t).startswith("Ready"), "the loss")
    yield from t.until(lambda: t.child("QWidget", "start_again_button").isVisible(), "the remedy")
    yield 0.3
    save(t, "error", docker)
