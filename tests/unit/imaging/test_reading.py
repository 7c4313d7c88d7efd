"""Every form an artist's file may take is read as it is meant, and every broken one is refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from engine.errors import ColorizeError
from engine.imaging.files.reading import read_context, read_hints, read_lineart, read_mask

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]
Save = Callable[..., Path]
SIZE = (64, 48)


def on_transparent(grey: Pixels, colour: tuple[int, int, int] = (0, 0, 0)) -> Pixels:
    rgba = np.empty((*grey.shape, 4), np.uint8)
    rgba[..., :3], rgba[..., 3] = colour, 255 - grey
    return rgba


def on_white(grey: Pixels, colour: tuple[int, int, int]) -> Pixels:
    ink = 1 - grey[..., None] / 255
    return np.rint(255 * (1 - ink) + np.array(colour) * ink).astype(np.uint8)


def over_white(ink: Pixels) -> NDArray[np.float64]:
    alpha = ink[..., 3:] / 255
    return ink[..., :3] * alpha + 255 * (1 - alpha)


def grey_16(grey: Pixels, path: Path) -> Path:
    Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    return path


def colour_16(array: Pixels, path: Path) -> Path:
    order = [2, 1, 0, 3][: array.shape[2]]
    cv2.imwrite(str(path), array[..., order].astype(np.uint16) * 257)
    return path


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def icc(space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s12x4s20xI", 0, b"lcms", 0x02400000, kind, space, pcs, b"acsp", 0) + d50
    whole = head.ljust(128, b"\0") + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def swapped_rgb_profile() -> bytes:
    """The primaries of sRGB, red and blue swapped."""

    def xyz(*v: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(x * 65536) for x in v))

    gamma = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(2.2 * 256))
    red, green, blue = xyz(0.4360, 0.2225, 0.0139), xyz(0.3851, 0.7169, 0.0971), xyz(0.1431, 0.0606, 0.7139)
    colours = {b"rXYZ": blue, b"gXYZ": green, b"bXYZ": red}
    return icc(b"RGB ", b"XYZ ", {**colours, b"rTRC": gamma, b"gTRC": gamma, b"bTRC": gamma})


def green_cyan_profile() -> bytes:
    """A CMYK profile of a press whose cyan is green and whose other inks are black."""
    ramp = bytes(range(256))
    grid = b""
    for node in range(16):  # cyan is the slowest of the four
        grid += bytes((255, 128, 128)) if node == 0 else bytes((140, 60, 190)) if node == 8 else bytes((0, 128, 128))
    unit = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + unit + ramp * 4 + grid + ramp * 3
    return icc(b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})


FORMS: dict[str, Callable[[Pixels, Path], Path]] = {
    "grey": lambda g, p: _saved(Image.fromarray(g), p / "a.png"),
    "rgb": lambda g, p: _saved(Image.fromarray(g).convert("RGB"), p / "a.png"),
    "webp": lambda g, p: _saved(Image.fromarray(g).convert("RGB"), p / "a.webp", lossless=True),
    "tiff": lambda g, p: _saved(Image.fromarray(g), p / "a.tif", compression="tiff_lzw"),
    "bmp": lambda g, p: _saved(Image.fromarray(g), p / "a.bmp"),
    "gif": lambda g, p: _saved(Image.fromarray(g), p / "a.gif"),
    "transparent ink": lambda g, p: _saved(Image.fromarray(on_transparent(g)), p / "a.png"),
    "grey with alpha": lambda g, p: _saved(Image.fromarray(on_transparent(g)).convert("LA"), p / "a.png"),
    "opaque rgba": lambda g, p: _saved(Image.fromarray(g).convert("RGBA"), p / "a.png"),
    "16-bit grey": lambda g, p: grey_16(g, p / "a.png"),
    "16-bit grey tiff": lambda g, p: grey_16(g, p / "a.tif"),
    "16-bit rgb": lambda g, p: colour_16(np.repeat(g[..., None], 3, 2), p / "a.png"),
    "16-bit rgba": lambda g, p: colour_16(on_transparent(g), p / "a.png"),
    "palette": lambda g, p: _saved(Image.fromarray(g).convert("P"), p / "a.png"),
    "cmyk tiff": lambda g, p: _saved(Image.fromarray(g).convert("RGB").convert("CMYK"), p / "a.tif"),
    "srgb profile": lambda g, p: _saved(
        Image.fromarray(g).convert("RGB"),
        p / "a.png",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ),
    "broken profile": lambda g, p: _saved(Image.fromarray(g), p / "a.png", icc_profile=b"no profile at all"),
}


def _saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_drawing_reads_the_same_in_every_lossless_form(form: str, sketch: Sketch, tmp_path: Path) -> None:
    grey = sketch(*SIZE)
    drawing = read_lineart(FORMS[form](grey, tmp_path))
    assert drawing.paper.dtype == np.float32
    assert drawing.size == SIZE
    assert np.abs(drawing.paper * 255 - grey).max() <= 0.51
    assert np.abs(over_white(drawing.ink) - grey[..., None]).max() <= 0.51


def test_a_cmyk_jpeg_keeps_its_black_lines_on_white(sketch: Sketch, save: Save) -> None:
    grey = sketch(*SIZE)
    drawing = read_lineart(save("a.jpg", Image.fromarray(grey).convert("RGB").convert("CMYK"), quality=98))
    assert np.abs(drawing.paper * 255 - grey).max() < 16


def test_one_bit_drawings_are_pure_ink_and_paper(sketch: Sketch, save: Save) -> None:
    grey = sketch(*SIZE)
    drawing = read_lineart(save("a.png", Image.fromarray(grey > 127)))
    np.testing.assert_array_equal(drawing.paper, (grey > 127).astype(np.float32))


def test_a_palette_with_a_transparent_entry_is_ink_on_transparent(sketch: Sketch, save: Save) -> None:
    ink = sketch(*SIZE) < 128
    palette = Image.frombytes("P", SIZE, ink.astype(np.uint8).tobytes())
    palette.putpalette([255, 0, 255, 10, 20, 200])
    drawing = read_lineart(save("a.png", palette, transparency=0))
    assert (drawing.paper[~ink] == 1).all()
    assert (drawing.ink[ink] == (10, 20, 200, 255)).all()
    assert (drawing.ink[~ink] == 0).all()


@pytest.mark.parametrize("colour", [(200, 0, 0), (0, 90, 200), (255, 230, 0), (0, 255, 255)])
@pytest.mark.parametrize("ground", ["white", "transparent"])
def test_coloured_ink_is_a_line_and_keeps_its_colour(
    colour: tuple[int, int, int], ground: str, sketch: Sketch, save: Save
) -> None:
    grey = sketch(*SIZE)
    picture = on_white(grey, colour) if ground == "white" else on_transparent(grey, colour)
    drawing = read_lineart(save("a.png", picture))
    assert drawing.paper[grey == 255].min() == 1
    assert drawing.paper[grey == 0].max() <= min(colour) / 255 + 0.01
    assert np.abs(over_white(drawing.ink) - on_white(grey, colour)).max() <= 1.01
    assert np.abs(drawing.ink[grey == 0][:, :3].astype(int) - colour).max() <= 1


def test_light_ink_on_transparent_stays_as_the_artist_made_it(sketch: Sketch, save: Save) -> None:
    picture = on_transparent(sketch(*SIZE), (255, 180, 190))
    ink = read_lineart(save("a.png", picture)).ink
    np.testing.assert_array_equal(ink, picture * (picture[..., 3:] > 0))


def test_white_ink_on_transparent_is_ink(sketch: Sketch, save: Save) -> None:
    grey = sketch(*SIZE)
    drawing = read_lineart(save("a.png", on_transparent(grey, (255, 255, 255))))
    assert np.abs(drawing.paper * 255 - grey).max() <= 0.51
    assert (drawing.ink[grey == 0] == 255).all()


def test_white_fills_under_transparent_ink_do_not_hide_the_colours(sketch: Sketch, save: Save) -> None:
    grey = sketch(*SIZE)
    picture = np.repeat(grey[..., None], 4, 2)
    picture[..., 3] = 255
    picture[:4, :4] = 0  # a part was left transparent
    ink = read_lineart(save("a.png", picture)).ink
    assert (ink[grey == 255][:, 3] == 0).all()
    assert (ink[grey == 0] == (0, 0, 0, 255)).all()


def test_tinted_and_grainy_paper_becomes_white(sketch: Sketch, save: Save) -> None:
    grey = sketch(200, 160)
    scan = grey[..., None] / 255 * np.array([246, 236, 214]) + np.random.default_rng(1).normal(0, 2, (160, 200, 3))
    drawing = read_lineart(save("a.png", np.clip(scan, 0, 255).astype(np.uint8)))
    assert np.percentile(drawing.paper[grey == 255], 5) > 0.99
    assert drawing.paper[grey == 255].mean() > 0.998
    assert drawing.paper[grey == 0].max() < 0.05
    assert np.median(drawing.ink[grey == 255][:, 3]) == 0


def test_grey_tones_on_white_are_not_taken_for_paper(save: Save) -> None:
    picture = np.full((60, 60), 215, np.uint8)
    picture[:10] = 255
    picture[30:34] = 0
    drawing = read_lineart(save("a.png", picture))
    assert drawing.paper[20, 0] == pytest.approx(215 / 255)
    assert drawing.paper[0, 0] == 1


@pytest.mark.parametrize("level", [0, 20, 90])
def test_a_drawing_that_is_dark_on_purpose_stays_dark(level: int, save: Save) -> None:
    picture = np.full((60, 60), level, np.uint8)
    picture[30:34] = level + 30
    drawing = read_lineart(save("a.png", picture))
    assert np.abs(drawing.paper * 255 - picture).max() <= 0.51


@pytest.mark.parametrize(("level", "paper"), [(255, 1.0), (0, 0.0)])
def test_blank_and_black_drawings_are_allowed(level: int, paper: float, save: Save) -> None:
    assert (read_lineart(save("a.png", np.full((20, 20), level, np.uint8))).paper == paper).all()
    clear = read_lineart(save("b.png", np.zeros((20, 20, 4), np.uint8)))
    assert (clear.paper == 1).all()
    assert not clear.ink.any()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_rotation_is_applied(orientation: int, save: Save) -> None:
    upright = np.full((30, 40), 255, np.uint8)
    upright[:8, :8] = 0  # ink in the corner at the top left
    upright[:8, 8:16] = 128
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(upright).transpose(Image.Transpose(undo))
    drawing = read_lineart(save("a.png", stored, exif=exif.tobytes()))
    assert drawing.size == (40, 30)
    assert np.abs(drawing.paper * 255 - upright).max() <= 0.51


def test_an_embedded_rgb_profile_is_converted_to_srgb(save: Save) -> None:
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[4:12, 4:12] = (255, 0, 0, 255)
    hints = read_hints(save("a.png", picture, icc_profile=swapped_rgb_profile()), (16, 16))
    assert np.abs(hints[8, 8].astype(int) - (0, 0, 255, 255)).max() <= 3
    assert not hints[0, 0].any()


def test_an_embedded_cmyk_profile_is_used(save: Save) -> None:
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[4:12, 4:12, 0] = 255
    path = save("a.tif", Image.frombytes("CMYK", (16, 16), picture.tobytes()), icc_profile=green_cyan_profile())
    context = read_context(path, (16, 16))
    assert context[0, 0, :3].min() > 250
    red, green, blue = context[8, 8, :3].astype(int)
    assert green > max(red, blue) + 40


@settings(max_examples=30)
@given(width=st.integers(8, 70), height=st.integers(8, 70), seed=st.integers(0, 2**32 - 1))
def test_hints_keep_every_painted_byte_and_zero_the_rest(width: int, height: int, seed: int, tmp_path: Path) -> None:
    rgba = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    rgba[rgba[..., 3] < 128, 3] = 0
    rgba[0, 0, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "h.png", compress_level=0)
    hints = read_hints(tmp_path / "h.png", (width, height))
    painted = rgba[..., 3] > 0
    np.testing.assert_array_equal(hints[painted], rgba[painted])
    assert not hints[~painted].any()


@settings(max_examples=25)
@given(
    width=st.integers(8, 70),
    height=st.integers(8, 70),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size_and_mode_gives_paper_and_ink_that_agree(
    width: int, height: int, mode: str, seed: int, tmp_path: Path
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    noise[: height // 2] = 255  # some paper
    image = Image.fromarray(noise)
    image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    drawing = read_lineart(path)
    assert drawing.size == (width, height)
    assert drawing.ink.shape == (height, width, 4)
    assert 0 <= drawing.paper.min() <= drawing.paper.max() <= 1
    assert (drawing.ink[..., 3][drawing.paper == 1] == 0).all()
    assert np.abs(over_white(drawing.ink).min(-1) - drawing.paper * 255).max() <= 1.01


def test_hints_without_any_transparency_are_refused(strokes: Sketch, save: Save) -> None:
    opaque = strokes(*SIZE)
    opaque[..., 3] = 255
    for path in (save("a.png", opaque), save("b.png", opaque[..., :3]), save("c.jpg", opaque[..., :3])):
        with pytest.raises(ColorizeError, match=r"hints .* opaque everywhere.*; paint .* transparent"):
            read_hints(path, SIZE)


def test_hints_without_a_stroke_are_allowed(save: Save) -> None:
    assert not read_hints(save("a.png", np.zeros((48, 64, 4), np.uint8)), SIZE).any()


def test_a_mask_may_be_grey_or_painted_on_transparent(save: Save) -> None:
    grey = np.zeros((48, 64), np.uint8)
    grey[10:20, 10:20], grey[30:40, 10:20] = 255, 100
    painted = np.zeros((48, 64, 4), np.uint8)
    painted[..., :3], painted[..., 3] = 255, grey
    in_red = painted * np.array([1, 0, 0, 1], np.uint8)
    on_black = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    for i, picture in enumerate((grey, painted, in_red, on_black)):
        np.testing.assert_array_equal(read_mask(save(f"{i}.png", picture), SIZE), grey)


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_an_empty_mask_is_refused(channels: int | None, save: Save) -> None:
    black = np.zeros((48, 64) if channels is None else (48, 64, channels), np.uint8)
    with pytest.raises(ColorizeError, match=r"mask .* is empty; paint white where to colour, or leave the mask out"):
        read_mask(save("m.png", black), SIZE)


@pytest.mark.parametrize("read", [read_hints, read_mask, read_context])
def test_another_size_names_both_files_and_both_sizes(read: Callable[..., Pixels], strokes: Sketch, save: Save) -> None:
    path = save("other.png", strokes(60, 50))
    with pytest.raises(ColorizeError, match=r"other\.png is 60 x 50 pixels, but line\.png is 64 x 48; "):
        read(path, SIZE, "line.png")


def refused(path: Path, expected: str) -> None:
    with pytest.raises(ColorizeError, match=expected) as caught:
        read_lineart(path)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy
    assert not caught.value.wrong_use


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("a shopping list, long enough to be looked at twice" * 10)
    refused(tmp_path / "notes.png", r"notes\.png is not an image.*; save it as PNG")
    (tmp_path / "none.png").write_bytes(b"")
    refused(tmp_path / "none.png", r"none\.png is empty \(0 bytes\)")
    refused(tmp_path, "is a folder")
    refused(tmp_path / "missing.png", r"there is no file .*missing\.png; check the path")
    refused(tmp_path / "none.png" / "a.png", r"a\.png")


def test_pictures_without_pixels_or_of_absurd_size_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for width, height, expected in (
        (0, 10, r"has no pixels \(0 x 10\)"),
        (7, 100, r"too small \(7 x 100\)"),
        (30_001, 10, r"too large \(30001 x 10\)"),
        (12_000, 12_000, r"too large \(12000 x 12000\)"),
        (2**31 - 1, 2**31 - 1, "too large"),
    ):
        path.write_bytes(png(width, height))
        refused(path, expected)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_several_frames_are_refused(name: str, sketch: Sketch, save: Save) -> None:
    frames = [Image.fromarray(np.roll(sketch(*SIZE), 5 * i)).convert("RGB") for i in range(3)]
    refused(save(name, frames[0], save_all=True, append_images=frames[1:]), r"has 3 (frames|pages).*; export a single")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp"])
def test_a_file_cut_anywhere_is_refused_or_whole(name: str, save: Save) -> None:
    path = save(name, np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8))
    whole, data = read_lineart(path), path.read_bytes()
    for length in range(1, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        try:
            assert np.array_equal(read_lineart(path).paper, whole.paper)
        except ColorizeError as e:
            assert name in e.cause  # noqa: PT017
    path.write_bytes(data[: len(data) // 2])
    refused(path, "damaged or cut short|not an image")


@settings(max_examples=60)
@given(data=st.data())
def test_flipped_bytes_never_do_worse_than_an_error(data: st.DataObject, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (20, 24, 3), dtype=np.uint8))
    picture.save(buffer, data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])))
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.png").write_bytes(damaged)
    try:
        read_lineart(tmp_path / "a.png")
    except ColorizeError as e:
        assert e.remedy  # noqa: PT017


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(sketch: Sketch, save: Save) -> None:
    path = save("a.png", sketch())
    path.chmod(0)
    refused(path, "may not be read; give yourself read permission")
