"""The benchmarks of training on a handful of shipped pictures: what they print, and that they can be interrupted."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, ImageDraw

from training.data.pack import pack, read_manifest
from training.recipes.stenciltorch import PRESETS
from training.runs.config import Phase

KINDS = ("colour", "network")
ROOT = Path(__file__).resolve().parents[3]
ART = ROOT / "tests" / "data" / "art"
TINY = replace(
    PRESETS["cpu"],
    model={"widths": (8, 16, 16, 32), "encoder_blocks": (0, 1, 1), "decoder_blocks": (1, 1, 1), "heads": 4},
    phases=(Phase(0.5, 64, 4, 1.0, 1.5), Phase(1.0, 96, 2, 1.0, 1.2)),
)


def load_benchmark(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    list(pack(read_manifest(ART, "train"), out, 96, workers=1))
    return out


def measure_data(shards: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    benchmark = load_benchmark("data")
    monkeypatch.setitem(PRESETS, "cpu", TINY)
    monkeypatch.setattr(sys, "argv", ["data.py", str(shards), *arguments])
    code: int = benchmark.main()
    return code


@pytest.mark.slow
def test_the_data_benchmark_measures_memory_and_stream_and_how_long_training_waits(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data.json"
    assert measure_data(shards, monkeypatch, "--workers", "0,1", "--seconds", "0", "--out", str(out)) == 0
    found = json.loads(out.read_text())["cpu"]
    loaded = [(r["data"], r["workers"]) for r in found["loading"]]
    assert loaded == [("memory", 0), ("memory", 1), ("stream", 0), ("stream", 1)]
    assert all(r["per_second"] > 0 and r["per_cpu_second"] > 0 for r in found["loading"])
    assert [(r["size"], r["workers"]) for r in found["training"]] == [(64, 0), (64, 1), (96, 0), (96, 1)]
    assert all(0 < r["waits"] < 1 for r in found["training"])
    assert {r["what"] for r in found["device_steps"]} == {"make_batch", "of it regions", "hint prior", "whole step"}
    printed = capsys.readouterr().out
    assert "device waits" in printed
    assert json.loads(printed.splitlines()[-1])["cpu"] == found


def test_shards_without_a_full_index_are_measured_in_memory_alone(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for tar in shards.glob("*.tar"):
        (tmp_path / tar.name).symlink_to(tar)
    (tmp_path / "index.json").write_text(json.dumps({"digest": "0" * 64}))
    assert measure_data(tmp_path, monkeypatch, "--workers", "0", "--seconds", "0") == 0
    told = capsys.readouterr()
    assert "note: not streamed" in told.err
    assert [r["data"] for r in json.loads(told.out.splitlines()[-1])["cpu"]["loading"]] == ["memory"]


def test_missing_shards_are_an_error_of_the_data_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure_data(tmp_path, monkeypatch) == 1
    assert "training pack" in capsys.readouterr().err


@pytest.mark.slow
def test_an_ablation_trains_measures_and_trains_nothing_twice(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    benchmark, out = load_benchmark("ablation"), tmp_path / "out"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def ablate(*arguments: str) -> tuple[int, str, str]:
        command = [str(shards), str(ART), str(out), "--hints", "16", "--limit", "1", *arguments]
        monkeypatch.setattr(sys, "argv", ["ablation.py", *command])
        code = benchmark.main()
        told = capfd.readouterr()
        return code, told.out, told.err

    code, printed, said = ablate("--steps", "1", "--table")
    assert (code, printed) == (1, "")
    assert "no variant is finished" in said
    code, printed, said = ablate("--steps", "1", "--only", "no-guide")
    assert code == 0, said
    assert "| without the guide |" in printed
    assert (out / "table.md").read_text() == printed.rstrip("\n") + "\n"
    assert json.loads((out / "no-guide" / "config.json").read_text())["guide"] is False
    weights = out / "no-guide" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    code, again, said = ablate("--steps", "1", "--only", "no-guide")
    assert (code, again) == (0, printed)
    assert "no-guide: trained already" in said
    assert weights.stat().st_mtime_ns == before
    code, _, said = ablate("--steps", "2", "--table")
    assert code == 2
    assert "was begun with steps 1, not 2" in said


def test_a_failing_training_ends_the_ablation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    folders = [str(tmp_path / "empty"), str(ART), str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["ablation.py", *folders, "--only", "baseline"])
    assert load_benchmark("ablation").main() == 1
    said = capfd.readouterr().err
    assert "no shards in" in said
    assert "error: `training train-stenciltorch" in said


def row(name: str, picture: str, hints: int, difference: float) -> dict[str, Any]:
    more = {"bleeding_hinted": 0.125, "regions": 0.5, "chroma": 0.06, "chroma_original": 0.12}
    return {"method": name, "picture": picture, "hints": hints, "difference": difference, **more}


def test_the_table_of_an_ablation_has_paired_differences_to_the_recipe() -> None:
    ablation = load_benchmark("ablation")
    rows = []
    for picture, (mine, theirs) in {"a": (10.0, 12.0), "b": (20.0, 23.0), "c": (30.0, 34.0)}.items():
        for hints in (0, 16):
            rows += [row("baseline-network", picture, hints, mine), row("no-prior-network", picture, hints, theirs)]
    # Only on pictures that both have.
    rows.append(row("no-prior-network", "d", 0, 100.0))
    lines = ablation.difference_table(rows, ["baseline", "no-prior"], "-network").markdown().splitlines()
    assert lines[2] == "| the recipe | 20.00 | 20.00 |"
    assert lines[3].startswith("| without the hint prior | 42.25 (+3.00, +2.")
    assert "| 23.00 (+3.00, +2." in lines[3]
    found = {"rows": rows, "strokes_median_p95": {"baseline-network, 16": [1.5, 4.0]}}
    lines = ablation.lines_table(found, ["baseline", "no-prior"], "-network").markdown().splitlines()
    assert lines[2] == "| the recipe | 1.50 | 4.00 | 12.5% | 50.0% | 0.50 | 0.50 |"
    assert lines[3] == "| without the hint prior | - | - | 12.5% | 50.0% | 0.50 | 0.50 |"


def run_benchmark(name: str, *arguments: str | Path, weights: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"COLORIZE_WEIGHTS": str(weights)} if weights else {})}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)


def make_tiny_art(root: Path) -> Path:
    """One picture to test with: a red disc with a black outline on blue."""
    image = Image.new("RGB", (48, 40), (150, 200, 240))
    ImageDraw.Draw(image).ellipse((10, 8, 34, 32), (220, 50, 40), "black", 2)
    (root / "test" / "discs").mkdir(parents=True)
    image.save(root / "test" / "discs" / "red.png")
    head = "file,source_repo,original_path,commit,author,license_spdx,kind,split,pair_id,width,height,note"
    row = "test/discs/red.png,me/mine,x,0,me,CC0-1.0,illustration,test,,48,40,"
    (root / "manifest.csv").write_text(f"{head}\n{row}\n", encoding="utf-8")
    return root


@pytest.mark.slow
def test_a_model_that_samples_is_held_against_all_it_promises(
    tmp_path: Path, small_stablepaint: Path, small_weights: Path
) -> None:
    known, out = tmp_path / "weights", tmp_path / "out"
    known.mkdir()
    (known / "stablepaint.safetensors").symlink_to(small_stablepaint)
    (known / "stenciltorch.safetensors").symlink_to(small_weights)
    arguments = [str(make_tiny_art(tmp_path / "art")), str(out), "--model", "stablepaint", "--hints", "0,4", "--json"]
    done = run_benchmark("quality", *arguments, weights=known)
    assert done.returncode == 0, done.stderr
    assert "# Quality on held-out art: 1 pictures, `stablepaint`" in done.stdout
    assert (out / "stablepaint.md").read_text(encoding="utf-8") in done.stdout
    found = json.loads(done.stdout.splitlines()[-1])
    reached = {t["target"]: t for t in found["targets"]}
    wanted = {
        *("VAE round trip: mean PSNR", "VAE round trip under the lineart: mean CIEDE2000", "contrast of the lines"),
        *("colour, strength 0.5: median CIEDE2000 in strokes", "network, strength 0: median CIEDE2000 in strokes"),
        "network, 4 variations at strength 0.8: mean pairwise CIEDE2000 inside strokes",
        *("steps=4,strength=0.5: every mean within 10%", "steps=8,strength=0.5, network: every mean within 10%"),
        *("one denoiser step / the default model's network", "a 4-step picture with decoding"),
        *("same seed, same bytes", "largest difference outside it"),
    }
    assert [part for part in wanted if not any(part in target for target in reached)] == []
    # Whatever it has learned, it repeats itself and leaves alone what it must.
    assert all(t["holds"] for name, t in reached.items() if "same bytes" in name or "outside it" in name)
    assert {(v["hints"], v["kind"]) for v in found["variations"]} == {(h, k) for h in (0, 4) for k in KINDS}
    bare = next(v for v in found["variations"] if (v["hints"], v["kind"]) == (0, "network"))
    assert bare["unhinted"] > 0
    assert bare["share_unhinted"] == 1
    assert bare["hinted"] is bare["strokes"] is None
    assert {(c["method"], c["reference"], c["hints"]) for c in found["changes"]} == {
        (f"steps={n},strength=0.5{kind}", f"steps=50,strength=0.5{kind}", hints)
        for n in (4, 8)
        for kind in ("", ", network")
        for hints in (0, 4)
    }
    assert set(found["speed"]["megabytes"]) == {"loaded", "one", "many"}
    assert "| one denoiser step, 512x512 |" in done.stdout
    assert "peak memory over the loaded model" in done.stdout
    sheets = sorted(p.name for p in out.glob("sheet-*.png"))
    strength = [f"sheet-strength-discs-red-{n}-{kind}-1.png" for n in ("00", "06") for kind in KINDS]
    assert sheets == ["sheet-00-1.png", "sheet-04-1.png", "sheet-parts-1.png", *strength]


def test_stablepaints_benchmark_refuses_the_weights_of_another_model(tmp_path: Path, small_weights: Path) -> None:
    art = make_tiny_art(tmp_path / "art")
    done = run_benchmark("stablepaint.quality", art, tmp_path / "out", "--weights", small_weights)
    assert done.returncode == 2
    assert "not of StablePaint" in done.stderr
    assert "Traceback" not in done.stderr
