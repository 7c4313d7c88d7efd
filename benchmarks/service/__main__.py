"""Measures what the service costs beside the model, how fast it answers, and whether it loses anything.

    python -m benchmarks.service [PART ...] [--repeats N] [--jobs N] [--weights PATH] [--out FILE]

Parts: overhead, ping, jobs, live, sampling; all by default. Each runs against a fresh ``engine serve`` in a folder of
its own. Prints a Markdown table and one line of JSON. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import zmq

from benchmarks.service.engines import (
    WAIT_SECONDS,
    Line,
    another,
    client_of,
    drawing,
    engine,
    file_of,
    picture,
    wait_for,
)
from benchmarks.service.sampling import measure_sampling
from benchmarks.speed.tools import interleaved, verdict
from benchmarks.targets import publish
from engine.protocol import Buffer, Client, Connection, Message, decode, encode
from engine.protocol.messages import Data
from engine.protocol.payload import prepare
from engine.protocol.sockets import Link
from engine.service.buffers import paper
from engine.service.buffers import strokes as on_canvas

SIZES = ((512, 512), (3508, 2480))
"""Height and width."""
HUGE = (7000, 5000)
LIVE = ((512, 512), (1754, 1240))
WORKING = 64
"""Short side the model works at where only the service is measured."""
CLIENTS = 4
WARM = 200
"""Jobs after which memory counts."""
IN_FLIGHT = 8
"""Jobs that each client has in the queue."""
UPDATES, RATE = 50, 20
TARGET_OVERHEAD, TARGET_MEMCPY, TARGET_PING, TARGET_GROWTH, TARGET_COMPUTED, TARGET_BYTES = 5.0, 3.0, 50.0, 5.0, 3, 2.0


# Overhead


def measure_overhead(connection: Connection, repeats: int) -> tuple[list[Line], dict[str, Any]]:
    """Time of a job less that of its model, beside memcpy and a plain echo of the same bytes."""
    lines: list[Line] = []
    numbers: dict[str, Any] = {}
    with client_of(connection) as client:
        for height, width in SIZES:
            found = _overhead(client, height, width, repeats if height <= 512 else max(3, repeats // 4))
            numbers[f"overhead_{height}x{width}"] = found
            what = f"{height}x{width}"
            small = height <= 512
            total = found["service"] + found["decode"]
            goal = verdict(total, TARGET_OVERHEAD, "ms") if small else ""
            lines += [
                (f"{what}: overhead in all", total, "ms", goal),
                (f"{what}: of it transport and encoding (job less device)", found["service"], "ms", ""),
                (f"{what}: of it transport and encoding, best", found["best"], "ms", ""),
                (f"{what}: of it decoding", found["decode"], "ms", ""),
                (f"{what}: memcpy of the pixels, in and out ({found['pixels_mb']:.1f} MB)", found["memcpy"], "ms", ""),
                (f"{what}: memcpy of what travels ({found['wire_mb']:.1f} MB)", found["memcpy_wire"], "ms", ""),
                (f"{what}: plain zmq echo of what travels", found["echo"], "ms", ""),
            ]
            goal = "" if small else verdict(total / found["memcpy"], TARGET_MEMCPY, "")
            lines.append((f"{what}: overhead / memcpy of the pixels", total / found["memcpy"], "", goal))
    return lines, numbers


def _overhead(client: Client, height: int, width: int, repeats: int) -> dict[str, float]:
    grey, strokes = drawing(height, width)
    body = {"width": width, "height": height, "size": WORKING}
    hints = picture("hints", strokes)
    sent = [prepare(picture("lineart", grey)), prepare(hints)]
    travels = sum(len(memoryview(frame)) for frame in encode(Message("colorize", body, buffers=sent)))
    result = height * width * 4
    pixels = grey.nbytes + strokes.nbytes + result
    numbers = iter(range(repeats + 1))
    seconds: list[float] = []

    def job() -> None:
        # Made anew, so that its digest has to be found and its pixels sent.
        buffers = [picture("lineart", another(grey, next(numbers))), Buffer(**{**vars(hints), "digest": ""})]
        start = time.perf_counter()
        ident = client.colorize(body, buffers)
        answer = wait_for(client, lambda e: e.id == ident and e.kind in ("result", "error")).message
        assert answer is not None and answer.type == "result", answer  # noqa: PT018, S101
        np.frombuffer(answer.buffers[0].pixels(), np.uint8)
        seconds.append(time.perf_counter() - start - answer.body["seconds"])

    def decoding() -> None:
        # Work of the device process that is no work of the model.
        paper(sent[0])
        on_canvas(sent[1], width, height)

    sources = [np.zeros(size, np.uint8) for size in (pixels, travels + result)]
    targets = [np.ones_like(source) for source in sources]
    with _echo([sent[0].data or b"", sent[1].data or b""], result) as echo:
        work: dict[str, Callable[[], Any]] = {
            "job": job,
            "decode": decoding,
            "memcpy": lambda: np.copyto(targets[0], sources[0]),
            "memcpy_wire": lambda: np.copyto(targets[1], sources[1]),
            "echo": echo,
        }
        times = interleaved(work, repeats)
    found = {name: 1000 * statistics.median(values) for name, values in times.items()}
    more = {"service": 1000 * statistics.median(seconds[1:]), "worst": 1000 * max(seconds[1:])}
    more["best"] = 1000 * min(seconds[1:])
    return {**found, **more, "pixels_mb": pixels / 1e6, "wire_mb": (travels + result) / 1e6}


@contextmanager
def _echo(frames: Sequence[Data], answer: int) -> Iterator[Callable[[], None]]:
    """Sends frames to another process, which answers with so many bytes: the least any such service takes."""
    with tempfile.TemporaryDirectory(prefix="colorize-") as name:
        endpoint = f"ipc://{name}/echo"
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.service", "--echo", endpoint, str(answer)])
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        door = context.socket(zmq.DEALER)
        door.connect(endpoint)

        def once() -> None:
            door.send_multipart([bytes(f) if len(f) < 65536 else f for f in frames], copy=True)
            door.recv_multipart(copy=False)

        try:
            once()
            yield once
        finally:
            context.destroy(0)
            process.terminate()
            process.wait()


def run_echo(endpoint: str, answer: int) -> None:
    """In a process of its own: answer everything with so many bytes."""
    door = zmq.Context().socket(zmq.ROUTER)
    door.bind(endpoint)
    reply = bytes(answer)
    while True:
        sender = door.recv_multipart(copy=False)[0].bytes
        door.send_multipart([sender, reply], copy=False)


# Ping


def measure_ping(connection: Connection, height: int, width: int) -> tuple[list[Line], dict[str, Any]]:
    """How fast the control socket answers while a large job comes in, runs and goes out."""
    grey, strokes = drawing(height, width)
    buffers = [picture("lineart", grey), picture("hints", strokes)]
    with client_of(connection) as client:
        pinger = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.service", "--ping", connection.control],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert pinger.stdout is not None  # noqa: S101
        pinger.stdout.readline()
        start = time.perf_counter()
        ident = client.colorize({"width": width, "height": height}, buffers)
        answer = wait_for(client, lambda e: e.id == ident and e.kind in ("result", "error"))
        seconds = time.perf_counter() - start
        out, _ = pinger.communicate(b"\n")
    if answer.kind != "result":
        raise RuntimeError(f"the large job failed: {answer.message}")
    times = sorted(json.loads(out))
    p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
    what = f"ping while a {width}x{height} job runs ({seconds:.1f} s, {len(times)} pings)"
    lines: list[Line] = [
        (f"{what}, median", statistics.median(times), "ms", ""),
        (f"{what}, p99", p99, "ms", verdict(p99, TARGET_PING, "ms")),
        (f"{what}, worst", times[-1], "ms", ""),
    ]
    return lines, {"ping_ms": {"median": statistics.median(times), "p99": p99, "worst": times[-1], "n": len(times)}}


def run_ping(endpoint: str) -> None:
    """In a process of its own: ping every 10 ms until a line comes in; print milliseconds as JSON."""
    door = zmq.Context().socket(zmq.DEALER)
    door.linger = 0
    door.connect(endpoint)
    poller = zmq.Poller()
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    times: list[float] = []
    while not poller.poll(10):
        start = time.perf_counter()
        ping = Message("ping", session="benchmark")
        door.send_multipart(encode(ping))
        while decode(door.recv_multipart()).parent != ping.id:
            pass
        times.append(1000 * (time.perf_counter() - start))
        if len(times) == 1:
            print("ready", flush=True)
    print(json.dumps(times[1:]))


# Many jobs


def measure_jobs(connection: Connection, count: int) -> tuple[list[Line], dict[str, Any]]:
    """Many small jobs from several clients at once: who gets what, and memory."""
    process = psutil.Process(connection.pid)
    clients = [Client(file_of(connection)) for _ in range(CLIENTS)]
    wanted: list[dict[str, tuple[int, int, int]]] = [{} for _ in clients]
    answers: dict[str, int] = {}
    wrong = over = number = 0
    memory: dict[int, list[float]] = {}
    start = time.monotonic()
    try:
        while over < count:
            if time.monotonic() - start > WAIT_SECONDS * 4:
                raise RuntimeError("jobs were lost")
            for client, mine in zip(clients, wanted, strict=True):
                while number < count and len(mine) < IN_FLIGHT:
                    width, height = 64 + 8 * (number % 5), 64 + 8 * (number % 3)
                    grey = another(np.full((height, width), 255, np.uint8), number % width)
                    grey[number % height] = 0
                    body = {"width": width, "height": height, "size": WORKING, "seed": number}
                    mine[client.colorize(body, [picture("lineart", grey)])] = (width, height, number)
                    number += 1
                for event in client.poll():
                    if event.kind not in ("result", "error", "cancelled") or event.message is None:
                        continue
                    answers[event.id] = answers.get(event.id, 0) + 1
                    over += 1
                    expected = mine.pop(event.id, None)
                    body, layers = event.message.body, event.message.buffers
                    if event.kind != "result" or expected != (layers[0].width, layers[0].height, body["seed"]):
                        wrong += 1
                    if over in (WARM, count):
                        memory[over] = _resident(process)
            time.sleep(0.002)
        seconds = time.monotonic() - start
        time.sleep(0.5)
        late = sum(e.kind in ("result", "error", "cancelled") for c in clients for e in c.poll())
    finally:
        for client in clients:
            client.close()
    more = sum(n != 1 for n in answers.values()) + late
    first, last = memory.get(WARM, memory[count]), memory[count]
    growth = 100 * (sum(last) - sum(first)) / sum(first)
    lines: list[Line] = [
        (f"{count} jobs from {CLIENTS} clients", seconds, "s", ""),
        ("jobs with a wrong answer or a failure", wrong, "", verdict(wrong, 0, "")),
        ("jobs with more or fewer last events than one", more, "", verdict(more, 0, "")),
        (f"memory of engine and device process after {WARM}", sum(first), "MB", ""),
        (f"memory after {count}", sum(last), "MB", ""),
        ("growth", growth, "%", verdict(growth, TARGET_GROWTH, "%")),
    ]
    numbers = {"seconds": seconds, "wrong": wrong, "not_once": more, "memory_mb": [first, last], "growth": growth}
    return lines, {"jobs": numbers}


def _resident(process: psutil.Process) -> list[float]:
    """Resident memory of the engine and of its device process, in MB."""
    return [p.memory_info().rss / 1e6 for p in (process, *process.children(recursive=True))]


# Live mode


def measure_live(connection: Connection) -> tuple[list[Line], dict[str, Any]]:
    """A painter's strokes, sent as they are made."""
    lines: list[Line] = []
    numbers: dict[str, Any] = {}
    for height, width in LIVE:
        found = _live(connection, height, width)
        numbers[f"live_{height}x{width}"] = found
        what = f"live, {width}x{height}, {UPDATES} updates at {RATE}/s"
        share = 100 * found["update"] / found["first"]
        lines += [
            (f"{what}: the last one's result came (1 = yes)", found["last_came"], "", ""),
            (f"{what}: older results after a newer one", found["stale"], "", verdict(found["stale"], 0, "")),
            (f"{what}: computed to the end", found["computed"], "", verdict(found["computed"], TARGET_COMPUTED, "")),
            (f"{what}: last update to its result", found["delay"], "s", ""),
            (f"{what}: bytes of the first", found["first"], "", ""),
            (f"{what}: bytes of an update / the first, mean", share, "%", verdict(share, TARGET_BYTES, "%")),
        ]
    return lines, numbers


