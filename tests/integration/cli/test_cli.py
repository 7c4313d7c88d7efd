"""The ``engine`` command as a user meets it: what it writes, what it prints, and how it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from engine import __version__
from engine.cli.main import main
from engine.imaging.layers.blending import compose_light

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]
Save = Callable[..., Path]
SIZE = (96, 80)
REPORT = {
    "ok",
    "output",
    "outputs",
    "layers",
    "seconds",
    "load_seconds",
    "model",
    "weights",
    "width",
    "height",
    "size",
    "seed",
    "shading",
    "gap",
    "edges",
    "device",
    "peak_memory_mb",
}


def engine(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "engine.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def invoke(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def lineart(sketch: Sketch, save: Save) -> Path:
    return save("line.png", sketch(*SIZE))


@pytest.fixture
def hints(strokes: Sketch, save: Save) -> Path:
    return save("hints.png", strokes(*SIZE))


@pytest.fixture
def left_half(save: Save) -> Path:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[:, : SIZE[0] // 2] = 255
    return save("mask.png", mask)


def failed(result: Result | subprocess.CompletedProcess[str], code: int, line: str, folder: Path) -> None:
    """Check the exit code, that stderr is one line with cause and remedy, and that nothing was written."""
    got = result.exit_code if isinstance(result, Result) else result.returncode
    errors = [e for e in result.stderr.splitlines() if e not in ("reading", "loading the model")]
    assert (got, len(errors)) == (code, 1), result.stderr
    assert errors[0].startswith("error: ")
    assert "; " in errors[0]
    assert line in errors[0]
    assert not [p for p in folder.rglob("*") if "out" in p.name or p.name.startswith(".")]


def test_a_process_colours_a_drawing_and_writes_picture_and_layers(
    lineart: Path, hints: Path, left_half: Path, save: Save, small_weights: Path, tmp_path: Path
) -> None:
    context = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    out, layers = tmp_path / "out.png", tmp_path / "some" / "layers"
    inputs = ("--hints", hints, "--mask", left_half, "--context", save("context.png", context))
    options = ("--weights", small_weights, "--size", 64, "--seed", 7, "--layers", layers, "--json", "-o", out)
    done = engine("colorize", lineart, *inputs, *options)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout.splitlines()[-1])
    assert set(report) == REPORT
    assert report["ok"] is True
    assert (report["width"], report["height"], report["size"], report["seed"]) == (*SIZE, 64, 7)
    assert report["device"] in ("cpu", "cuda")
    assert report["seconds"] > 0
    assert report["load_seconds"] > 0
    assert 50 < report["peak_memory_mb"] < 5000
    assert report["layers"] == [str(layers / f"{n}.png") for n in ("flats", "shading", "colour")]
    assert sorted(p.name for p in layers.iterdir()) == ["colour.png", "flats.png", "shading.png"]
    picture, half = pixels(out), SIZE[0] // 2
    assert picture.shape == (*SIZE[::-1], 3)
    np.testing.assert_array_equal(picture[:, half:], context[:, half:])
    assert (picture[:, :half] != context[:, :half]).any(axis=-1).mean() > 0.9
    assert (report["shading"], report["gap"]) == (1.0, None)
    for name in ("flats", "shading", "colour"):
        layer = pixels(layers / f"{name}.png")
        assert layer.shape == (*SIZE[::-1], 4)
        assert not layer[:, half:, 3].any()
    assert (pixels(layers / "flats.png")[40, 46] == (200, 30, 40, 255)).all()  # under the red stroke
    assert not list(tmp_path.glob(".*"))


def test_a_light_is_told_and_written_as_two_further_layers(lineart: Path, small_weights: Path, tmp_path: Path) -> None:
    options = (
        "--weights",
        small_weights,
        "--size",
        64,
        "--layers",
        tmp_path / "lit",
        "--json",
        "-o",
        tmp_path / "o.png",
    )
    done = engine("colorize", lineart, *options, "--light", 135, "--light-style", "cel", "--no-light-tint")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["light"], report["light_style"], report["light_tint"]) == (135.0, "cel", False)
    assert [Path(p).stem for p in report["layers"]] == ["flats", "shading", "colour", "shadow", "light"]
    layers = {name: pixels(tmp_path / "lit" / f"{name}.png") for name in ("flats", "shadow", "light", "colour")}
    made = compose_light(layers["flats"], layers["shadow"], layers["light"])
    np.testing.assert_array_equal(made, layers["colour"])


def test_the_same_job_gives_the_same_bytes_again_and_lines_lie_on_top(
    lineart: Path, hints: Path, small_weights: Path, tmp_path: Path, sketch: Sketch
) -> None:
    for name in ("a.png", "b.png"):
        done = invoke("colorize", lineart, "--hints", hints, "--weights", small_weights, "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert done.stdout == ""
        assert done.stderr.splitlines()[:2] == ["reading", "loading the model"]
        assert done.stderr.splitlines()[-1].startswith(str(tmp_path / name))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert pixels(tmp_path / "a.png")[sketch(*SIZE) == 0].max() == 0


def test_quiet_says_nothing_and_other_formats_can_be_written(
    lineart: Path, small_weights: Path, tmp_path: Path
) -> None:
    done = invoke("colorize", lineart, "--weights", small_weights, "--quiet", "-o", tmp_path / "a.jpg")
    assert (done.exit_code, done.output) == (0, "")
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.size) == ("JPEG", SIZE)


def _text(path: Path) -> Path:
    path.write_text("no picture at all " * 20)
    return path


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-60])
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


BAD: dict[str, str] = {
    "no image": "x.png is not an image that can be read; save it as PNG",
    "truncated": "x.png is damaged or cut short",
    "no bytes": "x.png is empty (0 bytes); export or copy the file again",
    "missing": "there is no file",
    "animated": "x.gif has 2 frames; one picture is needed; export a single frame as PNG",
    "tiny": "too small (7 x 20)",
    "sizes": "y.png is 40 x 41 pixels, but",
    "opaque hints": "y.png are opaque everywhere, so strokes and ground cannot be told apart; paint the strokes",
    "black mask": "y.png is empty; paint white where to colour, or leave the mask out",
}


def bad_input(case: str, save: Save, sketch: Sketch, folder: Path) -> list[object]:
    """Make the files of a case and return the command's arguments."""
    makers: dict[str, Callable[[], list[object]]] = {
        "no image": lambda: [_text(folder / "x.png")],
        "truncated": lambda: [_cut(save("x.png", sketch(*SIZE)))],
        "no bytes": lambda: [_empty(folder / "x.png")],
        "missing": lambda: [folder / "x.png"],
        "animated": lambda: [
            save("x.gif", Image.fromarray(sketch()), save_all=True, append_images=[Image.new("L", (64, 48))])
        ],
        "tiny": lambda: [save("x.png", sketch(7, 20))],
        "sizes": lambda: [save("x.png", sketch(40, 40)), "--mask", save("y.png", sketch(40, 41))],
        "opaque hints": lambda: [save("x.png", sketch()), "--hints", save("y.png", sketch())],
        "black mask": lambda: [save("x.png", sketch()), "--mask", save("y.png", np.zeros((48, 64), np.uint8))],
    }
    return makers[case]()


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line_with_exit_code_1(
    case: str, save: Save, sketch: Sketch, tmp_path: Path
) -> None:
    arguments, expected = bad_input(case, save, sketch, tmp_path), BAD[case]
    failed(invoke("colorize", *arguments, "-o", tmp_path / "out.png"), 1, expected, tmp_path)
    as_json = invoke("colorize", *arguments, "-o", tmp_path / "out.png", "--json")
    failed(as_json, 1, expected, tmp_path)
    report = json.loads(as_json.stdout.splitlines()[-1])
    assert report["ok"] is False
    assert f"error: {report['error']}; {report['remedy']}" == as_json.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Missing argument 'LINEART'; see `engine colorize --help`"),
        (["LINE"], "Missing option '-o'"),
        (["LINE", "-o", "DIR/out.gif"], "end it in .png, .webp or .jpg"),
        (["LINE", "-o", "DIR/out.png", "--colour", "red"], "No such option"),
        (["LINE", "-o", "DIR/out.png", "--seed", "-1"], "Invalid value for '--seed'"),
        (["LINE", "-o", "DIR/out.png", "--size", "big"], "Invalid value for '--size'"),
        (["LINE", "-o", "DIR/out.png", "--shading", "2.1"], "Invalid value for '--shading'"),
        (["LINE", "-o", "DIR/out.png", "--gap", "-1"], "Invalid value for '--gap'"),
        (["LINE", "-o", "DIR/out.png", "--edges", "wavy"], "Invalid value for '--edges'"),
        (["LINE", "-o", "DIR/out.png", "--device", "tpu"], "Invalid value for '--device'"),
        (["LINE", "-o", "LINE"], "would overwrite"),
        (["LINE", "-o", "DIR/none/../line.png"], "would overwrite"),
        (["LINE", "-o", "DIR/out.png", "--hints", "DIR/flats.png", "--layers", "DIR"], "flats.png would overwrite"),
        (["LINE", "-o", "DIR/colour.png", "--layers", "DIR"], "colour.png would overwrite"),
        (["LINE", "-o", "DIR/out.png", "--layers", "LINE"], "is not a folder; name a folder with --layers"),
        (["LINE", "-o", "DIR/out.png", "--layers", "DIR/out.png"], "is not a folder; name a folder with --layers"),
        (["LINE", "-o", "DIR"], "end it in .png"),
    ],
)
def test_wrong_use_is_told_in_one_line_with_exit_code_2(arguments: list[str], expected: str, lineart: Path) -> None:
    folder = lineart.parent
    filled = [a.replace("LINE", str(lineart)).replace("DIR", str(folder)) for a in arguments]
    before = lineart.read_bytes()
    failed(invoke("colorize", *filled), 2, expected, folder)
    assert lineart.read_bytes() == before


