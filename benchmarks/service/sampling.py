"""The part ``sampling`` of ``service.py``: how fast a model that samples goes, how soon it stops, what it takes."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.service.engines import WAIT_SECONDS, Line, client_of, drawing, picture, wait_for
from benchmarks.speed.tools import verdict
from engine.protocol import Buffer, Client, Connection, Event

SIDE = 512
VARIATIONS = (1, 4)
STEPS = 12
"""Steps behind the time of one."""
LONG = 400
"""Steps of a sampling that is stopped; it never gets there."""
STOPS = 9
"""Samplings stopped, each at another moment of a step."""
EARLIEST = 3
"""Steps before a sampling is stopped."""


def measure_sampling(connection: Connection) -> tuple[list[Line], dict[str, Any]]:
    """Each model that samples, at 512x512, with 1 and 4 variations."""
    lines: list[Line] = []
    numbers: dict[str, Any] = {}
    grey, strokes = drawing(SIDE, SIDE)
    buffers = [picture("lineart", grey), picture("hints", strokes)]
    with client_of(connection) as client:
        models = [m["name"] for m in _ask(client, "models")["models"] if m["stochastic"]]
        for model in models:
            for variations in VARIATIONS:
                body = {"width": SIDE, "height": SIDE, "size": SIDE, "model": model, "variations": variations}
                found = numbers[f"sampling_{model}_{variations}"] = _sample(client, buffers, body)
                what = f"{model}, {SIDE}x{SIDE}, {variations} variation{'s' if variations > 1 else ''}"
                step, free = found["step"], found["free"]
                worst = max(free) / found["longest"]
                lines += [
                    (f"{what}: a step", step, "ms", ""),
                    (f"{what}: a step with previews", found["step_seen"], "ms", ""),
                    (f"{what}: cancel to `cancelled`, median of {STOPS}", statistics.median(found["told"]), "ms", ""),
                    (f"{what}: cancel to `cancelled`, worst", max(found["told"]), "ms", ""),
                    (f"{what}: cancel to a free device, median", statistics.median(free), "ms", ""),
                    (f"{what}: cancel to a free device, worst", max(free), "ms", ""),
                    (f"{what}: worst / the longest step", worst, "", verdict(worst, 1.0, "")),
                ]
                if found["peak"] is not None:
                    lines.append((f"{what}: peak memory of the device process", found["peak"], "MB", ""))
                    lines.append((f"{what}: of it, with the model loaded", found["before"], "MB", ""))
    if not models:
        lines.append(("models that sample, of those installed", 0, "", ""))
    return lines, numbers


def _sample(client: Client, buffers: list[Buffer], body: dict[str, Any]) -> dict[str, Any]:
    """Times in ms, memory in MB."""
    # A fresh process, which nothing before has made larger.
    _ask(client, "unload")
    _whole(client, buffers, {**body, "size": 64, "variations": 1, "steps": 1})
    process = int(_ask(client, "status")["worker"]["pid"])
    before = _reset_peak(process)
    # As the docker asks for it: all layers, and previews.
    layers = {"layers": ["flats", "shading", "colour"]}
    seen = _whole(client, buffers, {**body, **layers, "steps": STEPS, "preview": True})
    peak = _memory(process, "VmHWM")
    plain = _whole(client, buffers, {**body, "steps": STEPS})
    step = statistics.mean(plain)
    told, free = [], []
    for number in range(STOPS):
        one, other = _stop(client, buffers, {**body, "steps": LONG}, step * (number + 0.5) / STOPS)
        told.append(1000 * one)
        free.append(1000 * other)
    return {
        "step": 1000 * step,
        "step_seen": 1000 * statistics.mean(seen),
        "longest": 1000 * max(plain),
        "told": told,
        "free": free,
        "before": before,
        "peak": peak,
    }


def _whole(client: Client, buffers: list[Buffer], body: dict[str, Any]) -> list[float]:
    """Do a job to its end; returns the seconds of the steps of its sampling."""
    times: dict[int, float] = {}
    ident = client.colorize(body, buffers)

    def over(event: Event) -> bool:
        if event.id == ident and _drawn(event) is not None:
            times[_drawn(event) or 0] = time.perf_counter()
        return event.id == ident and event.kind in ("result", "error")

    answer = wait_for(client, over)
    if answer.kind != "result" or answer.message is None:
        raise RuntimeError(f"{body['model']}: {answer.message.body if answer.message else answer.kind}")
    # The thread of the client may have taken some together.
    return [(times[b] - times[a]) / (b - a) for a, b in itertools.pairwise(sorted(times))]


def _drawn(event: Event) -> int | None:
    """Steps of a sampling that a progress tells of."""
    if event.kind != "progress" or event.message is None or event.message.body["stage"] != "colours":
        return None
    return int(event.message.body["step"]) - 1


def _stop(client: Client, buffers: list[Buffer], body: dict[str, Any], later: float) -> tuple[float, float]:
    """Stop a sampling so many seconds after one of its steps.

    Returns:
        Seconds until the client is told, and until the device is free.
    """
    ident = client.colorize(body, buffers)
    wait_for(client, lambda e: e.id == ident and (_drawn(e) or 0) >= EARLIEST)
    time.sleep(later)
    start = time.perf_counter()
    client.cancel(ident)
    wait_for(client, lambda e: e.id == ident and e.kind == "cancelled")
    told = time.perf_counter() - start
    while _ask(client, "ping")["busy"]:
        if time.perf_counter() - start > WAIT_SECONDS:
            raise RuntimeError("a cancelled sampling goes on")
        time.sleep(0.002)
    return told, time.perf_counter() - start


def _ask(client: Client, kind: str) -> dict[str, Any]:
    ident = client.submit(kind, control=True)
    answer = wait_for(client, lambda e: e.id == ident).message
    if answer is None:
        raise RuntimeError(f"the engine did not answer {kind}")
    body: dict[str, Any] = answer.body
    return body


def _memory(process: int, name: str) -> float | None:
    """A value of the process's status on Linux, in MB; None elsewhere."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024 / 1e6
    return None


def _reset_peak(process: int) -> float | None:
    """Let the peak of a process's memory begin anew; returns what it holds now, in MB."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/clear_refs").write_text("5")
    return _memory(process, "VmRSS")
