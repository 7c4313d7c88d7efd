"""Changing several folders and files: all of them, or none."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import ColorizeError
from installer.change import Change, recover


def build(text: str) -> Callable[[Path], None]:
    """Builder of a folder with one file."""

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "file").write_text(text)

    return make


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def planned(root: Path) -> Change:
    """A change of a folder, two files and something that goes, in this order."""
    change = Change(root / "data" / ".staging")
    change.folder(root / "data" / "plugin", build("new"))
    change.file(root / "data" / "other" / "a", b"new a")
    change.file(root / "settings" / "b", b"new b")
    change.remove(root / "data" / "gone")
    return change


def test_a_change_puts_everything_in_place_and_leaves_nothing_beside(tmp_path: Path) -> None:
    planned(tmp_path).apply()
    assert {k: v for k, v in tree(tmp_path).items() if v is not None} == {
        "data/plugin/file": b"new",
        "data/other/a": b"new a",
        "settings/b": b"new b",
    }
    assert not (tmp_path / "data/.staging").exists()


def test_doing_it_twice_leaves_nothing_to_tell_but_the_folder(tmp_path: Path) -> None:
    planned(tmp_path).apply()
    assert planned(tmp_path).describe() == [f"replace the folder {tmp_path / 'data/plugin'}"]


def test_telling_does_nothing(tmp_path: Path) -> None:
    lines = planned(tmp_path).describe()
    assert len(lines) == 3
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("old", [False, True])
def test_when_the_last_step_fails_everything_is_as_before(tmp_path: Path, old: bool) -> None:
    if old:
        (tmp_path / "data").mkdir()
        build("old")(tmp_path / "data/plugin")
        (tmp_path / "data/other").mkdir()
        (tmp_path / "data/other/a").write_text("old a")
    (tmp_path / "settings").write_text("a file where a folder should be")
    before = tree(tmp_path)
    with pytest.raises(ColorizeError, match="settings"):
        planned(tmp_path).apply()
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("number", "cause"),
    [(errno.ENOSPC, "is full"), (errno.EACCES, "cannot be changed"), (errno.EIO, "cannot be changed")],
)
def test_trouble_while_building_is_told_and_leaves_the_old_one(tmp_path: Path, number: int, cause: str) -> None:
    build("old")(tmp_path / "plugin")

    def fail(folder: Path) -> None:
        build("half")(folder)
        raise OSError(number, "it is so", str(folder))

    change = Change(tmp_path / ".staging")
    change.folder(tmp_path / "plugin", fail)
    with pytest.raises(ColorizeError, match=cause):
        change.apply()
    assert tree(tmp_path) == {"plugin": None, "plugin/file": b"old"}


def test_being_stopped_in_the_middle_is_undone_too(tmp_path: Path) -> None:
    build("old")(tmp_path / "plugin")

    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    change = Change(tmp_path / ".staging")
    change.folder(tmp_path / "plugin", build("new"))
    change.folder(tmp_path / "second", stop)
    with pytest.raises(KeyboardInterrupt):
        change.apply()
    assert tree(tmp_path) == {"plugin": None, "plugin/file": b"old"}


def test_what_a_power_cut_left_behind_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".staging/new").mkdir(parents=True)
    (tmp_path / ".staging/old").mkdir()
    build("old")(tmp_path / ".staging/old/plugin")
    assert recover(tmp_path / ".staging")
    assert tree(tmp_path) == {"plugin": None, "plugin/file": b"old"}
    assert not recover(tmp_path / ".staging")


def test_after_a_power_cut_past_the_swap_the_new_one_stays(tmp_path: Path) -> None:
    (tmp_path / ".staging/old").mkdir(parents=True)
    build("old")(tmp_path / ".staging/old/plugin")
    build("new")(tmp_path / "plugin")
    recover(tmp_path / ".staging")
    assert tree(tmp_path) == {"plugin": None, "plugin/file": b"new"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_not_followed_into_other_folders(tmp_path: Path) -> None:
    """An own copy of the plugin, or of kritarc, kept elsewhere by a link, survives."""
    build("own copy")(tmp_path / "elsewhere")
    (tmp_path / "rc").write_bytes(b"old")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/plugin").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/rc").symlink_to(tmp_path / "rc")
    change = Change(tmp_path / "data/.staging")
    change.remove(tmp_path / "data/plugin")
    change.file(tmp_path / "data/rc", b"new")
    change.apply()
    assert (tmp_path / "elsewhere/file").read_text() == "own copy"
    assert not (tmp_path / "data/plugin").is_symlink()
    assert (tmp_path / "data/rc").is_symlink()
    assert (tmp_path / "rc").read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such modes")
def test_a_changed_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "rc").write_bytes(b"old")
    (tmp_path / "rc").chmod(0o600)
    change = Change(tmp_path / ".staging")
    change.file(tmp_path / "rc", b"new")
    change.apply()
    assert (tmp_path / "rc").stat().st_mode & 0o777 == 0o600
