"""The command that makes a training set of folders: what it keeps and leaves out, and stopping it anywhere."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import skimage.data
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from training.cli.main import main
from training.data.pack import read_manifest

ART = Path(__file__).parents[2] / "data" / "art"
PROGRAM = [sys.executable, "-c", "from training.curate.command import curate; curate()"]


def run(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["curate", *(str(w) for w in (*words, "--workers", 1))])
    assert result.exit_code == code, result.output
    return result


def rows(target: Path, name: str = "manifest.csv") -> list[dict[str, str]]:
    with (target / name).open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def digest(target: Path) -> str:
    return str(json.loads((target / "dataset.json").read_text(encoding="utf-8"))["digest"])


def reasons(target: Path) -> dict[str, str]:
    return {r["file"]: r["reason"] for r in rows(target, "rejected.csv")}


def draw(seed: int, width: int = 300, height: int = 260) -> Image.Image:
    """A drawing of its own for each seed: flat shapes with outlines."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (width, height), tuple(int(c) for c in rng.integers(150, 255, 3)))
    pen = ImageDraw.Draw(image)
    for _ in range(7):
        x, y = rng.integers(0, width - 80), rng.integers(0, height - 80)
        w, h = rng.integers(50, 160, 2)
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), colour, "black", 3)
    return image


