"""The session when engines are others', killed, stopped in their tracks, of another release, or cannot start."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from plugin_helpers import Desk, run_for, spin

Make = Callable[..., Desk]
BIG = 1024
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_an_engine_killed_in_mid_job_is_replaced_once_and_then_no_more(make: Make) -> None:
    desk = make()
    first, second = desk.colorize(BIG), desk.colorize()
    spin(lambda: desk.progress)
    os.kill(desk.pid, signal.SIGKILL)
    spin(lambda: "SIGKILL" in desk.session.status.cause)
    assert desk.session.status.state == "lost"
    assert desk.session.status.remedy
    assert desk.end(first).kind == desk.end(second).kind == "result"
    desk.state("ready")
    job = desk.colorize(BIG)
    spin(lambda: desk.session.status.step)
    os.kill(desk.pid, signal.SIGKILL)
    outcome = desk.end(job)
    assert (outcome.kind, outcome.code) == ("error", "engine_gone")
    status = desk.state("failed")
    assert "SIGKILL" in status.cause
    assert "memory" in status.remedy
    # Live mode must not have it start and die for ever.
    outcome = desk.end(desk.colorize())
    assert outcome.kind == "error"
    assert "SIGKILL" in outcome.cause
    assert desk.session.status.state == "failed"
    desk.session.start()
    assert desk.session.status.state == "starting"


def test_a_frozen_engine_is_lost_and_comes_back_or_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not so soon that a busy machine could be slower.
    monkeypatch.setattr("colorize.engine.supervisor.FROZEN", 300.0)
    desk = make()
    desk.end(desk.colorize())
    process = psutil.Process(desk.pid)
    frozen = [process, *process.children(recursive=True)]
    for p in frozen:
        p.suspend()
    cancelled = desk.colorize()
    run_for(0.05)
    desk.session.cancel(cancelled)
    assert desk.end(cancelled).kind == "cancelled"
    assert "does not answer" in desk.state("lost").cause
    job = desk.colorize()
    cancelled = desk.colorize()
    desk.session.cancel(cancelled)
    assert desk.end(cancelled).kind == "cancelled"
    for p in frozen:
        p.resume()
    assert desk.end(job).kind == "result"
    assert desk.state("ready").cause == ""
    assert desk.pid == process.pid
    # Not this time.
    monkeypatch.setattr("colorize.engine.supervisor.FROZEN", 0.5)
    process.suspend()
    desk.state("lost")
    assert desk.end(desk.colorize()).kind == "result"
    assert desk.pid != process.pid


def test_a_running_engine_is_adopted_and_left_alone(join: Make) -> None:
    desk = join()
    desk.session.start()
    desk.state("ready")
    engine = psutil.Process(desk.pid)
    desk.session.close()
    run_for(0.3)
    assert engine.is_running()
    assert [s.state for s in desk.states] == ["starting", "ready"]


def test_the_second_krita_carries_on_when_the_first_quits(make: Make) -> None:
    one, two = make(), make()
    one.session.start()
    two.session.start()
    one.state("ready")
    two.state("ready")
    shared = one.pid
    # Which of the two has started it is a matter of luck.
    starter = next(d for d in (one, two) if d.session._keeper._process is not None and not _adopted(d))
    other = two if starter is one else one
    jobs = [other.colorize(BIG), other.colorize()]
    spin(lambda: other.progress)
    starter.session.close()
    assert [other.end(job).kind for job in jobs] == ["result", "result"]
    assert other.pid != shared
    assert not other.seen("failed")


def _adopted(desk: Desk) -> bool:
    process = desk.session._keeper._process
    spin(process.ended) if process.pid != desk.pid else None
    return process.pid != desk.pid


def test_the_device_process_killed_in_mid_job_is_an_error_and_nothing_else(join: Make) -> None:
    desk = join()
    job, next_one = desk.colorize(BIG), desk.colorize()
    spin(lambda: desk.progress)
    for child in psutil.Process(desk.pid).children():
        child.kill()
    outcome = desk.end(job)
    assert (outcome.kind, outcome.code) == ("error", "worker_lost")
    assert "SIGKILL" in outcome.cause
    assert desk.end(next_one).kind == "result"
    assert not desk.seen("lost")


@pytest.mark.parametrize(
    ("command", "cause", "remedy"),
    [
        ([sys.executable, "-S", "-m", "engine.cli"], "not installed in", "colorize-install"),
        (["/nowhere/python", "-m", "engine.cli"], "/nowhere/python", "colorize-install"),
        ([sys.executable, "-c", "import sys; print('all is lost'); sys.exit(3)"], "code 3: all is lost", "report"),
        ([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], "SIGSEGV", "report"),
        ([sys.executable, "-c", "import msgpack.nothing"], "msgpack.nothing", "colorize-install"),
    ],
)
def test_an_engine_that_cannot_start_ends_its_jobs_with_the_cause(
    make: Make, command: list[str], cause: str, remedy: str
) -> None:
    desk = make(command)
    outcome = desk.end(desk.colorize())
    assert (outcome.kind, outcome.code) == ("error", "no_engine")
    status = desk.session.status
    assert status.state == "failed"
    assert cause in status.cause
    assert cause in outcome.cause
    assert remedy in status.remedy
    assert "\n" not in status.cause + status.remedy
    desk.session.start()  # once more, as the artist may have mended it
    desk.state("failed")


def test_without_a_setup_the_docker_says_what_to_do(make: Make, place: Path) -> None:
    from colorize.engine.setup import read_setup

    desk = make(read_setup=lambda: read_setup("", place / "setup.json"))
    desk.session.start()
    assert desk.session.status.state == "failed"
    assert "setup.json" in desk.session.status.cause
    assert "colorize-install" in desk.session.status.remedy


def test_without_a_setup_a_running_engine_will_do(join: Make, served: Path) -> None:
    from colorize.engine.setup import read_setup

    desk = join(read_setup=lambda: read_setup("", served / "setup.json"))
    assert desk.end(desk.colorize()).kind == "result"
    assert not desk.seen("failed")


def test_a_folder_open_to_others_is_refused_with_the_remedy(make: Make, place: Path) -> None:
    (place / "run").mkdir()
    (place / "run").chmod(0o755)
    desk = make()
    outcome = desk.end(desk.colorize())
    assert outcome.kind == "error"
    assert "open to other users" in desk.session.status.cause
    assert "chmod 700" in desk.session.status.remedy


def test_an_engine_of_another_release_is_refused(make: Make, place: Path) -> None:
    (place / "run").mkdir(mode=0o700)
    file = place / "run" / "engine.json"
    values = {"pid": os.getpid(), "protocol": 9, "version": "9.0", "session": "odd", "started": 1}
    file.touch(0o600)
    file.write_text(json.dumps({**values, "jobs": "ipc:///nowhere/1", "control": "ipc:///nowhere/2"}))
    desk = make()
    outcome = desk.end(desk.colorize())
    assert outcome.kind == "error"
    assert desk.session.status.state == "failed"
    assert "9.0" in desk.session.status.cause
    assert "colorize-install" in desk.session.status.remedy


def test_an_engine_without_weights_says_so(
    make: Make, place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLORIZE_WEIGHTS")
    ours = Path(importlib.util.find_spec("engine").origin).parent  # type: ignore[union-attr,arg-type]
    shutil.copytree(ours, place / "engine", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    script = place / "bare.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(place)!r}); from engine.cli.main import main; main()")
    desk = make([sys.executable, str(script)])
    desk.session.start()
    status = desk.state("failed")
    assert "weights" in status.cause
    assert "colorize-install" in status.remedy
    outcome = desk.end(desk.colorize())
    assert outcome.kind == "error"
    assert "weights" in outcome.cause
    run_for(0.1)
    assert desk.session.status.state == "failed"
    # They are put in their place, and the artist presses Start.
    shutil.copyfile(weights / "stenciltorch.safetensors", place / "engine" / "weights" / "stenciltorch.safetensors")
    old = desk.pid
    desk.session.start()
    desk.state("ready")
    assert desk.pid != old


def test_an_engine_stopped_by_hand_stays_off_until_it_is_needed(make: Make) -> None:
    desk = make()
    desk.end(desk.colorize())
    os.kill(desk.pid, signal.SIGTERM)  # as `engine stop` and the end of a login do
    assert "outside" in desk.state("off").cause
    run_for(0.3)
    assert desk.session.status.state == "off"
    desk.colorize()
    assert desk.session.status.state == "starting"
