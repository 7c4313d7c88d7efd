"""Reads the artist's files (line art, hints, mask, context) into arrays and says in a line what is wrong with one."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from engine.errors import ColorizeError
from engine.protocol.limits import MAX_PIXELS, MAX_SIDE, MIN_SIDE

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
"""What is opened. No format that runs other programs (EPS) or that any file could be taken for (TGA)."""

BAND = 512
"""Rows worked on at a time, so that float copies of a large drawing stay small."""
DARK = 128
"""A drawing whose brightest hundredth is darker than this (of 255) is dark on purpose: its paper is not lifted."""
NEAR_WHITE = 250
"""Channels from here on (of 255) count as white paper."""

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)
"""All that Pillow's readers raise on damaged files."""
_SAVE_AS = "save it as PNG, JPEG, WebP or TIFF"

Channel = TypeVar("Channel", np.uint8, np.float32)


@dataclass(frozen=True)
class Lineart:
    """A drawing, as the engine and as the artist sees it.

    Attributes:
        paper: float32 HxW in [0, 1], 1 = paper, 0 = ink.
        ink: uint8 HxWx4, straight alpha: the artist's own ink, to be laid on top of the colours. Over white it gives
            the drawing back (off-white paper turned white).
    """

    paper: NDArray[np.float32]
    ink: NDArray[np.uint8]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.paper.shape[1], self.paper.shape[0]


def read_lineart(path: Path) -> Lineart:
    """Read a drawing: ink of any colour on white, off-white or transparent ground, in any usual file form.

    Raises:
        ColorizeError: the file cannot be read, is no picture, animated, damaged, too large or too small.
    """
    rgba = _read(path)
    paper = np.ones(rgba.shape[:2], np.float32)
    ink = np.zeros_like(rgba)
    for rows, drawn, over in _drawn_pixels(rgba):
        least = _least(over)[:, None]
        paper[rows][drawn] = least[:, 0] / 255
        alpha = np.rint(255 - least)
        colour = (over - (255 - alpha)) * (255 / np.maximum(alpha, 1))
        colour = np.where(alpha > 0, np.clip(np.rint(colour), 0, 255), 0)
        lines = np.concatenate([colour, alpha], axis=-1).astype(np.uint8)
        ink[rows].view(np.uint32)[drawn] = lines.view(np.uint32)
    alpha = rgba[..., 3]
    if alpha.min() < 255:
        clear = _clear_transparent(rgba)
        if _is_white_ink(paper, alpha):
            return Lineart(_paper_under(alpha), clear)
        if np.count_nonzero((alpha >= NEAR_WHITE) & (_least(rgba) >= NEAR_WHITE)) <= 0.001 * alpha.size:
            # Nothing but ink was drawn: keep it as it is, where light ink on paper can only be told by its difference.
            return Lineart(paper, clear)
    return Lineart(paper, ink)


def on_white(image: Image.Image) -> Image.Image:
    """Flatten a picture to RGB, with white where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def ink_to_paper(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Paper under the ink of an uint8 HxWx4 picture, float32 HxW, as ``read_lineart`` finds it in a file."""
    paper = np.ones(rgba.shape[:2], np.float32)
    for rows, drawn, over in _drawn_pixels(rgba):
        paper[rows][drawn] = _least(over) / 255
    return _paper_under(rgba[..., 3]) if _is_white_ink(paper, rgba[..., 3]) else paper


def read_hints(path: Path, size: tuple[int, int], lineart: Path | str = "the lineart") -> NDArray[np.uint8]:
    """Read colour strokes on a transparent ground.

    Args:
        path: the file.
        size: width and height it must have.
        lineart: the drawing it belongs to, for messages.

    Returns:
        uint8 HxWx4, straight alpha; colour is zero where alpha is. No stroke at all is allowed.

    Raises:
        ColorizeError: as for ``read_lineart``, another size, or opaque everywhere.
    """
    rgba = _read_sized(path, size, lineart)
    if rgba[..., 3].min() == 255:
        raise ColorizeError(
            f"the hints {path} are opaque everywhere, so strokes and ground cannot be told apart",
            "paint the strokes on a transparent layer and save it as PNG with transparency",
        )
    return _clear_transparent(rgba)


