"""``training preview``: sheets of every step, for the eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from training.cli import preview
from training.cli.main import main
from training.data import preview as sheets
from training.data.flats import Smoothing
from training.data.strokes import SCHEMES

ART = Path(__file__).parents[2] / "data" / "art" / "train"
FAIRY = ART / "vector_toon_pairs" / "egon_vector_fairy_tale_king_color.webp"
PEPPER = ART / "peppercarrot" / "E12P02_01.webp"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["preview", *(str(a) for a in arguments)])


def cells(path: Path, size: int) -> list[list[np.ndarray]]:
    """Cut a sheet into its cells, row by row."""
    sheet = np.asarray(Image.open(path))
    step, high = size + sheets.GAP, sheets.TITLE + sheets.LABEL + size + sheets.GAP
    rows = []
    for r in range((sheet.shape[0] - sheets.GAP) // high):
        top = sheets.GAP + r * high + sheets.TITLE + sheets.LABEL
        lefts = [sheets.GAP + c * step for c in range((sheet.shape[1] - sheets.GAP) // step)]
        rows.append([sheet[top : top + size, left : left + size] for left in lefts])
    return rows


def test_the_commands_choices_are_those_of_the_recipe() -> None:
    assert set(preview.STEPS) == set(sheets.STEPS)
    assert set(preview.SCHEMES) == set(SCHEMES)
    assert set(preview.SMOOTHINGS) == set(Smoothing.__args__)


@pytest.mark.parametrize("step", preview.STEPS)
def test_every_step_has_a_sheet_with_a_labelled_row_per_picture(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new" / "sheet.png"
    monkeypatch.setattr(sheets, "SHORT_SIDE", 96)
    result = run(FAIRY, PEPPER, "-o", out, "--step", step, "--size", 64)
    assert result.exit_code == 0, result.output
    rows = cells(out, 64)
    assert len(rows) == 2
    assert len(rows[0]) >= 3
    assert all(cell.std() > 1 for row in rows for cell in row[:1])
    assert len({cell.tobytes() for cell in rows[1]}) >= len(rows[1]) - 3
    sheet = np.asarray(Image.open(out).convert("L"))
    for r in range(2):
        top = sheets.GAP + r * (sheets.TITLE + sheets.LABEL + 64 + sheets.GAP)
        assert sheet[top : top + sheets.TITLE].min() < 120
        assert sheet[top + sheets.TITLE : top + sheets.TITLE + sheets.LABEL - 1].min() < 120
    assert [p.name for p in out.parent.iterdir()] == ["sheet.png"]


def test_a_sheet_is_the_same_for_the_same_seed_and_epoch_and_another_for_others(tmp_path: Path) -> None:
    made = {}
    for name, options in (("a", ()), ("b", ()), ("seed", ("--seed", 2)), ("epoch", ("--epoch", 1))):
        out = tmp_path / f"{name}.png"
        assert run(FAIRY, "-o", out, "--step", "strokes", "--size", 64, *options).exit_code == 0
        made[name] = cells(out, 64)[0]
    assert all(np.array_equal(x, y) for x, y in zip(made["a"], made["b"], strict=True))
    assert any(not np.array_equal(x, y) for x, y in zip(made["a"], made["seed"], strict=True))
    # Another first epoch is the same row, one on.
    assert np.array_equal(made["a"][2], made["epoch"][1])


def test_one_scheme_can_be_shown_alone(tmp_path: Path) -> None:
    out = tmp_path / "s.png"
    assert run(FAIRY, "-o", out, "--step", "strokes", "--scheme", "paintstorch", "--size", 64).exit_code == 0
    assert len(cells(out, 64)[0]) == 1 + 2 * sheets.DRAWS


def test_transparent_pictures_lie_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (90, 90), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert run(tmp_path / "clear.png", "-o", tmp_path / "s.png", "--step", "flats", "--size", 48).exit_code == 0
    assert (cells(tmp_path / "s.png", 48)[0][1] == 255).all()


def test_a_file_that_is_no_picture_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no picture")
    result = run(FAIRY, bad, "-o", tmp_path / "s.png", "--size", 64)
    assert result.exit_code == 1
    assert "bad.png cannot be read" in result.output
    assert "PNG, JPEG or WebP" in result.output
    assert not (tmp_path / "s.png").exists()


def test_wrong_use_ends_with_2(tmp_path: Path) -> None:
    assert run("-o", tmp_path / "s.png").exit_code == 2
    assert run(FAIRY, "-o", tmp_path / "s.png", "--step", "colour").exit_code == 2
    assert run(tmp_path / "none.png", "-o", tmp_path / "s.png").exit_code == 2
