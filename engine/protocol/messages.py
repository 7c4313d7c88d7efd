"""Messages between a client and the engine: what they hold, how they become frames, what is refused.

A message is a list of frames, ``[header, pixels, pixels, ...]``. The header is one msgpack map; pixels never travel
inside msgpack. Everything is checked before anything of the declared size is allocated. Python 3.8 and msgpack suffice.
"""

from __future__ import annotations

import hashlib
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import msgpack

from . import sparse
from .limits import MAX_PIXELS, MAX_SIDE, MAX_VARIATIONS

PROTOCOL = 1
MAX_HEADER = 64 * 1024
"""Bytes of a header."""
MAX_BUFFERS = 3 * MAX_VARIATIONS
"""Pictures of a message: three layers of each variation."""
CHANNELS = {"L8": 1, "RGBA8": 4, "BGRA8": 4}
CODECS = ("raw", "zlib", "sparse", "none")
"""How pixels travel: as they are, compressed, compressed without what is empty, or not at all because the engine should
still have them by digest."""
MAX_NAME = 64
"""Characters of an id, a session, a role, a type or a digest."""

Data = Union[bytes, bytearray, memoryview]  # noqa: UP007 (evaluated, also by Python 3.8)


class ProtocolError(Exception):
    """A message that is not one, or not one of this version.

    Attributes:
        code: short and stable, for programs.
        message: what is wrong, one line.
        hint: what to do about it.
        parent: id of the offending message where it could be read, else empty.
    """

    def __init__(self, code: str, message: str, hint: str = "", parent: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.parent = code, message, hint, parent


@dataclass
class Buffer:
    """Pixels of one role and where they lie on the canvas.

    Attributes:
        role: lineart, hints, mask, context, or the name of a result layer.
        width: in pixels.
        height: in pixels.
        order: ``L8``, ``RGBA8`` or ``BGRA8``; rows from the top, no padding.
        x: left edge on the canvas.
        y: top edge on the canvas.
        digest: of the pixels, see ``digest``; empty where nobody will ask for them again.
        codec: one of ``CODECS``.
        data: the frame as it travels; None for ``none``.
    """

    role: str
    width: int
    height: int
    order: str
    x: int = 0
    y: int = 0
    digest: str = ""
    codec: str = "raw"
    data: Data | None = None

    @property
    def size(self) -> int:
        """Bytes of the pixels, uncompressed."""
        return self.width * self.height * CHANNELS[self.order]

    def pixels(self) -> Data:
        """The pixels, uncompressed.

        Raises:
            ProtocolError: no data came, or not as much as the declared size.
        """
        if self.data is None:
            raise ProtocolError("no_pixels", f"the pixels of '{self.role}' did not come along", "send them whole")
        if self.codec == "sparse":
            try:
                return sparse.unpack(self.data, self.size)
            except ValueError as e:
                raise ProtocolError("bad_pixels", f"the pixels of '{self.role}' cannot be unpacked ({e})") from e
        if self.codec != "zlib":
            return self.data
        unpacker = zlib.decompressobj()
        try:
            # One byte more than declared is enough to know that there are too many.
            out = unpacker.decompress(self.data, self.size + 1)
        except zlib.error as e:
            raise ProtocolError("bad_pixels", f"the pixels of '{self.role}' cannot be unpacked ({e})") from e
        if len(out) != self.size:
            raise ProtocolError("bad_pixels", f"'{self.role}' unpacks to another size than {self.size} bytes")
        if not unpacker.eof or unpacker.unused_data:
            raise ProtocolError("bad_pixels", f"the pixels of '{self.role}' are cut short or followed by something")
        return out


@dataclass
class Message:
    """One message.

    Attributes:
        type: what it is: colorize, result, ping ...
        body: its values, plain msgpack types.
        id: unique among the messages of a session.
        parent: id of the message it answers, or empty.
        session: who speaks; chosen by the client, constant while it lives.
        buffers: pixels.
    """

    type: str
    body: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    parent: str = ""
    session: str = ""
    buffers: list[Buffer] = field(default_factory=list)

    def answer(self, type: str, body: dict[str, Any] | None = None, buffers: Sequence[Buffer] = ()) -> Message:  # noqa: A002
        """An answer to this message."""
        return Message(type, dict(body or {}), parent=self.id, session=self.session, buffers=list(buffers))


def digest(width: int, height: int, order: str, pixels: Data) -> str:
    """Content address of uncompressed pixels: the first 32 hexadecimal digits of SHA-256 over size, order and bytes.

    Processors of the last ten years have instructions for it, which makes it over twice as fast as BLAKE2b.
    """
    h = hashlib.sha256(f"{width}x{height} {order} ".encode("ascii"))
    h.update(pixels)
    return h.hexdigest()[:32]


def encode(message: Message) -> list[Data]:
    """Turn a message into frames.

    Raises:
        ProtocolError: the message holds what the other side would refuse, or values that are no plain data.
    """
    described = []
    frames: list[Data] = [b""]
    for b in message.buffers:
        if b.codec != "none" and b.data is None:
            raise ProtocolError("no_pixels", f"the buffer '{b.role}' has no pixels", "give its data", message.id)
        described.append(
            {
                "role": b.role,
                "width": b.width,
                "height": b.height,
                "order": b.order,
                "x": b.x,
                "y": b.y,
                "digest": b.digest,
                "codec": b.codec,
            }
        )
        if b.codec != "none" and b.data is not None:
            frames.append(b.data)
    header = {
        "v": PROTOCOL,
        "id": message.id,
        "parent": message.parent,
        "type": message.type,
        "session": message.session,
        "body": message.body,
        "buffers": described,
    }
    try:
        frames[0] = msgpack.packb(header, use_bin_type=True)
    except (ValueError, TypeError, OverflowError, RecursionError) as e:
        raise ProtocolError(
            "bad_body", f"the values of '{message.type}' cannot be sent ({e})", parent=message.id
        ) from e
    if len(frames[0]) > MAX_HEADER or len(described) > MAX_BUFFERS:
        raise ProtocolError(
            "bad_body", f"'{message.type}' holds more than {MAX_HEADER} bytes or {MAX_BUFFERS} buffers", "", message.id
        )
    return frames


def _text(header: dict[str, Any], key: str, parent: str = "", default: str | None = None) -> str:
    value = header.get(key, default)
    # Names end up in logs and in messages to the user: nothing that moves the cursor.
    if not isinstance(value, str) or len(value) > MAX_NAME or not value.isprintable():
        raise ProtocolError("bad_header", f"'{key}' should be a text of at most {MAX_NAME} characters", parent=parent)
    return value


def _number(described: dict[str, Any], key: str, low: int, high: int, parent: str) -> int:
    value = described.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ProtocolError("bad_buffer", f"a buffer's '{key}' should be a number from {low} to {high}", parent=parent)
    return value


def _buffer(described: Any, parent: str) -> Buffer:
    if not isinstance(described, dict):
        raise ProtocolError("bad_buffer", "a buffer should be described by a map", parent=parent)
    role, order = _text(described, "role", parent), _text(described, "order", parent)
    codec, known = _text(described, "codec", parent, "raw"), _text(described, "digest", parent, "")
    if order not in CHANNELS or codec not in CODECS:
        raise ProtocolError(
            "bad_buffer", f"the order '{order}' or the codec '{codec}' of '{role}' is unknown", parent=parent
        )
    width, height = _number(described, "width", 1, MAX_SIDE, parent), _number(described, "height", 1, MAX_SIDE, parent)
    if width * height > MAX_PIXELS:
        raise ProtocolError(
            "too_large",
            f"'{role}' is {width}x{height}; at most {MAX_PIXELS // 1000000} million pixels are taken",
            "work on a part of the canvas or a smaller copy",
            parent,
        )
    x, y = (_number(described, k, -MAX_SIDE, MAX_SIDE, parent) for k in ("x", "y"))
    if codec == "none" and not known:
        raise ProtocolError("bad_buffer", f"'{role}' comes without pixels and without a digest", parent=parent)
    return Buffer(role, width, height, order, x, y, known, codec)


def decode(frames: Sequence[Data]) -> Message:
    """Read a message and check all of it.

    Raises:
        ProtocolError: naming what is wrong; unknown fields are no error, another major version is.
    """
    if not frames or len(frames) > MAX_BUFFERS + 1:
        raise ProtocolError("bad_frames", f"a message has 1 to {MAX_BUFFERS + 1} frames, not {len(frames)}")
    if len(frames[0]) > MAX_HEADER:
        raise ProtocolError("bad_header", f"the header has {len(frames[0])} bytes; at most {MAX_HEADER} are read")
    try:
        header = msgpack.unpackb(frames[0], raw=False, strict_map_key=True)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as e:
        raise ProtocolError("bad_header", "the header is no msgpack") from e
    if not isinstance(header, dict):
        raise ProtocolError("bad_header", "the header is no map")
    ident = _text(header, "id")
    if not ident:
        raise ProtocolError("bad_header", "the message has no id")
    version = header.get("v")
    if not isinstance(version, int) or isinstance(version, bool) or version != PROTOCOL:
        # Anything but a number may be nested too deep to be printed.
        given = version if isinstance(version, int) else "another"
        raise ProtocolError(
            "bad_version",
            f"this side speaks version {PROTOCOL} of the protocol, not {given}",
            "use plugin and engine of the same release",
            ident,
        )
    body, described = header.get("body", {}), header.get("buffers", [])
    if not isinstance(body, dict) or not isinstance(described, list) or len(described) > MAX_BUFFERS:
        raise ProtocolError("bad_header", "'body' should be a map and 'buffers' a short list", parent=ident)
    buffers = [_buffer(d, ident) for d in described]
    waiting = [b for b in buffers if b.codec != "none"]
    if len(waiting) != len(frames) - 1:
        raise ProtocolError("bad_frames", f"{len(waiting)} buffers but {len(frames) - 1} pixel frames", parent=ident)
    for b, frame in zip(waiting, frames[1:]):  # noqa: B905 (Python 3.8 has no strict)
        if b.codec == "raw" and len(frame) != b.size:
            raise ProtocolError(
                "bad_pixels",
                f"'{b.role}' is {b.width}x{b.height} {b.order}, {b.size} bytes, but {len(frame)} came",
                parent=ident,
            )
        # zlib's worst case grows by less than a thousandth.
        if b.codec in ("zlib", "sparse") and len(frame) > sparse.longest(b.size):
            raise ProtocolError("bad_pixels", f"'{b.role}' is longer compressed than it could be", parent=ident)
        b.data = frame
    parent, session = _text(header, "parent", ident, ""), _text(header, "session", ident, "")
    return Message(_text(header, "type", ident), body, ident, parent, session, buffers)
