"""What a killed engine has left goes; what only looks like it stays."""

from __future__ import annotations

import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.protocol.connection import Connection, write_connection
from engine.service.leftovers import SHORT, clean_up, make_short_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="socket files are of POSIX")
SESSION = "0123456789ab"


def publish(where: Path, sockets: Path) -> None:
    """Leave the connection file of an engine that has been killed."""
    jobs, control = (f"ipc://{sockets / SESSION}.{kind}" for kind in ("jobs", "control"))
    write_connection(Connection(1, jobs, control, 1, "0.1", SESSION, time.time()), where / "engine.json")


def leave_socket(path: Path) -> None:
    """Bind a socket and let it lie, as a killed process does."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    folder = make_short_folder()
    yield folder
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_a_runtime_folder_of_the_users_keeps_all_that_is_not_the_engines(elsewhere: Path) -> None:
    # Its name is like that of a folder of ours: only what lies in it tells.
    mine = ["drawing.kra", "letters.jobs", "exchange-rates.tmp", "engine.json.bak", f"{SESSION}.control"]
    for name in mine:
        (elsewhere / name).write_text("mine")
    leave_socket(elsewhere / f"{SESSION}.jobs")
    (elsewhere / ".engine.json.abcdefgh").write_text("")
    publish(elsewhere, elsewhere)
    clean_up(elsewhere)
    assert sorted(p.name for p in elsewhere.iterdir()) == sorted(mine)


def test_a_folder_for_sockets_goes_with_them(elsewhere: Path, tmp_path: Path) -> None:
    for kind in ("jobs", "control"):
        leave_socket(elsewhere / f"{SESSION}.{kind}")
    publish(tmp_path, elsewhere)
    clean_up(tmp_path)
    assert not elsewhere.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_sockets_with_anything_else_in_it_stays(elsewhere: Path, tmp_path: Path) -> None:
    leave_socket(elsewhere / f"{SESSION}.jobs")
    (elsewhere / "drawing.kra").write_text("mine")
    publish(tmp_path, elsewhere)
    clean_up(tmp_path)
    assert [p.name for p in elsewhere.iterdir()] == ["drawing.kra"]


@pytest.mark.parametrize("name", ["colorize-project", "colorize-abcdefgh"])
def test_a_folder_that_the_connection_file_names_is_not_touched_by_its_name_alone(name: str, tmp_path: Path) -> None:
    where, folder = tmp_path / "run", tmp_path / name
    where.mkdir(mode=0o700)
    folder.mkdir()
    (folder / "drawing.kra").write_text("mine")
    publish(where, folder)
    clean_up(where)
    assert (folder / "drawing.kra").read_text() == "mine"


def test_a_link_with_the_name_of_a_folder_for_sockets_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "art"
    target.mkdir()
    leave_socket(target / f"{SESSION}.jobs")
    link = SHORT / f"colorize-{uuid.uuid4().hex[:8]}"
    link.symlink_to(target)
    try:
        publish(tmp_path, link)
        clean_up(tmp_path)
        assert link.is_symlink()
        assert (target / f"{SESSION}.jobs").exists()
    finally:
        link.unlink(missing_ok=True)
