"""The session over real engines: started, adopted, stopped, jobs and their ends, what is told of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plugin_helpers
import pytest
from plugin_helpers import ENGINE, TIMEOUT, SessionHarness, engines, run_for, spin, use_place

Make = Callable[..., SessionHarness]
BIG = 1024
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def test_a_job_starts_the_engine_and_krita_leaves_none_behind(make: Make, place: Path) -> None:
    harness = make()
    assert harness.session.status.state == "off"
    assert harness.session.models == []
    job = harness.colorize(BIG, layers=["flats", "shading"])
    assert harness.session.status.state == "starting"
    assert harness.session.status.queue == 1
    outcome = harness.end(job)
    assert (outcome.kind, [b.role for b in outcome.buffers]) == ("result", ["flats", "shading"])
    assert outcome.body["device"] == "cpu"
    states = [s.state for s in harness.states]
    assert states[0] == "starting"
    assert states[-1] == "ready"
    assert "busy" in states
    assert harness.session.status.device == "cpu"
    assert [m["name"] for m in harness.session.models][:2] == ["stenciltorch", "paintstorch"]
    assert all(stage and 0 <= step <= total for stage, step, total in harness.progress)
    harness.session.close()
    spin(lambda: not engines(place / "run"))
    assert [p.name for p in (place / "run").iterdir()] == ["engine.lock"]


def test_what_may_take_time_on_the_way_to_a_result_is_not_done_by_kritas_own_thread(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make()
    done_by: dict[str, list[threading.Thread]] = {}

    def watch(place: Any, name: str) -> None:
        call = getattr(place, name)

        def noted(*arguments: Any, **named: Any) -> Any:
            done_by.setdefault(name, []).append(threading.current_thread())
            return call(*arguments, **named)

        monkeypatch.setattr(place, name, noted)

    watch(sys.modules["colorize.engine.process"].subprocess, "Popen")
    watch(sys.modules[harness.protocol.Client.__module__.replace(".client", ".client_thread")], "prepare")
    watch(sys.modules[harness.protocol.Client.__module__.replace(".client", ".client_thread")], "decode")
    assert harness.end(harness.colorize(BIG)).kind == "result"
    assert set(done_by) == {"Popen", "prepare", "decode"}
    assert all(threading.main_thread() not in threads for threads in done_by.values())


def test_stop_ends_jobs_and_engine_and_the_next_job_starts_it_again(make: Make, place: Path) -> None:
    harness = make()
    harness.end(harness.colorize())
    jobs = [harness.colorize(BIG), harness.colorize(BIG)]
    harness.session.stop()
    assert harness.session.status.state == "off"
    for job in jobs:
        outcome = harness.end(job)
        assert (outcome.kind, outcome.code) == ("error", "stopped")
        assert outcome.cause
        assert outcome.remedy
    # At once, while the old one is still on its way out.
    old = harness.pid
    assert harness.end(harness.colorize()).kind == "result"
    assert harness.pid != old
    harness.session.stop()
    spin(lambda: not engines(place / "run"))
    run_for(0.5)
    assert harness.session.status.state == "off"


def test_stop_while_it_starts(make: Make, place: Path) -> None:
    harness = make()
    harness.session.start()
    run_for(0.05)
    job = harness.colorize()
    harness.session.stop()
    assert harness.end(job).code == "stopped"
    spin(lambda: not engines(place / "run"))
    run_for(0.3)
    assert harness.session.status.state == "off"


def test_a_job_that_waits_for_the_engine_is_cancelled_at_once(make: Make) -> None:
    harness = make()
    job = harness.colorize()
    harness.session.cancel(job)
    harness.session.cancel(job)
    harness.session.cancel("nobody knows it")
    assert harness.end(job).kind == "cancelled"
    assert harness.session.status.state == "starting"


def test_newer_live_jobs_take_the_place_of_older_ones(join: Make) -> None:
    harness = join()
    jobs = [harness.colorize(slot="live") for _ in range(4)]
    assert harness.end(jobs[-1]).kind == "result"
    assert [harness.end(j).kind for j in jobs] == ["cancelled"] * 3 + ["result"]


def test_a_callback_that_fails_does_not_keep_the_others_from_being_told(
    join: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *what: shown.append(what[0]))
    harness = join()
    harness.session.colorize({}, [], lambda _: 1 // 0)
    assert harness.end(harness.colorize()).kind == "result"
    assert shown == [ZeroDivisionError]


def test_what_the_engine_refuses_is_told_in_its_words(join: Make) -> None:
    harness = join()
    outcome = harness.end(harness.colorize(model="nobody"))
    assert outcome.kind == "error"
    assert "nobody" in outcome.cause
    assert outcome.remedy
    assert harness.state("ready")


@pytest.mark.usefixtures("app")
def test_a_model_given_back_is_ready_again_for_the_next_picture(
    place: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_place(place, weights, monkeypatch)
    harness = SessionHarness(place)
    harness.session.prepare("stenciltorch")  # where there is no engine nothing happens
    assert harness.session.status.state == "off"
    with subprocess.Popen([*ENGINE, "serve", "--idle-unload", "3"], stdout=subprocess.DEVNULL) as engine:
        try:
            spin(lambda: (place / "run" / "engine.json").exists())
            assert harness.end(harness.colorize()).kind == "result"
            assert harness.pid == engine.pid
            with harness.protocol.Client(place / "run" / "engine.json") as client:
                spin(lambda: loaded(client) == [])
                harness.session.prepare("stenciltorch")
                spin(lambda: loaded(client) == ["stenciltorch"])
        finally:
            harness.session.close()
            engine.terminate()


def loaded(client: Any) -> list[str]:
    """The models that the engine has in memory."""
    asked = client.submit("status", control=True)
    answers: list[Any] = []

    def answered() -> bool:
        answers.extend(event for event in client.poll() if event.id == asked)
        return bool(answers)

    spin(answered)
    models: list[str] = answers[0].message.body["loaded"]
    return models


def test_a_second_job_of_a_kind_has_an_estimate(join: Make) -> None:
    harness = join()
    harness.end(harness.colorize(BIG))
    harness.states.clear()
    harness.end(harness.colorize(BIG))
    etas = [s.eta for s in harness.seen("busy") if s.step]
    assert etas
    assert min(etas) >= 0


def test_the_report_has_what_helps_and_nothing_private(
    join: Make, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(served))
    harness = join()
    assert "off" in harness.session.report()
    harness.end(harness.colorize())
    harness.end(harness.colorize(model="nobody"))
    spin(lambda: "errors" in harness.session.report())
    report = harness.session.report({"krita": "5.1.5"})
    for wanted in ("krita     5.1.5", "protocol  1", "qt ", "python ", "status    ready", "stenciltorch", "nobody"):
        assert wanted in report
    assert "serves at" in report  # the engine's log
    assert str(served) not in report
    assert "~" in report
    connection = (served / "run" / "engine.json").read_text()
    assert all(key not in report for key in json.loads(connection).values() if isinstance(key, str) and len(key) == 40)


def test_nothing_is_called_after_close(join: Make) -> None:
    harness = join()
    harness.colorize(BIG)
    harness.state("busy")
    harness.session.close()
    harness.session.close()
    harness.session.start()
    harness.session.stop()
    harness.session.cancel(harness.colorize())
    run_for(0.5)
    assert harness.ends == {}


SIX = """
import sys, time
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from colorize.qt import QT_MAJOR, QtWidgets
assert QT_MAJOR == 6
app = QtWidgets.QApplication([])
import plugin_helpers
from plugin_helpers import SessionHarness
harness = SessionHarness(Path(sys.argv[3]))
assert harness.end(harness.colorize()).kind == "result"
harness.session.stop()
harness.state("off")
assert "PyQt5.QtCore" not in sys.modules
print([s.state for s in harness.states if s.state != "busy"], harness.session.report().splitlines()[0])
"""


def test_it_works_with_pyqt6(place: Path, pykrita: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIX, str(pykrita), str(Path(plugin_helpers.__file__).parent), str(place)],
        env={**os.environ, "QT_MAJOR": "6"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    with contextlib.suppress(IndexError):
        assert done.stdout.splitlines()[-1] == "['starting', 'ready', 'off'] Colorize report", done.stderr
    assert done.returncode == 0, done.stderr
