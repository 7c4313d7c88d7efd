"""A result that comes in mid-stroke does not cut the stroke; live mode follows the strokes, and off means off."""

import steps


def scenario(t):
    document = steps.drawing(t, 512)
    t.docker()
    yield from steps.ready(t)
    yield from steps.prepared(t, document)
    hints = t.node(document, "Colouring", "Hints")

    # In mid-stroke
    yield from steps.underway(t, document)
    t.brush((20, 160, 60), 12)
    yield from t.stroke([(80, 400), (80, 300)], 0.3, release=False)
    steps.thaw(t)
    yield from t.until(lambda: t.child("QWidget", "results_section").isVisible(), "the result is in the list")
    t.equal(steps.results(t, document), [], "no result while the pen is down")
    yield from t.move([(80, 300), (80, 200), (180, 200)], 0.6)
    t.equal(steps.results(t, document), [], "still none")
    yield from t.lift()
    yield from t.until(lambda: steps.results(t, document) == ["Colorize"], "the result after the stroke")
    yield from t.settle(document)
    for x, y in ((80, 390), (80, 210), (170, 200)):
        t.check(hints.pixelData(x, y, 1, 1)[3] != b"\0", f"the stroke is whole at {x}, {y}")
    t.equal(document.activeNode().name(), "Hints", "the active layer")
    yield from t.undo(document)
    t.equal(steps.results(t, document), [], "one undo takes the result away, not the stroke")
    t.check(hints.pixelData(80, 390, 1, 1)[3] != b"\0", "the stroke is still there")

    # Live
    preview = t.child("QWidget", "preview")

    yield from steps.press(t, "live_check")
    yield from calm(t, preview)
    first, before = picture(preview), t.projection(document)
    t.brush((240, 200, 40), 12)
    yield from t.stroke([(300, 380), (420, 380)], 0.3)
    yield from t.until(lambda: picture(preview) != first, "the preview follows a stroke", 5)
    yield from calm(t, preview)
    t.equal(steps.results(t, document), [], "the preview is not in the layers")
    yield from t.undo(document)
    yield from t.until(lambda: picture(preview) == first, "the preview follows undo", 5)
    t.check(t.projection(document) == before, "live changes nothing in the picture")

    yield from steps.press(t, "live_layer_check")
    yield from t.until(lambda: t.node(document, "Colorize live") is not None, "the live layer")
    yield from t.settle(document)
    live = t.node(document, "Colorize live")
    t.check(live.locked(), "the live layer is locked")
    old = bytes(live.pixelData(0, 0, 512, 512))
    yield from t.stroke([(300, 380), (420, 380)], 0.3)
    yield from t.until(lambda: bytes(live.pixelData(0, 0, 512, 512)) != old, "the live layer follows")
    t.equal(len([n for n in document.topLevelNodes() if n.name().startswith("Colorize live")]), 1, "one live layer")

    yield from calm(t, preview)
    yield from steps.press(t, "live_check")
    yield 0.3
    last, layer = picture(preview), bytes(live.pixelData(0, 0, 512, 512))
    yield from t.stroke([(320, 150), (420, 150)], 0.3)
    yield 1.5
    t.check(picture(preview) == last, "off means off: the preview")
    t.check(bytes(live.pixelData(0, 0, 512, 512)) == layer, "off means off: the layer")


def calm(t, preview):
    """Wait until live mode has shown what there is to show."""
    yield from t.until(preview.isVisible, "a preview")
    seen, since = b"", 0
    while since < 20:
        yield 0.03
        now = picture(preview) + steps.status(t).encode()
        since = since + 1 if now == seen and steps.status(t).startswith("Ready") else 0
        seen = now


def picture(widget):
    image = widget.grab().toImage()
    bits = image.constBits()
    bits.setsize(image.bytesPerLine() * image.height())
    return bytes(bits)
