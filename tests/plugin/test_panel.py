"""The docker's widgets: the state of the engine, the next step, buttons, keys, messages, and a narrow dock."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from panel_helpers import CHOSEN, MODEL, RICH, click, find, layers, press, results, shown_panel, status


@pytest.fixture
def panel(app: Any) -> Iterator[Any]:
    with shown_panel(app) as made:
        yield made


@pytest.fixture
def part(panel: Any) -> Callable[[str], Any]:
    return functools.partial(find, panel)


# ----- the state of the engine


@pytest.mark.parametrize(
    ("state", "values", "words"),
    [
        ("off", {}, "Off"),
        ("starting", {}, "Starting..."),
        ("ready", {}, "Ready"),
        ("ready", {"device": "cpu"}, "Ready (CPU)"),
        ("ready", {"device": "cuda:0"}, "Ready (graphics card)"),
        ("busy", {}, "Colouring"),
        (
            "busy",
            {"stage": "Painting the flats", "step": 2, "total": 5, "eta": 3.2},
            "Colouring: painting the flats, 40 %, about 3 s",
        ),
        ("busy", {"step": 4, "total": 5, "eta": 0.2, "queue": 3}, "Colouring, 80 %, almost done, 2 more waiting"),
        ("busy", {"step": 1, "total": 5, "eta": 300.0}, "Colouring, 20 %, about 5 min"),
        ("lost", {"cause": "it crashed"}, "Lost: it crashed"),
        ("failed", {"cause": "no Python"}, "Cannot start: no Python"),
    ],
)
def test_the_state_is_said_in_words(
    panel: Any, part: Callable[[str], Any], state: str, values: dict[str, Any], words: str
) -> None:
    panel.set_status(status(state, **values))
    assert part("status_label").text() == words


def test_what_broke_comes_with_its_remedy_and_two_buttons(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_status(status("failed", cause="no weights", remedy="run the installer again"))
    assert part("status_remedy").toPlainText() == "Run the installer again"
    click(part("start_again_button"))
    click(part("report_button"))
    assert panel.told == [("start_clicked",), ("report_clicked",)]
    panel.set_status(status("ready"))
    assert not part("status_remedy").isVisible()
    assert not part("start_again_button").isVisible()


def test_progress_and_cancel_show_while_busy_and_move_nothing(panel: Any, app: Any, part: Callable[[str], Any]) -> None:
    def place() -> Any:
        app.processEvents()
        return part("colorize_button").mapTo(panel, part("colorize_button").rect().topLeft())

    idle = place()
    assert not part("cancel_button").isVisible()
    panel.set_status(status("busy", stage="Painting the shading", step=2, total=5, eta=3.0, queue=4))
    assert place() == idle
    assert part("progress_bar").isVisible()
    assert part("progress_bar").value() * 5 == part("progress_bar").maximum() * 2
    click(part("cancel_button"))
    assert panel.told == [("cancel_clicked",)]


def test_cancel_keeps_its_place_in_live_mode_and_between_frames(panel: Any, part: Callable[[str], Any]) -> None:
    cancel = part("cancel_button")
    panel.set_live(True, False)
    assert (cancel.isVisible(), cancel.isEnabled()) == (True, False)
    panel.set_live(False, False)
    assert not cancel.isVisible()
    panel.set_cancellable(True)
    assert (cancel.isVisible(), cancel.isEnabled()) == (True, True)


def test_a_short_form_of_the_state_shows_where_the_dock_is_narrow(
    panel: Any, app: Any, part: Callable[[str], Any]
) -> None:
    panel.set_status(status("busy", stage="Painting the shading", step=2, total=5, eta=3.0, queue=4))
    shown = []
    for width in (250, 700):
        panel.resize(width, 800)
        app.processEvents()
        label = part("status_label")
        shown.append(label.toPlainText())
        assert label.fontMetrics().horizontalAdvance(shown[-1]) <= label.width()
    assert "40 %" in shown[0]
    assert shown[1] == "Colouring: painting the shading, 40 %, about 3 s, 3 more waiting"


def test_the_menu_offers_what_fits_the_state(panel: Any, part: Callable[[str], Any]) -> None:
    def enabled() -> list[bool]:
        return [part(name + "_action").isEnabled() for name in ("start", "stop", "frames", "tidy")]

    assert enabled() == [False, True, True, True]
    panel.set_status(status("lost"))
    panel.set_document(False)
    assert enabled() == [True, False, False, False]
    for name in ("frames", "tidy", "start", "stop", "setup", "report", "manual"):
        part(name + "_action").setEnabled(True)
        part(name + "_action").trigger()
        assert panel.told.pop() == (name + "_clicked",)


# ----- the first use


def test_the_next_step_is_said_until_nothing_is_missing(panel: Any, part: Callable[[str], Any]) -> None:
    hint, button = part("hint_label"), part("colorize_button")
    panel.set_document(False)
    assert (hint.text(), button.isEnabled()) == ("Open a drawing to colour it.", False)
    panel.set_document(True)
    panel.set_layers(layers(), {})
    assert hint.text().startswith("Select the layer with your lines, press New colouring set")
    assert not button.isEnabled()
    panel.set_layers(layers(), {"lineart": "i"})
    assert hint.text() == "Press New colouring set, then draw a few colour strokes."
    assert button.isEnabled()
    panel.set_layers(layers(), {"hints": "h"})
    assert (hint.text(), button.isEnabled()) == ("Choose the layer with your lines as lineart.", False)
    panel.set_layers(layers(), CHOSEN)
    assert not hint.isVisible()
    assert button.isEnabled()


def test_what_the_next_step_needs_is_opened_once(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_sections({"layers": False})
    panel.set_layers(layers(), {"lineart": "i"})
    assert part("new_set_button").isVisible()
    panel.set_sections({"layers": False})
    panel.set_layers(layers("Ink 2"), {"lineart": "i"})
    assert not part("new_set_button").isVisible()


# ----- buttons and keys


def test_buttons_tell_what_was_clicked(panel: Any, part: Callable[[str], Any]) -> None:
    for name in ("colorize", "continue", "new_set"):
        click(part(name + "_button"))
        press(part(name + "_button"), "Space")
        assert panel.told == [(name + "_clicked",)] * 2
        panel.told.clear()


def test_live_tells_when_it_is_switched_and_offers_its_layer(panel: Any, part: Callable[[str], Any]) -> None:
    assert not part("live_layer_check").isVisible()
    press(part("live_check"), "Space")
    press(part("live_layer_check"), "Space")
    press(part("live_check"), "Space")
    assert panel.told == [("live_toggled", True), ("live_layer_toggled", True), ("live_toggled", False)]


def test_setters_tell_nothing(panel: Any) -> None:
    from colorize.qt import QtGui

    panel.set_document(False)
    panel.set_document(True)
    panel.set_layers(layers("Other"), {"lineart": "b", "mask": "selection"})
    panel.set_models([MODEL, RICH])
    panel.set_options({"model": "rich", "seed": 7, "size": 640, "variations": 3, "output": "colour", "strength": 0.5})
    panel.set_live(True, True)
    panel.set_live(False, False)
    panel.set_results(results(3))
    panel.set_preview(QtGui.QImage(20, 10, QtGui.QImage.Format.Format_RGB32))
    panel.set_preview(None)
    panel.set_sections({"layers": False, "options": True})
    panel.set_cancellable(True)
    panel.say("error", "a", "b")
    panel.say("", "")
    for state in ("off", "starting", "ready", "busy", "lost", "failed"):
        panel.set_status(status(state))
    assert panel.told == []


def test_tab_reaches_every_control_from_top_to_bottom(panel: Any, app: Any) -> None:
    from colorize.qt import QtCore, QtWidgets

    panel.set_models([MODEL, RICH])
    panel.set_options({"model": "rich"})
    panel.set_sections({"layers": True, "options": True})
    panel.set_live(True, False)
    panel.set_status(status("failed", cause="a", remedy="b"))
    panel.set_cancellable(True)
    panel.set_results(results(2))
    panel.say("error", "cause", "remedy")
    panel.resize(320, 1400)
    app.processEvents()
    panel.activateWindow()
    reached = []
    widget = panel.findChild(QtWidgets.QToolButton, "cancel_button")
    widget.setFocus()
    for _ in range(80):
        reached.append(app.focusWidget())
        panel.focusNextPrevChild(True)
        if app.focusWidget() in reached:
            break
    wanted = [
        w
        for kind in (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QListWidget)
        for w in panel.findChildren(kind)
        if w.isVisible() and w.isEnabled() and w.objectName() and not w.objectName().startswith("qt_")
    ]
    assert {w.objectName() for w in wanted} <= {w.objectName() for w in reached}
    # The button that closes a message is beside its first line, and comes after the second.
    column = [w for w in reached if w.objectName() != "message_close_button"]
    tops = [w.mapTo(panel, QtCore.QPoint(0, w.height() // 2)).y() for w in column]
    assert all(later >= earlier - 12 for earlier, later in itertools.pairwise(tops))


def test_every_control_has_a_name_for_screen_readers_and_a_tooltip(panel: Any) -> None:
    from colorize.qt import QtWidgets

    for kind in (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox):
        for widget in panel.findChildren(kind):
            if widget.objectName() and not widget.objectName().startswith("qt_"):
                assert widget.toolTip(), widget.objectName()
                text = getattr(widget, "text", str)() if kind is QtWidgets.QAbstractButton else ""
                assert widget.accessibleName() or text, widget.objectName()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_mnemonics_are_unique_and_leave_the_menus_of_krita_alone(app: Any, language: str) -> None:  # noqa: ARG001
    from colorize import i18n
    from colorize.qt import QtWidgets
    from colorize.widgets.panel import Panel

    # File, Edit, View, Image, Layer, Select, Filter, Tools, Settings, Window, Help, and as they are in French.
    menus = {"en": "fevilsrtnwh", "fr": "féailnsreogh"}[language]
    i18n.install(language)
    try:
        made = Panel()
        texts = [w.text() for w in made.findChildren(QtWidgets.QAbstractButton)]
        texts += [w.text() for w in made.findChildren(QtWidgets.QLabel)]
    finally:
        i18n.install("en")
    letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(letters) == len(set(letters)) > 5
    assert not set(letters) & set(menus)


# ----- messages


def test_a_message_can_be_copied_and_dismissed(panel: Any, app: Any, part: Callable[[str], Any]) -> None:
    panel.say("error", "the layer is locked", "unlock it")
    app.processEvents()
    label = part("message_label")
    assert (label.toPlainText(), part("message_remedy").toPlainText()) == ("The layer is locked", "Unlock it")
    label.selectAll()
    label.copy()
    assert app.clipboard().text() == "The layer is locked"
    click(part("message_close_button"))
    assert not part("message_view").isVisible()
    panel.say("notice", "done")
    assert part("message_view").isVisible()
    assert not part("message_remedy").isVisible()
    panel.say("", "")
    assert not part("message_view").isVisible()


# ----- the narrow dock


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_dock_of_250_pixels_needs_no_horizontal_scrolling(app: Any, language: str) -> None:
    from colorize import i18n
    from colorize.qt import QtWidgets
    from colorize.widgets.panel import Panel

    i18n.install(language)
    try:
        made = Panel()
    finally:
        i18n.install("en")
    made.set_document(True)
    made.set_models([MODEL, {**RICH, "name": "a model with a name of some length"}])
    made.set_options({"model": "a model with a name of some length"})
    made.set_layers(layers("Ink, the final version, cleaned up by hand"), CHOSEN)
    made.set_results(results(9))
    made.set_live(True, True)
    made.set_sections({"layers": True, "options": True, "results": True})
    path = "/home/marie/a-folder-with-a-long-name/another-one/environments/bin/python3.12"
    made.set_status(status("failed", cause=path, remedy=path))
    made.say("error", path, path)
    made.resize(250, 500)
    made.show()
    for _ in range(4):
        app.processEvents()
    scroll = made.findChild(QtWidgets.QScrollArea, "panel_scroll")
    assert made.width() == 250
    assert made.minimumSizeHint().width() <= 250
    assert scroll.verticalScrollBar().isVisible()
    assert not scroll.horizontalScrollBar().isVisible()
    for name in ("status_label", "status_remedy", "message_label", "message_remedy"):
        text = made.findChild(QtWidgets.QWidget, name)
        assert text.document().size().height() <= text.height() + 1, name
    made.close()


def test_sections_open_close_and_can_be_remembered(panel: Any, part: Callable[[str], Any]) -> None:
    assert panel.sections() == {"layers": True, "options": False, "results": True}
    press(part("layers_section_button"), "Space")
    click(part("options_section_button"))
    assert panel.told == [("sections_changed",)] * 2
    assert panel.sections() == {"layers": False, "options": True, "results": True}
    assert part("size_spin").isVisible()
    assert not part("lineart_picker").isVisible()
    assert "Ink" in part("layers_section_button").accessibleDescription()


def test_a_change_of_theme_while_it_is_open_is_taken(panel: Any, app: Any) -> None:
    from colorize.qt import QtGui

    before = panel.grab().toImage()
    palette = QtGui.QPalette(QtGui.QColor("#3c3c3c"))
    panel.setPalette(palette)
    app.processEvents()
    after = panel.grab().toImage()
    assert after.pixelColor(2, after.height() - 2).lightness() < before.pixelColor(2, before.height() - 2).lightness()
