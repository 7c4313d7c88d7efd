"""Pixels on their way to the engine: checked, addressed by content, and packed where they are mostly empty."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache

from .messages import MAX_PIXELS, Buffer, Data, Message, ProtocolError, digest

BLOCK = 16 * 1024
LONG = 16 * BLOCK
EMPTY = bytes(LONG)
EMPTY_BLOCK = bytes(BLOCK)
SPARSE_ROLES = ("hints", "mask", "context")
"""What is mostly empty in practice; line art is not."""
SMALL = 4 * 1024 * 1024
"""Bytes up to which packing must be quick; more are packed well, since sending and keeping them costs more."""


@dataclass
class Request:
    """A message that has not had its last answer yet.

    Attributes:
        message: as the caller gave it; its buffers are replaced by prepared ones before the first sending.
        channel: jobs or control.
        born: monotonic seconds.
        slot: newer jobs of the same slot replace this one.
        prepared: its buffers have been checked, addressed and packed.
        sent: handed to the engine that is there now.
        accepted: the engine has said something about it.
        losses: how often it was lost together with an engine.
        needs: how often the engine has asked for pixels.
        whole: digests of pixels that go along although the engine should have them.
        cancel: id of the request to cancel it, or empty.
        kept: keys of its pixels in the account of memory.
    """

    message: Message
    channel: str
    born: float
    slot: str = ""
    prepared: bool = False
    sent: bool = False
    accepted: bool = False
    losses: int = 0
    needs: int = 0
    whole: set[str] = field(default_factory=set)
    cancel: str = ""
    kept: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_job(self) -> bool:
        """Whether it is a job, which is sent again when its engine goes."""
        return self.message.type == "colorize"

    @property
    def result_bytes(self) -> int:
        """Bytes of the layers a job asks for."""
        body = self.message.body
        width, height, layers = body.get("width"), body.get("height"), body.get("layers")
        if not self.is_job or not isinstance(width, int) or not isinstance(height, int):
            return 0
        return min(abs(width * height), MAX_PIXELS) * 4 * (len(layers) if isinstance(layers, (list, tuple)) else 1)


def prepare(buffer: Buffer) -> Buffer:
    """A copy of a buffer that is ready to be sent: checked, with its digest, packed where that pays.

    Raises:
        ProtocolError: the pixels do not fit what is said of them.
    """
    if buffer.codec == "none" or buffer.data is None:
        if not buffer.digest:
            raise ProtocolError("no_pixels", f"'{buffer.role}' has neither pixels nor a digest", "give its data")
        return replace(buffer, codec="none", data=None)
    try:
        data = memoryview(buffer.data).cast("B")
    except TypeError as e:
        raise ProtocolError("bad_pixels", f"the pixels of '{buffer.role}' do not lie in one piece ({e})") from e
    if buffer.codec == "zlib":
        known = buffer.digest or digest(buffer.width, buffer.height, buffer.order, buffer.pixels())
        return replace(buffer, digest=known)
    if data.nbytes != buffer.size:
        raise ProtocolError(
            "bad_pixels",
            f"'{buffer.role}' is {buffer.width}x{buffer.height} {buffer.order}, {buffer.size} bytes, "
            f"but has {data.nbytes}",
        )
    known = buffer.digest or digest(buffer.width, buffer.height, buffer.order, data)
    packed = pack(data) if buffer.role in SPARSE_ROLES else None
    if packed is None:
        return replace(buffer, digest=known, data=data)
    return replace(buffer, digest=known, codec="zlib", data=packed)


def _deflated(data: Data, level: int) -> bytes:
    """Bytes of deflate that stand on their own and end on a byte, so that such pieces can be strung together."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


@lru_cache(maxsize=8)
def _deflated_empty(size: int) -> bytes:
    return _deflated(EMPTY[:size], 9)


def pack(data: memoryview) -> bytes | None:
    """Compress mostly empty pixels to a zlib stream, faster than zlib would; None where it is no use.

    Empty stretches are recognised by comparison and stand for a piece compressed beforehand; zlib itself only sees the
    blocks that hold something.
    """
    starts = range(0, len(data), BLOCK)
    filled = [s for s in starts if not EMPTY_BLOCK.startswith(data[s : s + BLOCK])]
    level = 1 if len(data) <= SMALL else 4
    pieces, check, position = [b"\x78\x01"], 1, 0

    def skip(upto: int) -> int:
        nonlocal check, position
        start = position
        while position < upto:
            size = LONG if upto - position >= LONG else min(BLOCK, upto - position)
            pieces.append(_deflated_empty(size))
            position += size
        # Adler-32 of zeros: the low sum stays, the high one grows by the low one for each.
        low, high = check & 0xFFFF, check >> 16
        check = ((high + (position - start) * low) % 65521) << 16 | low
        return position

    first = 0
    while first < len(filled):
        last = first
        while last + 1 < len(filled) and filled[last + 1] == filled[last] + BLOCK:
            last += 1
        skip(filled[first])
        stretch = data[filled[first] : filled[last] + BLOCK]
        pieces.append(_deflated(stretch, level))
        check = zlib.adler32(stretch, check)
        position += len(stretch)
        first = last + 1
    skip(len(data))
    # An empty last block, then the check sum.
    packed = b"".join([*pieces, b"\x03\x00", check.to_bytes(4, "big")])
    return packed if len(packed) < len(data) else None
