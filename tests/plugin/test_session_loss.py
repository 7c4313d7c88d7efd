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
from plugin_helpers import SessionHarness, run_for, spin

Make = Callable[..., SessionHarness]
BIG = 1024
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_an_engine_killed_in_mid_job_is_replaced_once_and_then_no_more(make: Make) -> None:
    harness = make()
    first, second = harness.colorize(BIG), harness.colorize()
    spin(lambda: harness.progress)
    os.kill(harness.pid, signal.SIGKILL)
    spin(lambda: "SIGKILL" in harness.session.status.cause)
    assert harness.session.status.state == "lost"
    assert harness.session.status.remedy
    assert harness.end(first).kind == harness.end(second).kind == "result"
    harness.state("ready")
    job = harness.colorize(BIG)
    spin(lambda: harness.session.status.step)
    os.kill(harness.pid, signal.SIGKILL)
    outcome = harness.end(job)
    assert (outcome.kind, outcome.code) == ("error", "engine_gone")
    status = harness.state("failed")
    assert "SIGKILL" in status.cause
    assert "memory" in status.remedy
    # Live mode must not have it start and die for ever.
    outcome = harness.end(harness.colorize())
    assert outcome.kind == "error"
    assert "SIGKILL" in outcome.cause
    assert harness.session.status.state == "failed"
    harness.session.start()
    assert harness.session.status.state == "starting"


def test_a_frozen_engine_is_lost_and_comes_back_or_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not so soon that a busy machine could be slower.
    monkeypatch.setattr("colorize.engine.supervisor.SILENCE_TIMEOUT", 300.0)
    harness = make()
    harness.end(harness.colorize())
    process = psutil.Process(harness.pid)
    frozen = [process, *process.children(recursive=True)]
    for p in frozen:
        p.suspend()
    cancelled = harness.colorize()
    run_for(0.05)
    harness.session.cancel(cancelled)
    assert harness.end(cancelled).kind == "cancelled"
    assert "does not answer" in harness.state("lost").cause
    job = harness.colorize()
    cancelled = harness.colorize()
    harness.session.cancel(cancelled)
    assert harness.end(cancelled).kind == "cancelled"
    for p in frozen:
        p.resume()
    assert harness.end(job).kind == "result"
    assert harness.state("ready").cause == ""
    assert harness.pid == process.pid
    # Not this time.
    monkeypatch.setattr("colorize.engine.supervisor.SILENCE_TIMEOUT", 0.5)
    process.suspend()
    harness.state("lost")
    assert harness.end(harness.colorize()).kind == "result"
    assert harness.pid != process.pid


def test_a_running_engine_is_adopted_and_left_alone(join: Make) -> None:
    harness = join()
    harness.session.start()
    harness.state("ready")
    engine = psutil.Process(harness.pid)
    harness.session.close()
    run_for(0.3)
    assert engine.is_running()
    assert [s.state for s in harness.states] == ["starting", "ready"]


def test_the_second_krita_carries_on_when_the_first_quits(make: Make) -> None:
    one, two = make(), make()
    one.session.start()
    two.session.start()
    one.state("ready")
    two.state("ready")
    shared = one.pid
    # Which of the two has started it is a matter of luck.
    starter = next(d for d in (one, two) if d.session._supervisor._process is not None and not _adopted(d))
    other = two if starter is one else one
    jobs = [other.colorize(BIG), other.colorize()]
    spin(lambda: other.progress)
    starter.session.close()
    assert [other.end(job).kind for job in jobs] == ["result", "result"]
    assert other.pid != shared
    assert not other.seen("failed")


def _adopted(harness: SessionHarness) -> bool:
    process = harness.session._supervisor._process
    spin(process.ended) if process.pid != harness.pid else None
    return process.pid != harness.pid


