"""Variations as the docker takes them: one job of the real engine, split into results, and all in one picture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from likeness import nearest
from plugin_helpers import SessionHarness, end_engines, use_place

RED, BLUE, WHITE = "#ff0000", "#0000ff", "#ffffff"


@pytest.fixture
def harness(
    app: Any,  # noqa: ARG001 (it must be there)
    tmp_path: Path,
    small_stablepaint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SessionHarness]:
    """A session whose engine has a small StablePaint."""
    (tmp_path / "weights").mkdir()
    shutil.copyfile(small_stablepaint, tmp_path / "weights" / "stablepaint.safetensors")
    use_place(tmp_path, tmp_path / "weights", monkeypatch)
    made = SessionHarness(tmp_path)
    yield made
    made.session.close()
    end_engines(tmp_path / "run")


def picture(width: int, height: int, colour: str) -> Any:
    """A QImage of one colour."""
    from colorize.qt import QtGui

    made = QtGui.QImage(width, height, QtGui.QImage.Format.Format_ARGB32)
    made.fill(QtGui.QColor(colour))
    return made


def colour(image: Any, x: int, y: int) -> str:
    """A pixel as #rrggbb; empty where nothing is."""
    found = image.pixelColor(x, y)
    return str(found.name()) if found.alpha() else ""


def test_one_job_makes_all_variations_and_a_single_one_by_its_seed_is_the_same_again(harness: SessionHarness) -> None:
    from colorize.colouring.sheet import split

    asked = {"model": "stablepaint", "size": 64, "layers": ["flats", "shading"], "compress": True}
    outcome = harness.end(harness.colorize(seed=12, variations=3, **asked))
    assert outcome.kind == "result", outcome.cause
    found = split(outcome.body, outcome.buffers)
    assert [(seed, [b.role for b in layers]) for seed, layers in found] == [
        (n, ["flats", "shading"]) for n in (12, 13, 14)
    ]
    flats = [np.frombuffer(layers[0].pixels(), np.uint8) for _, layers in found]
    assert len({layer.tobytes() for layer in flats}) > 1
    alone = harness.end(harness.colorize(seed=13, **asked))
    assert len(alone.buffers) == 2
    assert nearest(np.frombuffer(alone.buffers[0].pixels(), np.uint8), flats) == 1


def test_a_result_without_a_list_of_seeds_has_the_first_and_those_after_it() -> None:
    from colorize.colouring.sheet import split
    from colorize.engine import bundled

    protocol = bundled.load()
    layers = [protocol.Buffer(role, 1, 1, "RGBA8", data=bytes(4)) for role in ("colour", "colour")]
    assert split({"seed": 7}, layers) == [(7, layers[:1]), (8, layers[1:])]
    assert split({"seed": 7, "seeds": [7, 3]}, layers) == [(7, layers[:1]), (3, layers[1:])]
    assert split({"seed": 7}, []) == []


def test_a_sheet_of_one_is_the_canvas_with_what_is_known_where_it_lies(app: Any) -> None:  # noqa: ARG001
    from colorize.colouring.sheet import Sheet

    sheet = Sheet(400, 200, 1, 100)
    assert (sheet.image.width(), sheet.image.height(), sheet.scale) == (100, 50, 0.25)
    sheet.lines = picture(100, 50, WHITE)
    sheet.lines.setPixelColor(30, 20, picture(1, 1, BLUE).pixelColor(0, 0))
    sheet.draw(0, picture(5, 5, RED), (100, 40, 200, 120))
    image = sheet.image
    assert colour(image, 10, 25) == colour(image, 90, 25) == WHITE
    assert colour(image, 50, 25) == RED
    assert colour(image, 30, 20) == "#000000"  # blue ink over red
    sheet.draw(0, picture(640, 320, BLUE))
    assert colour(image, 0, 0) == colour(image, 30, 20) == colour(image, 99, 49) == BLUE


@pytest.mark.parametrize(("width", "height", "columns"), [(300, 200, 2), (100, 100, 2), (1200, 200, 1), (200, 1200, 4)])
def test_variations_lie_in_rows_that_leave_each_as_large_as_can_be(
    app: Any,  # noqa: ARG001
    width: int,
    height: int,
    columns: int,
) -> None:
    from colorize.colouring.sheet import GAP_PIXELS, Sheet

    sheet = Sheet(width, height, 4, 640)
    assert sheet.columns == columns
    assert max(sheet.image.width(), sheet.image.height()) <= 641
    wide, high = round(width * sheet.scale), round(height * sheet.scale)
    for place in range(4):
        sheet.draw(place, picture(8, 8, RED if place == 2 else BLUE))
    for place in range(4):
        x, y = (place % columns) * (wide + GAP_PIXELS), (place // columns) * (high + GAP_PIXELS)
        corners = {colour(sheet.image, x + dx, y + dy) for dx in (0, wide - 1) for dy in (0, high - 1)}
        assert corners == {RED if place == 2 else BLUE}
    between = (wide + 1, 0) if columns > 1 else (0, high + 1)
    assert colour(sheet.image, *between) == ""


def test_what_reaches_over_the_canvas_does_not_paint_on_its_neighbours(app: Any) -> None:  # noqa: ARG001
    from colorize.colouring.sheet import Sheet

    sheet = Sheet(100, 100, 3, 640)
    sheet.draw(0, picture(8, 8, RED), (-50, -50, 400, 400))
    assert colour(sheet.image, 99, 99) == RED
    assert colour(sheet.image, 103, 50) == ""
    assert colour(sheet.image, 150, 50) == colour(sheet.image, 50, 150) == WHITE
    assert colour(sheet.image, 150, 150) == ""  # there is no fourth
