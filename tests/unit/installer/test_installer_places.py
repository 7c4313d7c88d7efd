"""Finding Krita on machines of every kind, which the tests make up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import ColorizeError
from installer.places import Krita, Machine, System, find_kritas, named_krita, running

Make = Callable[..., Machine]


@pytest.fixture
def machine(tmp_path: Path) -> Make:
    """Maker of a machine with nothing on it but empty folders."""

    def make(system: System = "linux", **env: str) -> Machine:
        (tmp_path / "home").mkdir(exist_ok=True)
        return Machine(system, "x86_64", tmp_path / "home", env, tmp_path / "root")

    return make


def put(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_machine_without_krita_has_none(machine: Make) -> None:
    for system in ("linux", "windows", "macos"):
        assert find_kritas(machine(system)) == []


def test_a_distributions_krita_is_found_with_the_python_it_is_linked_to(machine: Make) -> None:
    here = machine()
    put(here.root / "usr/bin/krita").chmod(0o755)
    put(
        here.root / "usr/lib/x86_64-linux-gnu/kritaplugins/kritapykrita.so",
        b"\x7fELF\0libpython3.11.so.1.0\0libkritaui.so",
    )
    (krita,) = find_kritas(here)
    assert krita.pythons == ("3.11",)
    assert krita.data == here.home / ".local/share/krita"
    assert krita.settings == here.home / ".config/kritarc"


def test_the_users_own_xdg_folders_are_honoured_unless_they_are_not_absolute(machine: Make, tmp_path: Path) -> None:
    here = machine(XDG_DATA_HOME=str(tmp_path / "data"), XDG_CONFIG_HOME="relative")
    (tmp_path / "data/krita").mkdir(parents=True)
    (krita,) = find_kritas(here)
    assert krita.data == tmp_path / "data/krita"
    assert krita.settings == here.home / ".config/kritarc"


@pytest.mark.parametrize(
    ("name", "python"),
    [("krita-5.2.11-x86_64.AppImage", "3.10"), ("krita-5.3.0.appimage", "3.13"), ("krita-7.1.appimage", None)],
)
def test_an_appimage_uses_the_usual_folder_and_its_name_tells_the_python(
    machine: Make, name: str, python: str | None
) -> None:
    here = machine()
    image = put(here.home / "Downloads" / name)
    (krita,) = find_kritas(here)
    assert krita.programs == (image,)
    assert krita.pythons == ((python,) if python else ())
    assert krita.data == here.home / ".local/share/krita"


def test_flatpak_has_folders_of_its_own(machine: Make) -> None:
    here = machine()
    app = here.root / "var/lib/flatpak/app/org.kde.krita/current/active/files"
    put(app / "lib/kritaplugins/kritapykrita.so", b"libpython3.12.so")
    (krita,) = find_kritas(here)
    assert krita.flatpak
    assert krita.pythons == ("3.12",)
    assert krita.data == here.home / ".var/app/org.kde.krita/data/krita"
    assert krita.settings == here.home / ".var/app/org.kde.krita/config/kritarc"


def test_windows_has_its_folders_apart_and_the_store_another(machine: Make, tmp_path: Path) -> None:
    roaming, local, programs = tmp_path / "Roaming", tmp_path / "Local", tmp_path / "Program Files"
    here = machine("windows", APPDATA=str(roaming), LOCALAPPDATA=str(local), ProgramFiles=str(programs))
    for name in ("krita.exe", "python3.dll", "python310.dll"):
        put(programs / "Krita (x64)/bin" / name)
    store = local / "Packages/49800Krita_x1y2/LocalCache"
    (store / "Roaming/krita").mkdir(parents=True)
    usual, other = find_kritas(here)
    assert (usual.data, usual.settings, usual.pythons) == (roaming / "krita", local / "kritarc", ("3.10",))
    assert (other.data, other.settings) == (store / "Roaming/krita", store / "Local/kritarc")


def test_macos_keeps_settings_in_preferences(machine: Make) -> None:
    here = machine("macos")
    (here.root / "Applications/krita.app/Contents/Frameworks/Python.framework/Versions/3.10").mkdir(parents=True)
    (krita,) = find_kritas(here)
    assert krita.pythons == ("3.10",)
    assert krita.data == here.home / "Library/Application Support/Krita"
    assert krita.settings == here.home / "Library/Preferences/kritarc"


def test_resources_that_the_artist_moved_are_followed(machine: Make, tmp_path: Path) -> None:
    here = machine()
    moved = tmp_path / "my art"
    moved.mkdir()
    (here.home / ".local/share/krita").mkdir(parents=True)
    put(here.home / ".config/kritarc", f"ResourceDirectory={moved}\n[General]\n".encode())
    assert find_kritas(here)[0].data == moved


def test_the_plugin_folder_may_be_named_in_place_of_the_one_above_it(machine: Make) -> None:
    here = machine()
    data = here.home / ".local/share/krita"
    (data / "pykrita").mkdir(parents=True)
    assert named_krita(data / "pykrita", here) == named_krita(data, here) == find_kritas(here)[0]


def test_a_folder_of_resources_that_is_not_the_usual_one_is_taken_without_settings(
    machine: Make, tmp_path: Path
) -> None:
    put(tmp_path / "portable/resourcecache.sqlite")
    krita = named_krita(tmp_path / "portable", machine())
    assert (krita.data, krita.settings) == (tmp_path / "portable", None)


def test_any_other_folder_is_refused(machine: Make, tmp_path: Path) -> None:
    with pytest.raises(ColorizeError, match="is not a folder of Krita's resources") as caught:
        named_krita(tmp_path, machine())
    assert caught.value.wrong_use


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Starter of a process named krita with given variables; returns its number."""
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "krita")
    started = []

    def start(**env: str) -> int:
        child = subprocess.Popen([program, "60"], env=env)
        started.append(child)
        there, patience = Path(f"/proc/{child.pid}"), time.monotonic() + 60
        # The program is in place a moment before its variables are.
        while time.monotonic() < patience and not (
            os.path.realpath(there / "exe") == os.path.realpath(program) and (there / "environ").read_bytes()
        ):
            time.sleep(0.01)
        return child.pid

    yield start
    for child in started:
        child.kill()
        child.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_running_krita_counts_where_it_has_the_same_settings(
    machine: Make, process: Callable[..., int], tmp_path: Path
) -> None:
    here = machine()
    mine = Krita("Krita", tmp_path, here.home / ".config/kritarc")
    assert running(mine, here) == []
    process(HOME=str(tmp_path / "somebody else"))
    assert running(mine, here) == []
    first = process(HOME=str(here.home))
    second = process(HOME="/nowhere", XDG_CONFIG_HOME=str(here.home / ".config"))
    assert running(mine, here) == sorted([first, second])


@pytest.mark.skipif(sys.platform == "win32", reason="makes programs by scripts")
@pytest.mark.parametrize(
    ("system", "program", "answer"),
    [
        ("windows", "tasklist", '"krita.exe","4711","Console","1","200,000 K"'),
        ("macos", "ps", "    1 /sbin/launchd\n 4711 /Applications/krita.app/Contents/MacOS/krita\n"),
    ],
)
def test_other_systems_are_asked_by_their_own_programs(
    machine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: System, program: str, answer: str
) -> None:
    script = put(tmp_path / "bin" / program, f"#!/bin/sh\ncat <<'END'\n{answer}\nEND\n".encode())
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    here = machine(system)
    assert running(Krita("Krita", tmp_path, None), here) == [4711]
    script.write_text("#!/bin/sh\necho INFO: No tasks are running\n")
    assert running(Krita("Krita", tmp_path, None), here) == []