def test_an_input_is_not_overwritten_through_a_link_either(lineart: Path, tmp_path: Path) -> None:
    try:
        (tmp_path / "soft.png").symlink_to(lineart)
        (tmp_path / "hard.png").hardlink_to(lineart)
    except OSError:
        pytest.skip("links are not allowed here")
    for name in ("soft.png", "hard.png"):
        failed(invoke("colorize", lineart, "-o", tmp_path / name), 2, f"{name} would overwrite", tmp_path)


def test_an_unknown_command_is_wrong_use_and_no_command_is_help(tmp_path: Path) -> None:
    failed(invoke("paint"), 2, "No such command 'paint'", tmp_path)
    assert json.loads(invoke("paint", "--json").stdout)["ok"] is False
    shown = invoke()
    assert (shown.exit_code, "colorize" in shown.stdout) == (0, True)
    assert invoke("--version").stdout.strip() == __version__


def test_where_nothing_can_be_written_is_found_out_before_the_inputs_are_read(lineart: Path, tmp_path: Path) -> None:
    missing = tmp_path / "no_such_drawing.png"
    failed(invoke("colorize", missing, "-o", tmp_path / "no" / "o.png"), 1, "there is no such folder", tmp_path)
    failed(invoke("colorize", missing, "-o", lineart / "o.png"), 1, "a part of its path is a file", tmp_path)
    into_file = invoke("colorize", missing, "-o", tmp_path / "o.png", "--layers", lineart / "deep" / "er")
    failed(into_file, 1, "a part of its path is a file", tmp_path)
    if sys.platform.startswith("linux"):
        failed(invoke("colorize", missing, "-o", "/sys/o.png"), 1, "writing is not allowed there", tmp_path)


