"""Layers, sizes and documents change under a job or live mode: no result is lost or lands elsewhere; choices stay."""

import steps


def scenario(t):
    t.docker()
    one = steps.drawing(t, 128)
    yield from steps.ready(t)
    yield from steps.prepared(t, one)
    yield from resized(t, one)
    yield from layers_gone_in_live(t, one)
    yield from two_in_live(t, one)
    yield from kept(t)


def resized(t, document):
    """The image is enlarged in mid-job; once it has its old size again, a click puts the result into it."""
    yield from steps.underway(t, document)
    document.resizeImage(0, 0, 150, 140)
    yield from t.settle(document)
    tree, picture = t.tree(document), t.projection(document)
    steps.thaw(t)
    yield from t.until(lambda: results(t).count() == 1, "the result is in the list")
    yield from t.until(lambda: steps.text(t, "message_label"), "a word about it")
    t.data["resized"] = steps.text(t, "message_label")
    t.equal(t.tree(document), tree, "resized: the layers")
    t.check(t.projection(document) == picture, "resized: the picture")
    yield from t.undo(document)
    t.equal((document.width(), document.height()), (128, 128), "the old size")
    yield from click_newest(t)
    yield from t.until(lambda: steps.results(t, document) == ["Colorize"], "the result after a click")
    yield from t.settle(document)
    yield from t.undo(document)


def layers_gone_in_live(t, document):
    """Hints, the live layer and the lineart are deleted while live is on, and come back."""
    seen = []
    t.docker().live.previewed.connect(seen.append)

    def follows(what, call):
        count = len(seen)
        call()
        yield from t.until(lambda: len(seen) > count, f"live: {what}")
        yield from t.until(lambda: steps.status(t).startswith("Ready"), "live is done")
        yield from t.settle(document)

    undo = t.action("edit_undo").trigger
    yield from follows("it begins", t.child("QAbstractButton", "live_check").click)
    yield from follows("it goes on without hints", t.node(document, "Colouring", "Hints").remove)
    t.equal(steps.picked(t, "hints"), t.child("QComboBox", "hints_picker").itemText(0), "no hints are chosen")
    yield from follows("the hints are back", undo)
    t.equal(steps.picked(t, "hints"), "Hints", "the chosen hints")

    yield from steps.press(t, "live_layer_check")
    yield from t.until(lambda: t.node(document, "Colorize live") is not None, "the live layer")
    yield from t.settle(document)
    t.node(document, "Colorize live").remove()
    yield from t.settle(document)
    yield from follows("it goes on without its layer", lambda: hint(t, document, 30))
    t.check(not t.child("QAbstractButton", "live_layer_check").isChecked(), "the live layer is not wanted")
    t.check(t.node(document, "Colorize live") is None, "it is not made again")

    t.node(document, "Lineart").remove()
    yield from t.until(lambda: steps.text(t, "message_label"), "a word about the lineart")
    t.data["no lineart"] = [steps.text(t, "message_label"), steps.text(t, "message_remedy")]
    yield from t.undo(document)
    yield from follows("the lineart is back", lambda: hint(t, document, 50))
    t.data["lineart is back"] = steps.text(t, "message_label")
    t.docker().live.previewed.disconnect(seen.append)


