"""StablePaint: its options, previews, variations as thumbnails, a click to use one, cancelling, the history.

Krita is started with the lineart of examples/three_friends. Args: shot (file for a screenshot of the docker).
"""

import steps

SEED, COUNT, STEPS = 5, 4, 6
HINTED = 318, 282
"""A stroke on the woman's shirt."""
IN_THE_WAY = ("PresetDocker", "sharedtooldocker", "ColorSelectorNg", "HistogramDocker")
BOXES = ("size_spin", "variations_spin", "seed_spin", "steps_spin", "strength_spin", "guidance_spin")


def scenario(t):
    document = t.app.activeDocument()
    for docker in t.app.dockers():
        # Or there is room for little of ours on a small screen.
        if docker.objectName() in IN_THE_WAY:
            docker.setVisible(False)
    t.docker()
    yield from steps.ready(t)
    yield from steps.new_set(t, document)
    hint_half(t, document)
    yield from t.settle(document)
    yield from options_by_model(t)
    yield from variations(t, document)
    yield from cancelled(t, document)
    yield from two_in_the_picture(t, document)
    yield from settings_come_back(t)
    yield from after_closing(t, document)


def options_by_model(t):
    """The docker shows what the chosen model understands, and no more."""
    yield from steps.press(t, "options_section_button")
    yield from choose(t, "model_combo", "stenciltorch")
    t.equal(shown(t), ["size_spin"], "options of the shipped model")
    yield from choose(t, "model_combo", "stablepaint")
    t.equal(shown(t), list(BOXES), "options of a model that samples")
    model = next(m for m in t.docker().session.models if m["name"] == "stablepaint")
    t.equal(t.child("QSpinBox", "steps_spin").value(), model["steps"], "steps by default")
    t.equal(t.child("QSpinBox", "strength_spin").value(), round(100 * model["strength"]), "strength by default")


def variations(t, document):
    """Four thumbnails of one job, shown side by side while they come, and the document is as it was."""
    yield from enter(t, "seed_spin", SEED)
    yield from enter(t, "variations_spin", COUNT)
    yield from enter(t, "steps_spin", STEPS)
    tree, before, undo = t.tree(document), t.digest(document), undo_steps(t)
    asked, seen, colouring = [], [], t.docker().colouring
    message = colouring.message
    colouring.message = lambda *given: asked.append(message(*given)) or asked[-1]
    colouring.previewed.connect(lambda image: seen.append((gallery(t).count(), image.width(), image.height())))
    yield from steps.press(t, "colorize_button")
    yield from t.until(lambda: gallery(t).count() == COUNT or steps.text(t, "message_label"), "four results")
    yield from steps.ready(t)
    colouring.message = message
    t.data["jobs"] = [body.get("variations") for body, _ in asked]
    t.data["previews"] = sum(not count for count, *_ in seen)
    shape = document.width() / document.height()
    t.check(all(abs(w / h / shape - 1) < 0.05 for _, w, h in seen), f"two by two pictures of the canvas: {seen}")
    t.equal(captions(t), [f"seed {SEED + n}" for n in range(COUNT)], f"the thumbnails; {steps.trouble(t)}")
    t.equal(t.tree(document), tree, "the layers")
    t.check(t.digest(document) == before, "the picture is as it was")
    t.equal(undo_steps(t), undo, "steps to undo")
    t.equal(applied(t), [], "marked as in the picture")


def cancelled(t, document):
    """Cancel gives up all variations, and takes the preview of them away."""
    tree, before, found = t.tree(document), t.digest(document), captions(t)
    preview = t.child("QWidget", "preview")
    shown, passing = preview.image().copy(), []
    t.docker().colouring.previewed.connect(passing.append)
    yield from enter(t, "steps_spin", 200)
    yield from steps.press(t, "colorize_button")
    yield from t.until(lambda: len(passing) > COUNT, "previews")
    t.check(preview.image() != shown, "a preview is shown")
    yield from steps.press(t, "cancel_button")
    yield from steps.ready(t)
    yield from t.settle(document)
    t.check(preview.image() == shown, "the preview of what is finished")
    t.equal(captions(t), found, "the thumbnails")
    t.equal(t.tree(document), tree, "the layers")
    t.check(t.digest(document) == before, "the picture is as it was")
    yield from enter(t, "steps_spin", STEPS)


