"""What the scenarios do over and over: drawings to colour, and the docker's controls as an artist uses them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
RESULT = {"Colorize": ["Flats", "Shading"]}
RED, BLUE = (200, 40, 40), (40, 80, 200)


def pixel8(rgb, alpha=255):
    """A pixel as an 8-bit layer holds it."""
    return bytes((rgb[2], rgb[1], rgb[0], alpha))


def drawing(t, size=256, width=0, depth="U8", model="RGBA", **more):
    """A document with a lineart of two boxes side by side; returns it."""
    document = t.new_doc(width or size, size, model, depth, **more)
    lineart = t.layer(document, "Lineart")
    lines(t, document, lineart)
    document.setActiveNode(lineart)
    return document


def boxes(document):
    """The two boxes of ``drawing``: left, top, right, bottom."""
    w, h = document.width(), document.height()
    return ((w // 8, h // 8, w // 2, h * 7 // 8), (w // 2, h // 8, w * 7 // 8, h * 7 // 8))


def lines(t, document, node):
    """Draw the two boxes, in whatever format the layer has."""
    ink = ink_of(document)
    line = max(2, document.height() // 100)
    for box in boxes(document):
        t.box(document, node, *box, ink, line)


def ink_of(document):
    """An opaque black pixel in the document's format."""
    one = {"U8": b"\xff", "U16": b"\xff\xff", "F16": b"\x00\x3c", "F32": b"\x00\x00\x80\x3f"}[document.colorDepth()]
    none = b"\0" * len(one)
    if document.colorModel() == "CMYKA":
        # Floats of CMYK count to 100, but only whole numbers of CMYK are used here.
        return none * 3 + one + one
    return (none if document.colorModel() == "GRAYA" else none * 3) + one


def dab(t, document, node, rgb, x, y, size):
    """A square hint by data, into an 8-bit RGBA layer or, converted by Krita, into any other."""
    rect = (int(x - size / 2), int(y - size / 2), int(size), int(size))
    pixels = pixel8(rgb) * (int(size) * int(size))
    if (node.colorModel(), node.colorDepth()) == ("RGBA", "U8"):
        node.setPixelData(pixels, *rect)
        return
    other = document.createNode("converter", "paintlayer")
    other.setColorSpace("RGBA", "U8", "sRGB-elle-V2-srgbtrc.icc")
    other.setPixelData(pixels, *rect)
    other.setColorSpace(node.colorModel(), node.colorDepth(), node.colorProfile())
    node.setPixelData(other.pixelData(*rect), *rect)


def dabs(t, document):
    """A red hint into the left box and a blue one into the right."""
    hints = t.node(document, "Colouring", "Hints")
    size = max(4, document.height() // 16)
    for box, rgb in zip(boxes(document), (RED, BLUE)):
        dab(t, document, hints, rgb, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, size)
    document.refreshProjection()


def text(t, name):
    """What a text of the docker says; empty where it is not shown."""
    widget = t.child("QWidget", name)
    return widget.text() if widget.isVisible() else ""


def status(t):
    """The state of the engine as the docker tells it."""
    return t.child("QWidget", "status_label").text()


def trouble(t):
    """What the docker says is wrong, with the remedy."""
    return " | ".join(
        filter(None, (text(t, n) for n in ("message_label", "message_remedy", "status_label", "status_remedy")))
    )


def ready(t):
    """Wait until the engine is ready."""
    yield from t.until(lambda: status(t).startswith("Ready"), lambda: f"ready; the docker says {trouble(t)}")


def press(t, name):
    """Click a button of the docker with the mouse."""
    yield from t.click(t.child("QAbstractButton", name))


def new_set(t, document):
    """New colouring set, by the button."""
    yield from press(t, "new_set_button")
    yield from t.until(lambda: t.node(document, "Colouring", "Hints") is not None, "the colouring set")
    yield from t.until(lambda: document.activeNode().name() == "Hints", "the hint layer is active")
    yield from t.settle(document)


def results(t, document):
    """Names of the results in the document, also of those inside another."""
    names = []

    def look(node):
        for child in node.childNodes():
            if child.name().startswith("Colorize") and child.locked():
                names.append(child.name())
            look(child)

    look(document.rootNode())
    return names


def colorize(t, document, button="colorize_button"):
    """Press Colorize and wait for the result in the document."""
    before = len(results(t, document))
    yield from press(t, button)
    yield from t.until(lambda: len(results(t, document)) > before or text(t, "message_label"), "a result")
    t.check(len(results(t, document)) > before, f"no result, but: {trouble(t)}")
    yield from t.settle(document)


def engine(t):
    """The engine's connection file, read."""
    path = Path(os.environ["XDG_RUNTIME_DIR"]) / "colorize" / "engine.json"
    return json.loads(path.read_text())


def engine_processes(t):
    """The engine and its device process, by the system's list."""
    found, children = [engine(t)["pid"]], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(words[1]), []).append(int(stat.parent.name))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def freeze(t):
    """Hold the engine's device process, so that a job stays under way."""
    for pid in engine_processes(t)[1:]:
        os.kill(pid, signal.SIGSTOP)


def thaw(t):
    """Let it go on."""
    for pid in engine_processes(t)[1:]:
        os.kill(pid, signal.SIGCONT)


def underway(t, document):
    """Press Colorize with the engine held; a job is under way and stays so until ``thaw``."""
    freeze(t)
    yield from press(t, "colorize_button")
    yield from t.until(lambda: not status(t).startswith("Ready"), "busy")
    yield 0.2


def pick(t, role, value):
    """Choose in one of the layer pickers as the keyboard does: by the entry's data or the text it shows."""
    box = t.child("QComboBox", role + "_picker")
    for index in range(box.count()):
        if value in (box.itemData(index), box.itemText(index).strip()):
            box.setCurrentIndex(index)
            box.activated.emit(index)
            return
    raise AssertionError(f"{value!r} is not offered, only {[box.itemText(i) for i in range(box.count())]}")


def picked(t, role):
    """What one of the layer pickers shows."""
    return t.child("QComboBox", role + "_picker").currentText().strip()


def prepared(t, document):
    """New colouring set and a dab of colour in each box."""
    yield from new_set(t, document)
    dabs(t, document)
    yield from t.settle(document)
