"""Colorize, Continue and New colouring set by shortcut in mid-stroke: they wait for its end; it is whole."""

import steps

SIDE = 400
GREEN, WIDTH = (20, 160, 60), 12
PATH = [(60, 360), (60, 40), (340, 40), (340, 360)]
"""The corners of a stroke: up, right, down."""
HALF, REST = PATH[:2], PATH[1:]


def scenario(t):
    t.docker()
    document = steps.drawing(t, SIDE)
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    steps.dab(t, document, t.node(document, "Colouring", "Mask"), (255, 255, 255), SIDE / 2, SIDE / 2, SIDE / 3)
    document.refreshProjection()
    yield from t.settle(document)
    for name in ("colorize_run", "colorize_continue"):
        yield from result(t, document, name)
    yield from new_set(t, document)


def result(t, document, action):
    """The artist asks for a result in mid-stroke; it comes after the stroke."""
    hints = t.node(document, "Colouring", "Hints")
    there = len(steps.results(t, document))
    thumbs = t.child("QListWidget", "results_list").count()
    yield from begin(t)
    t.action(action).trigger()
    yield from t.until(lambda: t.child("QListWidget", "results_list").count() > thumbs, f"{action}: in the list")
    yield 0.3
    t.equal(len(steps.results(t, document)), there, f"{action}: results while the button is down")
    yield from t.move(REST, 0.5)
    t.check(not t.idle(document), "the stroke goes on")
    yield from t.lift()
    yield from t.until(lambda: len(steps.results(t, document)) > there, f"{action}: the result after the stroke")
    yield from t.settle(document)
    whole(t, hints)
    t.equal(document.activeNode().name(), "Hints", f"{action}: the active layer")
    yield from t.undo(document)
    t.equal(len(steps.results(t, document)), there, f"{action}: the first undo takes the result away")
    whole(t, hints)
    yield from t.undo(document)
    t.equal(green(hints, PATH), [], f"{action}: the second undo takes all of the stroke away")


def new_set(t, document):
    """New colouring set in mid-stroke, by its action as a shortcut does it."""
    hints = t.node(document, "Colouring", "Hints")
    yield from begin(t)
    t.action("colorize_new_set").trigger()
    yield 0.3
    yield from t.move(REST, 0.5)
    t.check(t.node(document, "Colouring 2") is None, "no new set while the button is down")
    yield from t.lift()
    yield from t.until(lambda: t.node(document, "Colouring 2") is not None, "the new set after the stroke")
    yield from t.until(lambda: document.activeNode().parentNode().name() == "Colouring 2", "its hints are active")
    yield from t.settle(document)
    whole(t, hints)
    new = t.node(document, "Colouring 2", "Hints").bounds()
    t.equal((new.width(), new.height()), (0, 0), "nothing on the new hint layer")


def begin(t):
    """The first part of the stroke; the button stays down."""
    t.brush(GREEN, WIDTH)
    yield from t.stroke(HALF, 0.3, release=False)


def whole(t, hints):
    """All of the path is painted, and nothing but it."""
    spots = [s for a, b in zip(PATH, PATH[1:], strict=False) for s in between(a, b)]
    t.equal(green(hints, PATH), spots, "painted places along the path")
    box = hints.bounds()
    left, top, right, bottom = box.left(), box.top(), box.right() + 1, box.bottom() + 1
    edge = WIDTH / 2
    wanted = (PATH[0][0] - edge, PATH[1][1] - edge, PATH[3][0] + edge, PATH[3][1] + edge)
    off = max(abs(a - b) for a, b in zip((left, top, right, bottom), wanted, strict=True))
    t.check(off <= 4, f"the layer's bounds are {(left, top, right, bottom)}, not {wanted}")


def green(hints, path):
    """Places along the path that have the stroke's colour."""
    spots = [s for a, b in zip(path, path[1:], strict=False) for s in between(a, b)]
    return [s for s in spots if is_green(bytes(hints.pixelData(*s, 1, 1)))]


def is_green(pixel):
    return pixel[3] > 200 and max(abs(a - b) for a, b in zip(pixel[2::-1], GREEN, strict=True)) < 4


def between(a, b):
    """Every fourth pixel from one corner to the next."""
    steps_ = max(abs(b[0] - a[0]), abs(b[1] - a[1])) // 4
    return [(round(a[0] + (b[0] - a[0]) * i / steps_), round(a[1] + (b[1] - a[1]) * i / steps_)) for i in range(steps_)]