def two_in_the_picture(t, document):
    """A click is one step to undo; a click on another adds that one; both have the hints' colours, and their own."""
    tree, before, undo = t.tree(document), t.digest(document), undo_steps(t)
    one, other = f"seed {SEED + 2}", f"seed {SEED}"
    yield from use(t, document, one)
    used, after = [*tree, steps.RESULT], t.digest(document)
    t.equal(t.tree(document), sorted_like(used, t.tree(document)), "the layers")
    t.check(after != before, "the picture is another")
    t.equal(undo_steps(t), undo + 1, "steps to undo")
    t.equal(applied(t), [one], "marked as in the picture")
    if t.args.get("shot"):
        yield from picture(t)
    yield from t.undo(document)
    t.equal(t.tree(document), tree, "the layers after undo")
    t.check(t.digest(document) == before, "undo gives the picture back")
    yield from t.until(lambda: applied(t) == [], "the mark goes with undo")
    yield from t.redo(document)
    t.check(t.digest(document) == after, "redo gives the result back")
    yield from t.until(lambda: applied(t) == [one], "the mark comes back with redo")

    yield from use(t, document, other)
    t.equal(sorted(steps.results(t, document)), ["Colorize", "Colorize 2"], "results in the picture")
    t.equal(undo_steps(t), undo + 2, "steps to undo")
    t.equal(applied(t), [other, one], "marked as in the picture")
    flats = [t.node(document, *path, "Flats") for path in (["Colorize"], ["Colorize", "Colorize 2"])]
    hinted = [bytes(f.pixelData(*HINTED, 1, 1)) for f in flats]
    whole = [bytes(f.pixelData(0, 0, document.width(), document.height())) for f in flats]
    hint = bytes(t.node(document, "Colouring", "Hints").pixelData(*HINTED, 1, 1))
    t.equal(hinted, [hint, hint], "the colour under a hint")
    t.check(whole[0] != whole[1], "two seeds differ where nobody hinted")


def picture(t):
    """The docker with options and thumbnails, by itself; then it goes back to its place."""
    docker = t.docker()
    docker.panel.set_sections({"layers": False, "options": True, "results": True})
    docker.setFloating(True)
    docker.resize(330, 840)
    t.child("QScrollArea", "panel_scroll").verticalScrollBar().setValue(0)
    yield 0.4
    t.grab(t.args["shot"], docker)
    docker.setFloating(False)
    yield 0.2


def settings_come_back(t):
    """A click on an older result brings its settings back."""
    yield from enter(t, "seed_spin", 99)
    yield from enter(t, "steps_spin", 3)
    yield from enter(t, "variations_spin", 1)
    yield from choose(t, "output_combo", "colour")
    yield from choose(t, "model_combo", "stenciltorch")
    yield from click_result(t, f"seed {SEED + 3}")
    yield from t.until(lambda: len(applied(t)) == 3, "the result")
    t.equal(t.child("QComboBox", "model_combo").currentData(), "stablepaint", "the model")
    t.equal(t.child("QComboBox", "output_combo").currentData(), "layers", "the kind of result")
    found = {name: t.child("QSpinBox", name).value() for name in ("seed_spin", "steps_spin", "variations_spin")}
    t.equal(found, {"seed_spin": SEED + 3, "steps_spin": STEPS, "variations_spin": 1}, "the settings")


