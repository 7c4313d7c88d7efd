"""Less usual documents, groups and vectors as lineart, moved hints, small canvases: coloured as the hints say."""

import steps

SIDE = 128
SRGB, LINEAR = "sRGB-elle-V2-srgbtrc.icc", "sRGB-elle-V2-g10.icc"
NEAR = 6
"""How far a channel of 8 bits may be off, for rounding in two conversions."""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="128px" height="128px" viewBox="0 0 128 128">
<path d="M 16 16 H 112 V 112 H 16 Z M 64 16 V 112" fill="none" stroke="#000000" stroke-width="3"/></svg>"""


def scenario(t):
    t.docker()
    yield from coloured(t, steps.drawing(t, SIDE, profile=LINEAR), "linear profile")
    yield from coloured(t, steps.drawing(t, SIDE, depth="U16", model="CMYKA"), "CMYK of 16 bits")
    yield from grey_stays_grey(t)
    yield from group(t)
    yield from vector(t)
    yield from moved_hints(t)
    yield from coloured(t, steps.drawing(t, 200, 8), "8 x 200", hinted=False)
    yield from too_small(t)
    yield from scan_again(t)


def coloured(t, document, about, hinted=True):
    """New colouring set, hints, Colorize, undo."""
    yield from new_set(t, document)
    steps.dabs(t, document)
    yield from one_step(t, document, about)
    if hinted:
        as_hinted(t, document, about)
    finish(document)


def new_set(t, document):
    """The set, by the docker's own method."""
    yield from steps.ready(t)
    t.docker().new_set()
    yield from t.until(lambda: t.node(document, "Colouring", "Hints") is not None, "the colouring set")
    yield from t.until(lambda: document.activeNode().name() == "Hints", "the hint layer is active")


def one_step(t, document, about):
    """Colorize is one step to undo, which gives the bytes back, and one to redo."""
    yield from t.settle(document, 0.1)
    tree, picture, undo = t.tree(document), t.projection(document), undo_steps(t)
    yield from colour(t, document)
    added = t.projection(document)
    t.check(added != picture, f"{about}: the picture changes")
    t.equal(undo_steps(t), undo + 1, f"{about}: steps to undo")
    yield from t.undo(document)
    t.equal(t.tree(document), tree, f"{about}: the layers after undo")
    t.check(t.projection(document) == picture, f"{about}: the bytes after undo")
    yield from t.redo(document)
    t.check(t.projection(document) == added, f"{about}: the bytes after redo")


def colour(t, document):
    """Colorize, by the docker's own method."""
    yield from steps.ready(t)
    before = len(steps.results(t, document))
    t.docker().colorize()
    yield from t.until(lambda: len(steps.results(t, document)) > before or steps.text(t, "message_remedy"), "a result")
    t.check(len(steps.results(t, document)) > before, f"no result, but: {steps.trouble(t)}")
    yield from t.settle(document, 0.1)


