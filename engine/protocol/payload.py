"""Pixels on their way to the engine: checked, addressed by content, and packed where they are mostly empty."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from .limits import MAX_PIXELS, MAX_VARIATIONS
from .messages import Buffer, Message, ProtocolError, digest
from .sparse import pack

SPARSE_ROLES = ("hints", "mask", "context")
"""What is mostly empty in practice; line art is not."""


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
        """Bytes of the layers a job asks for, of all its variations."""
        body = self.message.body
        width, height, layers = body.get("width"), body.get("height"), body.get("layers")
        if not self.is_job or not isinstance(width, int) or not isinstance(height, int):
            return 0
        wanted = body.get("variations")
        pictures = min(max(wanted, 1), MAX_VARIATIONS) if isinstance(wanted, int) else 1
        pictures *= len(layers) if isinstance(layers, (list, tuple)) else 1
        return min(abs(width * height), MAX_PIXELS) * 4 * pictures


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
    if buffer.codec in ("zlib", "sparse"):
        known = buffer.digest or digest(buffer.width, buffer.height, buffer.order, buffer.pixels())
        return replace(buffer, digest=known)
    if data.nbytes != buffer.size:
        raise ProtocolError(
            "bad_pixels",
            f"'{buffer.role}' is {buffer.width}x{buffer.height} {buffer.order}, {buffer.size} bytes, "
            f"but has {data.nbytes}",
        )
    known = buffer.digest or digest(buffer.width, buffer.height, buffer.order, data)
    if buffer.role in SPARSE_ROLES:
        packed = pack(data)
        if len(packed) < data.nbytes // 2:
            return replace(buffer, digest=known, codec="sparse", data=packed)
    return replace(buffer, digest=known, data=data)
