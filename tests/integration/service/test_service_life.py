"""How ``engine serve`` starts, ends and goes on when its processes, files or clients are lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import service_helpers
from numpy.typing import NDArray
from service_helpers import PATIENCE, Caller, Engine, posix, until

from engine.protocol.messages import Message

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]


def one_at_work(caller: Caller, sketch: Sketch, poster: Pixels) -> tuple[int, str, str]:
    """Have the device work on a large job while a small one waits: its process, and the ids of both."""
    worker: int = caller.ready()["worker"]["pid"]
    first, second = caller.colorize(poster), caller.colorize(sketch())
    caller.until(first, "progress")
    return worker, first, second


@posix
def test_a_killed_worker_costs_its_job_only(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller = call(start())
    worker, lost, kept = one_at_work(caller, sketch, poster)
    os.kill(worker, signal.SIGKILL)
    error = caller.until(lost).body
    assert (error["code"], error["retryable"]) == ("worker_lost", True)
    assert "SIGKILL" in error["message"]
    assert caller.until(kept).type == "result"
    state = caller.status()["worker"]
    assert state["pid"] != worker
    assert state["restarts"] == 1
    assert [caller.lasts(j) for j in (lost, kept)] == [["error"], ["result"]]


@posix
def test_a_worker_that_hangs_is_replaced(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    caller = call(start())
    worker, lost, kept = one_at_work(caller, sketch, poster)
    os.kill(worker, signal.SIGSTOP)
    error = caller.until(lost).body
    assert (error["code"], error["retryable"]) == ("worker_lost", True)
    assert "no sign of life" in error["message"]
    assert caller.until(kept).type == "result"
    assert not psutil.pid_exists(worker)


@posix
def test_a_killed_engine_leaves_no_worker_and_is_replaced(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch, poster: Pixels
) -> None:
    engine = start()
    caller = call(engine)
    caller.ready()
    caller.until(caller.colorize(poster), "progress")
    children = engine.children()
    assert children
    engine.process.kill()
    engine.process.wait(PATIENCE)
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
    assert len(engine.left()) == 3  # two sockets and the connection file
    assert "no engine" in engine.run("status").stdout
    second = start()
    assert len(second.left()) == 3
    assert second.connection.session != engine.connection.session
    assert second.connection.jobs != engine.connection.jobs
    again = call(second)
    assert again.until(again.colorize(sketch())).type == "result"


@posix
def test_an_engine_that_hangs_is_replaced_and_gives_way(
    start: Callable[..., Engine], call: Callable[..., Caller]
) -> None:
    engine = start()
    children = engine.children()
    engine.process.send_signal(signal.SIGSTOP)
    try:
        second = start()
    finally:
        engine.process.send_signal(signal.SIGCONT)
    assert second.connection.pid != engine.connection.pid
    assert engine.process.wait(PATIENCE) == 0
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]
    assert call(second).ask("ping").type == "pong"
    assert len(second.left()) == 3


def test_a_second_engine_leaves_the_first_alone(shared: Engine) -> None:
    second = shared.serve()
    assert "serves already" in second.communicate(timeout=PATIENCE)[0]
    assert second.returncode == 0
    assert shared.process.poll() is None


def test_engines_that_start_at_once_agree_on_one(start: Callable[..., Engine]) -> None:
    engine = start()
    assert "stopped" in engine.run("stop").stdout
    engine.gone([])
    several = [engine.serve() for _ in range(3)]
    until(lambda: sum(p.poll() is None for p in several) == 1)
    assert "stopped" in engine.run("stop").stdout
    assert [p.wait(PATIENCE) for p in several] == [0, 0, 0]
    said = sorted(p.communicate()[0].split(" ")[0] for p in several)
    assert said == ["an", "an", "ready;"]
    assert engine.left() == []


@pytest.mark.parametrize("how", ["stop", "shutdown", "SIGTERM", "SIGINT"])
def test_an_engine_ends_without_leaving_anything(
    how: str, start: Callable[..., Engine], call: Callable[..., Caller], poster: Pixels
) -> None:
    engine = start()
    caller = call(engine)
    children = engine.children()
    job = caller.colorize(poster)
    caller.until(job, "accepted")
    if how == "stop":
        assert engine.run("stop").returncode == 0
    elif how == "shutdown":
        assert caller.ask("shutdown").type == "ok"
    else:
        engine.process.send_signal(getattr(signal, how))
    error = caller.until(job).body
    assert (error["code"], error["retryable"]) == ("shutting_down", True)
    engine.gone(children)
    assert "no engine is running" in engine.run("stop").stdout


def test_an_engine_ends_with_its_parent(start: Callable[..., Engine]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    engine = start("--parent-pid", parent.pid)
    children = engine.children()
    time.sleep(1)
    assert engine.process.poll() is None
    parent.kill()  # nobody waits for it, so it stays as a zombie
    engine.gone(children)
    parent.wait()


def test_an_engine_that_nobody_needs_ends(start: Callable[..., Engine], call: Callable[..., Caller]) -> None:
    engine = start("--idle-exit", 3)
    caller = call(engine)
    for _ in range(8):
        caller.ask("ping")
        time.sleep(0.5)
    assert engine.process.poll() is None
    engine.gone(engine.children())


def test_an_idle_engine_frees_the_device_and_takes_it_again(
    start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    engine = start("--idle-unload", 3)
    caller = call(engine)
    assert caller.ask("models").body["models"]
    until(lambda: caller.status()["worker"]["state"] == "off")
    assert engine.children() == []
    assert caller.until(caller.colorize(sketch())).type == "result"
    caller.ask("unload")
    until(lambda: engine.children() == [])
    caller.ask("load", model="small")
    until(lambda: caller.status()["loaded"] == ["small"])


def test_a_deleted_connection_file_comes_back(shared: Engine, call: Callable[..., Caller]) -> None:
    path = shared.runtime / "engine.json"
    path.unlink()
    until(path.exists)
    assert path.stat().st_mode & 0o777 == 0o600
    assert call(shared).ask("ping").type == "pong"


@posix
def test_an_engine_whose_sockets_are_deleted_ends(start: Callable[..., Engine]) -> None:
    engine = start()
    children = engine.children()
    shutil.rmtree(engine.runtime)
    assert engine.process.wait(PATIENCE) == 0
    assert not psutil.wait_procs(children, timeout=PATIENCE)[1]


def test_a_device_process_that_does_not_start_is_reported(
    tmp_path: Path,
    start: Callable[..., Engine],
    call: Callable[..., Caller],
    sketch: Sketch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = tmp_path / "broken" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libtorch.so is damaged')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    engine = start()
    caller = call(engine)
    error = caller.until(caller.colorize(sketch())).body
    assert error["code"] == "no_worker"
    assert "libtorch.so is damaged" in error["message"]
    assert "doctor" in error["hint"]
    assert caller.until(caller.send(Message("hello")), "welcome").body["trouble"] == error["message"]
    shutil.rmtree(broken)
    assert caller.until(caller.colorize(sketch())).type == "result"


@posix
def test_a_full_disk_for_the_log_harms_nobody(
    tmp_path: Path, start: Callable[..., Engine], call: Callable[..., Caller], sketch: Sketch
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    logs = tmp_path / "data" / "colorize" / "logs"
    logs.mkdir(parents=True)
    (logs / "engine.log").symlink_to("/dev/full")
    engine = start()
    caller = call(engine)
    assert caller.until(caller.colorize(sketch())).type == "result"
    children = engine.children()
    engine.run("stop")
    engine.gone(children)


@posix
def test_the_jobs_of_a_client_that_vanishes_are_dropped(
    shared: Engine, call: Callable[..., Caller], poster: Pixels, sketch: Sketch, tmp_path: Path
) -> None:
    caller = call(shared)
    before = caller.ready()["counts"]["dropped"]
    np.save(tmp_path / "poster.npy", poster)
    script = """
