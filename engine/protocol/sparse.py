"""A codec for pixels that are mostly empty, as strokes and masks are: only what holds something is compressed.

A zlib stream of a bit for each block of 512 bytes (the first in the lowest bit of the first byte; 1 = it holds
something), followed by the blocks that do.
"""

from __future__ import annotations

import zlib

BLOCK = 512
EMPTY = bytes(BLOCK)
LEVEL = 6


def longest(size: int) -> int:
    """Bytes that ``size`` bytes of pixels can become at most."""
    return size + size // 1000 + size // (8 * BLOCK) + 128


def pack(data: memoryview) -> bytes:
    """Pack bytes."""
    count = -(-len(data) // BLOCK)
    flags, filled = bytearray((count + 7) // 8), []
    empty = EMPTY.startswith
    for number in range(count):
        block = data[number * BLOCK : (number + 1) * BLOCK]
        if not empty(block):
            flags[number >> 3] |= 1 << (number & 7)
            filled.append(block)
    packer = zlib.compressobj(LEVEL)
    return packer.compress(flags) + packer.compress(b"".join(filled)) + packer.flush()


def unpack(packed: bytes | bytearray | memoryview, size: int) -> bytearray:
    """Unpack ``size`` bytes; never more than that and their flags are allocated.

    Raises:
        ValueError: it is no such stream, or one of another size.
    """
    count = -(-size // BLOCK)
    start = (count + 7) // 8
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, start + size + 1)
    except zlib.error as e:
        raise ValueError(f"no zlib stream ({e})") from e
    if len(raw) < start or not unpacker.eof or unpacker.unused_data:
        raise ValueError("cut short or followed by something")
    out = bytearray(size)
    at, number = start, 0
    while number < count:
        if not raw[number >> 3]:
            number = ((number >> 3) + 1) << 3
            continue
        end = number
        while end < count and raw[end >> 3] >> (end & 7) & 1:
            end += 1
        if end > number:
            first, last = number * BLOCK, min(end * BLOCK, size)
            if at + last - first > len(raw):
                raise ValueError("fewer blocks than flags")
            out[first:last] = raw[at : at + last - first]
            at += last - first
        number = max(end, number + 1)
    if at != len(raw):
        raise ValueError("more blocks than flags")
    return out
