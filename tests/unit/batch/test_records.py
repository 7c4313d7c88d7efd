"""What a batch notes of its pictures stays true when there are new settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.batch.plan import RECORD, Frame, Record, find_frames
from engine.batch.runner import Wanted
from engine.protocol.settings import JobSettings

MODEL = {
    "name": "stablepaint",
    "min_size": 64,
    "max_size": 1024,
    "stochastic": True,
    "strength": 0.5,
    "digest": "0f",
    "asked": "stablepaint",
}
ASKED = JobSettings(size=96, seed=5, strength=0.8, steps=4, guidance=1.5, shading=0.5, gap=12)
# Lines that a batch of 0.1.0 wrote before there was one table of settings.
PLAIN_LINE = (
    '{"output": "1.png", "from": "66742a40ac726343a5a222a5e179610bb911eaba733a7568eea2dec844ce954e", '
    '"made": ["1.png", 50, 2000000000000000000]}'
)
ASKED_LINE = (
    '{"output": "1.png", "from": "5271424e13e50f92eb6f7c95356b26e205b2cdac1ce0f2e3107cddd339d2c8af", '
    '"made": ["1.png", 50, 2000000000000000000]}'
)


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    """A drawing and its picture, of the sizes and times that the lines speak of."""
    for folder, content, seconds in (("in", b"x" * 100, 10**9), ("out", b"y" * 50, 2 * 10**9)):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "1.png"
        file.write_bytes(content)
        os.utime(file, ns=(seconds * 10**9, seconds * 10**9))
    (found,) = find_frames([tmp_path / "in"], {}, tmp_path / "out", ".png", None)
    return found


def record(frame: Frame, line: str, settings: JobSettings, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A record of one line, as a batch with these settings reads it."""
    monkeypatch.setattr("engine.batch.runner.__version__", "0.1.0")
    (frame.output.parent / RECORD).write_text(line + "\n", encoding="utf-8")
    made_with: dict[str, Any] = Wanted("stablepaint", settings).made_with(MODEL, None)
    return Record(frame.output.parent, made_with)


@pytest.mark.parametrize(("line", "settings"), [(PLAIN_LINE, JobSettings()), (ASKED_LINE, ASKED)])
def test_a_picture_of_an_old_record_counts_as_done_under_the_same_settings(
    frame: Frame, line: str, settings: JobSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert record(frame, line, settings, monkeypatch).done(frame)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"size": 96}, {"shading": 0.5}, {"edges": "smooth"}, {"steps": 9}])
def test_a_picture_made_with_another_setting_does_not(
    frame: Frame, changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = record(frame, PLAIN_LINE, JobSettings(**changed), monkeypatch)
    assert not old.done(frame)
    assert not old.foreign(frame)
