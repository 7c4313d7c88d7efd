"""``training evaluate`` on a handful of made-up pictures: reports, resuming, several processes, judges, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from engine.models.checkpoint import save_model
from engine.models.stenciltorch import Compact, CompactConfig
from engine.system.progress import ProgressBar
from training.cli.main import main
from training.evaluation.changes import change_table, compare_relative
from training.evaluation.heldout import FULL
from training.evaluation.methods import Baseline, Checkpoint
from training.evaluation.networks import InceptionV3, Lpips
from training.evaluation.plan import Plan
from training.evaluation.runner import evaluate as evaluate_plan

HEAD = "file,source_repo,original_path,commit,author,license_spdx,kind,split,pair_id,width,height,note"


@pytest.fixture
def art(tmp_path: Path) -> Path:
    """Two illustrations and a pair for testing, and one for training that must not be touched."""
    root, rows = tmp_path / "art", [HEAD]
    files = [
        ("test/pairs/face_color.png", "pair_color", "face"),
        ("test/pairs/face_line.png", "pair_line", "face"),
        ("test/hills/höhe.png", "illustration", ""),
        ("test/hills/low.png", "illustration", ""),
        ("train/hills/secret.png", "illustration", ""),
    ]
    for place, (name, kind, pair) in enumerate(files):
        image = Image.new("RGB", (128, 96), (150, 200, 240) if kind == "illustration" else "white")
        fill = "white" if kind == "pair_line" else (220, 50 * place, 40)
        ImageDraw.Draw(image).ellipse((20, 16 + 2 * place, 90, 80), fill, "black", 2)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
        rows.append(f"{name},me/mine,x,0,me,CC0-1.0,{kind},{name.split('/')[0]},{pair},128,96,")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def run(art: Path, tmp_path: Path, small_weights: Path) -> Callable[..., Result]:
    """Runs the command into a folder of the given name."""

    def invoke(out: str, *more: str) -> Result:
        command = [str(art), str(tmp_path / out), "--weights", f"net={small_weights}", "--baselines", "nearest,white"]
        return CliRunner().invoke(main, ["evaluate", *command, "--hints", "0,4,full", "--features", "none", *more])

    return invoke


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    """All measured numbers but the times."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in results(folder)["rows"]]


