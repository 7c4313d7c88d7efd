"""Chosen layers are saved with the document, follow renaming, and come back after deletion and undo.

Args: path (a .kra file to write).
"""

import steps


def scenario(t):
    t.docker()
    document = steps.drawing(t, 128)
    yield from steps.ready(t)
    yield from steps.new_set(t, document)
    ink = t.layer(document, "Sky")
    yield from t.settle(document)
    yield 1.2
    steps.pick(t, "lineart", "Sky")
    steps.pick(t, "mask", "selection")
    steps.pick(t, "context", "")
    yield 0.3
    ink.setName("Heaven")
    yield from t.until(lambda: steps.picked(t, "lineart") == "Heaven", "the picker follows a new name", 5)
    document.setBatchmode(True)
    t.check(document.saveAs(t.args["path"]), "saved")
    yield from t.settle(document)
    document.setModified(False)
    document.close()
    yield 0.5
    document = t.open(t.args["path"])
    yield from t.until(lambda: steps.picked(t, "lineart") == "Heaven", "the choice is in the file", 10)
    t.check(not document.modified(), "choices alone do not make a document changed")
    t.data["mask"] = t.child("QComboBox", "mask_picker").currentData()
    t.data["context"] = t.child("QComboBox", "context_picker").currentData()
    t.node(document, "Heaven").remove()
    yield from t.until(lambda: steps.picked(t, "lineart") != "Heaven", "a deleted layer is not shown", 5)
    yield from t.undo(document)
    yield from t.until(lambda: steps.picked(t, "lineart") == "Heaven", "undo brings it back", 5)
