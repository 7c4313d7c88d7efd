"""The benchmarks of training on a handful of shipped pictures: what they print, and that they can be interrupted."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from training.config import Phase
from training.data.pack import pack, read_manifest
from training.stenciltorch import PRESETS

ROOT = Path(__file__).resolve().parents[2]
ART = ROOT / "tests" / "data" / "art"
TINY = replace(
    PRESETS["cpu"],
    model={"widths": (8, 16, 16, 32), "encoder_blocks": (0, 1, 1), "decoder_blocks": (1, 1, 1), "heads": 4},
    phases=(Phase(0.5, 64, 4, 1.0, 1.5), Phase(1.0, 96, 2, 1.0, 1.2)),
)


def load_benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
    assert {r["what"] for r in found["device_steps"]} == {"make_batch", "of it regions", "hint prior"}
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
