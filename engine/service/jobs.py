"""Jobs as the engine keeps them: what a client may ask for, whose turn it is, which pixels need not be sent again."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine import DEFAULT_MODEL
from engine.protocol.limits import MAX_PIXELS, MAX_SIDE, MIN_SIDE
from engine.protocol.messages import MAX_NAME, Buffer, Message, ProtocolError
from engine.protocol.settings import JobSettings, SettingError

ROLES = {
    "lineart": ("L8", "RGBA8", "BGRA8"),
    "hints": ("RGBA8", "BGRA8"),
    "mask": ("L8",),
    "context": ("RGBA8", "BGRA8"),
}
LAYERS = ("flats", "shading", "colour")
ORDERS = ("RGBA8", "BGRA8")
PARTS = ("hints", "mask")
"""Roles that may be a part of the canvas, or reach over its edges."""
MAX_RESULT = 2 * 1024**3
"""Bytes of the layers of all variations of a job; all layers of one always fit."""
MAX_JOBS = 2000
"""Jobs that wait at most."""
MAX_WAITING = 2 * 1024**3
"""Bytes of pixels that wait at most; one job may always."""
CACHE = 256 * 1024**2
"""Bytes of pixels kept per client; twice that for all clients together."""
CLIENTS = 8
"""Clients whose pixels are kept."""
ENDED = 4096
"""Cancelled ids that are remembered."""


@dataclass(frozen=True)
class Request:
    """The body of a ``colorize``, checked; see docs/protocol.md."""

    width: int
    height: int
    model: str = DEFAULT_MODEL
    settings: JobSettings = field(default_factory=JobSettings)
    slot: str = ""
    layers: tuple[str, ...] = ("colour",)
    preview: bool = False
    compress: bool = False
    order: str = "RGBA8"
    trim: bool = False

    @property
    def layer_bytes(self) -> int:
        """Bytes of one layer of the whole canvas."""
        return self.width * self.height * 4

    @property
    def pictures(self) -> int:
        """Layers of all variations."""
        return len(self.layers) * self.settings.variations


def read_request(message: Message) -> tuple[Request, list[Buffer]]:
    """Check what a client asks for.

    Returns:
        The request, and the buffers with a role that means something.

    Raises:
        ProtocolError: code ``bad_job`` or ``too_large``, naming what is wrong.
    """
    body = message.body

    def bad(what: str, hint: str = "") -> ProtocolError:
        return ProtocolError("bad_job", what, hint, message.id)

    def side(key: str) -> int:
        value = body.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not MIN_SIDE <= value <= MAX_SIDE:
            raise bad(f"'{key}' should be a number from {MIN_SIDE} to {MAX_SIDE}")
        return value

    def text(key: str, default: str) -> str:
        value = body.get(key, default)
        value = default if value is None else value
        if not isinstance(value, str) or len(value) > MAX_NAME:
            raise bad(f"'{key}' should be a text of at most {MAX_NAME} characters")
        return value

    def switch(key: str) -> bool:
        value = body.get(key, False)
        if not isinstance(value, bool):
            raise bad(f"'{key}' should be true or false")
        return value

    width, height = side("width"), side("height")
    if width * height > MAX_PIXELS:
        raise ProtocolError(
            "too_large",
            f"the canvas is {width}x{height}; at most {MAX_PIXELS // 1_000_000} million pixels are taken",
            "work on a part of the canvas or a smaller copy",
            message.id,
        )
    layers = body.get("layers", ["colour"])
    if (
        not isinstance(layers, list)
        or not layers
        or any(name not in LAYERS for name in layers if isinstance(name, str))
    ):
        raise bad(f"'layers' should be a list of some of {', '.join(LAYERS)}")
    if any(not isinstance(name, str) for name in layers):
        raise bad("'layers' should be a list of names")
    try:
        settings = JobSettings.read(body)
    except SettingError as e:
        raise bad(str(e)) from e
    order = text("order", ORDERS[0])
    if order not in ORDERS:
        raise bad(f"'order' should be one of {', '.join(ORDERS)}")
    request = Request(
        width,
        height,
        text("model", DEFAULT_MODEL) or DEFAULT_MODEL,
        settings,
        text("slot", ""),
        tuple(dict.fromkeys(layers)),
        switch("preview"),
        switch("compress"),
        order,
        switch("trim"),
    )
    if request.layer_bytes * request.pictures > MAX_RESULT:
        most = MAX_RESULT // (request.layer_bytes * len(request.layers))
        raise ProtocolError(
            "too_large",
            f"{settings.variations} variations at {width}x{height} are too much for one job",
            f"ask for at most {most} of them, for fewer layers or a smaller copy",
            message.id,
        )
    return request, _buffers(message, request)


def _buffers(message: Message, request: Request) -> list[Buffer]:
    found: dict[str, Buffer] = {}
    for b in message.buffers:
        if b.role not in ROLES:
            continue
        if b.role in found:
            raise ProtocolError("bad_job", f"there are two buffers for '{b.role}'", "", message.id)
        if b.order not in ROLES[b.role]:
            expected = " or ".join(ROLES[b.role])
            raise ProtocolError("bad_job", f"'{b.role}' should be {expected}, not {b.order}", "", message.id)
        if b.role not in PARTS and (b.x, b.y, b.width, b.height) != (0, 0, request.width, request.height):
            raise ProtocolError(
                "bad_job",
                f"'{b.role}' is {b.width}x{b.height} at {b.x}, {b.y}; the canvas is {request.width}x{request.height}",
                "send the whole canvas; only hints and mask may be a part of it",
                message.id,
            )
        found[b.role] = b
    if "lineart" not in found:
        raise ProtocolError("bad_job", "there is no lineart", "send a buffer of that role", message.id)
    return list(found.values())


def held(buffers: list[Buffer]) -> int:
    """Bytes of the data buffers hold, as it travelled."""
    return sum(len(b.data) for b in buffers if b.data is not None)


@dataclass(eq=False)
class Task:
    """A job on its way.

    Attributes:
        number: counts up, the engine's own.
        id: the client's.
        session: of the client.
        sender: where answers go.
        request: what is wanted.
        buffers: with data.
        stage: stage, step and total of the last progress.
        over: the client has had its last answer, or is gone.
        room: where on the exchange its result goes.
    """

    number: int
    id: str
    session: str
    sender: bytes
    request: Request
    buffers: list[Buffer]
    stage: tuple[str, int, int] = ("waiting", 0, 1)
    over: bool = False
    room: tuple[int, int] = (0, 0)
    bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.bytes = held(self.buffers)


class Queue:
    """Jobs in the order they came, and the one on the device."""

    def __init__(self) -> None:
        self.waiting: deque[Task] = deque()
        self.running: Task | None = None
        """Stays until the device is free again, also when the job is over."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def __iter__(self) -> Iterator[Task]:
        """All jobs that are not over, the running one first."""
        if self.running is not None and not self.running.over:
            yield self.running
        yield from list(self.waiting)

    def full(self, more: int) -> bool:
        """Whether a job of so many bytes must be refused."""
        return len(self.waiting) >= MAX_JOBS or (bool(self.waiting) and self._bytes + more > MAX_WAITING)

    def add(self, task: Task) -> int:
        """Add a job; returns how many are before it."""
        self.waiting.append(task)
        self._bytes += task.bytes
        return self.position(task)

    def position(self, task: Task) -> int:
        """How many jobs are before this one."""
        return self.waiting.index(task) + int(self.running is not None and not self.running.over)

    def next(self, may_run: Callable[[Task], bool]) -> Task | None:
        """Make the first waiting job that may run the running one; None when there is none."""
        task = next((t for t in self.waiting if may_run(t)), None)
        if task is not None:
            self.waiting.remove(task)
            self._bytes -= task.bytes
            self.running = task
        return task

    def remove(self, task: Task) -> bool:
        """Take a job out; true when it waited, false when it is on the device. It is over either way."""
        task.over = True
        try:
            self.waiting.remove(task)
        except ValueError:
            return False
        self._bytes -= task.bytes
        return True

    def find(self, ident: str, session: str | None = None) -> Task | None:
        """The job of an id, if it is not over."""
        return next((t for t in self if t.id == ident and session in (None, t.session)), None)