def test_unusable_weights_and_sizes_are_refused(lineart: Path, small_weights: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    cut, other, text = (tmp_path / f"{n}.safetensors" for n in ("cut", "other", "text"))
    cut.write_bytes(small_weights.read_bytes()[:-1000])
    save_file(load_file(small_weights), other, {"architecture": "something-else", "format_version": "1"})
    text.write_text("no weights")
    out = ("-o", tmp_path / "out.png")
    for path, expected in (
        (cut, "cut.safetensors cannot be read"),
        (text, "text.safetensors cannot be read"),
        (other, "are for the architecture 'something-else'"),
        (tmp_path / "none", "there are no weights for 'stenciltorch'"),
    ):
        failed(invoke("colorize", lineart, "--weights", path, *out), 1, expected, tmp_path)
    for size in (8, 20_000):
        result = invoke("colorize", lineart, "--weights", small_weights, "--size", size, *out)
        failed(result, 2, f"working size of {size} is outside", tmp_path)


def test_a_missing_cuda_device_is_said(lineart: Path, small_weights: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = invoke("colorize", lineart, "--weights", small_weights, "--device", "cuda", "-o", tmp_path / "out.png")
    failed(done, 1, "torch finds no CUDA device here; use --device cpu", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_disk_that_fills_up_leaves_nothing_behind(lineart: Path, small_weights: Path, tmp_path: Path) -> None:
    import resource

    done = engine(
        *("colorize", lineart, "--weights", small_weights, "--layers", tmp_path / "out_layers" / "deep"),
        *("-o", tmp_path / "out.png", "--quiet"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    failed(done, 1, "out.png cannot be written: the disk is full; free some space", tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_stops_the_job_and_writes_nothing(sketch: Sketch, save: Save, small_weights: Path) -> None:
    big = save("big.png", sketch(2400, 2000))
    command = ["colorize", str(big), "--weights", str(small_weights), "-o", str(big.parent / "out.png")]
    with subprocess.Popen([sys.executable, "-m", "engine.cli", *command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while (line := process.stderr.readline()).strip() != "loading the model":
            assert line.strip() == "reading"
        started = process.stderr.readline()  # the pipeline's first stage
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert started
    assert process.returncode == 130
    assert told.strip().endswith("error: stopped; nothing was written")
    assert "Traceback" not in told
    assert [p.name for p in big.parent.iterdir()] == ["big.png"]


def test_models_lists_what_can_be_used_and_what_is_broken(small_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "good.safetensors").write_bytes(small_weights.read_bytes())
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    listed = json.loads(invoke("models", "--weights", tmp_path, "--json").stdout)
    rows = {row["name"]: row for row in listed["models"]}
    assert listed["ok"] is True
    assert rows["good"]["architecture"] == "stenciltorch-compact"
    assert rows["good"]["error"] is None
    assert {"stride", "size", "min_size", "max_size", "uses_hints", "title", "weights"} <= set(rows["good"])
    assert "cannot be read" in rows["bad"]["error"]
    plain = invoke("models", "--weights", tmp_path).stdout
    assert "good " in plain
    assert "broken: " in plain


def test_doctor_passes_with_good_weights_and_names_the_remedy_for_bad_ones(small_weights: Path, tmp_path: Path) -> None:
    names = {"engine", "python", "torch", "device", "opencv", "pillow", "weights", "user data", "memory", "disk"}
    names |= {"service", "log"}
    good = invoke("doctor", "--weights", small_weights, "--json")
    report = json.loads(good.stdout)
    assert (good.exit_code, report["ok"]) == (0, True), good.output
    assert {check["name"] for check in report["checks"]} == names
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    bad = invoke("doctor", "--weights", tmp_path / "bad.safetensors")
    assert bad.exit_code == 1
    line = next(line for line in bad.stdout.splitlines() if line.startswith("fail"))
    assert "weights" in line
    assert "; install the package again" in line


def test_importing_the_engine_and_asking_for_help_needs_no_torch() -> None:
    program = """
import sys
import engine
assert not {"torch", "cv2", "numpy", "PIL", "click", "zmq"} & sys.modules.keys()
import engine.cli.main, engine.errors, engine.imaging.files.reading, engine.imaging.files.writing, engine.cli.doctor
assert "torch" not in sys.modules and "cv2" not in sys.modules
try:
    engine.cli.main.main(["colorize", "--help"])
except SystemExit as end:
    assert end.code == 0
assert "torch" not in sys.modules and "cv2" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "--variations" in done.stdout


def test_bad_input_is_refused_without_waiting_for_torch(tmp_path: Path) -> None:
    program = """
import sys
from engine.cli.main import main
try:
    main(sys.argv[1:])
finally:
    assert "torch" not in sys.modules
"""
    arguments = ["colorize", str(_text(tmp_path / "x.png")), "-o", str(tmp_path / "out.png")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    failed(done, 1, "x.png is not an image", tmp_path)


def test_failures_nobody_foresaw_are_one_line_too() -> None:
    from engine.cli.main import explain

    error, code = explain(KeyError("no\nsuch key"))
    assert (code, "\n" in str(error)) == (1, False)
    assert "--debug" in error.remedy
    for failure in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")):
        error, code = explain(failure)
        assert (code, error.cause) == (1, "there is not enough memory")