def _live(connection: Connection, height: int, width: int) -> dict[str, float]:
    sizes: list[int] = []
    send = Link.send

    def counted(link: Link, channel: str, frames: list[Data]) -> bool:
        done = send(link, channel, frames)
        if done and channel == "jobs":
            sizes.append(sum(len(memoryview(f)) for f in frames))
        return done

    grey, strokes = drawing(height, width)
    body = {"width": width, "height": height, "slot": "live"}
    line = picture("lineart", grey)
    Link.send = counted  # type: ignore[method-assign,assignment]
    try:
        with client_of(connection) as client:
            sizes.clear()
            first = client.colorize(body, [line, picture("hints", strokes)])
            wait_for(client, lambda e: e.id == first and e.kind == "result")
            first_bytes, before = sizes[0], _counts(client)
            sizes.clear()
            ids: list[str] = []
            order: list[str] = []
            start = time.monotonic()
            for number in range(UPDATES):
                top = (number * 37) % (height - 8)
                strokes[top : top + 6, width // 3 : width // 3 + 40] = (200, 40, 4 * number, 255)
                ids.append(client.colorize(body, [line, picture("hints", strokes)]))
                while time.monotonic() < start + (number + 1) / RATE:
                    order += [e.id for e in client.wait(0.005) if e.kind == "result"]
            sent = time.monotonic()
            while ids[-1] not in order and time.monotonic() < sent + WAIT_SECONDS:
                order += [e.id for e in client.wait(0.05) if e.kind == "result"]
            delay = time.monotonic() - sent
            order += [e.id for e in client.wait(1.0) if e.kind == "result"]
            after = _counts(client)
    finally:
        Link.send = send  # type: ignore[method-assign]
    places = [ids.index(ident) for ident in order]
    computed = sum(after[k] - before[k] for k in ("results", "wasted"))
    return {
        "last_came": float(bool(order) and order[-1] == ids[-1]),
        "stale": float(sum(b <= a for a, b in itertools.pairwise(places))),
        "computed": float(computed),
        "shown": float(len(order)),
        "delay": delay,
        "first": float(first_bytes),
        "update": statistics.mean(sizes),
        "largest_update": float(max(sizes)),
    }


def _counts(client: Client) -> dict[str, int]:
    ident = client.submit("status", control=True)
    answer = wait_for(client, lambda e: e.id == ident).message
    assert answer is not None  # noqa: S101
    counts: dict[str, int] = answer.body["counts"]
    return counts


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure the service.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="overhead, ping, jobs, live, sampling; all without")
    parser.add_argument("--repeats", type=int, default=21, metavar="N", help="jobs behind each median (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1000, metavar="N", help="small jobs (%(default)s)")
    parser.add_argument("--ping-size", default=f"{HUGE[1]}x{HUGE[0]}", metavar="WxH", help="of the job (%(default)s)")
    parser.add_argument("--weights", type=Path, metavar="PATH", help="weights instead of the usual ones")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, too")
    parser.add_argument("--echo", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--ping", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set(options.parts) - {"overhead", "ping", "jobs", "live", "sampling"}
    if unknown or options.repeats < 1 or options.jobs < 1:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}" if unknown else "numbers may not be under 1")
    return options


def main() -> int:
    """Run from the command line; exit codes 0 done, 1 failed, 2 wrong use."""
    options = parse()
    if options.echo:
        run_echo(options.echo[0], int(options.echo[1]))
    if options.ping:
        run_ping(options.ping)
        return 0
    width, height = (int(n) for n in options.ping_size.split("x"))
    parts: dict[str, Callable[[Connection], tuple[list[Line], dict[str, Any]]]] = {
        "overhead": lambda c: measure_overhead(c, options.repeats),
        "ping": lambda c: measure_ping(c, height, width),
        "jobs": lambda c: measure_jobs(c, options.jobs),
        "live": measure_live,
        "sampling": measure_sampling,
    }
    lines: list[Line] = []
    numbers: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg(), "repeats": options.repeats}
    for name, measure in parts.items():
        if options.parts and name not in options.parts:
            continue
        try:
            with engine(options.weights) as connection:
                some, more = measure(connection)
        except RuntimeError as e:
            print(f"error: {name}: {e}", file=sys.stderr)
            return 1
        lines, numbers = lines + some, {**numbers, **more}
    print(f"{numbers['cores']} CPU cores, load {numbers['load'][0]:.1f}\n")
    print("| what | value | target |\n| --- | ---: | --- |")
    for what, value, unit, goal in lines:
        shown = f"{value:.3g}" if 0 < abs(value) < 100 else f"{value:.0f}"
        print(f"| {what} | {shown} {unit} | {goal} |")
    print()
    publish(numbers, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