def read_mask(path: Path, size: tuple[int, int], lineart: Path | str = "the lineart") -> NDArray[np.uint8]:
    """Read where to colour: white (or any bright colour) on black or on transparent.

    Args:
        path: the file.
        size: width and height it must have.
        lineart: the drawing it belongs to, for messages.

    Returns:
        uint8 HxW, 255 = colour here: the brightest channel times alpha.

    Raises:
        ColorizeError: as for ``read_lineart``, another size, or empty.
    """
    rgba = _read_sized(path, size, lineart)
    mask = np.empty(rgba.shape[:2], np.uint8)
    for rows in _bands(size[1]):
        value = np.maximum(np.maximum(rgba[rows, :, 0], rgba[rows, :, 1]), rgba[rows, :, 2]).astype(np.uint16)
        mask[rows] = (value * rgba[rows, :, 3] + 127) // 255
    if not mask.any():
        raise ColorizeError(f"the mask {path} is empty", "paint white where to colour, or leave the mask out")
    return mask


def read_context(path: Path, size: tuple[int, int], lineart: Path | str = "the lineart") -> NDArray[np.uint8]:
    """Read the picture as painted so far.

    Args:
        path: the file.
        size: width and height it must have.
        lineart: the drawing it belongs to, for messages.

    Returns:
        uint8 HxWx4, straight alpha.

    Raises:
        ColorizeError: as for ``read_lineart``, or another size.
    """
    return _read_sized(path, size, lineart)


def _bands(height: int) -> Iterator[slice]:
    for top in range(0, height, BAND):
        yield slice(top, min(top + BAND, height))


def _drawn_pixels(rgba: NDArray[np.uint8]) -> Iterator[tuple[slice, NDArray[np.bool_], NDArray[np.float32]]]:
    """Go through a drawing in bands: rows, which of their pixels may hold ink, and those over white, Nx3 in [0, 255].

    The darkest channel, not the luminance, says how much ink there is: a yellow or a cyan line is a line too.
    """
    white = _paper_colour(rgba)
    for rows in _bands(rgba.shape[0]):
        # A word is a pixel: many times faster to pick and put than four bytes.
        words = np.ascontiguousarray(rgba[rows]).view(np.uint32)[..., 0]
        drawn = (words != 0xFFFFFFFF) & (rgba[rows, :, 3] > 0)
        yield rows, drawn, np.minimum(_over_white(words[drawn].view(np.uint8).reshape(-1, 4)) / white * 255, 255)


def _is_white_ink(paper: NDArray[np.float32], alpha: NDArray[np.uint8]) -> bool:
    """Is it nothing but white ink on a transparent ground?"""
    return bool(alpha.max() > 0 and alpha.min() < 255 and paper.min() > 0.98)


def _paper_under(alpha: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (1 - alpha.astype(np.float32) / 255).astype(np.float32)


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Lay straight-alpha pixels on white; float32 (..., 3) in [0, 255]."""
    if rgba.size and rgba[..., 3].min() == 255:
        return rgba[..., :3].astype(np.float32)
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.asarray(rgba[..., :3] * alpha + 255 * (1 - alpha), np.float32)


def _least(pixels: NDArray[Channel]) -> NDArray[Channel]:
    """The darkest of the first three channels of (..., C); numpy's own ``min`` over so short an axis is slow."""
    return np.asarray(np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2]))


