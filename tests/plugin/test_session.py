"""The session over real engines: started, adopted, killed, stopped in their tracks, and missing."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plugin_helpers
import psutil
import pytest
from plugin_helpers import ENGINE, Desk, engines, run_for, spin, use_place

Make = Callable[..., Desk]
BIG = 1024
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def make(app: Any, place: Path) -> Iterator[Make]:  # noqa: ARG001 (it must be there)
    """Maker of sessions without an engine so far; they are closed at the end."""
    yield from _maker(place)


@pytest.fixture
def join(app: Any, served: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:  # noqa: ARG001
    """Maker of sessions that find the engine of this module."""
    use_place(served, weights, monkeypatch)
    yield from _maker(served)


def _maker(place: Path) -> Iterator[Make]:
    made: list[Desk] = []

    def build(*arguments: Any, **named: Any) -> Desk:
        made.append(Desk(place, *arguments, **named))
        return made[-1]

    yield build
    for desk in made:
        desk.session.close()


def test_a_job_starts_the_engine_and_krita_leaves_none_behind(make: Make, place: Path) -> None:
    desk = make()
    assert desk.session.status.state == "off"
    assert desk.session.models == []
    began = time.monotonic()
    job = desk.colorize(BIG, layers=["flats", "shading"])
    assert time.monotonic() - began < 0.1
    assert desk.session.status.state == "starting"
    assert desk.session.status.queue == 1
    outcome = desk.end(job)
    assert (outcome.kind, [b.role for b in outcome.buffers]) == ("result", ["flats", "shading"])
    assert outcome.body["device"] == "cpu"
    states = [s.state for s in desk.states]
    assert states[0] == "starting"
    assert states[-1] == "ready"
    assert "busy" in states
    assert desk.session.status.device == "cpu"
    assert [m["name"] for m in desk.session.models][:2] == ["stenciltorch", "paintstorch"]
    assert all(stage and 0 <= step <= total for stage, step, total in desk.progress)
    assert desk.longest < 0.1  # Krita was never held up
    began = time.monotonic()
    desk.session.close()
    assert time.monotonic() - began < 0.5
    spin(lambda: not engines(place / "run"), 10)
    assert [p.name for p in (place / "run").iterdir()] == ["engine.lock"]


def test_an_engine_killed_in_mid_job_is_replaced_once_and_then_no_more(make: Make) -> None:
    desk = make()
    first, second = desk.colorize(BIG), desk.colorize()
    spin(lambda: desk.progress)
    os.kill(desk.pid, signal.SIGKILL)
    spin(lambda: "SIGKILL" in desk.session.status.cause, 2)
    assert desk.session.status.state == "lost"
    assert desk.session.status.remedy
    assert desk.end(first).kind == desk.end(second).kind == "result"
    desk.state("ready")
    job = desk.colorize(BIG)
    spin(lambda: desk.session.status.step)
    os.kill(desk.pid, signal.SIGKILL)
    outcome = desk.end(job, 3)
    assert (outcome.kind, outcome.code) == ("error", "engine_gone")
    status = desk.state("failed", wait=2)
    assert "SIGKILL" in status.cause
    assert "memory" in status.remedy
    # Live mode must not have it start and die for ever.
    outcome = desk.end(desk.colorize(), 1)
    assert outcome.kind == "error"
    assert "SIGKILL" in outcome.cause
    assert desk.session.status.state == "failed"
    desk.session.start()
    assert desk.session.status.state == "starting"


def test_a_frozen_engine_is_lost_and_comes_back_or_is_replaced(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = make()
    desk.end(desk.colorize())
    process = psutil.Process(desk.pid)
    frozen = [process, *process.children(recursive=True)]
    for p in frozen:
        p.suspend()
    began = time.monotonic()
    cancelled = desk.colorize()
    run_for(0.05)
    desk.session.cancel(cancelled)
    assert desk.end(cancelled, 2.0).kind == "cancelled"
    assert "does not answer" in desk.state("lost", wait=2.8 - (time.monotonic() - began)).cause
    job = desk.colorize()
    cancelled = desk.colorize()
    desk.session.cancel(cancelled)
    assert desk.end(cancelled, 0.5).kind == "cancelled"
    for p in frozen:
        p.resume()
    assert desk.end(job).kind == "result"
    assert desk.state("ready").cause == ""
    assert desk.pid == process.pid
    # Not this time.
    monkeypatch.setattr("colorize.engine.supervisor.FROZEN", 0.5)
    process.suspend()
    desk.state("lost", wait=3)
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
    spin(process.ended, 3) if process.pid != desk.pid else None
    return process.pid != desk.pid


def test_stop_ends_jobs_and_engine_and_the_next_job_starts_it_again(make: Make, place: Path) -> None:
    desk = make()
    desk.end(desk.colorize())
    jobs = [desk.colorize(BIG), desk.colorize(BIG)]
    desk.session.stop()
    assert desk.session.status.state == "off"
    for job in jobs:
        outcome = desk.end(job, 1)
        assert (outcome.kind, outcome.code) == ("error", "stopped")
        assert outcome.cause
        assert outcome.remedy
    # At once, while the old one is still on its way out.
    old = desk.pid
    assert desk.end(desk.colorize()).kind == "result"
    assert desk.pid != old
    desk.session.stop()
    spin(lambda: not engines(place / "run"), 10)
    run_for(0.5)
    assert desk.session.status.state == "off"


def test_stop_while_it_starts(make: Make, place: Path) -> None:
    desk = make()
    desk.session.start()
    run_for(0.05)
    job = desk.colorize()
    desk.session.stop()
    assert desk.end(job, 1).code == "stopped"
    spin(lambda: not engines(place / "run"), 10)
    run_for(0.3)
    assert desk.session.status.state == "off"


def test_a_job_that_waits_for_the_engine_is_cancelled_at_once(make: Make) -> None:
    desk = make()
    job = desk.colorize()
    desk.session.cancel(job)
    desk.session.cancel(job)
    desk.session.cancel("nobody knows it")
    assert desk.end(job, 0.5).kind == "cancelled"


def test_newer_live_jobs_take_the_place_of_older_ones(join: Make) -> None:
    desk = join()
    jobs = [desk.colorize(slot="live") for _ in range(4)]
    assert desk.end(jobs[-1]).kind == "result"
    assert [desk.end(j, 1).kind for j in jobs] == ["cancelled"] * 3 + ["result"]


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
    outcome = desk.end(desk.colorize(), 5)
    assert (outcome.kind, outcome.code) == ("error", "no_engine")
    status = desk.session.status
    assert status.state == "failed"
    assert cause in status.cause
    assert cause in outcome.cause
    assert remedy in status.remedy
    assert "\n" not in status.cause + status.remedy
    desk.session.start()  # once more, as the artist may have mended it
    desk.state("failed", wait=5)


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
    outcome = desk.end(desk.colorize(), 1)
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
    outcome = desk.end(desk.colorize(), 2)
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


def test_a_callback_that_fails_does_not_keep_the_others_from_being_told(
    join: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *what: shown.append(what[0]))
    desk = join()
    desk.session.colorize({}, [], lambda _: 1 // 0)
    assert desk.end(desk.colorize()).kind == "result"
    assert shown == [ZeroDivisionError]


def test_what_the_engine_refuses_is_told_in_its_words(join: Make) -> None:
    desk = join()
    outcome = desk.end(desk.colorize(model="nobody"))
    assert outcome.kind == "error"
    assert "nobody" in outcome.cause
    assert outcome.remedy
    assert desk.state("ready", wait=2)


@pytest.mark.usefixtures("app")
def test_a_model_given_back_is_ready_again_for_the_next_picture(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_place(place, weights, monkeypatch)
    desk = Desk(place)
    desk.session.prepare("stenciltorch")  # where there is no engine nothing happens
    assert desk.session.status.state == "off"
    with subprocess.Popen([*ENGINE, "serve", "--idle-unload", "1"], stdout=subprocess.DEVNULL) as engine:
        try:
            spin(lambda: engine_says()["running"])
            assert desk.end(desk.colorize()).kind == "result"
            assert desk.pid == engine.pid
            spin(lambda: engine_says()["loaded"] == [])
            desk.session.prepare("stenciltorch")
            spin(lambda: engine_says()["loaded"] == ["stenciltorch"])
        finally:
            desk.session.close()
            engine.terminate()


def engine_says() -> dict[str, Any]:
    """The words of `engine status`."""
    said = subprocess.run([*ENGINE, "status", "--json"], capture_output=True, text=True, timeout=30, check=False)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_an_engine_stopped_by_hand_stays_off_until_it_is_needed(make: Make) -> None:
    desk = make()
    desk.end(desk.colorize())
    os.kill(desk.pid, signal.SIGTERM)  # as `engine stop` and the end of a login do
    assert "outside" in desk.state("off", wait=5).cause
    run_for(0.3)
    assert desk.session.status.state == "off"
    desk.colorize()
    assert desk.session.status.state == "starting"


def test_a_second_job_of_a_kind_has_an_estimate(join: Make) -> None:
    desk = join()
    desk.end(desk.colorize(BIG))
    desk.states.clear()
    desk.end(desk.colorize(BIG))
    etas = [s.eta for s in desk.seen("busy") if s.step]
    assert etas
    assert all(0 <= eta < 60 for eta in etas)


def test_the_report_has_what_helps_and_nothing_private(
    join: Make, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(served))
    desk = join()
    assert "off" in desk.session.report()
    desk.end(desk.colorize())
    desk.end(desk.colorize(model="nobody"))
    spin(lambda: "errors" in desk.session.report())
    report = desk.session.report({"krita": "5.1.5"})
    for wanted in ("krita     5.1.5", "protocol  1", "qt ", "python ", "status    ready", "stenciltorch", "nobody"):
        assert wanted in report
    assert "serves at" in report  # the engine's log
    assert str(served) not in report
    assert "~" in report
    connection = (served / "run" / "engine.json").read_text()
    assert all(key not in report for key in json.loads(connection).values() if isinstance(key, str) and len(key) == 40)


def test_nothing_is_called_after_close(join: Make) -> None:
    desk = join()
    desk.colorize(BIG)
    desk.state("busy")
    desk.session.close()
    desk.session.close()
    desk.session.start()
    desk.session.stop()
    desk.session.cancel(desk.colorize())
    run_for(0.5)
    assert desk.ends == {}


SIX = """
import sys, time
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from colorize.qt import QT_MAJOR, QtWidgets
assert QT_MAJOR == 6
app = QtWidgets.QApplication([])
from plugin_helpers import Desk
desk = Desk(Path(sys.argv[3]))
assert desk.end(desk.colorize()).kind == "result"
desk.session.stop()
desk.state("off", wait=10)
assert "PyQt5.QtCore" not in sys.modules
print([s.state for s in desk.states if s.state != "busy"], desk.session.report().splitlines()[0])
"""


def test_it_works_with_pyqt6(place: Path, pykrita: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIX, str(pykrita), str(Path(plugin_helpers.__file__).parent), str(place)],
        env={**os.environ, "QT_MAJOR": "6"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    with contextlib.suppress(IndexError):
        assert done.stdout.splitlines()[-1] == "['starting', 'ready', 'off'] Colorize report", done.stderr
    assert done.returncode == 0, done.stderr
