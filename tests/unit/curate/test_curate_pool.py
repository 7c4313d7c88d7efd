"""Work in several processes, one of which dies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import ColorizeError
from training.curate.pool import Pool


def _crash_on_seven(item: int) -> int:
    if item == 7:
        os._exit(3)
    return item * item


def test_processes_that_cannot_start_are_no_fault_of_the_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # New processes get our search path, and each loads OpenCV first.
    (tmp_path / "cv2.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path)
    with Pool(1) as pool, pytest.raises(ColorizeError, match="as soon as they are started"):
        dict(pool.each(_crash_on_seven, range(3)))


def test_an_item_that_kills_its_process_is_told_and_the_others_go_on() -> None:
    with Pool(2) as pool:
        found = dict(pool.each(_crash_on_seven, range(20)))
    assert found == {i: i * i for i in range(20)} | {7: None}