def kept(t):
    """What was chosen stays so when layers are moved, and when the whole set is deleted and comes back."""
    document = steps.drawing(t, 96)
    yield from steps.prepared(t, document)
    chosen = t.docker().choices.of(document)
    lineart, mask = t.node(document, "Lineart"), t.node(document, "Colouring", "Mask")
    ink = document.createGroupLayer("Ink")
    document.rootNode().addChildNode(ink, lineart)
    for node, parent in ((lineart, ink), (mask, document.rootNode())):
        ident = node.uniqueId()
        node.remove()
        parent.addChildNode(node, None)
        yield from t.settle(document)
        t.equal(node.uniqueId(), ident, "the id of a moved layer")
    yield from t.until(lambda: steps.picked(t, "lineart") == "Lineart", "the moved lineart is chosen")
    t.equal(t.docker().choices.of(document), chosen, "choices after moving")
    tree = t.tree(document)
    t.node(document, "Colouring").remove()
    yield from t.until(lambda: steps.picked(t, "hints") != "Hints", "the deleted hints are not chosen")
    yield from t.undo(document)
    yield from t.until(lambda: steps.picked(t, "hints") == "Hints", "the hints are chosen again")
    t.equal(t.docker().choices.of(document), chosen, "choices after deletion and undo")
    t.equal(t.tree(document), tree, "the layers")
    path = t.keep("kept.kra", b"")
    document.setBatchmode(True)
    t.check(document.saveAs(path), "saved")
    yield from t.settle(document)
    again = t.open(path)
    yield 0.3
    t.equal(t.docker().choices.of(again), chosen, "choices in the file")
    again.setModified(False)
    again.close()


def two_in_live(t, one):
    """Live mode goes over to another document; each has its own choices and its own live layer."""
    yield from steps.press(t, "live_layer_check")
    yield from t.until(lambda: t.node(one, "Colorize live") is not None, "the live layer")
    yield from t.until(lambda: steps.status(t).startswith("Ready"), "live is done")
    two = steps.drawing(t, 96, 160)
    yield from t.until(lambda: t.node(two, "Colorize live") is not None, "the live layer of another document")
    yield from t.until(lambda: steps.status(t).startswith("Ready"), "live is done")
    yield from t.settle(two)
    before = t.projection(one)
    yield from steps.prepared(t, two)
    t.docker().live.schedule_check()
    yield 0.5
    yield from t.until(lambda: steps.status(t).startswith("Ready"), "live is done")
    t.check(t.projection(one) == before, "the first document")
    left, right = ((b[0] + b[2]) // 2 for b in steps.boxes(two))
    colours = [t.node(two, "Colorize live").pixelData(x, 30, 1, 1) for x in (left, right)]
    t.data["live"] = [list(bytes(c)[2::-1]) for c in colours]
    steps.pick(t, "mask", "selection")
    steps.pick(t, "context", "")
    show(t, one)
    yield from t.until(lambda: steps.picked(t, "mask") == "Mask", "the first document's mask is chosen in it")
    t.check(steps.picked(t, "context") != t.child("QComboBox", "context_picker").itemText(0), "and its context")

    # A click on a result of the other document, while this one is shown.
    yield from steps.press(t, "live_check")
    show(t, two)
    yield 0.4
    tree = t.tree(two)
    yield from click_newest(t)
    yield from t.until(lambda: "Colorize" in steps.results(t, one), "the result in its own document")
    t.equal(t.tree(two), tree, "the layers of the document that is shown")

    # Closed while live is on.
    yield from steps.press(t, "live_check")
    for document in (two, one):
        document.setModified(False)
        document.close()
        yield 0.3
    yield from t.until(lambda: not t.docker().live.on, "live is off without a document")


def hint(t, document, x):
    """One more hint, of which live hears by the docker's history as of a stroke."""
    hints = t.node(document, "Colouring", "Hints")
    steps.dab(t, document, hints, (20, 160, 60), x, 100, 6)
    document.refreshProjection()
    t.docker().live.schedule_check()


def show(t, document):
    """Bring a document to the front."""
    for view in t.window().views():
        if view.document() == document:
            t.window().showView(view)
            view.setVisible()
            t.app.setActiveDocument(document)


def results(t):
    return t.child("QListWidget", "results_list")


def click_newest(t):
    """Click the first thumbnail."""
    found = results(t)
    t.child("QScrollArea", "panel_scroll").ensureWidgetVisible(found)
    found.scrollToItem(found.item(0))
    yield 0.5
    spot = found.viewport().mapToGlobal(found.visualItemRect(found.item(0)).center())
    yield from t.xdotool("mousemove", spot.x(), spot.y(), "sleep", 0.05, "click", 1)