def after_closing(t, document):
    """The results outlive their document; a click says why nothing can be done with one, and does nothing."""
    document.setModified(False)
    document.close()
    yield from t.until(lambda: not t.child("QWidget", "continue_button").isEnabled(), "the docker sees that")
    t.equal(len(captions(t)), COUNT, "results")
    yield from click_result(t, f"seed {SEED}")
    yield from t.until(lambda: steps.text(t, "message_label") == "The document was closed.", "a word about it")
    other = steps.drawing(t, 64)
    yield from t.settle(other)
    yield from t.until(lambda: t.child("QWidget", "continue_button").isEnabled(), "the docker sees another document")
    t.equal(applied(t), [], "marked as in the picture")
    tree, before = t.tree(other), t.digest(other)
    yield from click_result(t, f"seed {SEED + 1}")
    yield from t.until(lambda: steps.text(t, "message_label") == "The document was closed.", "a word about it")
    yield from t.settle(other)
    t.equal(t.tree(other), tree, "the layers of another document")
    t.check(t.digest(other) == before, "another document is as it was")


def hint_half(t, document):
    """The example's strokes, without those on the boy at the right."""
    image = t.QtGui.QImage(str(steps.EXAMPLES / "three_friends" / "hints.png"))
    image = image.convertToFormat(t.QtGui.QImage.Format.Format_ARGB32).copy(0, 0, 415, image.height())
    bits = image.constBits().asstring(image.width() * image.height() * 4)
    t.node(document, "Colouring", "Hints").setPixelData(bits, 0, 0, image.width(), image.height())
    document.refreshProjection()


def sorted_like(found, wanted):
    """The same layers in another order, if it is one."""
    key = repr
    return wanted if sorted(found, key=key) == sorted(wanted, key=key) else found


def shown(t):
    """Number boxes among the options that can be seen."""
    return [name for name in BOXES if t.child("QWidget", name).isVisible()]


def choose(t, name, value):
    """Choose an entry of a combo box by its keys."""
    combo = t.child("QComboBox", name)
    at = combo.findData(value)
    t.check(at >= 0, f"{name} has no {value}")
    yield from t.click(combo)
    yield 0.1
    yield from t.xdotool("key", "Home", *["Down"] * at, "Return")
    yield from t.until(lambda: combo.currentData() == value, f"{value} is chosen")
    yield 0.1


def enter(t, name, value):
    """Type a number into a box."""
    box = t.child("QAbstractSpinBox", name)
    yield from t.click(box)
    yield from t.until(box.hasFocus, f"{name} has the keyboard")
    yield from t.xdotool("key", "ctrl+a", "type", str(value))
    yield from t.xdotool("key", "Return")
    yield from t.until(lambda: box.value() == value, f"{value} is in {name}, not {box.value()}")


def gallery(t):
    return t.child("QListWidget", "results_list")


def items(t):
    return [gallery(t).item(n) for n in range(gallery(t).count())]


def captions(t):
    return [item.text() for item in items(t)]


def applied(t):
    """Captions of the thumbnails that are marked as in the picture, in the order of the list."""
    role = t.QtCore.Qt.ItemDataRole.AccessibleTextRole
    return [item.text() for item in items(t) if str(item.data(role)).endswith(", in the picture")]


def click_result(t, caption):
    """Click a thumbnail with the mouse."""
    yield 0.5  # a click soon after another counts as a double click
    found = gallery(t)
    item = items(t)[captions(t).index(caption)]
    found.scrollToItem(item)
    area = t.child("QScrollArea", "panel_scroll")
    place = found.viewport().mapTo(area.widget(), found.visualItemRect(item).center())
    area.ensureVisible(place.x(), place.y())
    spot = found.viewport().mapToGlobal(found.visualItemRect(item).center())
    yield from t.xdotool("mousemove", spot.x(), spot.y(), "sleep", 0.05, "click", 1)


def use(t, document, caption):
    """Click a thumbnail and wait for its result in the document."""
    yield from click_result(t, caption)
    yield from t.until(lambda: caption in applied(t) or steps.text(t, "message_label"), caption)
    t.check(caption in applied(t), steps.trouble(t))
    yield from t.settle(document)


def undo_steps(t):
    """How many steps Krita's history holds."""
    docker = next(d for d in t.app.dockers() if d.objectName() == "History")
    return docker.findChild(t.QtWidgets.QListView).model().rowCount()
