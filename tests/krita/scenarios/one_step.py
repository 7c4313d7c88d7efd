"""A result is one step to undo and one to redo; pixels outside mask and selection stay as they are."""

import steps


def state(t, document):
    node = document.activeNode()
    selection = document.selection()
    box = None if selection is None else (selection.x(), selection.y(), selection.width(), selection.height())
    return [t.tree(document), node and node.name(), box]


def whole(t, document):
    """Undo and redo of a result in whatever format."""
    yield from steps.prepared(t, document)
    before, picture = state(t, document), t.projection(document)
    yield from steps.colorize(t, document)
    after, coloured = state(t, document), t.projection(document)
    t.equal(after[0], [*before[0][:-2], steps.RESULT, *before[0][-2:]], "the result lies under the lineart")
    t.equal(after[1:], before[1:], "active layer and selection")
    for node in t.node(document, "Colorize").childNodes():
        t.check(node.locked(), f"{node.name()} is locked")
    t.check(coloured != picture, "the picture has changed")
    yield from t.undo(document)
    t.equal(state(t, document), before, "after one undo")
    t.check(t.projection(document) == picture, "the bytes after one undo")
    yield from t.redo(document)
    # Krita itself makes a layer active that it adds again.
    t.equal(state(t, document)[::2], after[::2], "after one redo")
    t.check(t.projection(document) == coloured, "the bytes after one redo")
    left, right = ((x1 + x2) // 2 for x1, _, x2, _ in steps.boxes(document))
    middle = document.height() // 4
    return [t.pixel(document, left, middle), t.pixel(document, right, middle)]


def masked(t, document, kind):
    """Nothing outside a mask or a selection changes, by the byte."""
    x1, y1, x2, y2 = steps.boxes(document)[0]
    rect = (x1 + 8, y1 + 8, (x2 - x1) // 2, (y2 - y1) // 2)
    yield from steps.prepared(t, document)
    if kind == "selection":
        from krita import Selection

        selection = Selection()
        selection.select(*rect, 255)
        document.setSelection(selection)
        steps.pick(t, "mask", "selection")
    else:
        # Soft in its first rows: the border must not bleed either.
        mask = t.node(document, "Colouring", "Mask")
        steps.dab(t, document, mask, (255, 255, 255), rect[0] + rect[2] / 2, rect[1] + rect[2] / 2, rect[2])
        mask.setVisible(False)
        rect = (rect[0], rect[1], rect[2], rect[2])
    document.refreshProjection()
    yield from t.settle(document)
    picture = t.projection(document)
    yield from steps.colorize(t, document)
    coloured = t.projection(document)
    t.check(coloured != picture, f"{kind}: the masked part is coloured")
    t.equal(t.outside(picture, coloured, document, rect), 0, f"{kind}: rows that differ outside")


def scenario(t):
    document = steps.drawing(t)
    t.docker()
    yield from steps.ready(t)
    t.data["sRGB"] = yield from whole(t, document)
    for depth in ("U8", "U16"):
        for kind in ("layer", "selection"):
            document = steps.drawing(t, 192, depth=depth)
            yield 0.2
            yield from masked(t, document, kind)
