"""A file that is written takes its place whole, or leaves what was there."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from engine.system.files import atomic_write


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("sync", [False, True])
def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path, sync: bool) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with atomic_write(target, sync=sync) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_write(target) as temporary:
        temporary.write_text("half \ud800 way", encoding="utf-8")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_name_that_cannot_be_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"), atomic_write(tmp_path / "taken") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["taken"]


def test_what_is_being_written_can_lie_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "waiting").mkdir()
    with atomic_write(tmp_path / "file", folder=tmp_path / "waiting") as temporary:
        assert temporary.parent == tmp_path / "waiting"
    assert (tmp_path / "file").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_permissions_are_those_asked_for_and_nobody_elses_before(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "shown", mode=0o644) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "shown").stat().st_mode) == 0o644
    (tmp_path / "usual").touch()
    with atomic_write(tmp_path / "file"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode
