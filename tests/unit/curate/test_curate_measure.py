"""What curation measures of pictures, and what it makes of them: greys, photos, comic pages, blur, hashes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from training.curate.decode import Problem, read_head, read_pixels
from training.curate.measure import colours, measure, perceptual_hash, photo_score, sharpness, shrink
from training.curate.options import Options
from training.curate.panels import count_panels

Pixels = NDArray[np.uint8]
ART = Path(__file__).parents[2] / "data" / "art" / "train"
OPTIONS = Options()


def read(path: Path) -> Pixels:
    return read_pixels(path, read_head(path))


def drawing(width: int = 320, height: int = 320) -> Image.Image:
    """Flat colours with dark outlines."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width * 0.2, height * 0.2, width * 0.7, height * 0.8), "#d05030", "black", 3)
    draw.rectangle((width * 0.5, height * 0.1, width * 0.9, height * 0.5), "#3070c0", "black", 3)
    return image


def grey_share(picture: Pixels) -> tuple[bool, bool]:
    coloured, tint = colours(picture)
    return coloured < OPTIONS.coloured, tint < OPTIONS.tint


def page(panels: int, ground: str = "white") -> Pixels:
    """A comic page: pictures one below the other, each with a flat ground and a figure, with gutters between."""
    image = Image.new("RGB", (500, 700), ground)
    draw = ImageDraw.Draw(image)
    height = 660 // panels
    for i in range(panels):
        top = 20 + i * height
        draw.rectangle((20, top, 479, top + height - 14), ("#88aadd", "#ddbb77", "#77bb88")[i % 3], "#222222", 2)
        draw.ellipse((200, top + 20, 260, top + height - 30), "#aa3333", "black", 2)
    return np.asarray(image)


def test_black_on_white_and_a_sepia_scan_are_grey_and_one_yellow_fill_is_not() -> None:
    line = np.full((200, 200, 3), 255, np.uint8)
    cv2.circle(line, (100, 100), 60, (0, 0, 0), 4)
    assert grey_share(line)[0]
    ink = line[..., :1].astype(np.float32) / 255
    sepia = np.rint(ink * [242, 226, 190] + (1 - ink) * [60, 40, 25]).astype(np.uint8)
    noisy = np.clip(sepia + np.random.default_rng(0).normal(0, 3, sepia.shape[:2])[..., None], 0, 255).astype(np.uint8)
    assert grey_share(noisy)[1]
    cv2.circle(line, (100, 100), 40, (250, 220, 40), -1)
    assert grey_share(line) == (False, False)


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_photos_score_as_photos(name: str) -> None:
    assert photo_score(shrink(getattr(skimage.data, name)(), 512)) > OPTIONS.photo


def test_illustrations_do_not_score_as_photos() -> None:
    for path in ART.rglob("*_color.webp"):
        assert photo_score(read(path)) < OPTIONS.photo
    assert photo_score(np.asarray(drawing())) < OPTIONS.photo


@pytest.mark.parametrize(("panels", "ground"), [(2, "white"), (3, "black"), (4, "#e8dfc8")])
def test_panels_are_counted_whatever_the_gutters_colour(panels: int, ground: str) -> None:
    assert count_panels(page(panels, ground)) == panels


def test_figures_on_white_and_a_framed_picture_are_no_comic_page() -> None:
    figures = Image.new("RGB", (400, 400), "white")
    for x in (40, 240):
        ImageDraw.Draw(figures).ellipse((x, 100, x + 120, 300), "#aa5533", "black", 3)
    assert count_panels(np.asarray(figures)) < OPTIONS.panels
    assert count_panels(page(1)) < OPTIONS.panels


def test_sharpness_falls_with_blur_and_is_nothing_without_edges() -> None:
    sharp = np.asarray(drawing().convert("L"))
    values = [sharpness(np.asarray(cv2.GaussianBlur(sharp, (0, 0), s), np.uint8)) for s in (0.5, 1.5, 3, 6)]
    assert values == sorted(values, reverse=True)
    assert sharpness(sharp) > 0.4
    assert values[-1] < OPTIONS.sharpness < values[0]
    assert sharpness(np.full((64, 64), 200, np.uint8)) == 0


def bits(a: Pixels, b: Pixels) -> int:
    return ((perceptual_hash(a) ^ perceptual_hash(b)) & (2**64 - 1)).bit_count()


def test_a_smaller_jpeg_of_a_picture_has_nearly_its_hash_and_another_picture_has_not() -> None:
    first, other = (read(p) for p in sorted(ART.rglob("E*.webp"))[:2])
    buffer = io.BytesIO()
    Image.fromarray(first).resize((first.shape[1] * 3 // 4, first.shape[0] * 3 // 4)).save(buffer, "JPEG", quality=60)
    assert bits(first, np.asarray(Image.open(buffer))) <= OPTIONS.duplicate_bits
    assert bits(first, other) > 2 * OPTIONS.duplicate_bits


def test_a_picture_is_read_upright_in_srgb_and_on_white(save: Callable[..., Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = save("turned.jpg", drawing(120, 80), exif=exif)
    head = read_head(turned)
    assert (head.width, head.height, head.plain) == (80, 120, "")
    assert read(turned).shape == (120, 80, 3)
    clear = drawing(40, 40).convert("RGBA")
    clear.putalpha(0)
    assert read(save("clear.png", clear)).min() == 255
    cmyk = read(save("cmyk.jpg", Image.new("CMYK", (40, 40), (255, 255, 0, 0))))
    assert cmyk[20, 20, 2] > 100 > cmyk[20, 20, 0]
    deep = read(save("deep.png", np.full((40, 40), 257 * 130, np.uint16)))
    assert abs(int(deep[0, 0, 0]) - 130) <= 1


def test_only_plain_srgb_files_are_kept_byte_for_byte(save: Callable[..., Path]) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert read_head(save("a.jpg", drawing())).plain == ".jpg"
    assert read_head(save("b.png", drawing(), icc_profile=srgb)).plain == ".png"
    assert read_head(save("c.png", drawing(), icc_profile=lab)).plain == ""
    assert read_head(save("d.bmp", drawing())).plain == ""
    assert read_head(save("wrong.png", drawing()).rename(save("e.jpg", drawing()))).plain == ".png"


def bomb(side: int) -> bytes:
    """A PNG that says it is side x side and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_bad_files_are_named_and_never_raise(tmp_path: Path, save: Callable[..., Path]) -> None:
    frames = [drawing(40, 40), drawing(50, 40).resize((40, 40))]
    whole = save("whole.jpg", drawing()).read_bytes()
    bad = {
        "broken": [b"", b"hello", whole[: len(whole) // 2], b"\x89PNG\r\n\x1a\n" + bytes(40), bomb(2000)],
        "too_large": [bomb(30_000), bomb(65_000)],
        "animated": [save(f"moving.{s}", frames[0], save_all=True, append_images=frames[1:]).read_bytes() for s in
                     ("gif", "webp", "png", "tif")],
    }  # fmt: skip
    for reason, files in bad.items():
        for data in files:
            path = tmp_path / "bad.png"
            path.write_bytes(data)
            found = measure(str(path))
            assert (found.problem, found.measured) == (reason, 1), (reason, data[:30], found)
            assert found.detail
            assert found.sha
    gone = measure(str(tmp_path / "gone.png"))
    assert (gone.problem, gone.measured) == ("broken", 2)
    with pytest.raises(Problem, match="No such file"):
        read_head(tmp_path / "gone.png")
