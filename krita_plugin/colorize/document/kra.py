"""Writes an animated layer as a Krita file of its own, for Krita to open unseen and the layer to be taken from.

Krita's import of single frames from a script drops each frame's image while its own threads still use it, and
crashes. A file has all frames at once, at any frame numbers. Of the format only what Krita reads is written: raw tiles
of 64 x 64 pixels, key frames, and one layer.
"""

from __future__ import annotations

import uuid
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from .pixels import SRGB, Picture

TILE = 64
NAME = "colorize"
LAYER = "layer2"
EMPTY = b"VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 4\nDATA 0\n"
RAW = b"\0"
"""First byte of a tile that is not compressed; the zip around it is."""


class FrameFile:
    """A Krita file that grows by a frame at a time; not a whole one before ``close``."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        """Begin it.

        Raises:
            OSError: it cannot be written.
        """
        self.path, self._size = path, (width, height)
        self._keys: list[tuple[int, str]] = []
        self._zip = zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._zip.writestr("mimetype", "application/x-krita", zipfile.ZIP_STORED)

    def add(self, frame: int, picture: Picture) -> None:
        """Add a key frame; frames must come in order.

        Raises:
            OSError: the disk is full, or the like.
        """
        if not self._keys and frame > 0:
            # Krita wants one at the beginning.
            self._write(0, EMPTY)
        self._write(frame, tiles(picture))

    def close(self) -> None:
        """Complete the file.

        Raises:
            OSError: the disk is full, or the like.
        """
        if not self._keys:
            self._write(0, EMPTY)
        self._zip.writestr(f"{NAME}/layers/{LAYER}.keyframes.xml", self._keyframes())
        self._zip.writestr("maindoc.xml", self._document())
        self._zip.close()

    def abandon(self) -> None:
        """Let go of an unfinished file."""
        self._zip.close()

    def _write(self, frame: int, content: bytes) -> None:
        name = LAYER if not self._keys else f"{LAYER}.f{len(self._keys)}"
        self._keys.append((frame, name))
        self._zip.writestr(f"{NAME}/layers/{name}", content)
        self._zip.writestr(f"{NAME}/layers/{name}.defaultpixel", bytes(4))

    def _keyframes(self) -> str:
        keys = "".join(
            f'<keyframe color-label="0" frame="{name}" time="{frame}"><offset x="0" y="0" type="point"/></keyframe>'
            for frame, name in self._keys
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            "<!DOCTYPE keyframes PUBLIC '-//KDE//DTD krita-keyframes 1.0//EN' "
            "'http://www.calligra.org/DTD/krita-keyframes-1.0.dtd'>\n"
            '<keyframes xmlns="http://www.calligra.org/DTD/krita-keyframes">'
            f'<channel name="content">{keys}</channel></keyframes>'
        )

    def _document(self) -> str:
        width, height = self._size
        layer = {
            "name": NAME,
            "uuid": "{" + str(uuid.uuid4()) + "}",
            "nodetype": "paintlayer",
            "filename": LAYER,
            "keyframes": f"{LAYER}.keyframes.xml",
            "colorspacename": "RGBA",
            "compositeop": "normal",
            "opacity": "255",
            "visible": "1",
            "locked": "0",
            "collapsed": "0",
            "intimeline": "1",
            "onionskin": "0",
            "colorlabel": "0",
            "channelflags": "",
            "channellockflags": "",
            "x": "0",
            "y": "0",
        }
        image = {
            "name": NAME,
            "mime": "application/x-kra",
            "width": str(width),
            "height": str(height),
            "x-res": "300",
            "y-res": "300",
            "colorspacename": "RGBA",
            "profile": SRGB,
            "description": "",
        }
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            "<!DOCTYPE DOC PUBLIC '-//KDE//DTD krita 2.0//EN' 'http://www.calligra.org/DTD/krita-2.0.dtd'>\n"
            '<DOC xmlns="http://www.calligra.org/DTD/krita" syntaxVersion="2.0" editor="Krita" kritaVersion="5.1.5">'
            f"<IMAGE {_attributes(image)}><layers><layer {_attributes(layer)}/></layers>"
            '<ProjectionBackgroundColor ColorData="AAAAAA=="/>'
            '<animation><framerate type="value" value="24"/>'
            f'<range from="0" to="{self._keys[-1][0]}" type="timerange"/>'
            '<currentTime type="value" value="0"/></animation></IMAGE></DOC>'
        )


def tiles(picture: Picture) -> bytes:
    """BGRA pixels as Krita keeps them in a file: a head, then each tile that is not empty, with its place."""
    view, stride = picture.view, picture.width * 4
    found: list[bytes] = []
    for top in range(picture.y // TILE * TILE, picture.y + picture.height, TILE):
        rows = range(max(top, picture.y), min(top + TILE, picture.y + picture.height))
        band = [bytes(view[(y - picture.y) * stride : (y - picture.y + 1) * stride]) for y in rows]
        above, below = (rows[0] - top) * TILE * 4, (top + TILE - rows[-1] - 1) * TILE * 4
        for left in range(picture.x // TILE * TILE, picture.x + picture.width, TILE):
            begin, end = max(left, picture.x), min(left + TILE, picture.x + picture.width)
            before, after = bytes((begin - left) * 4), bytes((left + TILE - end) * 4)
            cut = slice((begin - picture.x) * 4, (end - picture.x) * 4)
            content = b"".join([bytes(above), *(before + row[cut] + after for row in band), bytes(below)])
            if content.count(0) != len(content):
                found.append(f"{left},{top},LZF,{len(content) + 1}\n".encode() + RAW + content)
    return EMPTY.replace(b"DATA 0", f"DATA {len(found)}".encode()) + b"".join(found)


def _attributes(values: dict[str, Any]) -> str:
    return " ".join(f"{key}={quoteattr(value)}" for key, value in values.items())
