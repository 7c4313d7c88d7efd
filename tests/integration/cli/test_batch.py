"""``engine batch`` and the example client against real engines."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image
from service_helpers import Caller, Engine, posix, until

from engine.batch.plan import Record, find_frames, natural
from engine.cli.batch import Progress
from engine.errors import ColorizeError
from engine.protocol.connection import read_connection

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def draw(tmp_path: Path, sketch: Sketch, strokes: Sketch) -> Callable[..., Path]:
    """Maker of files in folders of the test: ``line/2.png`` is a drawing, ``hints/2.png`` its strokes."""

    def make(name: str, width: int = 64, height: int = 48, shift: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        array = strokes(width, height) if "hints" in name else sketch(width, height)
        Image.fromarray(np.roll(array, shift, axis=1)).save(path)
        return path

    return make


def batch(engine: Engine, *arguments: object, code: int = 0) -> dict[str, Any]:
    """Run it beside an engine; returns what it tells."""
    done = engine.run("batch", *arguments, "--model", "small", "--json")
    assert done.returncode == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["ok"] == (code == 0)
    return told


def names(paths: list[str]) -> list[str]:
    return [Path(p).name for p in paths]


def pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_folder_with_a_broken_file_and_again(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    for number in (10, 9, 1):
        draw(f"line/f{number}.png", shift=number)
    (tmp_path / "line" / "f2.png").write_bytes((tmp_path / "line" / "f1.png").read_bytes()[:200])
    (tmp_path / "line" / "notes.txt").write_text("no picture")
    hints = draw("hints.png")
    out = tmp_path / "out"
    told = batch(shared, tmp_path / "line", "--hints", hints, "-o", out, "--layers", tmp_path / "layers", code=1)
    assert names(told["done"]) == ["f1.png", "f9.png", "f10.png"]
    (failed,) = told["failed"]
    assert failed["lineart"].endswith("f2.png")
    assert "damaged" in failed["error"]
    assert failed["remedy"]
    assert (told["skipped"], told["missing"], told["device"]) == ([], {}, "cpu")
    assert sorted(p.name for p in (tmp_path / "layers").rglob("*.png")) == sorted(["f1.png", "f9.png", "f10.png"] * 3)
    assert pixels(tmp_path / "layers" / "flats" / "f9.png").shape == (48, 64, 4)
    sheet = pixels(out / "contact-sheet.png")
    assert names(told["sheet"]) == ["contact-sheet.png"]
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 200
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == [
        "contact-sheet.png",
        "f1.png",
        "f10.png",
        "f9.png",
    ]

    # The same as the command for a single drawing makes.
    alone = tmp_path / "alone.png"
    shared.run("colorize", tmp_path / "line" / "f9.png", "--hints", hints, "--weights", shared.weights, "-o", alone)
    np.testing.assert_array_equal(pixels(alone), pixels(out / "f9.png"))

    # Again: only what is missing, newer or was made with other settings.
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("f*.png")}
    draw("line/f2.png", shift=2)
    again = ["--hints", hints, "-o", out, "--layers", tmp_path / "layers"]
    told = batch(shared, tmp_path / "line", *again)
    assert names(told["done"]) == ["f2.png"]
    assert names(told["skipped"]) == ["f1.png", "f9.png", "f10.png"]
    assert before.items() <= {p.name: p.stat().st_mtime_ns for p in out.glob("f*.png")}.items()
    draw("line/f9.png", shift=5)
    (out / "f10.png").unlink()
    told = batch(shared, tmp_path / "line", *again)
    assert names(told["done"]) == ["f9.png", "f10.png"]
    told = batch(shared, tmp_path / "line", *again, "--size", 96)
    assert names(told["done"]) == ["f1.png", "f2.png", "f9.png", "f10.png"]
    assert told["size"] == 96


def test_shading_and_gap_are_passed_on_and_a_change_colours_again(
    shared: Engine, draw: Callable[..., Path], tmp_path: Path
) -> None:
    draw("in/line.png")
    common = (tmp_path / "in", "-o", tmp_path / "out", "--no-sheet", "--layers", tmp_path / "layers")
    told = batch(shared, *common)
    assert (told["shading"], told["gap"]) == (1.0, None)
    assert len(batch(shared, *common, "--shading", 1)["skipped"]) == 1
    told = batch(shared, *common, "--shading", 0, "--gap", 0)
    assert ([told["shading"], told["gap"]], len(told["done"])) == ([0.0, 0], 1)
    flats, shading, colour = (pixels(tmp_path / "layers" / n / "line.png") for n in ("flats", "shading", "colour"))
    assert np.array_equal(flats, colour)
    assert not shading.any()
    assert len(batch(shared, *common, "--shading", 0)["done"]) == 1


def test_edges_are_passed_on_and_a_change_colours_again(shared: Engine, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (64, 48), 255).save(tmp_path / "in" / "line.png")
    strokes = np.zeros((48, 64, 4), np.uint8)
    strokes[4:8, 4:12], strokes[38:42, 44:60] = (200, 30, 40, 255), (20, 90, 220, 255)
    Image.fromarray(strokes).save(tmp_path / "in" / "line_hints.png")
    common = (tmp_path / "in", "--hints", tmp_path / "in", "-o", tmp_path / "out", "--layers", tmp_path / "layers")
    counts = []
    for edges in ("crisp", "smooth"):
        told = batch(shared, *common, "--no-sheet", "--edges", edges)
        assert (told["edges"], len(told["done"])) == (edges, 1)
        counts.append(len(np.unique(pixels(tmp_path / "layers" / "flats" / "line.png").reshape(-1, 4), axis=0)))
    assert counts[0] == 2
    assert counts[1] > 8
    assert len(batch(shared, *common, "--no-sheet", "--edges", "smooth")["skipped"]) == 1


def test_hints_masks_and_contexts_are_found_by_name(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("line/1.png")
    draw("line/2.png")
    draw("line/3.png", 80, 48)
    draw("line/1_hints.png")
    draw("line/3_hints.png", 64, 48)
    mask, context = np.zeros((48, 64), np.uint8), np.full((48, 64, 3), (9, 90, 200), np.uint8)
    mask[:, :32] = 255
    for role, array in (("mask", mask), ("context", context)):
        (tmp_path / role).mkdir()
        Image.fromarray(array).save(tmp_path / role / "1.webp", lossless=True)
    place = tmp_path / "line"
    given = ["--hints", place, "--mask", tmp_path / "mask", "--context", tmp_path / "context", "--no-sheet"]
    told = batch(shared, place, *given, "-o", tmp_path / "out", code=1)
    assert names(told["done"]) == ["1.png", "2.png"]
    assert told["missing"] == {"hints": 1, "mask": 2, "context": 2}
    assert "64 x 48" in told["failed"][0]["error"]
    assert "80 x 48" in told["failed"][0]["error"]
    first = pixels(tmp_path / "out" / "1.png")
    np.testing.assert_array_equal(first[:, 32:], context[:, 32:])
    assert (first[:, :32] != context[:, :32]).any()
    assert not (tmp_path / "out" / "contact-sheet.png").exists()


def test_the_work_of_others_is_left_alone(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("line/1.png")
    draw("line/2.png")
    painted = draw("out/1.png", shift=9)
    was = painted.read_bytes()
    told = batch(shared, tmp_path / "line", "-o", tmp_path / "out", code=1)
    assert names(told["done"]) == ["2.png"]
    assert "--overwrite" in told["failed"][0]["remedy"]
    assert painted.read_bytes() == was
    # Somebody paints on a result: it is done, until its inputs change.
    second = tmp_path / "out" / "2.png"
    Image.fromarray(255 - pixels(second)).save(second)
    was = second.read_bytes()
    assert names(batch(shared, tmp_path / "line", "-o", tmp_path / "out", code=1)["skipped"]) == ["2.png"]
    draw("line/2.png", shift=3)
    assert len(batch(shared, tmp_path / "line", "-o", tmp_path / "out", code=1)["failed"]) == 2
    assert second.read_bytes() == was
    assert len(batch(shared, tmp_path / "line", "-o", tmp_path / "out", "--overwrite")["done"]) == 2


def test_wrong_use_is_told_before_any_work(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    line = draw("line/1.png")
    draw("other/x.png")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "empty", "-o", out], "no pictures"),
        ([tmp_path / "line" / "*.jpg", "-o", out], "no pictures"),
        ([line, "-o", tmp_path / "line"], "would overwrite"),
        ([line, "-o", line], "not a folder"),
        ([line, "-o", out, "--hints", tmp_path / "nowhere"], "there is no"),
        ([line, "-o", out, "--hints", tmp_path / "other"], "name of a drawing"),
        ([line, "-o", out, "--sheet", line], "would overwrite"),
    ]
    for arguments, cause in cases:
        done = shared.run("batch", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert re.search(cause, done.stderr), done.stderr
        assert not out.exists()
    # What only the engine can tell.
    late: list[tuple[list[object], str, int]] = [
        (["--model", "nobody"], "no model 'nobody'", 2),
        (["--model", "small", "--size", 9000], "outside", 2),
        (["--weights", shared.weights], "serves already", 1),
        (["--device", "cuda"], "serves already", 1),
    ]
    for arguments, cause, code in late:
        done = shared.run("batch", line, "-o", out, *arguments)
        assert (done.returncode, cause in done.stderr) == (code, True), done.stderr
        assert not out.exists()


def test_a_folder_that_may_not_be_written(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    line = draw("line/1.png")
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    if os.access(out, os.W_OK):  # root may write anywhere but here
        out = Path("/proc/nowhere")
    done = shared.run("batch", line, "-o", out)
    assert done.returncode == 1
    assert re.search(r"cannot be written: (writing is not allowed|there is no such folder)", done.stderr)


def test_results_that_cannot_be_written_stop_it(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number in range(6):
        draw(f"line/{number}.png")
        # A folder in the way fails for everybody, root too; written over only with --overwrite.
        (out / f"{number}.png").mkdir(parents=True)
    done = shared.run("batch", tmp_path / "line", "-o", out, "--model", "small", "--overwrite", "--json")
    assert done.returncode == 1
    assert done.stderr.count("failed: ") == 3
    assert "a folder of that name is in the way" in json.loads(done.stdout.splitlines()[-1])["error"]
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]
    until(lambda: Caller(shared.connection).status()["queue"] == 0)


def test_it_brings_its_own_engine_and_takes_it_away(
    draw: Callable[..., Path], tmp_path: Path, small_weights: Path
) -> None:
    for number in range(3):
        draw(f"line/{number}.png", shift=number)
    runtime = tmp_path / "run"
    environment = {**os.environ, "COLORIZE_RUNTIME": str(runtime), "XDG_DATA_HOME": str(tmp_path / "data")}
    command = Engine.command("batch", tmp_path / "line", "-o", tmp_path / "out", "--weights", small_weights)
    done = subprocess.run(
        [*command, "--device", "cpu"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(" ")[0] for line in lines[1:4]] == ["1/3", "2/3", "3/3"]
    assert "left" in lines[2]
    assert "3 coloured" in lines[-1]
    assert [p.name for p in runtime.iterdir()] == ["engine.lock"]
    assert not [
        p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("COLORIZE_RUNTIME") == str(runtime)
    ]

    # An engine that cannot start says why.
    broken = tmp_path / "runs"
    broken.mkdir(mode=0o755)
    broken.chmod(0o755)
    done = subprocess.run(
        command, env={**environment, "COLORIZE_RUNTIME": str(broken)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "open to other users" in done.stderr


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_and_goes_on(
    number: signal.Signals, shared: Engine, draw: Callable[..., Path], tmp_path: Path
) -> None:
    for frame in range(40):
        draw(f"line/{frame}.png", 600, 500, shift=frame)
    command = Engine.command("batch", tmp_path / "line", "-o", tmp_path / "out", "--model", "small", "--json")
    process = subprocess.Popen(
        command, env=shared.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(list((tmp_path / "out").glob("*.png"))) >= 2 if (tmp_path / "out").exists() else False)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    told = json.loads(out.splitlines()[-1])
    assert told["error"] == "stopped"
    assert 2 <= len(told["done"]) < 40
    files = [p for p in (tmp_path / "out").iterdir() if not p.name.startswith(".colorize-batch")]
    assert sorted(map(str, files)) == sorted(told["done"])
    assert all(pixels(p).shape == (500, 600, 3) for p in files)
    caller = Caller(shared.connection)
    until(lambda: not caller.status()["busy"])
    assert caller.status()["queue"] == 0
    caller.close()


@posix
def test_an_engine_killed_in_between_is_replaced(
    draw: Callable[..., Path], tmp_path: Path, small_weights: Path
) -> None:
    for frame in range(12):
        draw(f"line/{frame}.png", 300, 240, shift=frame)
    engine = Engine(tmp_path, small_weights)
    process = None
    try:
        process = subprocess.Popen(
            Engine.command("batch", tmp_path / "line", "-o", tmp_path / "out", "--model", "small", "--json"),
            env={**engine.environment, "COLORIZE_WEIGHTS": str(small_weights)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until(lambda: (tmp_path / "out").exists() and list((tmp_path / "out").glob("*.png")))
        engine.process.kill()
        out, told = process.communicate(timeout=60)
        assert process.returncode == 0, told
        assert len(json.loads(out.splitlines()[-1])["done"]) == 12
        assert read_connection(engine.runtime / "engine.json") is None
    finally:
        engine.close()
        if process is not None and process.poll() is None:
            process.kill()
            process.communicate()


def test_the_record_survives_a_kill_and_nonsense(draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("line/1.png")
    draw("line/2.png")
    out = tmp_path / "out"
    out.mkdir()
    first, second = find_frames([tmp_path / "line"], {}, out, ".png", None)
    record = Record(out, {"seed": 0})
    key = record.key(first)
    record.begin(first)
    draw("out/1.png")
    # Killed between the picture and its line: not done, but ours.
    assert not Record(out, {"seed": 0}).done(first)
    assert not Record(out, {"seed": 0}).foreign(first)
    record.finish(first, key)
    with record.path.open("a") as file:
        file.write('{"output": "2.png", "from": "ha')
    draw("out/2.png")
    again = Record(out, {"seed": 0})
    assert again.done(first)
    assert again.foreign(second)
    again.begin(second)
    again.finish(second, again.key(second))
    again.tidy()
    record = Record(out, {"seed": 0})
    assert record.done(first)
    assert record.done(second)
    assert len(record.path.read_text().splitlines()) == 2
    assert not Record(out, {"seed": 1}).done(first)
    later = time.time() + 10
    os.utime(first.lineart, (later, later))
    assert not record.done(first)
    record.path.write_bytes(b"\xff\x00[]\n7\n{}\n")
    assert not Record(out, {"seed": 0}).done(second)


def test_names_sort_as_people_count(draw: Callable[..., Path], tmp_path: Path) -> None:
    some = [Path(n) for n in ("f10.png", "F2.png", "f1.png", "f02.png", "a.png", "10.png", "9.png")]
    assert [p.name for p in sorted(some, key=natural)] == [
        "9.png",
        "10.png",
        "a.png",
        "f1.png",
        "F2.png",
        "f02.png",
        "f10.png",
    ]
    for number in (1, 2, 10):
        draw(f"line/s{number}.png")
    pattern = find_frames([tmp_path / "line" / "s*.png"], {}, tmp_path / "out", ".webp", None)
    assert [f.output.name for f in pattern] == ["s1.webp", "s2.webp", "s10.webp"]
    draw("line/s1_hints.png")
    with pytest.raises(ColorizeError, match="nothing in"):
        find_frames([tmp_path / "line" / "s2.png"], {"hints": tmp_path / "line"}, tmp_path / "out", ".png", None)


def test_two_drawings_of_one_name(shared: Engine, draw: Callable[..., Path], tmp_path: Path) -> None:
    draw("line/1.png")
    draw("line/1.bmp")
    told = batch(shared, tmp_path / "line", "-o", tmp_path / "out", code=1)
    assert len(told["done"]) == 1
    assert "would both become" in told["failed"][0]["error"]


def test_progress_tells_every_picture_and_guesses_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    now = iter(float(n) for n in range(0, 1000, 60))
    monkeypatch.setattr("engine.system.progress.time.monotonic", lambda: next(now))
    (frame,) = find_frames([tmp_path / "1.png"], {}, tmp_path, ".webp", None)
    progress = Progress(silent=False)
    progress.begin(10, 8)
    for _ in range(3):
        progress.done(frame, 1.0)
    progress.failed(frame, ColorizeError("it is torn", "mend it"))
    progress.done(frame, 1.0)
    assert capsys.readouterr().err.splitlines() == [
        "2 of 10 are done already",
        "3/10 1.webp (1.0 s)",
        "4/10 1.webp (1.0 s), 6 min left",
        "5/10 1.webp (1.0 s), 5 min left",
        f"failed: {tmp_path / '1.png'}: it is torn; mend it",
        "7/10 1.webp (1.0 s), 2 min left",
    ]


def test_batch_never_brings_torch_in() -> None:
    code = "import sys, engine.batch, engine.cli.batch; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_the_example_client_colours_the_chameleon(shared: Engine, tmp_path: Path) -> None:
    script, output = ROOT / "examples" / "client.py", tmp_path / "chameleon.png"
    code = [line for line in script.read_text().splitlines() if line.strip()]
    assert len(code) <= 45
    assert "engine." not in script.read_text().replace("engine.json", "")
    done = subprocess.run(
        [sys.executable, script, output], env=shared.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("accepted")
    picture = pixels(output)
    with Image.open(ROOT / "examples" / "chameleon" / "mask.png") as image:
        mask = np.asarray(image.convert("L"))
    assert picture.shape == (*mask.shape, 3)
    spread = np.ptp(picture.astype(int), axis=-1)
    assert spread[mask == 0].max() == 0
    assert spread[mask > 0].mean() > 5
