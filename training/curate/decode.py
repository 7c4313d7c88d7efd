"""Opens any file as the engine does: bounded, upright, sRGB, on white; and says what is wrong with one."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from engine.errors import ColorizeError
from engine.imaging.files.reading import FORMATS, on_white, read_context
from engine.protocol.limits import MAX_PIXELS, MAX_SIDE

Pixels = NDArray[np.uint8]

PLAIN = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
"""Formats that a training set may hold as they are."""
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


class Problem(Exception):  # noqa: N818
    """Why a file was not decoded.

    Attributes:
        reason: ``broken``, ``too_large`` or ``animated``.
        detail: in words.
        passing: another try may go better, as with a permission.
    """

    def __init__(self, reason: str, detail: str, *, passing: bool = False) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.passing = reason, detail, passing


@dataclass(frozen=True)
class Head:
    """What the first bytes of a file say.

    Attributes:
        width, height: of the upright picture, in pixels.
        plain: suffix under which the bytes can be kept as they are; empty when they must be converted.
    """

    width: int
    height: int
    plain: str


def read_head(path: Path) -> Head:
    """Look at a file without decoding its pixels.

    Raises:
        Problem: it should not or cannot be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                    raise Problem("too_large", f"{width} x {height} pixels")
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":  # MPO is a camera's JPEG with a preview behind the picture
                    raise Problem("animated", f"{frames} frames or pages")
                turned = image.getexif().get(ExifTags.Base.Orientation, 1)
                plain = image.mode == "RGB" and turned == 1 and not image.has_transparency_data and _is_srgb(image)
                if turned in _TURNED:
                    width, height = height, width
                return Head(width, height, PLAIN.get(image.format or "", "") if plain else "")
    except Problem:
        raise
    except Image.DecompressionBombError:
        raise Problem("too_large", f"more than {MAX_PIXELS // 1_000_000} million pixels") from None
    except Exception as e:  # Pillow's readers raise anything on damaged files
        if isinstance(e, OSError) and e.errno:
            raise Problem("broken", os.strerror(e.errno), passing=True) from None
        raise Problem("broken", " ".join(str(e).replace(repr(str(path)), "the file").split())) from None


def _is_srgb(image: Image.Image) -> bool:
    """Has it no profile, or one that calls itself sRGB?"""
    profile = image.info.get("icc_profile")
    if not profile:
        return True
    try:
        with_name = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return "srgb" in (ImageCms.getProfileDescription(with_name) or "").lower()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False


def read_pixels(path: Path, head: Head) -> Pixels:
    """Decode a file: uint8 HxWx3, sRGB, upright, transparent parts on white.

    Raises:
        Problem: it is damaged.
    """
    try:
        rgba = read_context(path, (head.width, head.height))
    except ColorizeError as e:
        raise Problem("broken", e.cause.replace(str(path), "the file")) from None
    if rgba[..., 3].min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    return np.asarray(on_white(Image.fromarray(rgba)))


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