import sys, numpy as np
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import service_helpers
from service_helpers import PATIENCE, Caller
from engine.protocol.connection import read_connection
caller = Caller(read_connection(Path(sys.argv[2])))
poster = np.load(sys.argv[3])
jobs = [caller.colorize(poster) for _ in range(8)]
huge = np.tile(poster, (4, 4))
caller.until(jobs[0], "progress")
print("sending", flush=True)
for _ in range(200):
    caller.colorize(huge)
"""
    paths = [Path(service_helpers.__file__).parent, shared.runtime / "engine.json", tmp_path / "poster.npy"]
    client = subprocess.Popen([sys.executable, "-c", script, *map(str, paths)], stdout=subprocess.PIPE)
    assert client.stdout is not None
    client.stdout.readline()
    client.kill()
    client.communicate()
    until(lambda: caller.status()["counts"]["dropped"] - before >= 4)
    until(lambda: (s := caller.status())["queue"] == 0 and not s["busy"])
    assert caller.until(caller.colorize(sketch())).type == "result"


def test_a_path_too_long_for_sockets_is_no_hindrance(
    tmp_path: Path, small_weights: Path, call: Callable[..., Caller]
) -> None:
    folder = tmp_path / ("long" * 20) / "é è"
    folder.mkdir(parents=True)
    engine = Engine(folder, small_weights)
    try:
        elsewhere = Path(engine.connection.jobs[6:]).parent
        assert elsewhere.stat().st_mode & 0o777 == 0o700
        assert call(engine).ask("ping").type == "pong"
        children = engine.children()
        engine.process.terminate()
        engine.gone(children)
        assert not elsewhere.exists()
    finally:
        engine.close()
