"""An artist's first quarter of an hour: open a drawing, New colouring set, strokes with the mouse, Colorize.

Then the same as one layer, and both in a mask with soft edges at twice the shading; the pixels are for the test.

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
    keep(t, document, "plain-group", bytes(found(document, "Colorize").projectionPixelData(*whole(document))))
    # The picture without the strokes over it.
    t.node(document, "Colouring").setVisible(False)
    document.refreshProjection()
    yield from t.settle(document)
    t.data["status"] = steps.status(t)
    t.data["head"] = t.pixel(document, 60, 110)
    t.data["body"] = t.pixel(document, 300, 130)
    yield from one_layer(t, document, "plain", "Colour")
    soft_mask(t, document)
    # Each result in a mask would be part of the next one's context.
    steps.pick(t, "context", "")
    set_options(t, output="layers", shading=2.0)
    yield from wait_for(t, document, "Colorize 2")
    keep(t, document, "soft-group", bytes(found(document, "Colorize 2").projectionPixelData(*whole(document))))
    flats = next(n for n in found(document, "Colorize 2").childNodes() if n.name() == "Flats")
    keep(t, document, "soft-flats", bytes(flats.pixelData(*whole(document))))
    yield from one_layer(t, document, "soft", "Colour 2")
    set_options(t, output="layers", shading=0.0)
    yield from wait_for(t, document, "Colorize 3")
    shading = next(n for n in found(document, "Colorize 3").childNodes() if n.name() == "Shading")
    t.check(not any(bytes(shading.pixelData(*whole(document)))), "without shading its layer is empty")


def whole(document):
    return 0, 0, document.width(), document.height()


def found(document, name):
    """The layer of a name, in whatever group."""
    nodes = list(document.rootNode().childNodes())
    for node in nodes:
        if node.name() == name:
            return node
        nodes += node.childNodes()
    return None


def keep(t, document, name, pixels):
    t.data[name] = t.keep(name + ".bin", pixels)
    t.data["size"] = [document.width(), document.height()]


def set_options(t, **values):
    panel = t.docker().panel
    panel.set_options({**panel.options(), **values})


def wait_for(t, document, name):
    yield from steps.press(t, "colorize_button")
    yield from t.until(lambda: found(document, name) is not None or steps.text(t, "message_label"), name)
    t.check(found(document, name) is not None, f"no result, but: {steps.trouble(t)}")
    yield from t.settle(document)


def one_layer(t, document, kind, name):
    """The last result again as one layer, and its pixels."""
    set_options(t, output="colour")
    yield from wait_for(t, document, name)
    keep(t, document, kind + "-colour", bytes(found(document, name).pixelData(*whole(document))))


def soft_mask(t, document):
    """Opaque in the middle, and all the values between at the sides."""
    wide, high = document.width() * 3 // 4, document.height() * 3 // 4
    alphas = [min(255, 600 * min(x, wide - 1 - x) // wide) for x in range(wide)]
    row = b"".join(bytes((80, 80, 80, a)) for a in alphas)
    t.node(document, "Colouring", "Mask").setPixelData(row * high, wide // 6, high // 6, wide, high)
    document.refreshProjection()
