"""The connection file and its folder: private, whole or not there, and never trusted."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import (
    Connection,
    FolderError,
    connection_file,
    pid_alive,
    read_connection,
    remove_connection,
    runtime_folder,
    write_connection,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLORIZE_RUNTIME", str(tmp_path / "private ünd with spaces"))
    return tmp_path / "private ünd with spaces"


def connection(session: str = "s", pid: int = 0, **changes: Any) -> Connection:
    values = Connection(
        pid or os.getpid(), "tcp://127.0.0.1:5", "ipc:///x/y", 1, "0.1", session, 1.5, "pub", "mine", "secret"
    )
    return dataclasses.replace(values, **changes)


def test_the_folder_and_the_file_are_private(runtime: Path) -> None:
    old = os.umask(0)
    try:
        write_connection(connection())
    finally:
        os.umask(old)
    assert connection_file() == runtime / "engine.json"
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert connection_file().stat().st_mode & 0o777 == 0o600
    assert [p.name for p in runtime.iterdir()] == ["engine.json"]
    assert read_connection() == connection()
    assert "secret" not in repr(connection())
    assert "mine" not in str(connection())


def test_the_places_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORIZE_RUNTIME", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert runtime_folder() == tmp_path / "run" / "colorize"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "not/absolute")
    assert runtime_folder() == tmp_path / "data" / "colorize" / "run"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for value in ("", "not/absolute"):
        monkeypatch.setenv("XDG_DATA_HOME", value)
        assert runtime_folder() == tmp_path / "home" / ".local" / "share" / "colorize" / "run"
    monkeypatch.setenv("COLORIZE_RUNTIME", str(tmp_path / "own"))
    assert runtime_folder() == tmp_path / "own"
    monkeypatch.setenv("COLORIZE_RUNTIME", "near")
    assert runtime_folder() == tmp_path / "near"


def test_a_folder_that_is_not_private_is_refused(runtime: Path, tmp_path: Path) -> None:
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    with pytest.raises(FolderError, match=r"open to other users \(mode 0755\); .*chmod 700"):
        runtime_folder()
    runtime.rmdir()
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    runtime.symlink_to(target)
    with pytest.raises(FolderError, match="is no folder"):
        runtime_folder()
    runtime.unlink()
    runtime.write_text("")
    with pytest.raises(FolderError, match="is no folder"):
        runtime_folder()


def test_a_folder_of_somebody_else_is_refused(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.mkdir(mode=0o700)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(FolderError, match="belongs to another user"):
        runtime_folder()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COLORIZE_RUNTIME", str(tmp_path / "file" / "run"))
    with pytest.raises(FolderError, match="cannot be made"):
        runtime_folder()


GOOD = dataclasses.asdict(connection())
NOT_TEXT: tuple[Any, ...] = (None, 7, [])
BROKEN: list[Any] = [
    *({**GOOD, k: v} for k in ("pid", "protocol") for v in (None, "1", 0, -1, True, 2**40, 1.0)),
    *({**GOOD, k: v} for k in ("jobs", "control") for v in (None, 7, "", "inproc://x", "http://a", "pgm://x")),
    *({**GOOD, k: v} for k in ("version", "session") for v in (None, 7, "")),
    *({**GOOD, k: v} for k in ("server_key", "client_public", "client_secret") for v in NOT_TEXT),
    *({**GOOD, k: v} for k in ("process_start", "runtime") for v in NOT_TEXT),
    *({**GOOD, "started": v} for v in (None, "now", True, float("nan"), float("inf"))),
    *({k: v for k, v in GOOD.items() if k != gone} for gone in ("pid", "jobs", "control", "protocol", "session")),
    [], None, 1, "text", {},
]  # fmt: skip


def test_broken_files_are_none(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    assert read_connection(path) is None
    path.touch(0o600)
    whole = json.dumps(GOOD)
    for text in [json.dumps(b) for b in BROKEN] + [whole[:n] for n in range(0, len(whole), 7)] + ["[" * 50000]:
        path.write_text(text)
        assert read_connection(path) is None, text[:200]
    for raw in (b"\xff\xfe", b"\0" * 100, whole.encode() + b" " * 70000):
        path.write_bytes(raw)
        assert read_connection(path) is None
    path.write_text(json.dumps({**GOOD, "future": 1}))
    assert read_connection(path) == connection()
    path.chmod(0o644)
    assert read_connection(path) is None
    assert read_connection(tmp_path) is None


@given(st.binary(max_size=300) | plain.map(lambda v: json.dumps(v).encode()))
def test_any_file_does_no_harm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "engine.json"
    path.touch(0o600)
    path.write_bytes(content)
    assert read_connection(path) is None


def test_a_file_of_an_older_engine_is_read(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.touch(0o600)
    path.write_text(json.dumps({k: v for k, v in GOOD.items() if k not in ("process_start", "runtime")}))
    found = read_connection(path)
    assert found is not None
    assert (found.pid, found.process_start, found.runtime) == (os.getpid(), "", "")


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path, stop, seen = tmp_path / "engine.json", threading.Event(), set()
    write_connection(connection("s0"), path)

    def read() -> None:
        while not stop.is_set():
            found = read_connection(path)
            seen.add(None if found is None else found.session)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(100):
        write_connection(connection(f"s{n}", version="v" * (n + 1)), path)
    stop.set()
    reader.join()
    assert None not in seen
    assert [p.name for p in tmp_path.iterdir()] == ["engine.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "engine.json"
    write_connection(connection("old"), path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_connection(connection("new"), path)
    assert read_connection(path) == connection("old")
    assert [p.name for p in tmp_path.iterdir()] == ["engine.json"]


def test_only_the_own_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    remove_connection("s", path)
    write_connection(connection("mine"), path)
    remove_connection("other", path)
    assert path.exists()
    remove_connection("mine", path)
    assert not path.exists()


def test_pids_of_the_living_the_dead_and_the_unburied() -> None:
    assert pid_alive(os.getpid())
    assert not pid_alive(0)
    assert not pid_alive(-1)
    assert not pid_alive(2**40)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert pid_alive(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not pid_alive(process.pid)
    assert not pid_alive(process.pid)
