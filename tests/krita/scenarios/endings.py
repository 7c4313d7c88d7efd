"""Two documents, and jobs whose layer is deleted, whose document is closed, or in whose midst Krita quits."""

import steps


def scenario(t):
    t.docker()
    one = steps.drawing(t, 256)
    yield from steps.ready(t)
    yield from steps.prepared(t, one)
    two = steps.drawing(t, 200, 260)
    yield from steps.prepared(t, two)

    # The result goes into the document that it was made of, though another is shown.
    t.app.setActiveDocument(one)
    show(t, one)
    yield 0.5
    yield from steps.underway(t, one)
    show(t, two)
    yield 0.3
    picture = t.digest(two)
    steps.thaw(t)
    yield from t.until(lambda: steps.results(t, one), "the result in the first document")
    t.equal(steps.results(t, two), [], "none in the second")
    t.equal(t.digest(two), picture, "the second document")
    yield from t.settle(one)

    # A deleted lineart.
    show(t, one)
    yield 0.5
    yield from steps.underway(t, one)
    t.node(one, "Lineart").remove()
    yield from t.settle(one)
    names = t.tree(one)
    steps.thaw(t)
    yield from t.until(lambda: steps.text(t, "message_label"), "a word about the deleted layer")
    t.data["deleted"] = steps.trouble(t)
    t.equal(t.tree(one), names, "nothing was added")
    yield from t.undo(one)
    t.check(t.node(one, "Lineart") is not None, "the lineart is back")

    # Cancel.
    yield 0.5
    names = t.tree(one)
    yield from steps.underway(t, one)
    yield from t.click(t.child("QToolButton", "cancel_button"))
    steps.thaw(t)
    yield from steps.ready(t)
    yield 0.5
    t.equal(t.tree(one), names, "a cancelled job leaves nothing")

    # A closed document.
    yield from steps.underway(t, one)
    one.setModified(False)
    one.close()
    yield 0.3
    steps.thaw(t)
    yield from t.until(lambda: steps.text(t, "message_label"), "a word about the closed document")
    t.data["closed"] = steps.trouble(t)
    t.equal(len(t.app.documents()), 1, "one document is left")

    # Krita quits in mid-job; the test looks that no engine is left.
    show(t, two)
    yield 0.5
    yield from steps.underway(t, two)
    t.data["engine"] = steps.engine_processes(t)
    steps.thaw(t)


def show(t, document):
    """Bring the window of a document to the front, as its tab does."""
    for view in t.window().views():
        if view.document() == document:
            t.window().showView(view)
            view.setVisible()
            t.app.setActiveDocument(document)
