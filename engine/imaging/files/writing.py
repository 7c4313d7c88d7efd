"""Assembles the ready picture and writes pictures whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ColorizeError
from engine.imaging.files.reading import BAND, Lineart, on_white
from engine.system.files import atomic_write, temporary_in

Pixels = NDArray[np.uint8]

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
PNG_LEVEL = 1
"""zlib level, with run lengths only: on painted pictures smaller and faster than zlib's own choice at this level. One
filter for all rows, not the best for each, halves the time and makes a picture with its layers a twelfth larger."""
JPEG_QUALITY = 95
MAX_WEBP_SIDE = 16_383
"""Longest side the WebP format can hold, in pixels."""

_FULL = ("the disk is full", "free some space or write to another disk")
_FORBIDDEN = ("writing is not allowed there", "choose another folder or mend the permissions")
_REASONS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOENT: ("there is no such folder", "create the folder or choose another"),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "choose another folder"),
    errno.EISDIR: ("a folder of that name is in the way", "choose another name"),
}


def compose(colour: Pixels, lineart: Lineart, context: Pixels | None = None) -> Pixels:
    """Assemble the ready picture: context or white, the colours over it, the ink on top.

    A context already holds its own lines, so ink is laid only where there is colour; where there is none, the bytes are
    the context's. On white the ink lies everywhere.

    Args:
        colour: uint8 HxWx4, straight alpha.
        lineart: the drawing, HxW.
        context: uint8 HxWx4, straight alpha, or None.

    Returns:
        uint8 HxWx3, or HxWx4 when the context is transparent somewhere.
    """
    if colour.shape != lineart.ink.shape or (context is not None and context.shape != colour.shape):
        raise ValueError(f"shapes differ: {colour.shape}, {lineart.ink.shape}, {getattr(context, 'shape', None)}")
    out = np.full(colour.shape, 255, np.uint8) if context is None else context.copy()
    for top in range(0, colour.shape[0], BAND):
        rows = slice(top, top + BAND)
        paint, ink = np.ascontiguousarray(colour[rows]), np.ascontiguousarray(lineart.ink[rows])
        under = out[rows]
        inked = ink[..., 3] > 0
        plain = (paint[..., 3] == 255) & ~inked
        np.copyto(_words(under), _words(paint), where=plain)
        # What is left to mix is little: the lines, and the soft edge of a mask.
        mixed = ~plain & ((paint[..., 3] > 0) | (inked if context is None else False))
        new, old, lines = (
            _words(layer)[mixed].view(np.uint8).reshape(-1, 4).astype(np.float32) for layer in (paint, under, ink)
        )
        if context is None:
            new = _lay(new, old)
        alpha = new[:, 3:].copy()
        new[:, 3] = 255
        new = np.concatenate([_lay(lines, new)[:, :3], alpha], axis=-1)
        _words(under)[mixed] = np.rint(_lay(new, old)).astype(np.uint8).view(np.uint32)[:, 0]
    return out if context is not None and context[..., 3].min() < 255 else np.ascontiguousarray(out[..., :3])


def _words(pixels: Pixels) -> NDArray[np.uint32]:
    """View (..., 4) bytes as one number a pixel: numpy picks and copies those many times faster."""
    return pixels.view(np.uint32)[..., 0]


def _lay(top: NDArray[np.float32], under: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay pixels over others; float32 Nx4 in [0, 255], straight alpha."""
    alpha = top[:, 3:] / 255
    behind = under[:, 3:] / 255 * (1 - alpha)
    total = alpha + behind
    colour = (top[:, :3] * alpha + under[:, :3] * behind) / np.maximum(total, 1e-6)
    return np.concatenate([colour, 255 * total], axis=-1)


def check_target(path: Path, *, new_folder: bool = False) -> None:
    """Find out before the work whether a picture can be written there.

    Args:
        path: file to be written.
        new_folder: its folder will be created if need be, so try the nearest one there is.

    Raises:
        ColorizeError: a suffix that cannot be written, a folder in the way, or no right to write.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ColorizeError(
            f"{path} has a name that says no picture format known here",
            "end it in .png, .webp or .jpg",
            wrong_use=True,
        )
    if path.is_dir():
        raise ColorizeError(f"{path} is a folder", "name a file in it", wrong_use=True)
    folder = path.absolute().parent
    with _told(path):
        while new_folder and not folder.exists():
            folder = folder.parent
        probe = temporary_in(folder)
        probe.touch(exist_ok=False)
        probe.unlink()


def make_folder(folder: Path) -> list[Path]:
    """Create a folder and those above it.

    Args:
        folder: it may exist already.

    Returns:
        The folders that were not there before, innermost first.

    Raises:
        ColorizeError: it could not be created.
    """
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return missing


def write_png(path: Path, array: Pixels) -> None:
    """Write one picture, uint8 HxW, HxWx3 or HxWx4; like ``write_all`` with a single file.

    Raises:
        ColorizeError: it could not be written; nothing is left of it.
    """
    write_all([(path, array)])


def write_all(files: Sequence[tuple[Path, Pixels]]) -> None:
    """Write several pictures so that a failure leaves none of them half-written.

    All are written under temporary names in their own folders first, and renamed when the last is safely on the disk.
    The suffix decides the format: .png, .webp (lossless) or .jpg (transparent parts become white).

    Args:
        files: pairs of path and uint8 HxW, HxWx3 or HxWx4 pixels. Folders are not created.

    Raises:
        ColorizeError: one could not be written, and why; old files are as they were.
    """
    with contextlib.ExitStack() as staged:
        # They get their names in the opposite order, so that the first, the picture itself, comes last.
        for path, array in files:
            staged.enter_context(_told(path))
            data = _encode(path, array)
            # A link is followed: what it points to is replaced, not the link.
            target = Path(os.path.realpath(path))
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "is a folder")
            staged.enter_context(atomic_write(target, sync=True)).write_bytes(data)


def _encode(path: Path, array: Pixels) -> bytes:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ColorizeError(f"{path} has an unknown suffix", "end it in .png, .webp or .jpg", wrong_use=True)
    if suffix == ".png":
        return _encode_png(array)
    image = Image.fromarray(array)
    buffer = io.BytesIO()
    if suffix == ".webp":
        if max(image.size) > MAX_WEBP_SIDE:
            raise ColorizeError(
                f"{path}: WebP holds at most {MAX_WEBP_SIDE} pixels a side, not {image.width} x {image.height}",
                "write a .png instead",
            )
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
    else:
        if image.mode == "RGBA":
            image = on_white(image)
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _encode_png(array: Pixels) -> bytes:
    # Whoever has a picture to write has it by OpenCV already; checking where to write should not wait for it.
    import cv2

    orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    pixels = array if array.ndim == 2 else cv2.cvtColor(array, orders[array.shape[2]])
    options = [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV before 4.12 chooses row by row
        options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    return cv2.imencode(".png", pixels, options)[1].tobytes()


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into one line for the user."""
    try:
        yield
    except OSError as e:
        why, remedy = _REASONS.get(e.errno or 0, (" ".join((e.strerror or str(e)).split()), "choose another folder"))
        raise ColorizeError(f"{path} cannot be written: {why}", remedy) from e
