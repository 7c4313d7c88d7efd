"""``engine colorize`` with a model that samples: numbered files, what it reports, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from likeness import nearest
from numpy.typing import NDArray
from PIL import Image

from engine.cli.main import main

Save = Callable[..., Path]


def invoke(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def lineart(sketch: Callable[..., NDArray[np.uint8]], save: Save) -> Path:
    return save("line.png", sketch(96, 80))


@pytest.fixture
def colour(lineart: Path, small_stablepaint: Path) -> Callable[..., dict[str, Any]]:
    """Colours with given options; returns the report."""

    def run(*options: object) -> dict[str, Any]:
        done = invoke("colorize", lineart, "--weights", small_stablepaint, "--size", 64, "--json", *options)
        assert done.exit_code == 0, done.output
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report

    return run


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def test_variations_are_numbered_and_so_are_the_folders_of_their_layers(
    colour: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    out, layers = tmp_path / "out.png", tmp_path / "layers"
    options = ("--strength", 1, "--steps", 3, "--guidance", 1.5, "--seed", 5)
    report = colour("--variations", 3, *options, "-o", out, "--layers", layers)
    pictures = [tmp_path / f"out-{n}.png" for n in (1, 2, 3)]
    assert report["outputs"] == [str(p) for p in pictures]
    assert report["output"] == str(pictures[0])
    assert report["seeds"] == [5, 6, 7]
    assert [report[key] for key in ("strength", "steps", "guidance")] == [1.0, 3, 1.5]
    assert not out.exists()
    names = {f"{n}/{layer}.png" for n in (1, 2, 3) for layer in ("flats", "shading", "colour")}
    assert {str(Path(p).relative_to(layers)) for p in report["layers"]} == names
    assert all(pixels(layers / name).shape == (80, 96, 4) for name in names)
    alone = colour(*options[:-1], 6, "-o", out)
    assert alone["outputs"] == [str(out)]
    assert nearest(pixels(out), [pixels(p) for p in pictures]) == 1


def test_the_same_command_writes_the_same_bytes_and_the_models_own_numbers_are_reported(
    colour: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    first = colour("-o", tmp_path / "a.png")
    colour("-o", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert [first[key] for key in ("seeds", "strength", "steps", "guidance")] == [[0], 0.5, 4, 1.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--strength", "1.5"), "strength"),
        (("--steps", "0"), "steps"),
        (("--guidance", "-1"), "guidance"),
        (("--variations", "9"), "variations"),
    ],
)
def test_numbers_that_make_no_sense_are_wrong_use(
    options: tuple[str, str], words: str, lineart: Path, small_stablepaint: Path, tmp_path: Path
) -> None:
    done = invoke("colorize", lineart, "--weights", small_stablepaint, *options, "-o", tmp_path / "out.png")
    assert done.exit_code == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == [lineart]


def test_a_model_that_does_not_sample_is_wrong_for_it_and_nothing_is_written(
    lineart: Path, small_weights: Path, tmp_path: Path
) -> None:
    asked = ("--strength", 0.5, "--variations", 2)
    done = invoke("colorize", lineart, "--weights", small_weights, "--size", 64, *asked, "-o", tmp_path / "out.png")
    assert done.exit_code == 2
    assert "does not sample, so it has no strength and no variations; leave that out" in done.stderr
    assert list(tmp_path.iterdir()) == [lineart]


def test_a_numbered_picture_never_overwrites_an_input(
    sketch: Callable[..., NDArray[np.uint8]], save: Save, small_stablepaint: Path, tmp_path: Path
) -> None:
    line = save("out-2.png", sketch(96, 80))
    kept = line.read_bytes()
    done = invoke("colorize", line, "--weights", small_stablepaint, "--variations", 2, "-o", tmp_path / "out.png")
    assert done.exit_code == 2
    assert "would overwrite" in done.stderr
    assert line.read_bytes() == kept
    assert list(tmp_path.iterdir()) == [line]
