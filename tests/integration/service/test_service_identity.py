"""``engine stop`` ends the engine of the connection file and nobody else, whoever has its number by now."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service_helpers import PATIENCE, Engine, posix

from engine.protocol.connection import Connection, write_connection
from engine.system.process import process_start

pytestmark = [
    posix,
    pytest.mark.skipif(not process_start(os.getpid()), reason="the system does not say when a process started"),
]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no engine, with the argument ``serve`` all the same."""
    with subprocess.Popen([sys.executable, "-c", "input()", "serve"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def stop(runtime: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLORIZE_RUNTIME": str(runtime), "XDG_DATA_HOME": str(runtime.parent / "data")}
    return subprocess.run(
        Engine.command("stop", *options),
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def stale(where: Path, pid: int, **changes: Any) -> None:
    """Leave the connection file of an engine that nobody answers for."""
    where.mkdir(mode=0o700)
    ends = [f"ipc://{where / '0123456789ab'}.{kind}" for kind in ("jobs", "control")]
    found = Connection(pid, ends[0], ends[1], 1, "0.1", "s", 1.0, process_start=process_start(pid), runtime=str(where))
    write_connection(dataclasses.replace(found, **changes), where / "engine.json")


def test_a_process_that_took_the_number_of_an_engine_is_not_killed(
    tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    stale(tmp_path / "run", stranger.pid, process_start="another boot 1")
    done = stop(tmp_path / "run")
    assert (done.returncode, done.stdout) == (0, "no engine is running\n")
    assert stranger.poll() is None


@pytest.mark.parametrize("missing", ["process_start", "runtime"])
def test_a_process_that_is_not_surely_the_engine_is_not_killed(
    missing: str, tmp_path: Path, stranger: subprocess.Popen[bytes]
) -> None:
    stale(tmp_path / "run", stranger.pid, **{missing: ""})
    done = stop(tmp_path / "run", "--json")
    assert done.returncode == 1
    assert stranger.poll() is None
    assert f"process {stranger.pid}" in json.loads(done.stdout)["error"]
    assert f"delete {tmp_path / 'run' / 'engine.json'}" in json.loads(done.stdout)["remedy"]


def test_an_engine_of_another_runtime_folder_is_not_killed(tmp_path: Path, stranger: subprocess.Popen[bytes]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stale(tmp_path / "run", stranger.pid, runtime=str(other))
    assert stop(tmp_path / "run").returncode == 1
    assert stranger.poll() is None


def test_an_engine_that_hangs_is_ended_by_force(start: Callable[..., Engine]) -> None:
    engine = start()
    engine.process.send_signal(signal.SIGSTOP)
    assert "stopped" in engine.run("stop").stdout
    assert engine.process.wait(PATIENCE) == -signal.SIGKILL
    assert engine.left() == []


def test_a_connection_file_of_an_older_engine_still_serves(start: Callable[..., Engine]) -> None:
    engine = start()
    old = dataclasses.replace(engine.connection, process_start="", runtime="")
    write_connection(old, engine.runtime / "engine.json")
    assert "up " in engine.run("status").stdout
    children = engine.children()
    assert "stopped" in engine.run("stop").stdout
    engine.gone(children)
