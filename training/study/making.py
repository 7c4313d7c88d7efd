"""Makes a study from folders of finished pictures: pairs them by name, checks them, stores blinded copies."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ColorizeError
from engine.imaging.files import reading, writing
from training.study import store
from training.study.design import Design, Mode

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm")
MAX_SIDE = 4096
"""Longest side of a picture in a study, in pixels: a phone must load it."""
MAX_METHODS = 12
NAMED = 5
"""Names told in a message."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Made:
    """What was made: the design, and notes for the researcher."""

    design: Design
    notes: list[str]


def make(
    folder: Path,
    methods: dict[str, Path],
    *,
    mode: Mode = "ratings",
    each: int | None = None,
    seed: int = 1,
    title: str = "",
    common: bool = False,
) -> Made:
    """Make a study, whole or not at all.

    Args:
        folder: to be created; it may exist if it is empty.
        methods: folder of pictures by name of the method. Pictures of the same name (whatever their suffix) belong to
            the same drawing. They are read as sRGB, laid on white and stored again under random names, all in the same
            format and without metadata: neither name nor file tells the method.
        mode: what to ask.
        each: drawings that one rater sees; all of them without.
        seed: of all orders. Names and address are random whatever the seed.
        title: shown to raters.
        common: leave out drawings that a method lacks, instead of refusing.

    Raises:
        ColorizeError: wrong methods, missing or unreadable pictures, sizes that differ, or the disk.
    """
    notes: list[str] = []
    paths = _by_drawing(methods, notes, common=common)
    if each is not None and not 1 <= each <= len(paths):
        raise ColorizeError(f"a rater cannot see {each} of {len(paths)} drawings", "mend --drawings", wrong_use=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ColorizeError(f"{folder} exists and is not empty", "name a new folder", wrong_use=True)
    design = Design(len(methods), len(paths), each or len(paths), mode, seed)
    made = writing.make_folder(folder)
    try:
        # SQLite's file is written last: without it there is no study.
        writing.make_folder(folder / store.PICTURES)
        files = _copies(folder / store.PICTURES, list(methods), paths, notes)
        store.create(folder, design, list(methods), list(paths), files, title)
    except BaseException:
        shutil.rmtree(folder / store.PICTURES, ignore_errors=True)
        for path in folder.glob(f"{store.FILE}*"):
            path.unlink()
        for created in made:
            with contextlib.suppress(OSError):  # somebody else uses it by now
                created.rmdir()
        raise
    return Made(design, notes)


def _by_drawing(methods: dict[str, Path], notes: list[str], *, common: bool) -> dict[str, list[Path]]:
    """Paths of each drawing, in the order of the methods; drawings sorted by name."""
    if not 2 <= len(methods) <= MAX_METHODS:
        raise ColorizeError(f"{len(methods)} methods", f"name 2 to {MAX_METHODS} as METHOD=DIR", wrong_use=True)
    if len({folder.resolve() for folder in methods.values()}) < len(methods):
        raise ColorizeError("two methods have the same folder", "give each its own", wrong_use=True)
    found = {method: _pictures(folder) for method, folder in methods.items()}
    everywhere = set.intersection(*(set(pictures) for pictures in found.values()))
    for method, pictures in found.items():
        if others := sorted(set().union(*found.values()) - set(pictures)):
            told = f"{method} has no {_some(others)}"
            if not common:
                raise ColorizeError(told, "add the pictures, or leave those drawings out with --common")
            notes.append(f"{told}: left out")
    if not everywhere:
        raise ColorizeError("no drawing is there in every method", "give the same drawing the same name everywhere")
    return {name: [pictures[name] for pictures in found.values()] for name in sorted(everywhere)}


def _pictures(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by name without suffix."""
    if not folder.is_dir():
        raise ColorizeError(f"{folder} is not a folder", "name a folder of pictures as METHOD=DIR", wrong_use=True)
    pictures: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in pictures:
            raise ColorizeError(f"{pictures[path.stem]} and {path} have the same name", "keep one of them")
        pictures[path.stem] = path
    if not pictures:
        raise ColorizeError(f"there are no pictures in {folder}", "name a folder that holds some itself")
    return pictures


def _copies(
    folder: Path, methods: Sequence[str], paths: dict[str, list[Path]], notes: list[str]
) -> dict[tuple[int, int], str]:
    """Write blinded copies; their names by numbers of drawing and method."""
    files: dict[tuple[int, int], str] = {}
    for drawing, (name, sources) in enumerate(paths.items()):
        size = _size(sources[0])
        pictures: list[Pixels] = []
        for source in sources:
            pixels = np.asarray(reading.on_white(Image.fromarray(reading.read_context(source, size, sources[0]))))
            if max(pixels.shape) > MAX_SIDE:
                raise ColorizeError(f"{source} is larger than {MAX_SIDE} pixels a side", "scale all pictures down")
            for other, earlier in zip(methods, pictures, strict=False):
                if np.array_equal(earlier, pixels):
                    notes.append(f"{name} is the same picture in {other} and {methods[len(pictures)]}")
            pictures.append(pixels)
        for method, pixels in enumerate(pictures):
            files[drawing, method] = f"{secrets.token_hex(8)}.webp"
            writing.write_png(folder / files[drawing, method], pixels)
    return files


def _size(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture by its head; (0, 0) for one that cannot be read, which is told later."""
    with contextlib.suppress(Exception), Image.open(path, formats=reading.FORMATS) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        return (image.height, image.width) if turned else image.size
    return 0, 0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
