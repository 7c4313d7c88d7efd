"""Writes one picture of the set, in a worker: byte for byte where it is plain and small enough, else as WebP or PNG."""

from __future__ import annotations

import errno
import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from engine.system.files import atomic_write
from training.curate.decode import Problem, file_digest, read_head, read_pixels
from training.curate.measure import shrink
from training.curate.store import STATE

QUALITY = 95
"""Of WebP; in packing for training the pictures are made smaller again, which hides what this loses."""

SUFFIXES = (".webp", ".png", ".jpg")
"""All that a picture of the set may end in."""
TEMPORARY = f"{STATE}/writing"
"""Folder in the target for pictures that are not whole yet."""


@dataclass(frozen=True)
class Order:
    """What to write.

    Attributes:
        number: of the file in the store.
        source: the file.
        folder: of the set.
        stem: path in it without suffix, with slashes.
        short_side: most pixels of the short side.
        line: a line drawing, kept as a lossless grey PNG.
    """

    number: int
    source: str
    folder: str
    stem: str
    short_side: int
    line: bool


@dataclass(frozen=True)
class Written:
    """What came of it: the path in the set with its digest and sizes; or a problem of the source, or of the target."""

    out: str = ""
    sha: str = ""
    width: int = 0
    height: int = 0
    size: int = 0
    source_problem: str = ""
    target_problem: str = ""


def export(order: Order) -> Written:
    """Write one picture, whole or not at all; never fails, so that what is wrong reaches the parent as words."""
    source = Path(order.source)
    try:
        head = read_head(source)
        keep = bool(head.plain) and not order.line and min(head.width, head.height) <= order.short_side
        data = None if keep else _encoded(source, order)
    except Problem as e:
        return Written(source_problem=e.detail)
    out = order.stem + (head.plain if keep else ".png" if order.line else ".webp")
    target = Path(order.folder, out)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target, folder=Path(order.folder, TEMPORARY)) as temporary:
            if data is None:
                shutil.copyfile(source, temporary)
            else:
                temporary.write_bytes(data)
            sha, size = file_digest(temporary), temporary.stat().st_size
            with Image.open(temporary) as image:
                width, height = image.size
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.EIO) and e.filename == str(source):
            return Written(source_problem=os.strerror(e.errno or 0))
        return Written(target_problem=f"{target}: {e.strerror or e}")
    return Written(out, sha, width, height, size)


def _encoded(source: Path, order: Order) -> bytes:
    image = Image.fromarray(shrink(read_pixels(source, read_head(source)), order.short_side))
    buffer = io.BytesIO()
    if order.line:
        image.convert("L").save(buffer, "PNG", optimize=True)
    else:
        image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
