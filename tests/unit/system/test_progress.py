"""Progress is a bar on a terminal, plain lines elsewhere, and silence where nobody wants it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.system import progress
from engine.system.progress import ProgressBar, in_time


class Clock:
    """Stands for the time."""

    now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_a_stage_has_one_plain_line_and_a_long_one_more(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar()
    bar("reading")
    for done in range(1, 1201):
        clock.now += 0.1
        bar("measuring", done, 1200)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["reading", "measuring"]
    assert lines[-1] == "1,200/1,200 measuring"
    assert 8 <= len(lines) <= 16
    assert all(line.startswith(f"{done}") for line, done in zip(lines[2:4], ("10", "20"), strict=True))
    assert "left" in lines[2]


def test_silence_lets_only_through_what_must_be_heard(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    del clock
    bar = ProgressBar(silent=True)
    bar("reading", 1, 2, each=True)
    bar.say("a remark")
    bar.say("a failure", always=True)
    bar.close()
    assert capsys.readouterr().err == "a failure\n"


def test_on_a_terminal_a_bar_says_how_long_it_still_takes_and_goes_away(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    bar = ProgressBar()
    bar("loading")
    assert capsys.readouterr().err == "\rloading"
    for done in range(1, 5):
        bar("colouring", done, 10)
        clock.now += 60
    bar.say("a [remark] that stays")
    bar("colouring", 5, 10)
    told = capsys.readouterr().err
    assert "4/10 colouring, 6 min left" in told
    assert "a [remark] that stays" in told
    assert "5/10 colouring, 5 min left" in told.split("remark")[1]
    assert "━" in told
    bar.close()
    erased = "\x1b[1A\x1b[2K"
    assert capsys.readouterr().err.endswith(erased)


def test_times_are_told_in_words() -> None:
    assert [in_time(s) for s in (0.2, 89, 100, 11000)] == ["1 s", "89 s", "2 min", "3 h 3 min"]


def test_the_command_line_starts_without_what_draws_bars() -> None:
    program = "import sys, engine.cli.main; print('rich' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