class PixelCache:
    """Pixels by digest, per client, each as it travelled; the longest unused go first."""

    def __init__(self, limit: int = CACHE, clients: int = CLIENTS) -> None:
        self.limit, self.clients = limit, clients
        self._kept: OrderedDict[str, OrderedDict[str, Buffer]] = OrderedDict()
        self._sizes: dict[str, int] = {}

    @property
    def bytes(self) -> int:
        """Bytes kept for all clients."""
        return sum(self._sizes.values())

    def resolve(self, session: str, buffers: list[Buffer]) -> tuple[list[Buffer], list[str]]:
        """Fill in pixels that were sent before, and keep those that came along.

        Returns:
            The buffers, and the digests of those whose pixels are not there any more.
        """
        kept = self._kept.setdefault(session, OrderedDict())
        self._kept.move_to_end(session)
        filled, missing = [], []
        for b in buffers:
            known = b.digest if b.data is not None else ""
            if b.data is None:
                found = kept.get(b.digest)
                # The digest is over size and order, but a client might have it wrong.
                if found is None or (found.width, found.height, found.order) != (b.width, b.height, b.order):
                    missing.append(b.digest)
                else:
                    known = b.digest
                    b = Buffer(b.role, b.width, b.height, b.order, b.x, b.y, b.digest, found.codec, found.data)
            filled.append(b)
            if known:
                self._keep(session, b)
        # Only now, so that one job's pixels do not push each other out while they are looked for.
        self._trim(session)
        return filled, missing

    def _keep(self, session: str, buffer: Buffer) -> None:
        kept = self._kept[session]
        old = kept.pop(buffer.digest, None)
        kept[buffer.digest] = buffer
        self._sizes[session] = self._sizes.get(session, 0) + held([buffer]) - (held([old]) if old else 0)

    def _trim(self, session: str) -> None:
        kept = self._kept[session]
        while self._sizes.get(session, 0) > self.limit:
            _, old = kept.popitem(last=False)
            self._sizes[session] -= held([old])
        while len(self._kept) > self.clients or (self.bytes > 2 * self.limit and len(self._kept) > 1):
            gone, _ = self._kept.popitem(last=False)
            self._sizes.pop(gone, None)

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._sizes.clear()


class Cancelled:
    """Ids that were cancelled, for a while: a job may come later than the request to cancel it, or once more."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, str] = OrderedDict()

    def add(self, ident: str, reason: str) -> None:
        """Remember an id."""
        self._ids[ident] = reason
        self._ids.move_to_end(ident)
        if len(self._ids) > ENDED:
            self._ids.popitem(last=False)

    def reason(self, ident: str) -> str | None:
        """Why it was cancelled; None when it was not."""
        return self._ids.get(ident)


def describe(task: Task) -> dict[str, Any]:
    """A job for ``engine status``."""
    stage, step, total = task.stage
    size = f"{task.request.width}x{task.request.height}"
    return {"id": task.id, "canvas": size, "model": task.request.model, "stage": stage, "step": step, "total": total}
