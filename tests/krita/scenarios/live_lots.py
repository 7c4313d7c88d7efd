"""Live mode with StablePaint: one picture by the seed, drawn anew when an option changes, and the same one again.

Krita is started with the lineart of examples/three_friends.
"""

import steps
import strokes
import variations

FEW = ("steps_spin", 2), ("strength_spin", 90), ("seed_spin", 7), ("guidance_spin", 3)


def scenario(t):
    document = t.app.activeDocument()
    for docker in t.app.dockers():
        if docker.objectName() in variations.IN_THE_WAY:
            docker.setVisible(False)
    t.docker()
    yield from steps.ready(t)
    yield from steps.new_set(t, document)
    variations.hint_half(t, document)
    yield from t.settle(document)
    yield from steps.press(t, "options_section_button")
    yield from variations.choose(t, "model_combo", "stablepaint")
    yield from variations.enter(t, "variations_spin", 3)
    preview = t.child("QWidget", "preview")
    yield from steps.press(t, "live_check")
    yield from strokes.calm(t, preview)
    first = preview.image().copy()
    t.check(abs(first.width() / document.width() - first.height() / document.height()) < 0.01, "one picture")
    for name, value in FEW:
        was = t.child("QAbstractSpinBox", name).value()
        yield from variations.enter(t, name, value)
        yield from t.until(lambda: preview.image() != first, f"the preview follows {name}")
        yield from strokes.calm(t, preview)
        yield from variations.enter(t, name, was)
        yield from t.until(lambda: preview.image() == first, f"the same again with {name} as it was")
    yield from variations.enter(t, "variations_spin", 5)
    yield from strokes.calm(t, preview)
    t.check(preview.image() == first, "how many Colorize makes changes nothing here")
    yield from steps.press(t, "seed_button")
    yield from t.until(lambda: preview.image() != first, "another seed gives another picture")
    t.equal(steps.results(t, document), [], "nothing in the layers")
