"""The user's files are looked for where they always were."""

from __future__ import annotations

import sys
from pathlib import Path

import platformdirs
import pytest
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from engine.errors import ColorizeError
from engine.models.checkpoint import PACKAGE_WEIGHTS, search_folders
from engine.protocol.connection import FolderError, runtime_folder
from engine.system.folders import user_data_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return tmp_path


def on(monkeypatch: pytest.MonkeyPatch, platform: str, kind: type[Unix | Windows]) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(platformdirs, "PlatformDirs", kind)


@pytest.mark.skipif(sys.platform == "win32", reason="the paths of Unix")
def test_linux_has_them_where_xdg_says_or_in_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "linux", Unix)
    assert user_data_folder() == home / ".local" / "share" / "colorize"
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert user_data_folder() == home / ".local" / "share" / "colorize"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    assert user_data_folder() == home / ".local" / "share" / "colorize"
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert user_data_folder() == home / "data" / "colorize"


@pytest.mark.skipif(sys.platform == "win32", reason="the users of Unix")
def test_a_user_without_name_and_home_gets_an_error_with_a_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(_: int) -> None:
        raise KeyError("no such user")

    monkeypatch.chdir(home)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    on(monkeypatch, "linux", Unix)
    with pytest.raises(ColorizeError, match="home folder is not known; set HOME"):
        user_data_folder()
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("COLORIZE_RUNTIME", raising=False)
    with pytest.raises(FolderError, match="home folder is not known; set HOME or COLORIZE_RUNTIME"):
        runtime_folder()
    assert search_folders(None) == [PACKAGE_WEIGHTS]
    assert list(home.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there Windows itself says where, not its environment")
def test_windows_has_them_in_the_local_folder_without_an_author(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "win32", Windows)
    folders = {"CSIDL_LOCAL_APPDATA": str(home / "AppData" / "Local")}
    monkeypatch.setattr("platformdirs.windows.get_win_folder", folders.__getitem__)
    assert user_data_folder() == home / "AppData" / "Local" / "colorize"


def test_macos_has_them_in_the_library_whatever_xdg_says(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    assert user_data_folder() == home / "Library" / "Application Support" / "colorize"
