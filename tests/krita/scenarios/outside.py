"""Outside a mask or a selection no byte of the picture changes: soft edges, continued, over ink and over a scan."""

import random

import steps
from krita import Selection

SIDE = 160
DEPTHS = {"U8": 1, "U16": 2}
"""Bytes of a channel."""


def scenario(t):
    t.docker()
    for depth, scan in (("U8", False), ("U16", True)):
        document = busy_drawing(t, depth, scan)
        yield from steps.ready(t)
        yield from steps.prepared(t, document)
        about = f"{depth} {'scan' if scan else 'ink'}"
        yield from selection_then_layer(t, document, about)
        yield from layer_then_selection(t, document, about)


def selection_then_layer(t, document, about):
    """A result in a soft selection, and on top of it one in the mask layer."""
    mask = t.node(document, "Colouring", "Mask").uniqueId().toString()
    select(document)
    steps.pick(t, "mask", "selection")
    yield from masked(t, document, about + ", selection")
    document.setSelection(None)
    paint_mask(t, document)
    steps.pick(t, "mask", mask)
    yield from masked(t, document, about + ", continue in the mask layer", "continue_button")


def layer_then_selection(t, document, about):
    """A result in the mask layer, and on top of it one in a selection while no mask is chosen."""
    yield from masked(t, document, about + ", mask layer")
    steps.pick(t, "mask", "")
    select(document)
    yield from masked(t, document, about + ", continue in the selection", "continue_button")


def busy_drawing(t, depth, scan):
    """Boxes on paint of all colours and opacities, with more of it above; ``scan``: with their paper."""
    document = steps.drawing(t, SIDE, depth=depth)
    lineart = t.node(document, "Lineart")
    one = b"\xff" * DEPTHS[depth]
    if scan:
        lineart.setPixelData(one * (4 * SIDE * SIDE), 0, 0, SIDE, SIDE)
        steps.lines(t, document, lineart)
    chance = random.Random(depth)
    paint, glaze = (document.createNode(name, "paintlayer") for name in ("Paint", "Glaze"))
    for node in (paint, glaze):
        node.setPixelData(chance.randbytes(4 * DEPTHS[depth] * SIDE * SIDE), 0, 0, SIDE, SIDE)
    glaze.setOpacity(60)
    root = document.rootNode()
    root.addChildNode(paint, t.node(document, "Background"))
    root.addChildNode(glaze, lineart)
    if not scan:
        t.node(document, "Background").remove()
    document.refreshProjection()
    document.setActiveNode(lineart)
    return document


def select(document):
    """A selection with soft edges across the line between the boxes."""
    selection = Selection()
    selection.select(SIDE // 3, SIDE // 4, SIDE // 3, SIDE // 3, 255)
    selection.feather(6)
    document.setSelection(selection)


def paint_mask(t, document):
    """A mask that is opaque in its middle and fades to both sides."""
    mask = t.node(document, "Colouring", "Mask")
    wide, high = SIDE // 2, SIDE // 3
    size = DEPTHS[document.colorDepth()]
    top = 256**size - 1
    alphas = [min(top, round(top * 3 * min(x, wide - 1 - x) / wide)) for x in range(wide)]
    row = b"".join(b"\x40" * (3 * size) + a.to_bytes(size, "little") for a in alphas)
    mask.setPixelData(row * high, SIDE // 4, SIDE // 4, wide, high)
    document.refreshProjection()


def masked(t, document, what, button="colorize_button"):
    """Colour, compare, and go back and forth."""
    yield from t.settle(document, 0.1)
    cover = coverage(t, document)
    before = t.projection(document)
    yield from steps.colorize(t, document, button)
    after = t.projection(document)
    step = len(before) // (SIDE * SIDE)
    changed = [before[i * step : (i + 1) * step] != after[i * step : (i + 1) * step] for i in range(SIDE * SIDE)]
    inside = sum(a for a, c in zip(changed, cover, strict=True) if c)
    outside = [(i % SIDE, i // SIDE) for i, (a, c) in enumerate(zip(changed, cover, strict=True)) if a and not c]
    t.equal((len(outside), outside[:3]), (0, []), f"{what}: pixels that differ outside")
    t.check(inside > 0.5 * sum(map(bool, cover)), f"{what}: only {inside} pixels differ inside")
    yield from t.undo(document)
    t.check(t.projection(document) == before, f"{what}: the bytes after undo")
    yield from t.redo(document)


def coverage(t, document):
    """How much each pixel is covered, by the test's own reading; 0 is outside."""
    selection = document.selection()
    if selection is not None:
        return bytes(selection.pixelData(0, 0, SIDE, SIDE))
    mask = t.node(document, "Colouring", "Mask").pixelData(0, 0, SIDE, SIDE)
    size = DEPTHS[document.colorDepth()]
    pixels = bytes(mask)
    return [int.from_bytes(pixels[i + 3 * size : i + 4 * size], "little") for i in range(0, len(pixels), 4 * size)]
