"""The ready picture is assembled to the byte, and files are written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ColorizeError
from engine.imaging.files.reading import Lineart
from engine.imaging.files.writing import check_target, compose, make_folder, write_all, write_png

Pixels = NDArray[np.uint8]
relaxed = settings(max_examples=25)
SIDES = st.integers(1, 40)
SEEDS = st.integers(0, 2**32 - 1)


def noise(seed: int, *shape: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def drawing(ink: Pixels) -> Lineart:
    return Lineart((1 - ink[..., 3].astype(np.float32) / 255).astype(np.float32), ink)


@relaxed
@given(width=SIDES, height=SIDES, seed=SEEDS, opaque=st.booleans())
def test_with_a_context_every_byte_without_colour_is_the_contexts(
    width: int, height: int, seed: int, opaque: bool
) -> None:
    colour, ink, context = (noise(seed + i, height, width, 4) for i in range(3))
    colour[..., 3][noise(seed + 3, height, width) < 128] = 0
    if opaque:
        context[..., 3] = 255
    before = context.copy()
    picture = compose(colour, drawing(ink), context)
    outside = colour[..., 3] == 0
    assert picture.shape[2] == (3 if context[..., 3].min() == 255 else 4)
    np.testing.assert_array_equal(picture[outside], context[outside][:, : picture.shape[2]])
    np.testing.assert_array_equal(context, before)


@relaxed
@given(width=SIDES, height=SIDES, seed=SEEDS)
def test_full_colour_without_ink_comes_out_to_the_byte(width: int, height: int, seed: int) -> None:
    colour, ink, context = (noise(seed + i, height, width, 4) for i in range(3))
    colour[..., 3], ink[..., 3] = 255, 0
    for under in (None, context):
        np.testing.assert_array_equal(compose(colour, drawing(ink), under)[..., :3], colour[..., :3])


def test_without_a_context_the_drawing_stands_on_white_outside_the_mask() -> None:
    ink = np.zeros((600, 8, 4), np.uint8)  # more than one band of rows
    ink[:, 2:4] = (200, 0, 0, 255)
    picture = compose(np.zeros_like(ink), drawing(ink))
    assert (picture[:, 2:4] == (200, 0, 0)).all()
    assert (picture[:, 4:] == 255).all()


def test_ink_lies_on_top_inside_the_mask_only_when_there_is_a_context() -> None:
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[:, 4] = (0, 0, 0, 255)
    colour = np.zeros_like(ink)
    colour[:4] = (10, 200, 30, 255)
    picture = compose(colour, drawing(ink), np.full_like(ink, 255))
    assert (picture[:4, 4] == 0).all()
    assert (picture[:4, 0] == (10, 200, 30)).all()
    assert (picture[4:] == 255).all()


def test_a_soft_mask_blends_colour_and_context() -> None:
    colour = np.full((1, 1, 4), (200, 100, 0, 51), np.uint8)
    clear = drawing(np.zeros((1, 1, 4), np.uint8))
    assert compose(colour, clear, np.full((1, 1, 4), (0, 0, 100, 255), np.uint8)).tolist() == [[[40, 20, 80]]]
    assert compose(colour, clear, np.zeros((1, 1, 4), np.uint8)).tolist() == [[[200, 100, 0, 51]]]


def test_shapes_that_differ_are_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        compose(np.zeros((4, 5, 4), np.uint8), drawing(np.zeros((5, 4, 4), np.uint8)))


@relaxed
@given(
    width=SIDES,
    height=SIDES,
    channels=st.sampled_from([None, 3, 4]),
    suffix=st.sampled_from([".png", ".webp", ".PNG"]),
    seed=SEEDS,
)
def test_lossless_files_give_the_same_bytes_back(
    width: int, height: int, channels: int | None, suffix: str, seed: int, tmp_path: Path
) -> None:
    array = noise(seed, height, width) if channels is None else noise(seed, height, width, channels)
    write_png(tmp_path / f"a{suffix}", array)
    with Image.open(tmp_path / f"a{suffix}") as image:
        back = np.asarray(image.convert({None: "L", 3: "RGB", 4: "RGBA"}[channels]))
    np.testing.assert_array_equal(back, array)
    assert not list(tmp_path.glob(".*"))


def test_jpeg_lays_transparent_parts_on_white(tmp_path: Path) -> None:
    write_png(tmp_path / "a.jpg", np.zeros((16, 16, 4), np.uint8))
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.asarray(image.convert("RGB")).min() > 250


@pytest.mark.parametrize("name", ["a.gif", "a", "a.png.exe", "a.tiff"])
def test_names_of_unknown_formats_are_wrong_use(name: str, tmp_path: Path) -> None:
    for act in (lambda p: check_target(p), lambda p: write_png(p, np.zeros((4, 4), np.uint8))):
        with pytest.raises(ColorizeError, match=r"end it in \.png, \.webp or \.jpg") as caught:
            act(tmp_path / name)
        assert caught.value.wrong_use
    assert not list(tmp_path.iterdir())


def test_webp_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ColorizeError, match=r"WebP holds at most 16383 .*; write a \.png"):
        write_png(tmp_path / "a.webp", np.zeros((1, 16_384), np.uint8))


def test_a_failure_leaves_the_old_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"the old one")
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ColorizeError, match=r"b\.png cannot be written: there is no such folder; create"):
        write_all([(tmp_path / "a.png", picture), (tmp_path / "no" / "b.png", picture)])
    (tmp_path / "c.png").mkdir()
    with pytest.raises(ColorizeError, match=r"c\.png cannot be written: a folder of that name"):
        write_all([(tmp_path / "a.png", picture), (tmp_path / "c.png", picture)])
    assert (tmp_path / "a.png").read_bytes() == b"the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "c.png"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"old")
    try:
        (tmp_path / "a.png").symlink_to(tmp_path / "real" / "a.png")
    except OSError:
        pytest.skip("links are not allowed here")
    write_png(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    assert (tmp_path / "a.png").is_symlink()
    assert (tmp_path / "real" / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_new_files_have_the_permissions_the_user_chose(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_png(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_targets_are_tried_before_the_work(tmp_path: Path) -> None:
    check_target(tmp_path / "a.png")
    check_target(tmp_path / "new" / "deep" / "a.png", new_folder=True)
    (tmp_path / "file").touch()
    with pytest.raises(ColorizeError, match="there is no such folder; create the folder"):
        check_target(tmp_path / "new" / "a.png")
    with pytest.raises(ColorizeError, match="a part of its path is a file"):
        check_target(tmp_path / "file" / "a.png")
    with pytest.raises(ColorizeError, match="a part of its path is a file"):
        check_target(tmp_path / "file" / "new" / "a.png", new_folder=True)
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ColorizeError, match=r"is a folder; name a file in it"):
        check_target(tmp_path / "b.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.png", "file"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a folder that not even root may write to")
def test_a_folder_without_write_permission_is_named() -> None:
    with pytest.raises(ColorizeError, match=r"/sys/a\.png cannot be written: writing is not allowed there; choose"):
        check_target(Path("/sys/a.png"))


def test_folders_that_had_to_be_created_are_told(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b") == [tmp_path / "a" / "b", tmp_path / "a"]
    assert make_folder(tmp_path / "a" / "b") == []


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(b"old")
    program = """
import resource, sys
from pathlib import Path
import numpy as np
from engine.imaging.files.writing import write_all
from engine.errors import ColorizeError
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
folder = Path(sys.argv[1])
big = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
try:
    write_all([(folder / "small.png", big[:4, :4]), (folder / "big.png", big)])
except ColorizeError as e:
    print(e)
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == f"{tmp_path / 'big.png'} cannot be written: the disk is full; " + (
        "free some space or write to another disk"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["big.png"]
    assert (tmp_path / "big.png").read_bytes() == b"old"
