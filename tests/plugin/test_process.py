"""The engine's process: its environment, its output, its end, and the words for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_helpers import spin

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def run(app: Any, tmp_path: Path) -> Callable[..., Any]:  # noqa: ARG001 (texts are translated)
    """Runner of a Python script in the engine's place."""
    from colorize.engine.process import EngineProcess

    def start(script: str, folder: Path | None = None) -> Any:
        return EngineProcess([sys.executable, "-c", script], str(tmp_path / "run"), folder or tmp_path / "settings")

    return start


def ended(process: Any) -> Any:
    spin(process.ended)
    return process


def test_the_environment_leads_no_other_python_astray() -> None:
    from colorize.engine.process import clean_environment

    krita = {
        "PYTHONPATH": "/krita/python",
        "PYTHONHOME": "/krita",
        "LD_LIBRARY_PATH": "/tmp/.mount_krita/usr/lib",  # noqa: S108
        "DYLD_LIBRARY_PATH": "/krita",
        "APPDIR": "/tmp/.mount_krita",  # noqa: S108
        "QT_PLUGIN_PATH": "/tmp/.mount_krita/plugins",  # noqa: S108
        "PATH": os.pathsep.join(["/tmp/.mount_krita/usr/bin", "/usr/bin", "/bin"]),  # noqa: S108
        "GST_PLUGIN_SCANNER": "/tmp/.mount_krita/gst",  # noqa: S108
        "HOME": "/home/ärtist",
        "COLORIZE_WEIGHTS": "/weights",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    assert clean_environment(krita, "/run/colorize") == {
        "PATH": os.pathsep.join(["/usr/bin", "/bin"]),
        "HOME": "/home/ärtist",
        "COLORIZE_WEIGHTS": "/weights",
        "CUDA_VISIBLE_DEVICES": "1",
        "PYTHONUTF8": "1",
        "COLORIZE_RUNTIME": "/run/colorize",
    }


def test_out_of_a_sandbox_the_engine_cannot_watch_krita() -> None:
    from colorize.engine.process import arguments

    assert arguments(["/venv/bin/python", "-m", "engine.cli"], 7)[3:] == ["serve", "--json", "--parent-pid", "7"]
    outside = arguments(["flatpak-spawn", "--host", "python"], 7)
    assert "--parent-pid" not in outside
    assert outside[3:5] == ["serve", "--json"]
    assert "--idle-exit" in outside


def test_its_last_output_is_kept(run: Callable[..., Any], tmp_path: Path) -> None:
    process = ended(run("import sys; print('\\x00\\xff é'); print('out', flush=True); sys.exit('the end')"))
    assert process.code == 1
    assert process.last_output()[-2:] == ["out", "the end"]
    assert process.why()[0].endswith("code 1: the end")
    again = ended(run("print('other')"))
    assert again.last_output() == ["other"]  # only its own
    text = (tmp_path / "settings" / "engine-start.log").read_text()
    assert "the end" in text
    assert "other" in text


def test_the_log_does_not_grow_for_ever(run: Callable[..., Any], tmp_path: Path) -> None:
    ended(run("print('x' * 300_000)"))
    ended(run("print('y')"))
    assert (tmp_path / "settings" / "engine-start.log").stat().st_size < 1000


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_log(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    process = ended(run("import sys; print('first', flush=True); sys.exit('last')", tmp_path / "file" / "settings"))
    assert process.last_output() == ["first", "last"]


def test_it_does_not_look_for_modules_where_krita_was_started(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "engine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    process = ended(run("import os; print(os.getcwd(), os.getpgid(0) == os.getpid())"))
    assert process.last_output() == [f"{tmp_path / 'settings'} True"]


@posix
def test_it_ends_when_asked_and_by_force_when_it_does_not_listen(run: Callable[..., Any]) -> None:
    from colorize.engine.process import end_in_words

    process = run("import time; print('up', flush=True); time.sleep(60)")
    spin(process.last_output)
    process.ask_to_end()
    assert ended(process).code == -15
    assert end_in_words(-15) == "the engine was ended by SIGTERM"
    process = run("import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)")
    spin(process.last_output)
    process.ask_to_end()
    time.sleep(0.1)
    assert not process.ended()
    process.kill()
    assert ended(process).code == -9


@posix
def test_one_that_is_only_just_being_started_ends_too(run: Callable[..., Any]) -> None:
    process = run("import time; time.sleep(60)")
    process.kill()
    assert ended(process).code == -9


@posix
def test_what_a_script_has_started_ends_with_it(tmp_path: Path, app: Any) -> None:  # noqa: ARG001
    from colorize.engine.process import EngineProcess

    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text("#!/bin/sh\nsleep 60 &\necho $!\nwait\n")
    wrapper.chmod(0o755)
    process = EngineProcess([str(wrapper)], str(tmp_path), tmp_path)
    child = int(spin(process.last_output)[0])
    process.ask_to_end()
    ended(process)
    from colorize.engine import bundled

    spin(lambda: not bundled.load().pid_alive(child))


def test_the_engines_own_words_are_passed_on(run: Callable[..., Any]) -> None:
    said = '{"ok": false, "error": "the folder is full", "remedy": "empty it"}'
    process = ended(run(f"import sys; print('noise'); print('{said}'); print('more noise'); sys.exit(1)"))
    assert process.why() == ("the folder is full", "empty it")
    process = ended(run('print(\'{"ok": true, "adopted": true}\')'))
    assert process.adopted
    assert not ended(run('print(\'{"ok": true, "adopted": false}\')')).adopted


@pytest.mark.parametrize(
    ("code", "words"), [(0, "stopped"), (-9, "SIGKILL"), (-200, "200"), (3, "code 3"), (0xC0000135, "0xc0000135")]
)
def test_every_exit_code_has_words(app: Any, code: int, words: str) -> None:  # noqa: ARG001
    from colorize.engine.process import end_in_words

    assert words in end_in_words(code)