def put(path: Path, image: Image.Image | None = None, **note: str) -> Path:
    """Save a drawing, with a sidecar if there is something to tell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or draw(int(hashlib.sha256(str(path.name).encode()).hexdigest()[:6], 16))).save(path)
    if note:
        path.with_suffix(".json").write_text(json.dumps(note))
    return path


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with something for each reason."""
    root = tmp_path_factory.mktemp("mixed")
    put(root / "Ann/one.png", license="CC-BY-4.0", artist="Ann")
    put(root / "Ann/two.png", license="CC0", artist="Ann")
    put(root / "Bo/héllo wörld 絵.png")
    draw(1).save(root / "Bo/really_png.jpg", "PNG")
    put(root / "Bo/alpha.png", draw(2).convert("RGBA"))
    put(root / "near.png", draw(3, 600, 520))
    draw(3, 600, 520).resize((450, 390)).save(root / "near_small.jpg", quality=70)
    recoloured = np.asarray(draw(3, 600, 520))[..., ::-1]
    put(root / "recoloured.png", Image.fromarray(np.ascontiguousarray(recoloured)))
    put(root / "small.png", draw(4, 120, 400))
    put(root / "grey.png", draw(5).convert("L").convert("RGB"))
    put(root / "photo.png", Image.fromarray(skimage.data.chelsea()))
    put(root / "blurry.png", draw(6).filter(ImageFilter.GaussianBlur(9)))
    page = Image.new("RGB", (300, 640), "white")
    page.paste(draw(7, 280, 300), (10, 10))
    page.paste(draw(8, 280, 300), (10, 325))
    put(root / "page.png", page)
    draw(9).save(root / "moving.gif", save_all=True, append_images=[draw(10)])
    data = put(root / "cut.png").read_bytes()
    (root / "cut.png").write_bytes(data[: len(data) // 2])
    (root / "empty.png").touch()
    (root / "text.jpg").write_text("not a picture")
    (root / "nothing.png").symlink_to(root / "not there")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    put(Path(os.fsdecode(os.fsencode(root / "odd") + b"\xff.png")), draw(11))
    (root / "bad.json").write_text("{")
    put(root / "bad.png", draw(12))
    (root / "read me.pdf").touch()
    return root


EXPECTED = {
    "near_small.jpg": "near_duplicate",
    "small.png": "too_small",
    "grey.png": "greyscale",
    "photo.png": "photo",
    "blurry.png": "blurry",
    "page.png": "comic_page",
    "moving.gif": "animated",
    **dict.fromkeys(("cut.png", "empty.png", "text.jpg", "nothing.png", "loop", "pipe.png"), "broken"),
}


def test_each_file_is_kept_or_has_one_reason_and_all_manifests_agree(mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = run(mixed, out)
    assert reasons(out) == EXPECTED
    manifest = rows(out)
    kept = {r["source_file"]: r for r in manifest}
    assert {"near.png", "recoloured.png", "Bo/really_png.jpg", "odd\\xff.png"} <= set(kept)
    assert len(kept) + len(EXPECTED) == len([p for p in mixed.rglob("*") if p.suffix in (".png", ".jpg", ".gif")]) + 1
    for r in manifest:
        path = out / r["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == r["sha256"]
        with Image.open(path) as image:
            assert (image.mode, image.width, image.height) == ("RGB", int(r["width"]), int(r["height"]))
        assert Path(r["file"]).parts[0] == r["split"]
    assert kept["Bo/really_png.jpg"]["file"].endswith(".png")
    assert (kept["Ann/one.png"]["author"], kept["Ann/one.png"]["license_spdx"]) == ("Ann", "CC-BY-4.0")
    table = pq.read_table(out / "manifest.parquet").to_pylist()
    assert [{k: str(v) for k, v in r.items()} for r in table] == manifest
    sources = [s for split in ("train", "test") for s in read_manifest(out, split)]
    assert len({s.key for s in sources}) == len(manifest)
    assert "1  sidecars or manifests that could not be read" in " ".join(result.output.split(" "))
    assert not list((out / ".curate").glob("writing/*"))


def test_the_report_shows_pictures_by_reason_and_needs_nothing_else(mixed: Path, tmp_path: Path) -> None:
    run(mixed, tmp_path / "set")
    page = (tmp_path / "set" / "report.html").read_text(encoding="utf-8")
    assert 'lang="en"' in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert page.count("<img ") == page.count(' alt="') > 10
    for title in ("Photo", "Comic page", "Near-duplicate", "Blurry", "Greyscale or a single tint"):
        assert f">{title} <span>" in page
    assert "kept instead" in page
    assert "絵" in page


def test_a_second_run_does_nothing_and_a_changed_threshold_decodes_nothing(mixed: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(mixed, out)
    before, stamp = digest(out), {p: p.stat().st_mtime_ns for p in out.glob("*/*/*")}
    assert "0 measured, 0 written, 0 taken out" in run(mixed, out).output
    assert digest(out) == before
    assert {p: p.stat().st_mtime_ns for p in out.glob("*/*/*")} == stamp
    assert "0 measured, 1 written, 0 taken out" in run(mixed, out, "--min-side", 100).output
    assert "0 measured, 0 written, 1 taken out" in run(mixed, out).output
    assert digest(out) == before


def test_what_was_lost_is_written_again_and_what_is_gone_or_changed_follows(tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "set"
    for name in ("a", "b", "c"):
        put(source / f"{name}.png")
    run(source, out)
    files = {r["source_file"]: out / r["file"] for r in rows(out)}
    files["a.png"].unlink()
    (source / "b.png").unlink()
    put(source / "c.png", draw(77))
    assert "1 measured, 2 written, 1 taken out" in run(source, out).output
    assert files["a.png"].exists()
    assert not files["b.png"].exists()
    assert not files["c.png"].exists()
    assert sorted(str(p.relative_to(out)) for p in out.glob("t*/*/*")) == [r["file"] for r in rows(out)]


def test_lists_overrule_and_deny_what_is_judged(mixed: Path, tmp_path: Path) -> None:
    allow, deny, out = tmp_path / "allow.txt", tmp_path / "deny.txt", tmp_path / "set"
    two = hashlib.sha256((mixed / "Ann/two.png").read_bytes()).hexdigest()
    allow.write_text("grey.png\nphoto.png\nnear_small.jpg\ncut.png\n")
    deny.write_text(f"near.*\n{two}\nlicence:CC-BY-*\n")
    run(mixed, out, "--allow", allow, "--deny", deny)
    found = reasons(out)
    assert {k: found.get(k) for k in ("grey.png", "photo.png", "near_small.jpg")} == dict.fromkeys(
        ("grey.png", "photo.png", "near_small.jpg")
    )
    assert found["cut.png"] == "broken"
    assert {k for k, v in found.items() if v == "denied"} == {"near.png", "Ann/two.png", "Ann/one.png"}


def test_only_what_states_a_licence_is_kept_when_it_is_required(tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "set"
    put(source / "free/a.png")
    (source / "free/LICENSE").write_text("Creative Commons Attribution-ShareAlike 4.0 International")
    put(source / "free/own.png", license="CC0-1.0")
    put(source / "listed/b.png")
    (source / "listed/manifest.csv").write_text("file,author,license_spdx,source_repo\nb.png,Bo,MIT,somewhere\n")
    put(source / "c.png", license="unknown")
    put(source / "d.png")
    run(source, out, "--require-licence")
    assert reasons(out) == {"c.png": "no_licence", "d.png": "no_licence"}
    found = {r["source_file"]: (r["license_spdx"], r["author"], r["source_repo"]) for r in rows(out)}
    assert found == {
        "free/a.png": ("CC-BY-SA-4.0", "", ""),
        "free/own.png": ("CC0-1.0", "", ""),
        "listed/b.png": ("MIT", "Bo", "somewhere"),
    }


def test_a_curated_set_keeps_its_pairs_splits_and_provenance_when_curated_again(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(ART, first, "--min-side", 100)
    shutil.rmtree(first / ".curate")
    run(first, second, "--min-side", 100)
    for out in (first, second):
        for split, pictures, pairs in (("train", 8, 2), ("test", 1, 1)):
            sources = read_manifest(out, split)
            assert len(sources) == pictures
            assert sum(s.line is not None and s.line.is_file() for s in sources) == pairs
    given_ = {r["original_path"]: (r["author"], r["license_spdx"], r["commit"]) for r in rows(ART)}
    for out in (first, second):
        assert {r["original_path"]: (r["author"], r["license_spdx"], r["commit"]) for r in rows(out)} == given_


def test_large_pictures_become_smaller_and_lie_on_white(tmp_path: Path) -> None:
    big = draw(1, 900, 1200).convert("RGBA")
    big.putalpha(Image.linear_gradient("L").resize(big.size))
    put(tmp_path / "src/big.png", big)
    run(tmp_path / "src", tmp_path / "set", "--short-side", 300)
    (row,) = rows(tmp_path / "set")
    assert (row["width"], row["height"]) == ("300", "400")
    assert np.asarray(Image.open(tmp_path / "set" / row["file"]))[0].min() > 245


def test_a_dry_run_tells_the_same_and_writes_nothing(mixed: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "set", tmp_path / "look.html"
    dry = run(mixed, out, "--dry-run", "--report", page).output
    assert not out.exists()
    assert "a dry run" in page.read_text(encoding="utf-8")
    real = run(mixed, out).output
    lines = [
        [ln for ln in text.splitlines() if "set:" not in ln and "nothing written" not in ln] for text in (dry, real)
    ]
    assert lines[0][-10:] == [ln for ln in lines[1] if not ln.startswith("writing")][-10:]
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    run(mixed, out, "--dry-run", "--min-side", 50)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["nowhere", "set"], "there is no folder nowhere"),
        (["src", "src"], "lies in"),
        (["src", "full"], "holds other things"),
        (["src", "full/file"], "is not a folder"),
        (["src", "set", "--report", "no/where.html"], "there is no folder"),
        (["src", "set", "--deny", "nowhere.txt"], "nowhere.txt"),
        (["src"], "Missing argument"),
    ],
)
def test_wrong_use_is_explained(words: list[str], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "src/a.png")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert cause in run(*words, code=2).output


def test_a_set_is_not_made_from_other_folders_by_mistake(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / name / f"{name}.png")
    run(tmp_path / "a", tmp_path / "set")
    assert "was also made from" in run(tmp_path / "b", tmp_path / "set", code=2).output
    run(tmp_path / "b", tmp_path / "a", tmp_path / "set")
    assert len(rows(tmp_path / "set")) == 2


BOUND = (
    ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if hasattr(os, "geteuid") and not os.geteuid() else []
)
"""Root may read everything, unless it gives that up."""


@pytest.mark.skipif(sys.platform == "win32" or (BOUND and not shutil.which(BOUND[0])), reason="permissions of Unix")
def test_what_cannot_be_read_for_now_is_listed_and_tried_again_and_nothing_is_lost(tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "set"
    shut, picture = put(source / "shut/a.png").parent, put(source / "b.png")

    def found() -> dict[str, str]:
        subprocess.run([*BOUND, *PROGRAM, str(source), str(out), "--workers", "1", "--quiet"], check=True)
        return reasons(out)

    picture.chmod(0)
    assert found() == {"b.png": "broken"}
    picture.chmod(0o644)
    shut.chmod(0)
    assert found() == {"shut": "broken"}
    assert {r["source_file"] for r in rows(out)} == {"shut/a.png", "b.png"}
    shut.chmod(0o755)
    assert found() == {}


def test_a_set_may_lie_in_its_source_and_several_sources_are_told_apart(tmp_path: Path) -> None:
    for folder, seed in (("a", 1), ("b", 2), ("b/set/odd", 3)):
        put(tmp_path / folder / "x.png", draw(seed))
    out = tmp_path / "b" / "own"
    for _ in range(2):
        run(tmp_path / "a", tmp_path / "b", out)
        assert {r["source_file"] for r in rows(out)} == {"a/x.png", "b/x.png", "b/set/odd/x.png"}


adding = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=8, unique=True)


@settings(max_examples=3)
@given(first=adding, more=adding)
def test_adding_files_moves_none_across_and_running_again_changes_nothing(
    first: list[tuple[int, int]], more: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("grow")
    splits: list[dict[str, str]] = []
    for batch in (first, more):
        for artist, number in batch:
            put(root / f"src/artist {artist}/{number}.png", draw(100 + number))
        run(root / "src", root / "set", "--test-share", 0.4)
        splits.append({r["source_file"]: r["split"] for r in rows(root / "set")})
        by_artist: dict[str, set[str]] = {}
        for r in rows(root / "set"):
            by_artist.setdefault(r["group"], set()).add(r["split"])
        assert all(len(s) == 1 for s in by_artist.values())
    # What is in the set stays, in the same split, even when others are nearly the same.
    assert splits[0].items() <= splits[1].items()
    before = digest(root / "set")
    assert "0 measured, 0 written, 0 taken out" in run(root / "src", root / "set", "--test-share", 0.4).output
    assert digest(root / "set") == before


def start(*words: object) -> subprocess.Popen[str]:
    command = [*PROGRAM, *(str(w) for w in words), "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    source, whole, out = tmp_path / "src", tmp_path / "whole", tmp_path / "set"
    for i in range(36):
        put(source / f"artist {i % 7}" / f"{i}.bmp", draw(1000 + i, 500, 420))
    run(source, whole)
    # Killed twice while it writes: once by force, once politely.
    for sign, code, least in ((signal.SIGKILL, -signal.SIGKILL, 2), (signal.SIGTERM, 130, 10)):
        process = start(source, out)
        wait_for(lambda n=least: len(list(out.glob("t*/*/*.webp"))) >= n)  # type: ignore[misc]
        process.send_signal(signal.SIGSTOP)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert "another run is at work" in run(source, out, code=1).output
        process.send_signal(sign)
        process.send_signal(signal.SIGCONT)
        assert process.wait() == code
        assert psutil.wait_procs(workers, timeout=60)[1] == []
        for picture in out.glob("t*/*/*.webp"):
            with Image.open(picture) as image:
                image.load()
        assert len(list(out.glob("t*/*/*.webp"))) < 36
    assert ": 0 measured" in run(source, out).output
    assert digest(out) == digest(whole)
    there, should = ({str(p.relative_to(d)) for p in d.rglob("t*/*/*")} for d in (out, whole))
    assert there == should
    assert not (out / ".curate" / "writing").exists()
