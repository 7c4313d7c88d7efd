"""The docker's pickers, options, preview and thumbnails: what they show and what they tell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from panel_helpers import CHOSEN, MODEL, RICH, click, find, layers, press, qtest, results, shown_panel


@pytest.fixture
def panel(app: Any) -> Iterator[Any]:
    with shown_panel(app) as made:
        yield made


@pytest.fixture
def part(panel: Any) -> Callable[[str], Any]:
    return functools.partial(find, panel)


# ----- layers


def test_a_pick_by_mouse_or_keys_tells_role_and_layer(panel: Any, part: Callable[[str], Any]) -> None:
    mask = part("mask_picker")
    press(mask, "Up")
    press(part("context_picker"), "Home")
    assert [told[0] for told in panel.told] == ["picked", "picked"]
    assert panel.told == [("picked", "mask", "h"), ("picked", "context", "")]
    for _ in range(10):
        press(mask, "Up")
    values = [told[2] for told in panel.told[2:]]
    assert values == ["g", "selection", ""]


def test_a_chosen_layer_stays_chosen_when_it_is_renamed_and_moved(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_layers(layers("Ink, second version")[::-1], CHOSEN)
    assert part("lineart_picker").currentText() == "Ink, second version"
    assert part("lineart_picker").value() == "i"
    assert part("hints_picker").value() == "h"


def test_a_layer_that_is_gone_shows_as_none_chosen(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_layers([item for item in layers() if item.id != "i"], CHOSEN)
    assert part("lineart_picker").currentText() == "Choose a layer"
    assert part("lineart_picker").value() == ""


def test_layers_of_the_same_name_are_told_apart_by_their_groups(panel: Any, part: Callable[[str], Any]) -> None:
    from colorize.qt import QtCore
    from colorize.widgets.panel import LayerItem

    names = [("a", "Girl", 0), ("b", "Ink", 1), ("c", "Dog", 0), ("d", "Tail", 1), ("e", "Ink", 2)]
    panel.set_layers([LayerItem(i, n, d, "paint", i != "e") for i, n, d in names], {})
    picker = part("lineart_picker")
    tips = [picker.itemData(row, QtCore.Qt.ItemDataRole.ToolTipRole) for row in range(picker.count())]
    assert [tip for tip in tips if tip and "Ink" in tip] == ["Girl / Ink", "Dog / Tail / Ink (hidden)"]


def test_an_open_list_is_left_alone_until_it_is_closed(panel: Any, app: Any, part: Callable[[str], Any]) -> None:
    picker = part("lineart_picker")
    picker.showPopup()
    app.processEvents()
    panel.set_layers(layers("Renamed"), CHOSEN)
    assert "Renamed" not in [picker.itemText(row) for row in range(picker.count())]
    press(picker.view(), "Down")
    press(picker.view(), "Return")
    app.processEvents()
    assert panel.told == [("picked", "lineart", "b")]
    assert "Renamed" in [picker.itemText(row) for row in range(picker.count())]
    assert picker.value() == "b"


def test_the_wheel_scrolls_the_dock_and_changes_no_choice(panel: Any, app: Any, part: Callable[[str], Any]) -> None:
    from colorize.qt import QtCore, QtGui

    panel.set_sections({"layers": True, "options": True})
    app.processEvents()
    part("colorize_button").setFocus()
    for name in ("lineart_picker", "output_combo", "size_spin"):
        middle = QtCore.QPointF(part(name).rect().center())
        event = QtGui.QWheelEvent(
            middle,
            QtCore.QPointF(part(name).mapToGlobal(part(name).rect().center())),
            QtCore.QPoint(0, -120),
            QtCore.QPoint(0, -120),
            QtCore.Qt.MouseButton.NoButton,
            QtCore.Qt.KeyboardModifier.NoModifier,
            QtCore.Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        app.sendEvent(part(name), event)
    assert panel.told == []


def test_roles_that_the_model_does_not_understand_are_not_asked_for(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_models([{**MODEL, "uses_hints": False, "uses_context": False}])
    shown = [part(role + "_picker").isVisible() for role in ("lineart", "hints", "mask", "context")]
    assert shown == [True, False, True, False]
    panel.set_layers(layers(), {"lineart": "i"})
    assert not part("hint_label").isVisible()


# ----- options

ROWS = ("model_combo", "output_combo", "size_spin", "variations_spin", "seed_spin", "seed_button", "steps_spin")
MORE_ROWS = ("strength_spin", "guidance_spin")
ALWAYS = {"output_combo", "shading_spin", "gap_spin", "edges_combo"}
PLAIN = {"model": "plain", "output": "layers", "shading": 1.0, "gap": None, "edges": "crisp", "size": 512}


@pytest.mark.parametrize(
    ("models", "wanted"),
    [
        ([], {"output_combo"}),
        ([MODEL], {*ALWAYS, "size_spin"}),
        ([{**MODEL, "min_size": 512, "max_size": 512}], ALWAYS),
        ([MODEL, RICH], {*ALWAYS, "model_combo", "size_spin"}),
        ([RICH, MODEL], {*ALWAYS, *ROWS, *MORE_ROWS}),
        ([{**MODEL, "guidance": 2.0}], {*ALWAYS, "size_spin", "guidance_spin"}),
        ([MODEL, {**RICH, "error": "the file is broken"}], {*ALWAYS, "size_spin"}),
    ],
)
def test_only_options_that_the_model_understands_show(
    panel: Any, part: Callable[[str], Any], models: list[dict[str, Any]], wanted: set[str]
) -> None:
    panel.set_sections({"options": True})
    panel.set_models(models)
    assert {name for name in (*ALWAYS, *ROWS, *MORE_ROWS) if part(name).isVisible()} == wanted


def test_options_hold_what_the_model_understands_and_its_defaults(panel: Any) -> None:
    assert panel.options() == PLAIN
    panel.set_models([MODEL, RICH])
    panel.set_options({"model": "rich", "seed": 5, "variations": 4, "output": "colour", "shading": 0.5, "gap": 12})
    assert panel.options() == {
        "model": "rich",
        "output": "colour",
        "shading": 0.5,
        "gap": 12,
        "edges": "crisp",
        "size": 512,
        "variations": 4,
        "seed": 5,
        "steps": 20,
        "strength": 0.75,
        "guidance": 4.0,
    }


def test_options_survive_a_model_that_does_not_know_them(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_models([MODEL, RICH])
    panel.set_options({"model": "rich", "seed": 5, "variations": 4, "steps": 30, "size": 640})
    before = panel.options()
    panel.set_sections({"options": True})
    press(part("model_combo"), "Up")
    assert panel.options() == PLAIN
    press(part("model_combo"), "Down")
    assert panel.options() == before
    assert panel.told == [("options_changed",)] * 2


def test_options_that_were_set_before_the_models_are_known_are_kept(app: Any) -> None:  # noqa: ARG001
    from colorize.widgets.panel import Panel

    made = Panel()
    made.set_options({"model": "rich", "seed": 9, "strength": 0.2})
    assert made.options()["strength"] == 0.2
    made.set_models([MODEL, RICH])
    assert {key: made.options()[key] for key in ("model", "seed", "strength")} == {
        "model": "rich",
        "seed": 9,
        "strength": 0.2,
    }


def test_a_size_that_the_model_cannot_do_is_brought_into_its_range(panel: Any) -> None:
    panel.set_options({"model": "plain", "size": 4096})
    assert panel.options()["size"] == 1024


def test_an_edited_number_is_told_when_it_is_done(panel: Any, part: Callable[[str], Any]) -> None:
    test, _core = qtest()
    panel.set_models([RICH])
    panel.set_sections({"options": True})
    spin = part("strength_spin")
    spin.selectAll()
    test.keyClicks(spin, "40")
    assert panel.told == []
    press(spin, "Return")
    assert panel.told == [("options_changed",)]
    assert panel.options()["strength"] == 0.4
    click(part("seed_button"))
    assert panel.options()["seed"] > 0


def test_numbers_stay_within_what_the_engine_takes(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_models([RICH])
    panel.set_sections({"options": True})
    for name, low, high in (("variations_spin", 1, 8), ("steps_spin", 1, 200), ("guidance_spin", 0, 20)):
        assert (part(name).minimum(), part(name).maximum()) == (low, high)
    part("strength_spin").setValue(1000)
    assert panel.options()["strength"] == 1.0
    assert "best guess" in part("strength_spin").toolTip()


def test_shading_and_gap_are_set_by_hand_and_kept_for_every_model(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_sections({"options": True})
    assert (part("shading_spin").text(), part("gap_spin").text()) == ("100 %", "Automatic")
    press(part("shading_spin"), "Down")
    press(part("gap_spin"), "Up")
    assert panel.told == [("options_changed",)] * 2
    assert panel.options() == {**PLAIN, "shading": 0.9, "gap": 0}
    panel.set_models([RICH])
    assert (panel.options()["shading"], panel.options()["gap"]) == (0.9, 0)
    part("shading_spin").setValue(1000)
    part("gap_spin").setValue(5000)
    assert (panel.options()["shading"], panel.options()["gap"]) == (2.0, 1000)
    part("gap_spin").setValue(-1)
    assert panel.options()["gap"] is None
    panel.set_options({"shading": 0.0, "gap": 7})
    assert (part("shading_spin").text(), part("gap_spin").text()) == ("0 %", "7 px")


def test_edges_are_chosen_from_a_list_and_kept(panel: Any, part: Callable[[str], Any]) -> None:
    panel.set_sections({"options": True})
    assert [part("edges_combo").itemText(row) for row in range(2)] == ["Crisp", "Smooth"]
    press(part("edges_combo"), "Down")
    assert panel.told == [("options_changed",)]
    assert panel.options() == {**PLAIN, "edges": "smooth"}
    panel.set_options({"edges": "crisp"})
    assert part("edges_combo").currentText() == "Crisp"


def test_values_that_no_setting_can_have_are_left_alone(panel: Any) -> None:
    panel.set_options({"edges": "wavy", "shading": "dark", "gap": -5, "size": None, "unheard": 1})
    assert panel.options() == PLAIN


def test_every_kind_of_setting_has_a_control_of_its_own(app: Any) -> None:  # noqa: ARG001
    from colorize.protocol.settings import CHOICE, REAL, SWITCH, WHOLE, Setting
    from colorize.widgets.options import OptionsForm

    table = [
        Setting("count", 3, WHOLE, 1, 9, title="Count"),
        Setting("margin", None, WHOLE, 0, 20, unit="px", title="Margin"),
        Setting("softness", 0.5, REAL, 0, 2, unit="%", title="Softness", step=5),
        Setting("weight", 1.5, REAL, 0, 4, title="Weight", step=0.25),
        Setting("paper", "rough", CHOICE, choices={"even": "Even", "rough": "Rough"}, title="Paper"),
        Setting("mirror", True, SWITCH, title="Mirror"),
        Setting("hidden", 1, WHOLE, 0, 2),
    ]
    form = OptionsForm({setting.name: setting for setting in table})
    form.set_models([MODEL])
    told: list[None] = []
    form.changed.connect(lambda: told.append(None))
    expected = {"count": 3, "margin": None, "softness": 0.5, "weight": 1.5, "paper": "rough", "mirror": True}
    assert form.options() == {"model": "plain", "output": "layers", **expected}
    find(form, "mirror_check").click()
    find(form, "margin_spin").stepUp()
    find(form, "softness_spin").stepDown()
    find(form, "weight_spin").stepUp()
    find(form, "count_spin").setValue(100)
    press(find(form, "paper_combo"), "Up")
    expected = {"count": 9, "margin": 0, "softness": 0.45, "weight": 1.75, "paper": "even", "mirror": False}
    assert form.options() == {"model": "plain", "output": "layers", **expected}
    assert len(told) == 6


# ----- preview and results


def test_the_preview_keeps_its_shape_and_goes_away(panel: Any, app: Any, part: Callable[[str], Any]) -> None:
    from colorize.qt import QtGui

    preview = part("preview")
    assert not preview.isVisible()
    panel.set_preview(QtGui.QImage(400, 200, QtGui.QImage.Format.Format_RGB32))
    app.processEvents()
    assert preview.height() == preview.width() // 2
    panel.set_preview(QtGui.QImage(200, 4000, QtGui.QImage.Format.Format_RGB32))
    app.processEvents()
    assert preview.height() < 500
    panel.set_preview(None)
    assert not preview.isVisible()


def test_a_click_and_enter_activate_a_result_once(panel: Any, app: Any, part: Callable[[str], Any]) -> None:
    test, core = qtest()
    panel.set_results(results(4))
    app.processEvents()
    gallery = part("results_list")
    middle = gallery.visualItemRect(gallery.item(2)).center()
    test.mouseClick(gallery.viewport(), core.Qt.MouseButton.LeftButton, pos=middle)
    test.mouseDClick(gallery.viewport(), core.Qt.MouseButton.LeftButton, pos=middle)
    assert panel.told == [("result_activated", "r2")]
    gallery.setFocus()
    press(gallery, "Left")
    press(gallery, "Return")
    assert panel.told[1:] == [("result_activated", "r1")]


def test_the_applied_result_is_marked_in_words_and_the_current_one_is_kept(
    panel: Any, part: Callable[[str], Any]
) -> None:
    from colorize.qt import QtCore

    gallery = part("results_list")
    panel.set_results(results(3, applied=1))
    gallery.setCurrentRow(2)
    panel.set_results(results(4, applied=0))
    spoken = [gallery.item(row).data(QtCore.Qt.ItemDataRole.AccessibleTextRole) for row in range(4)]
    assert spoken == ["No. 0, in the picture", "No. 1", "No. 2", "No. 3"]
    assert "plain, 512 px, 1" in gallery.item(1).toolTip()
    assert gallery.currentRow() == 2


@pytest.mark.parametrize("width", [250, 320, 400, 700])
@pytest.mark.parametrize("count", [1, 4, 9, 40])
def test_thumbnails_wrap_and_are_not_cut(
    panel: Any, app: Any, part: Callable[[str], Any], width: int, count: int
) -> None:
    panel.resize(width, 900)
    panel.set_results(results(count))
    for _ in range(4):
        app.processEvents()
    gallery = part("results_list")
    rects = [gallery.visualItemRect(gallery.item(row)) for row in range(count)]
    assert max(rect.right() for rect in rects) <= gallery.viewport().width()
    if count > 1:
        assert rects[1].top() == rects[0].top()
    if count <= 4:
        assert max(rect.bottom() for rect in rects) <= gallery.viewport().height()
