"""The benchmark's numbers mean what they say, on pictures whose answer is known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from engine.models.checkpoint import save_model
from engine.models.stenciltorch import Compact, CompactConfig
from training.evaluation import baselines, metrics
from training.evaluation.statistics import bootstrap_mean

ROOT = Path(__file__).resolve().parents[3]

RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture
def halves() -> dict[str, Any]:
    """Red left and blue right half with a line of 2 px between them."""
    labels = np.zeros((40, 60), np.int32)
    labels[:, 30:] = 1
    lineart = np.ones((40, 60), np.float32)
    lineart[:, 29:31] = 0
    palette = np.array([RED, BLUE], np.uint8)
    ink = metrics.find_line(lineart)
    near = metrics.near_line(ink)
    return {
        "labels": labels,
        "lineart": lineart,
        "palette": palette,
        "ink": ink,
        "near": near,
        "neighbours": metrics.neighbour_labels(labels, near),
        "truth": palette[labels],
    }


def bleed(halves: dict[str, Any], result: Any) -> tuple[float, int]:
    answer: tuple[float, int] = metrics.bleeding(
        result, halves["labels"], halves["palette"], halves["near"], halves["neighbours"]
    )
    return answer


def test_the_truth_does_not_bleed(halves: dict[str, Any]) -> None:
    share, counted = bleed(halves, halves["truth"])
    assert share == 0
    assert counted == 40 * 6  # 3 px on either side of the line


def test_swapped_colours_bleed_everywhere(halves: dict[str, Any]) -> None:
    assert bleed(halves, halves["palette"][1 - halves["labels"]])[0] == 1


def test_one_colour_over_both_sides_bleeds_on_one_of_them(halves: dict[str, Any]) -> None:
    assert bleed(halves, np.full_like(halves["truth"], RED))[0] == pytest.approx(0.5)


def test_colour_that_crosses_the_line_by_a_pixel_bleeds_by_that_pixel(halves: dict[str, Any]) -> None:
    result = halves["truth"].copy()
    result[:, 31] = RED
    assert bleed(halves, result)[0] == pytest.approx(1 / 6)


def test_regions_that_look_alike_cannot_bleed(halves: dict[str, Any]) -> None:
    halves["palette"] = np.array([RED, (201, 30, 30)], np.uint8)
    share, counted = bleed(halves, halves["truth"])
    assert np.isnan(share)
    assert counted == 0


def test_a_neighbour_is_the_commonest_other_label_in_the_window() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[:, 12:] = 1
    labels[12:, 12:] = 2
    area = np.zeros(labels.shape, np.bool_)
    area[2, 2] = area[10, 10] = area[13, 13] = True
    # (10, 10) sees 2 x 6 - of label 1 rows 6..11 and of label 2 rows 12..14; (2, 2) sees only its own label.
    assert metrics.neighbour_labels(labels, area).tolist() == [-1, 1, 0]


def test_a_thick_line_widens_the_window_up_to_a_limit() -> None:
    ink = np.zeros((100, 100), np.bool_)
    assert metrics.window_across(ink) == metrics.WINDOW
    ink[:, 50:52] = True
    assert metrics.window_across(ink) == metrics.WINDOW
    ink[:, 45:55] = True
    assert metrics.window_across(ink) == 17
    ink[:, 20:80] = True
    assert metrics.window_across(ink) == metrics.WIDEST_WINDOW


def test_near_a_line_means_within_three_pixels_and_off_the_ink(halves: dict[str, Any]) -> None:
    assert np.flatnonzero(halves["near"][0]).tolist() == [26, 27, 28, 31, 32, 33]
    assert not metrics.near_line(np.zeros((5, 5), np.bool_)).any()


def test_clear_of_ink_leaves_out_the_pixels_that_touch_it(halves: dict[str, Any]) -> None:
    assert np.flatnonzero(~metrics.clear_of_ink(halves["ink"])[0]).tolist() == [28, 29, 30, 31]


def test_a_picture_differs_from_itself_by_nothing_and_white_from_black_by_a_hundred(halves: dict[str, Any]) -> None:
    everywhere = np.ones((40, 60), np.bool_)
    white, black = np.full((40, 60, 3), 255, np.uint8), np.zeros((40, 60, 3), np.uint8)
    assert metrics.mean_difference(halves["truth"], halves["truth"], everywhere) == 0
    assert metrics.mean_difference(white, black, everywhere) == pytest.approx(100, abs=0.01)
    assert np.isnan(metrics.mean_difference(white, black, ~everywhere))


def test_only_fully_covered_stroke_pixels_are_compared() -> None:
    hints = np.zeros((4, 4, 4), np.uint8)
    hints[0, 0] = (*RED, 255)
    hints[1, 1] = (*BLUE, 120)
    result = np.full((4, 4, 3), RED, np.uint8)
    assert metrics.stroke_differences(result, hints).tolist() == [0]
    assert metrics.stroke_differences(result, np.zeros_like(hints)).size == 0


def test_grey_has_no_chroma_and_red_has() -> None:
    everywhere = np.ones((4, 4), np.bool_)
    assert metrics.mean_chroma(np.full((4, 4, 3), 90, np.uint8), everywhere) == pytest.approx(0, abs=1e-4)
    assert metrics.mean_chroma(np.full((4, 4, 3), (255, 0, 0), np.uint8), everywhere) == pytest.approx(0.2577, abs=1e-3)


def test_a_single_byte_outside_the_mask_is_found_and_changes_inside_are_not() -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[:3] = 255
    context = np.full((6, 6, 3), 100, np.uint8)
    result = context.copy()
    result[:3] = 0
    assert metrics.outside_difference(result, context, mask) == 0
    result[5, 5, 2] = 97
    assert metrics.outside_difference(result, context, mask) == 3
    assert metrics.outside_difference(result, context, np.full_like(mask, 255)) == 0


def test_ink_multiplies_over_the_colour() -> None:
    lineart = np.array([[1.0, 0.5, 0.0]], np.float32)
    out = metrics.with_ink(np.full((1, 3, 3), 200, np.uint8), lineart)
    assert out[0, :, 0].tolist() == [200, 100, 0]


def test_the_bootstrap_interval_holds_the_mean_and_repeats_for_a_seed() -> None:
    values = np.random.default_rng(1).normal(-2, 1, 50)
    middle, low, high = bootstrap_mean(values)
    assert low < middle < high < 0
    assert middle == pytest.approx(values.mean())
    assert bootstrap_mean(values) == (middle, low, high)
    assert np.isnan(bootstrap_mean(np.array([np.nan]))).all()


def test_the_nearest_hint_ignores_lines(halves: dict[str, Any]) -> None:
    hints = np.zeros((40, 60, 4), np.uint8)
    hints[20, 20], hints[20, 58] = (*RED, 255), (*BLUE, 255)
    out = baselines.nearest_hint(halves["lineart"], hints)
    assert tuple(out[20, 37]) == RED
    assert tuple(out[20, 42]) == BLUE


def test_the_nearest_hint_in_its_region_stops_at_lines_and_fills_regions_without_one(halves: dict[str, Any]) -> None:
    hints = np.zeros((40, 60, 4), np.uint8)
    hints[20, 20], hints[20, 58] = (*RED, 255), (*BLUE, 255)
    out = baselines.nearest_hint_in_region(halves["lineart"], hints)
    assert tuple(out[20, 28]) == RED
    assert tuple(out[20, 31]) == BLUE
    hints[20, 58] = 0
    assert (baselines.nearest_hint_in_region(halves["lineart"], hints) == RED).all()


def test_without_hints_the_baselines_leave_white_paper(halves: dict[str, Any]) -> None:
    empty = np.zeros((40, 60, 4), np.uint8)
    assert (baselines.nearest_hint(halves["lineart"], empty) == 255).all()
    assert (baselines.nearest_hint_in_region(halves["lineart"], empty) == 255).all()


@pytest.mark.skipif(baselines.gmic_version() is None, reason="gmic is not installed")
def test_gmic_colours_a_closed_shape_with_the_stroke_in_it() -> None:
    lineart = np.ones((120, 120), np.float32)
    lineart[20:100, 20:23] = lineart[20:100, 97:100] = lineart[20:23, 20:100] = lineart[97:100, 20:100] = 0
    hints = np.zeros((120, 120, 4), np.uint8)
    hints[55:65, 55:65] = (*RED, 255)
    hints[5:10, 50:70] = (255, 255, 255, 255)
    out = baselines.gmic_smart(lineart, hints)
    assert out is not None
    assert np.abs(out[40, 40].astype(int) - RED).max() <= 8
    assert out[110, 110].min() > 240


def run_quality(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.quality", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def make_art(root: Path) -> None:
    """A pair and an illustration for testing, and a picture for training that must not be touched."""
    rows = ["file,source_repo,original_path,commit,author,license_spdx,kind,split,pair_id,width,height,note"]
    files = [
        ("test/pairs/face_color.png", "pair_color", "test", "face"),
        ("test/pairs/face_line.png", "pair_line", "test", "face"),
        ("test/pictures/hill.png", "illustration", "test", ""),
        ("train/pictures/secret.png", "illustration", "train", ""),
    ]
    for place, (name, kind, split, pair) in enumerate(files):
        image = Image.new("RGB", (128, 96), "white" if kind != "illustration" else (150, 200, 240))
        fill = "white" if kind == "pair_line" else (220, 60 * place, 40)
        ImageDraw.Draw(image).ellipse((20, 16, 90, 80), fill, "black", 2)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
        rows.append(f"{name},me/mine,x,0,me,CC0-1.0,{kind},{split},{pair},128,96,")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_a_quality_run_writes_tables_numbers_and_sheets(tmp_path: Path) -> None:
    make_art(tmp_path / "art")
    torch.manual_seed(0)
    config = CompactConfig(widths=(8, 8, 8, 8), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 1), heads=2)
    weights = tmp_path / "stenciltorch.safetensors"
    save_model(weights, Compact(config).state_dict(), "stenciltorch-compact", config, {})
    out = tmp_path / "out"
    done = run_quality(tmp_path / "art", out, "--hints", "0,16", "--weights", weights, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert {r["picture"] for r in found["rows"]} == {"pairs-face_color", "pictures-hill"}
    assert {r["method"] for r in found["rows"]} >= {"colour", "flats", "white", "nearest", "regions"}
    assert all(m["byte_difference"] == m["alpha_outside"] == 0 for m in found["masked"])
    assert (out / "summary.md").read_text(encoding="utf-8") in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["about"]["pictures"] == 2
    assert [p.name for p in sorted(out.glob("sheet-*.png"))] == ["sheet-00-1.png", "sheet-16-1.png"]


def test_a_quality_run_without_art_or_with_bad_counts_is_wrong_use(tmp_path: Path) -> None:
    done = run_quality(tmp_path / "nowhere", tmp_path / "out")
    assert done.returncode == 2
    assert "manifest.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert run_quality(tmp_path, tmp_path / "out", "--hints", "many").returncode == 2
