"""The device process: takes jobs from the engine through its standard input, one at a time, and reports back.

It is a process of its own so that a crash or a hang in native code costs one job. It never outlives the engine: when
its input ends it leaves at once, whatever it is doing.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from engine.errors import ColorizeError
from engine.protocol.messages import Buffer, ProtocolError
from engine.protocol.settings import JobSettings
from engine.service.exchange import Exchange, PipeError, aligned, receive, send
from engine.system.device import is_out_of_memory
from engine.system.process import building, yield_cores

if TYPE_CHECKING:
    from engine.service.device import Device

BEAT = 0.5
"""Seconds between two signs of life."""
BROKEN = 3
"""Exit code after a failure of the device that only a new process mends."""


class Link:
    """The pipes to the engine."""

    def __init__(self, taken: BinaryIO, given: BinaryIO) -> None:
        self.taken, self.given = taken, given
        self.jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.cancelled: set[int] = set()
        self._lock = threading.Lock()

    def say(self, kind: str, **values: Any) -> None:
        """Tell the engine something; without an engine there is nothing left to do."""
        try:
            with self._lock:
                send(self.given, {"say": kind, **values})
        except OSError:
            os._exit(0)

    def listen(self) -> None:
        """Read what the engine wants, until it goes."""
        try:
            while (message := receive(self.taken)) is not None:
                if message.get("do") == "cancel":
                    self.cancelled.add(message["job"])
                else:
                    self.jobs.put(message)
        except (OSError, PipeError):
            pass
        os._exit(0)

    def beat(self) -> None:
        """Give signs of life."""
        pause = threading.Event()
        while not pause.wait(BEAT):
            self.say("beat")


def main() -> None:
    """Be the device process; ``engine.service.supervisor`` starts it."""
    parser = argparse.ArgumentParser(prog="engine.service.worker")
    parser.add_argument("--exchange", required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    link = _open_link()
    _be_modest()
    yield_cores()
    threading.Thread(target=link.listen, name="listen", daemon=True).start()
    threading.Thread(target=link.beat, name="beat", daemon=True).start()
    try:
        _serve(link, Exchange.attach(options.exchange), options.device, options.weights)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # At once: winding up Python beside threads that use pipes can crash, and that would be the last word.
        os._exit(1)


def _serve(link: Link, exchange: Exchange, wanted: str, weights: Path | None) -> None:
    """Do what the engine says; this does not return."""
    with building():
        from engine.service.device import Device

        device = Device(wanted, weights)
    link.say("ready", device=device.kind, note=device.note, models=device.models())
    while True:
        message = link.jobs.get()
        if message["do"] == "load":
            _load(link, device, message["model"])
        elif message["do"] == "job":
            _work(link, device, exchange, message)


def _open_link() -> Link:
    """Keep standard output for messages: whatever else is printed, by libraries too, goes to standard error."""
    given = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Link(os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0), given)


def _be_modest() -> None:
    faulthandler.enable()
    # Ctrl-C in a terminal reaches every process; the engine decides what to do about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where memory runs out the system should end this process rather than the painter's program.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _load(link: Link, device: Device, model: str) -> None:
    """Have a model ready and warm, as far as nobody has real work meanwhile."""
    try:
        with building():
            device.load(model)
        link.say("loaded", models=device.loaded)
        device.warm(model, lambda: not link.jobs.empty())
    except Exception as e:
        print(f"cannot make {model} ready: {e}", file=sys.stderr, flush=True)  # noqa: T201
        link.say("loaded", models=device.loaded)


def _work(link: Link, device: Device, exchange: Exchange, message: dict[str, Any]) -> None:
    number: int = message["job"]
    try:
        _do(link, device, exchange, message)
    except Exception as e:
        _fail(link, number, e)
    # Numbers only grow.
    for old in [n for n in link.cancelled if n <= number]:
        link.cancelled.discard(old)


def _do(link: Link, device: Device, exchange: Exchange, message: dict[str, Any]) -> None:
    from engine.service.buffers import packed
    from engine.service.device import JobRequest

    number, told = message["job"], message["request"]
    request = JobRequest(**{**told, "layers": tuple(told["layers"]), "settings": JobSettings(**told["settings"])})

    def stop() -> bool:
        return number in link.cancelled

    def look(variation: int, seen: Any, frame: Any) -> None:
        where = {"x": frame.x, "y": frame.y, "width": frame.width, "height": frame.height}
        size = [seen.shape[1], seen.shape[0]]
        link.say("preview", job=number, variation=variation, size=size, where=where, pixels=seen.tobytes())

    buffers = []
    for described, offset, length in message["buffers"]:
        buffer = Buffer(**described)
        buffer.data = exchange.view(offset, length) if length else b""
        buffers.append(buffer)
    done = device.run(request, buffers, lambda *step: link.say("progress", job=number, step=step), look, stop)
    del buffers
    places, offset = [], message["room"]
    while done.layers:
        # Each is let go then: those of a large canvas weigh as much again on the exchange.
        for name, layer in done.layers.pop(0).items():
            box, codec, data = packed(layer, **message["form"])
            end = exchange.write(offset, data)
            places.append([name, box, codec, offset, end - offset])
            offset = aligned(end)
    body = {"seconds": round(done.seconds, 4), "model": request.model, "device": done.device, "size": done.size}
    body |= {"seed": done.seeds[0], "seeds": done.seeds, "note": done.note}
    link.say("result", job=number, body=body, layers=places)
    link.say("loaded", models=device.loaded)


def _fail(link: Link, number: int, failure: Exception) -> None:
    """Say why a job came to nothing."""
    from engine.pipeline import Cancelled

    def error(code: str, message: str, hint: str, *, retryable: bool = False) -> None:
        line = " ".join(message.split())[:400]
        link.say("error", job=number, body={"code": code, "message": line, "hint": hint, "retryable": retryable})

    text = str(failure)
    if isinstance(failure, Cancelled):
        link.say("cancelled", job=number)
    elif isinstance(failure, ColorizeError):
        error("refused", failure.cause, failure.remedy)
    elif isinstance(failure, ProtocolError):
        error(failure.code, failure.message, failure.hint)
    elif is_out_of_memory(failure):
        error("out_of_memory", "there is not enough memory", "close other programs or use a smaller picture")
    else:
        traceback.print_exception(failure)
        broken = "CUDA error" in text or "cuDNN error" in text
        hint = "try again" if broken else "this is a bug: report it with the engine's log"
        error("failed", f"{type(failure).__name__}: {text}", hint, retryable=broken)
        if broken:  # nothing works on the device any more until the process is another one
            os._exit(BROKEN)


if __name__ == "__main__":
    main()
