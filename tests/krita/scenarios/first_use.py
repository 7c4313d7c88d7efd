"""An artist's first quarter of an hour: open a drawing, New colouring set, strokes with the mouse, Colorize.

Args: strokes (file of strokes).
"""

from pathlib import Path

import steps


def strokes(path):
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            head, _, paths = line.partition(":")
            colour, size = head.split()[:2]
            rgb = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
            for path in paths.split(";"):
                yield rgb, float(size), [tuple(map(float, point.split(","))) for point in path.split()]


def scenario(t):
    document = t.app.activeDocument()
    t.docker()
    yield from steps.ready(t)
    yield from steps.new_set(t, document)
    t.equal(t.tree(document), ["Background", {"Colouring": ["Mask", "Hints"]}])
    for rgb, size, points in strokes(t.args["strokes"]):
        t.brush(rgb, size)
        yield from t.stroke(points, 0.1)
    yield from t.settle(document)
    hints = t.node(document, "Colouring", "Hints").bounds()
    t.check(hints.width() > document.width() // 2, f"the strokes are on the hint layer: {hints}")
    before = t.projection(document)
    yield from steps.colorize(t, document)
    t.equal(t.tree(document), ["Background", steps.RESULT, {"Colouring": ["Mask", "Hints"]}])
    t.equal(document.activeNode().name(), "Hints", "the active layer")
    t.check(t.projection(document) != before, "the picture is coloured")
    # The picture without the strokes over it.
    t.node(document, "Colouring").setVisible(False)
    document.refreshProjection()
    yield from t.settle(document)
    t.data["status"] = steps.status(t)
    t.data["head"] = t.pixel(document, 60, 110)
    t.data["body"] = t.pixel(document, 300, 130)
