"""What others wrote is shown, never obeyed, by a terminal and in the log."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.main import main
from engine.service.lifecycle import log_file, logged
from engine.system.progress import ProgressBar
from engine.system.terminal import harmless

CLEAR = "\x1b]0;owned\x07\x1b[2J"
SHOWN = r"\x1b]0;owned\x07\x1b[2J"


@given(st.text())
def test_no_text_keeps_a_control_character(text: str) -> None:
    shown = harmless(text, one_line=True)
    assert not any((ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 for c in shown)
    assert len(shown) >= len(text)
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["Ünï 色 é", "a\tb", "two\nlines", "C:\\x1b"])
def test_ordinary_text_stays(text: str) -> None:
    assert harmless(text) == text


def test_a_text_cannot_turn_the_writing_round() -> None:
    assert harmless("gnp.\u202eexe") == r"gnp.\u202eexe"
    assert harmless("\udcff") == r"\udcff"


def test_a_file_name_in_an_error_is_not_obeyed(tmp_path: Path) -> None:
    name = tmp_path / f"drawing{CLEAR}.png"
    done = CliRunner().invoke(main, ["colorize", str(name), "-o", str(tmp_path / "out.png")], standalone_mode=False)
    assert done.exit_code == 1
    assert SHOWN in done.stderr
    assert "\x1b" not in done.output


def test_json_is_still_json(tmp_path: Path) -> None:
    name = f"drawing{CLEAR}.png"
    given = ["colorize", str(tmp_path / name), "-o", str(tmp_path / "out.png"), "--json"]
    done = CliRunner().invoke(main, given, standalone_mode=False)
    assert name in json.loads(done.stdout)["error"]
    assert "\x1b" not in done.stdout


def test_a_file_name_in_the_progress_is_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressBar()
    progress(f"frame{CLEAR}", 1, 2, each=True)
    progress.say(f"cannot read frame{CLEAR}\nbut goes on")
    progress.close()
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count(SHOWN) == 2
    assert "\nbut goes on" in said


def test_a_record_of_the_log_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    with logged():
        log = logging.getLogger("engine.test")
        log.warning("title %s", f"{CLEAR}\n2026-01-01 00:00:00,000 1 ERROR engine: made up")
        try:
            raise ValueError(CLEAR)
        except ValueError:
            log.exception("it failed")
    lines = log_file().read_text().splitlines()
    assert SHOWN in lines[0]
    assert r"\n2026" in lines[0]
    assert "it failed" in lines[1]
    assert lines[-1] == f"ValueError: {SHOWN}"
    assert "\x1b" not in "".join(lines)
