"""One of two windows is closed: the docker of the other goes on, and nothing reaches for the one that is gone."""

import steps


def scenario(t):
    docker = t.docker()
    steps.drawing(t)
    yield from steps.ready(t)
    label = t.child("QWidget", "status_label", docker)
    second = t.app.openWindow()
    second.qwindow().show()
    yield from t.until(lambda: len(t.app.windows()) == 2, "two windows")
    yield 0.5
    for document in t.app.documents():
        document.setModified(False)  # or it asks whether to save
    second.qwindow().close()
    yield from t.until(lambda: len(t.app.windows()) == 1, "one window")
    yield 0.5
    docker.session.stop()
    yield from t.until(lambda: label.text() == "Off", "the state in the window that is left")
    docker.session.start()
    yield from t.until(lambda: label.text().startswith("Ready"), "ready again")
