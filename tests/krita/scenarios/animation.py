"""A few frames are coloured by hints on key frames, as one layer and one step to undo."""

import steps

FRAMES = 5


def scenario(t):
    t.docker()
    document = steps.drawing(t, 128)
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    lineart = t.node(document, "Lineart")
    t.node(document, "Colouring").setVisible(False)
    document.setActiveNode(lineart)
    yield 0.3
    lineart.enableAnimation()
    for frame in range(1, FRAMES):
        document.setCurrentTime(frame)
        yield from t.settle(document)
        t.action("add_duplicate_frame").trigger()
        yield from t.settle(document)
        # The boxes move: a line more at each frame.
        t.box(document, lineart, 4 * frame, 4, 4 * frame + 3, 60, steps.ink_of(document), 2)
    document.setCurrentTime(0)
    yield from t.settle(document)
    before = t.tree(document)
    accept(t)
    t.child("QMenu", "more_menu")
    frames_action(t).trigger()
    yield from t.until(lambda: t.tree(document) != before or "cannot" in steps.text(t, "message_label"), "the frames")
    yield from t.settle(document)
    yield 0.5
    t.data["message"] = steps.trouble(t)
    after = t.tree(document)
    t.equal(after, ["Background", "Colorize frames", *before[1:]], "the new layer")
    # Changing the time is a step to undo in Krita, so undo comes first.
    yield from t.undo(document)
    t.equal(t.tree(document), before, "after one undo")
    yield from t.redo(document)
    t.equal(t.tree(document), after, "after one redo")
    colours = []
    for frame in range(FRAMES):
        document.setCurrentTime(frame)
        yield from t.settle(document)
        colours.append(t.pixel(document, 45, 80))
    t.data["colours"] = colours


def frames_action(t):
    for action in t.child("QMenu", "more_menu").actions():
        if action.objectName() == "frames_action" or "frames" in action.text().lower():
            return action
    raise AssertionError([a.text() for a in t.child("QMenu", "more_menu").actions()])


def accept(t):
    """Answer the coming dialog."""

    def look():
        dialog = t.QtWidgets.QApplication.activeModalWidget()
        if dialog is None:
            t.QtCore.QTimer.singleShot(50, look)
            return
        dialog.findChild(t.QtWidgets.QSpinBox, "first_frame").setValue(0)
        dialog.findChild(t.QtWidgets.QSpinBox, "last_frame").setValue(FRAMES - 1)
        dialog.accept()

    t.QtCore.QTimer.singleShot(50, look)
