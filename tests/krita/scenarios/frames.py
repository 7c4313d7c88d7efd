"""Frames of an animation: taken from the key frames of lineart and hints, cancelled without a trace, also in groups.

Args: side (of the image), short (only colours the frames, three times).
"""

import tempfile
from pathlib import Path

import steps
from kinds import undo_steps

LAST, NOW = 7, 2
GREEN = (20, 160, 60)
INK, HINTS = (0, 3, 6), (0, 4)
"""Key frames."""


def scenario(t):
    t.docker()
    document = steps.drawing(t, t.args["side"])
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    yield from animate(t, document)
    if t.args.get("short"):
        for n in range(3):
            yield from coloured(t, document, *[f" {n + 1}"] * (n > 0))
        return
    yield from refused(t, document)
    yield from cancelled(t, document)
    yield from whole(t, document)
    yield from in_a_group(t, document)


def animate(t, document):
    """A line more at each key frame of the ink, and other hints from frame 4 on."""
    lineart, hints = t.node(document, "Lineart"), t.node(document, "Colouring", "Hints")
    for node in (lineart, hints):
        node.enableAnimation()
        yield from t.settle(document, 0.1)
    for node, frames, kind in ((lineart, INK, "add_duplicate_frame"), (hints, HINTS, "add_blank_frame")):
        document.setActiveNode(node)
        yield from t.until(lambda node=node: document.activeNode() == node, "the active layer")
        for frame in frames[1:]:
            document.setCurrentTime(frame)
            yield from t.settle(document, 0.1)
            t.action(kind).trigger()
            yield from t.settle(document, 0.1)
            t.check(node.hasKeyframeAtTime(frame), f"key frame {frame} of {node.name()}")
            if node is lineart:
                t.box(document, node, 2, 2, 6 + frame, 8, steps.ink_of(document), 1)
            else:
                for left, top, right, bottom in steps.boxes(document):
                    steps.dab(t, document, node, GREEN, (left + right) / 2, (top + bottom) / 2, 6)
    document.setCurrentTime(NOW)
    t.node(document, "Colouring").setVisible(False)
    document.refreshProjection()
    yield from t.settle(document)


def refused(t, document):
    """The dialog is closed without OK."""
    before = state(t, document)
    answer(t, "reject")
    t.docker().colour_frames()
    yield from t.settle(document)
    t.equal(state(t, document), before, "after Cancel in the dialog")
    yield from t.until(lambda: not leftovers(), "no file is left")


def cancelled(t, document):
    """Cancel with a job under way, after some frames are done."""
    before = state(t, document)
    answer(t, "accept")
    t.docker().colour_frames()
    yield from t.until(lambda: steps.text(t, "message_label").startswith("Frame 2"), "a first frame")
    steps.freeze(t)
    yield 0.2
    t.check(t.docker().frames is not None, "frames are under way")
    yield from t.click(t.child("QAbstractButton", "cancel_button"))
    yield from t.until(lambda: t.docker().frames is None, "they are given up")
    steps.thaw(t)
    yield from steps.ready(t)
    yield from t.settle(document)
    t.equal(state(t, document), before, "after Cancel")
    yield from t.until(lambda: not leftovers(), "no file is left")


def whole(t, document):
    """All of the frames, as one layer, locked, one step to undo."""
    before = state(t, document)
    made = yield from coloured(t, document)
    t.check(made.animated() and made.locked(), "an animated layer, locked")
    t.equal(document.currentTime(), NOW, "the current frame")
    t.equal(document.activeNode().name(), "Hints", "the active layer")
    yield from t.until(lambda: not leftovers(), "no file is left")
    t.data["message"] = steps.text(t, "message_label")
    yield from t.undo(document)
    t.equal(state(t, document), before, "after one undo")
    yield from t.redo(document)
    t.data["frames"] = yield from colours(t, document)
    t.node(document, "Colorize frames").remove()
    document.setCurrentTime(NOW)
    yield from t.settle(document)


def in_a_group(t, document):
    """The ink is in a group, whose picture can only be read while the frame is shown."""
    lineart = t.node(document, "Lineart")
    group = document.createGroupLayer("Ink")
    document.rootNode().addChildNode(group, lineart)
    copy = lineart.duplicate()
    lineart.remove()
    group.addChildNode(copy, None)
    yield from t.settle(document)
    yield from t.until(lambda: offered(t, "Ink"), "the group is offered")
    steps.pick(t, "lineart", group.uniqueId().toString())
    undo = undo_steps(t)
    yield from coloured(t, document)
    t.equal(document.currentTime(), NOW, "the current frame, with a group")
    t.data["steps of a group"] = undo_steps(t) - undo
    t.data["frames of a group"] = yield from colours(t, document)


def offered(t, name):
    box = t.child("QComboBox", "lineart_picker")
    return name in [box.itemText(i).strip() for i in range(box.count())]


def coloured(t, document, number=""):
    """Colour the frames, and wait for the layer; returns it."""
    name = "Colorize frames" + number
    answer(t, "accept")
    t.docker().colour_frames()
    yield from t.until(lambda: t.docker().frames is None, "the frames")
    t.check(t.node(document, name) is not None, steps.trouble(t))
    yield from t.settle(document)
    return t.node(document, name)


def colours(t, document):
    """The colour of the left box, at each frame."""
    found = []
    left, top, right, bottom = steps.boxes(document)[0]
    for frame in range(LAST + 1):
        document.setCurrentTime(frame)
        yield from t.settle(document, 0.1)
        found.append(t.pixel(document, (left + right) // 2, top + (bottom - top) // 3))
    return found


def state(t, document):
    return [t.tree(document), t.digest(document), document.currentTime(), document.activeNode().name()]


def leftovers():
    return list(Path(tempfile.gettempdir()).glob("colorize-frames-*"))


def answer(t, how):
    """Answer the coming dialog."""

    def look():
        dialog = t.QtWidgets.QApplication.activeModalWidget()
        if dialog is None:
            t.QtCore.QTimer.singleShot(30, look)
            return
        dialog.findChild(t.QtWidgets.QSpinBox, "first_frame").setValue(0)
        dialog.findChild(t.QtWidgets.QSpinBox, "last_frame").setValue(LAST)
        getattr(dialog, how)()

    t.QtCore.QTimer.singleShot(30, look)