def test_a_report_has_tables_numbers_and_sheets(run: Callable[..., Result], tmp_path: Path) -> None:
    done = run("out", "--layers", "colour,flats,network", "--json", "--pictures")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    found = results(out)
    assert {r["picture"] for r in found["rows"]} == {"pairs-face_color", "hills-höhe", "hills-low"}
    by_hints = {c: {r["method"] for r in found["rows"] if r["hints"] == c} for c in (0, 4, -1)}
    ours = {"net", "net-flats", "net-network"}
    assert by_hints == {0: ours | {"white"}, 4: ours | {"nearest"}, -1: ours | {"nearest"}}
    assert all(m["byte_difference"] == m["alpha_outside"] == 0 for m in found["masked"])
    flats = [r for r in found["rows"] if r["method"] == "net-flats" and r["hints"] == 4]
    assert all(r["strokes_median"] < 1 for r in flats)
    # With the whole picture given, the nearest hint is that picture.
    given = [r for r in found["rows"] if r["method"] == "nearest" and r["hints"] == FULL]
    assert all(r["strokes_p95"] == 0 and r["regions"] == 1 and r["bleeding"] == 0 for r in given)
    text, page = ((out / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    assert "| full, nearest hint |" in text
    for name in ("sheets/sheet-00-1.png", "sheets/sheet-04-1.png", "sheets/sheet-full-1.png"):
        assert name in text
        assert f'src="{name}"' in page
        with Image.open(out / name) as sheet:
            assert sheet.width > 4 * 256
    assert "<td>full, nearest hint</td>" in page
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["about"]["models"]["net"]["architecture"] == "stenciltorch-compact"
    assert "rows" not in told
    kept = out / "pictures" / "4-hints" / "net-flats" / "hills-low.png"
    with Image.open(kept) as picture, Image.open(out / "pictures" / "original" / "hills-low.png") as original:
        assert picture.size == original.size == (128, 96)


def test_an_interrupted_evaluation_goes_on_where_it_stopped(
    run: Callable[..., Result], art: Path, tmp_path: Path, small_weights: Path
) -> None:
    assert run("whole").exit_code == 0

    class Stop(ProgressBar):
        def __call__(self, stage: str, done: int = 0, total: int = 0, *, each: bool = False) -> None:
            assert (total, each) == (3, True)
            if done == 1:
                raise KeyboardInterrupt(stage)

    methods = (Checkpoint("net", small_weights, (("colour", "net"),)), Baseline("nearest"), Baseline("white"))
    with pytest.raises(KeyboardInterrupt):
        evaluate_plan(Plan(art, ("test",), methods, (0, 4, FULL)), tmp_path / "part", bar=Stop())
    done = {p: p.stat().st_mtime_ns for p in (tmp_path / "part" / "records").rglob("*.npz")}
    assert done
    again = run("part")
    assert again.exit_code == 0, again.output
    assert "1 of 3 pictures are done already" in again.output
    assert all(p.stat().st_mtime_ns == t for p, t in done.items())
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")
    part, whole = (results(tmp_path / name) for name in ("part", "whole"))
    assert part["comparisons"] == whole["comparisons"]
    assert part["masked"] == whole["masked"]


def test_broken_and_outdated_records_are_made_again(
    run: Callable[..., Result], tmp_path: Path, small_weights: Path
) -> None:
    assert run("out", "--hints", "4").exit_code == 0
    before = rows(tmp_path / "out")
    record = tmp_path / "out" / "records" / "net" / "4" / "hills-low.npz"
    record.write_bytes(record.read_bytes()[:200])
    assert "2 of 3 pictures are done already" in run("out", "--hints", "4").output
    assert rows(tmp_path / "out") == before
    config = CompactConfig(widths=(8, 16, 32, 64), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 1))
    other = tmp_path / "other.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        save_model(other, Compact(config).state_dict(), "stenciltorch-compact", config, {})
    changed = run("out", "--hints", "4", "--weights", f"other={other}")
    assert changed.exit_code == 0, changed.output
    assert [r for r in rows(tmp_path / "out") if r["method"] != "other"] == before
    assert "done already" not in run("out", "--hints", "4", "--seed", "5").output
    assert rows(tmp_path / "out") != before
    assert small_weights.is_file()


def test_more_processes_change_no_number(run: Callable[..., Result], tmp_path: Path) -> None:
    assert run("one", "--hints", "4", "--limit", "2").exit_code == 0
    done = run("two", "--hints", "4", "--limit", "2", "--jobs", "2")
    assert done.exit_code == 0, done.output
    assert rows(tmp_path / "two") == rows(tmp_path / "one")


def test_a_broken_picture_is_listed_and_stops_nothing(run: Callable[..., Result], art: Path, tmp_path: Path) -> None:
    (art / "test" / "hills" / "low.png").write_bytes(b"no picture at all")
    (art / "test" / "hills" / "höhe.png").unlink()
    done = run("out", "--hints", "4")
    assert done.exit_code == 0, done.output
    assert {r["picture"] for r in results(tmp_path / "out")["rows"]} == {"pairs-face_color"}
    assert sorted(f[0] for f in results(tmp_path / "out")["failures"]) == ["hills-höhe", "hills-low"]
    assert "What failed" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    (art / "test" / "pairs" / "face_color.png").write_bytes(b"")
    nothing = run("none", "--hints", "4")
    assert nothing.exit_code == 1
    assert "nothing could be measured" in nothing.output


def test_judges_with_weights_of_others_and_our_own_features(
    run: Callable[..., Result], tmp_path: Path, small_weights: Path
) -> None:
    torch.manual_seed(0)
    save_file(InceptionV3().state_dict(), tmp_path / "inception.safetensors")
    names = {k: k if k.startswith("net.") else f"lin{k[-1]}.model.1.weight" for k in Lpips("alex").state_dict()}
    tensors = {names[k]: t.abs() + 0.1 * (not k.startswith("net.")) for k, t in Lpips("alex").state_dict().items()}
    save_file(tensors, tmp_path / "lpips.safetensors")
    judges = ["--inception", str(tmp_path / "inception.safetensors"), "--lpips", str(tmp_path / "lpips.safetensors")]
    done = run("out", "--hints", "4", *judges, "--features", str(small_weights))
    assert done.exit_code == 0, done.output
    found = results(tmp_path / "out")
    assert all(r["lpips"] > 0 for r in found["rows"])
    assert {d["eye"] for d in found["distances"]} == {"own", "inception"}
    assert set(found["about"]["judges"]) == {"features", "inception", "lpips"}
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "KID on features of our own stenciltorch-compact encoder (small.safetensors)" in text
    assert "FID and KID on features of Inception v3" in text
    assert "no distance between sets can be given" in text
    wrong = run("wrong", "--hints", "4", "--lpips", str(tmp_path / "inception.safetensors"))
    assert wrong.exit_code == 1
    assert "does not hold the weights of LPIPS" in wrong.output


def test_wrong_use_is_explained_with_exit_code_2(run: Callable[..., Result], tmp_path: Path) -> None:
    cases = {
        ("--hints", "4,many"): "should be numbers",
        ("--layers", "shading"): "is none of colour",
        ("--baselines", "guess"): "no baseline 'guess'",
        ("--weights", "nearest=x"): "cannot be a model's name",
        ("--weights", f"more={tmp_path / 'no.safetensors'}"): "there are no weights at",
        ("--features", str(tmp_path / "no.safetensors")): "no safetensors file",
        ("--split", "other"): "no pictures marked",
        ("--device", "abacus"): "no device 'abacus'",
        ("--sampling", "steps=4"): "stenciltorch does not sample, so it cannot be measured with steps=4",
        ("--sampling", "speed=4"): "'speed=4' is no setting",
        ("--sampling", "steps=four"): "steps=four is no number",
        ("--sampling", "steps=4,steps=8"): "names steps twice",
        ("--sampling", "sampler=dice"): "the sampler 'dice' cannot be used",
        ("--sampling", "other:steps=4"): "no model is named 'other'",
        ("--reference", "steps=4"): "nothing can be held against --reference steps=4",
    }
    for arguments, message in cases.items():
        # A split that is named replaces the usual one.
        done = run("out", *arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert message in done.output
        assert "Traceback" not in done.output
    empty = tmp_path / "empty"
    empty.mkdir()
    done = CliRunner().invoke(main, ["evaluate", str(empty), str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "holds no manifest.csv" in done.output


def test_settings_of_one_file_are_measured_side_by_side_and_held_against_a_reference(
    run: Callable[..., Result], tmp_path: Path, small_stablepaint: Path
) -> None:
    common = ["--hints", "4", "--size", "64", "--limit", "2", "--weights", f"paint={small_stablepaint}"]
    one, three, dice = (f"paint:{name}" for name in ("steps=1", "steps=3", "sampler=heun, seed=7,steps=3"))
    first = run("out", *common, "--sampling", one, "--sampling", three, "--layers", "colour,network")
    assert first.exit_code == 0, first.output
    before = {r["method"]: r for r in rows(tmp_path / "out")}
    ours = {f"paint{layer}@{steps}" for layer in ("", "-network") for steps in ("steps=1", "steps=3")}
    assert set(before) == {"net", "net-network", "nearest"} | ours
    # The seed is the same, so only the number of steps tells the pictures apart.
    assert before["paint-network@steps=1"]["difference"] != before["paint-network@steps=3"]["difference"]

    samplings = ["--sampling", one, "--sampling", three, "--sampling", dice, "--reference", "steps=3"]
    records = sorted((tmp_path / "out" / "records").rglob("paint@steps=*/*/*.npz"))
    times = [p.stat().st_mtime_ns for p in records]
    again = run("out", *common, *samplings, "--layers", "colour,network")
    assert again.exit_code == 0, again.output
    # What was measured already is not measured again.
    assert len(records) == 8
    assert [p.stat().st_mtime_ns for p in records] == times
    found = results(tmp_path / "out")
    told = found["about"]["models"]["paint@steps=3,sampler=heun,seed=7"]["sampling"]
    assert told == {"steps": 3, "strength": 0.5, "guidance": 1.0, "sampler": "heun", "seed": 7}
    assert "sampling" not in found["about"]["models"]["net"]
    held = {(c["method"], c["reference"]): c for c in found["changes"]}
    assert set(held) == {
        (f"paint{layer}@{name}", f"paint{layer}@steps=3")
        for layer in ("", "-network")
        for name in ("steps=1", "steps=3,sampler=heun,seed=7")
    }
    change = held["paint-network@steps=1", "paint-network@steps=3"]
    means = {
        name: np.mean([r["difference"] for r in found["rows"] if r["method"] == f"paint-network@steps={name}"])
        for name in (1, 3)
    }
    assert change["changes"]["difference"] == pytest.approx(means[1] / means[3] - 1)
    assert change["furthest"] == max(map(abs, change["changes"].values()))
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "## Relative to the reference setting" in report
    assert "| 4, paint@steps=1 against paint@steps=3 |" in report
    assert "paint@steps=1: stablepaint, SHA-256" in report


def test_a_record_made_under_other_settings_is_measured_again(
    run: Callable[..., Result], tmp_path: Path, small_stablepaint: Path
) -> None:
    common = ["--hints", "4", "--size", "64", "--limit", "1", "--layers", "network"]
    common += ["--weights", f"paint={small_stablepaint}"]
    assert run("out", *common, "--sampling", "paint:strength=1").exit_code == 0
    record = tmp_path / "out" / "records" / "paint@strength=1" / "4"
    (record.parent.parent / "paint@strength=1,seed=5" / "4").mkdir(parents=True)
    (kept,) = record.iterdir()
    (record.parent.parent / "paint@strength=1,seed=5" / "4" / kept.name).write_bytes(kept.read_bytes())
    assert run("out", *common, "--sampling", "paint:strength=1", "--sampling", "paint:seed=5,strength=1").exit_code == 0
    found = {r["method"]: r["difference"] for r in rows(tmp_path / "out")}
    assert found["paint-network@strength=1"] != found["paint-network@strength=1,seed=5"]


def test_relative_changes_know_better_from_worse_and_survive_zeros() -> None:
    def row(method: str, picture: str, difference: float, psnr: float, bleeding: float) -> dict[str, Any]:
        numbers = {"difference": difference, "psnr": psnr, "bleeding": bleeding, "strokes_median": float("nan")}
        return {"method": method, "picture": picture, "hints": 16, **numbers}

    measured = [row("few", "a", 9, 22, 0), row("few", "b", 9, 20, 0), row("many", "a", 10, 20, 0)]
    measured += [row("many", "b", 10, 20, 0), row("few", "c", 90, 2, 0), row("off", "a", 10, 20, 0.1)]
    few, off = compare_relative(measured, [("few", "many"), ("off", "many")])
    # The third picture was coloured by one of them only and does not count; the better numbers are not the worst.
    assert few["pictures"] == 2
    assert few["changes"] == pytest.approx({"difference": -0.1, "psnr": 0.05, "bleeding": 0})
    assert few["worst"] == 0
    assert few["furthest"] == pytest.approx(0.1)
    assert off["worst"] == off["furthest"] == float("inf")
    lines = change_table([few, off], {"few": "4 steps", "many": "50 steps", "off": "one"}).markdown().splitlines()
    assert lines[2] == "| 16, 4 steps against 50 steps | -10.0% | +5.0% | +0.0% | 0.0% | yes |"
    assert lines[3] == "| 16, one against 50 steps | +0.0% | +0.0% | ∞ | ∞ | no |"


def test_kept_pictures_are_finished_ones_with_their_lines(run: Callable[..., Result], tmp_path: Path) -> None:
    assert run("out", "--hints", "0", "--pictures", "--limit", "1").exit_code == 0
    (kept,) = (tmp_path / "out" / "pictures" / "0-hints" / "white").iterdir()
    with Image.open(kept) as picture:
        seen = np.asarray(picture)
    # White paper with its lineart: grey wherever there is ink.
    assert np.array_equal(seen[..., 0], seen[..., 2])
    assert seen.min() < 80