def test_the_device_process_killed_in_mid_job_is_an_error_and_nothing_else(join: Make) -> None:
    harness = join()
    job, next_one = harness.colorize(BIG), harness.colorize()
    spin(lambda: harness.progress)
    for child in psutil.Process(harness.pid).children():
        child.kill()
    outcome = harness.end(job)
    assert (outcome.kind, outcome.code) == ("error", "worker_lost")
    assert "SIGKILL" in outcome.cause
    assert harness.end(next_one).kind == "result"
    assert not harness.seen("lost")


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
    harness = make(command)
    outcome = harness.end(harness.colorize())
    assert (outcome.kind, outcome.code) == ("error", "no_engine")
    status = harness.session.status
    assert status.state == "failed"
    assert cause in status.cause
    assert cause in outcome.cause
    assert remedy in status.remedy
    assert "\n" not in status.cause + status.remedy
    harness.session.start()  # once more, as the artist may have mended it
    harness.state("failed")


def test_without_a_setup_the_docker_says_what_to_do(make: Make, place: Path) -> None:
    from colorize.engine.setup import read_setup

    harness = make(read_setup=lambda: read_setup("", place / "setup.json"))
    harness.session.start()
    assert harness.session.status.state == "failed"
    assert "setup.json" in harness.session.status.cause
    assert "colorize-install" in harness.session.status.remedy


def test_without_a_setup_a_running_engine_will_do(join: Make, served: Path) -> None:
    from colorize.engine.setup import read_setup

    harness = join(read_setup=lambda: read_setup("", served / "setup.json"))
    assert harness.end(harness.colorize()).kind == "result"
    assert not harness.seen("failed")


def test_a_folder_open_to_others_is_refused_with_the_remedy(make: Make, place: Path) -> None:
    (place / "run").mkdir()
    (place / "run").chmod(0o755)
    harness = make()
    outcome = harness.end(harness.colorize())
    assert outcome.kind == "error"
    assert "open to other users" in harness.session.status.cause
    assert "chmod 700" in harness.session.status.remedy


def test_an_engine_of_another_release_is_refused(make: Make, place: Path) -> None:
    (place / "run").mkdir(mode=0o700)
    file = place / "run" / "engine.json"
    values = {"pid": os.getpid(), "protocol": 9, "version": "9.0", "session": "odd", "started": 1}
    file.touch(0o600)
    file.write_text(json.dumps({**values, "jobs": "ipc:///nowhere/1", "control": "ipc:///nowhere/2"}))
    harness = make()
    outcome = harness.end(harness.colorize())
    assert outcome.kind == "error"
    assert harness.session.status.state == "failed"
    assert "9.0" in harness.session.status.cause
    assert "colorize-install" in harness.session.status.remedy


def test_an_engine_without_weights_says_so(
    make: Make, place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLORIZE_WEIGHTS")
    ours = Path(importlib.util.find_spec("engine").origin).parent  # type: ignore[union-attr,arg-type]
    shutil.copytree(ours, place / "engine", ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"))
    script = place / "bare.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(place)!r}); from engine.cli.main import main; main()")
    harness = make([sys.executable, str(script)])
    harness.session.start()
    status = harness.state("failed")
    assert "weights" in status.cause
    assert "colorize-install" in status.remedy
    outcome = harness.end(harness.colorize())
    assert outcome.kind == "error"
    assert "weights" in outcome.cause
    run_for(0.1)
    assert harness.session.status.state == "failed"
    # They are put in their place, and the artist presses Start.
    shutil.copyfile(weights / "stenciltorch.safetensors", place / "engine" / "weights" / "stenciltorch.safetensors")
    old = harness.pid
    harness.session.start()
    harness.state("ready")
    assert harness.pid != old


def test_an_engine_stopped_by_hand_stays_off_until_it_is_needed(make: Make) -> None:
    harness = make()
    harness.end(harness.colorize())
    os.kill(harness.pid, signal.SIGTERM)  # as `engine stop` and the end of a login do
    assert "outside" in harness.state("off").cause
    run_for(0.3)
    assert harness.session.status.state == "off"
    harness.colorize()
    assert harness.session.status.state == "starting"