def _clear_transparent(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Zero the colour of fully transparent pixels, which editors leave in any state."""
    # A word is a pixel: many times faster than four bytes.
    words = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]
    return (words * (rgba[..., 3] > 0)).view(np.uint8).reshape(rgba.shape)


def _paper_colour(rgba: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Find what counts as white: 3 channels in (0, 255]; pure white unless the drawing looks like a scan.

    Paper of a scan has a tint and a grain; white is put below the grain, or a veil of it would lie over the colours.
    """
    step = max(1, round((rgba.shape[0] * rgba.shape[1] / 1e6) ** 0.5))
    pure = np.full(3, 255, np.float32)
    few = np.ascontiguousarray(rgba[::step, ::step])
    opaque = few[..., 3].min() == 255
    # As bytes where that will do: most drawings go no further than this.
    light = _least(few) >= NEAR_WHITE if opaque else _least(_over_white(few)) >= NEAR_WHITE
    if np.mean(light) >= 0.05:
        return pure
    picture = _over_white(few)
    sample = picture.reshape(-1, 3)
    brightness = sample.mean(axis=-1)
    if (top := np.percentile(brightness, 99)) < DARK:
        return pure
    paper = np.percentile(sample[brightness >= 0.75 * top], 90, axis=0)
    # Neighbours differ by the grain alone nearly everywhere; the median does not see the lines.
    grain = 1.05 * np.median(np.abs(np.diff(picture, axis=1)), axis=(0, 1))
    return np.asarray(np.maximum(paper - np.minimum(3 * grain, 0.1 * paper), 64), np.float32)


def _read_sized(path: Path, size: tuple[int, int], lineart: Path | str) -> NDArray[np.uint8]:
    rgba = _read(path)
    height, width = rgba.shape[:2]
    if (width, height) != tuple(size):
        raise ColorizeError(
            f"{path} is {width} x {height} pixels, but {lineart} is {size[0]} x {size[1]}",
            "save both at the same size, from the same canvas",
        )
    return rgba


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while reading a file into one line for the user."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes that are within our own limits, and of metadata nobody here reads.
            warnings.simplefilter("ignore")
            yield
    except FileNotFoundError as e:
        raise ColorizeError(f"there is no file {path}", "check the path") from e
    except PermissionError as e:
        raise ColorizeError(f"{path} may not be read", "give yourself read permission on the file") from e
    except Image.DecompressionBombError as e:
        raise _too_large(path, "") from e
    except UnidentifiedImageError as e:
        raise ColorizeError(f"{path} is not an image that can be read", _SAVE_AS) from e
    except _DAMAGE as e:
        why = " ".join(str(e).split()) or type(e).__name__
        raise ColorizeError(f"{path} is damaged or cut short ({why})", "export or copy the file again") from e


def _too_large(path: Path, size: str) -> ColorizeError:
    most = f"{MAX_SIDE} pixels a side or {MAX_PIXELS // 1_000_000} million in all"
    return ColorizeError(f"{path} is too large{size}: more than {most}", "scale it down or colour a part of it")


def _read(path: Path) -> NDArray[np.uint8]:
    """Read any picture as it is meant to be seen: upright, sRGB, uint8 HxWx4 with straight alpha."""
    path = Path(path)
    with _told(path):
        if path.is_dir():
            raise ColorizeError(f"{path} is a folder", "name a picture file")
        if path.exists() and not path.is_file():
            raise ColorizeError(f"{path} is not a file", "name a picture file")
        with path.open("rb") as file:
            _check_head(path, file.read(24))
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                _check_before_decoding(path, image)
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return np.asarray(_to_srgb(image, path))


def _check_head(path: Path, head: bytes) -> None:
    if not head:
        raise ColorizeError(f"{path} is empty (0 bytes)", "export or copy the file again")
    if head.startswith(b"\x89PNG") and head[12:16] == b"IHDR" and len(head) == 24:
        width, height = struct.unpack(">II", head[16:24])
        if not width or not height:
            raise ColorizeError(f"{path} has no pixels ({width} x {height})", "export the file again")


def _check_before_decoding(path: Path, image: Image.Image) -> None:
    width, height = image.size
    size = f" ({width} x {height})"
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise _too_large(path, size)
    if min(width, height) < MIN_SIDE:
        raise ColorizeError(
            f"{path} is too small{size}: less than {MIN_SIDE} pixels a side", "draw or scan it at a larger size"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO is a camera's JPEG with a preview behind the picture
        what = "pages" if image.format == "TIFF" else "frames"
        raise ColorizeError(f"{path} has {frames} {what}; one picture is needed", "export a single frame as PNG")


def _to_srgb(image: Image.Image, path: Path) -> Image.Image:
    """Convert any mode and colour profile to sRGB in mode RGBA."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16-bit grey; 16-bit colour is read as 8-bit by Pillow itself
        deep = np.asarray(image).astype(np.float32) / 257
        image = Image.fromarray(np.clip(np.rint(deep), 0, 255).astype(np.uint8))
    alpha = None
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        image = image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")
    elif image.mode not in ("L", "RGB", "CMYK"):
        try:
            image = image.convert("L" if image.mode == "1" else "RGB")
        except ValueError as e:
            raise ColorizeError(f"{path} has the colour mode {image.mode}", "save it as an 8-bit RGB PNG") from e
    rgb = _apply_profile(image, profile) if profile else image.convert("RGB")
    rgb.putalpha(255 if alpha is None else alpha)
    return rgb


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert L, RGB or CMYK to sRGB; a broken profile, or one of another mode, counts as none."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if image.mode != "CMYK" and _changes_nothing(transform, image.mode):
            return image.convert("RGB")  # an sRGB profile must not shift a hint's bytes by rounding
        return ImageCms.applyTransform(image, transform) or image.convert("RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Try a transform on a lattice of colours: is it sRGB to sRGB, but for rounding?"""
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(64, 64, 3)
    probe = Image.fromarray(lattice) if mode == "RGB" else Image.fromarray(lattice[..., 0].copy())
    after = np.asarray(ImageCms.applyTransform(probe, transform)).astype(np.int16)
    return bool(np.abs(after - np.asarray(probe.convert("RGB"))).max() <= 2)