def as_hinted(t, document, about):
    """Away from the hints the boxes have the colours that the hints have on the screen."""
    wanted, found = [], []
    for left, top, right, bottom in steps.boxes(document):
        middle = (left + right) // 2
        wanted.append(t.pixel(document, middle, (top + bottom) // 2))
        found.append(t.pixel(document, middle, bottom - (bottom - top) // 6))
    t.check(far(wanted[0], wanted[1]) > 40, f"{about}: two hints {wanted}")
    if document.colorModel() == "CMYKA":
        wanted = [printed(document, rgb) for rgb in wanted]
    t.check(far(wanted[0], found[0]) <= NEAR and far(wanted[1], found[1]) <= NEAR, f"{about}: {found}, not {wanted}")


def printed(document, rgb):
    """What Krita makes of a colour of the screen in a CMYK image: few can be printed as they are."""
    node = document.createNode("Converter", "paintlayer")
    node.setColorSpace("RGBA", "U8", SRGB)
    node.setPixelData(steps.pixel8(rgb), 0, 0, 1, 1)
    node.setColorSpace(document.colorModel(), document.colorDepth(), document.colorProfile())
    node.setColorSpace("RGBA", "U8", SRGB)
    return tuple(bytes(node.pixelData(0, 0, 1, 1))[2::-1])


def far(one, other):
    """The largest difference of a channel."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def grey_stays_grey(t):
    """Colorize by itself leaves a grey image grey; it works, in grey."""
    document = steps.drawing(t, SIDE, model="GRAYA")
    hints = t.layer(document, "Hints")
    for (left, top, right, bottom), value in zip(steps.boxes(document), (90, 190), strict=True):
        hints.setPixelData(bytes((value, 255)) * 64, (left + right) // 2 - 4, (top + bottom) // 2 - 4, 8, 8)
    document.refreshProjection()
    yield from one_step(t, document, "grey")
    t.equal((document.colorModel(), document.colorDepth()), ("GRAYA", "U8"), "a grey image without a set stays")
    as_hinted(t, document, "grey")
    finish(document)


def group(t):
    """A group of two layers as lineart: the result lies under the group."""
    document = t.new_doc(SIDE, SIDE)
    lines = document.createGroupLayer("Ink of two")
    document.rootNode().addChildNode(lines, None)
    for box in steps.boxes(document):
        node = document.createNode("Part", "paintlayer")
        lines.addChildNode(node, None)
        t.box(document, node, *box, steps.ink_of(document), 2)
    yield from activate(t, document, lines)
    yield from coloured(t, document, "group")


def vector(t):
    """A vector layer as lineart."""
    document = t.new_doc(SIDE, SIDE)
    lines = document.createVectorLayer("Vector ink")
    document.rootNode().addChildNode(lines, None)
    yield from t.settle(document, 0.1)
    t.check(lines.addShapesFromSvg(SVG), "shapes")
    document.refreshProjection()
    yield from activate(t, document, lines)
    yield from coloured(t, document, "vector")


def activate(t, document, node):
    """Make a layer active; Krita does so itself with the last one added, a moment later."""
    yield from t.settle(document, 0.1)
    document.setActiveNode(node)
    yield from t.until(lambda: document.activeNode() == node, "the active layer")


def moved_hints(t):
    """Hints on a layer that was moved, in part off the canvas, count where they are seen."""
    document = steps.drawing(t, SIDE)
    yield from new_set(t, document)
    hints = t.node(document, "Colouring", "Hints")
    (left, top, right, bottom), other = steps.boxes(document)
    shift = other[0] - left
    steps.dab(t, document, hints, steps.RED, (left + right) / 2, (top + bottom) / 2, 8)
    steps.dab(t, document, hints, steps.BLUE, (left + right) / 2 - shift, (top + bottom) / 2, 8)
    steps.dab(t, document, hints, steps.BLUE, -40 - shift, 10, 8)
    hints.move(shift, 0)
    document.refreshProjection()
    yield from one_step(t, document, "moved")
    as_hinted(t, document, "moved")
    middle = t.pixel(document, (other[0] + other[2]) // 2, (top + bottom) // 2)
    t.check(far(middle, steps.RED) <= NEAR, f"moved: red comes to lie in the right box, not {middle}")
    finish(document)


def too_small(t):
    """Seven pixels are refused in words."""
    document = t.new_doc(7, 40)
    ink = t.layer(document, "Lineart", steps.ink_of(document) * (7 * 40))
    document.setActiveNode(ink)
    yield from t.settle(document, 0.1)
    tree = t.tree(document)
    yield from steps.press(t, "colorize_button")
    yield from t.until(lambda: steps.text(t, "message_label"), "a message")
    t.data["too small"] = [steps.text(t, "message_label"), steps.text(t, "message_remedy")]
    t.equal(t.tree(document), tree, "7 pixels: the layers")
    finish(document)


def scan_again(t):
    """Colours of a second and a third result over a scan; the test compares them."""
    document = steps.drawing(t, SIDE)
    scan = t.node(document, "Lineart")
    scan.setPixelData(b"\xff" * (4 * SIDE * SIDE), 0, 0, SIDE, SIDE)
    steps.lines(t, document, scan)
    yield from new_set(t, document)
    steps.dabs(t, document)
    left, _, right, bottom = steps.boxes(document)[0]
    found = []
    for _ in range(2):
        yield from colour(t, document)
        found.append(t.pixel(document, (left + right) // 2, bottom - 10))
    t.data["scan"] = found
    finish(document)


def finish(document):
    """Close it."""
    document.setModified(False)
    document.close()


def undo_steps(t):
    """How many steps Krita's history holds."""
    docker = next(d for d in t.app.dockers() if d.objectName() == "History")
    return docker.findChild(t.QtWidgets.QListView).model().rowCount()
