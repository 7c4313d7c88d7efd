"""Finds the Kritas of this user: their folders, their programs, the Python inside them, and whether one runs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from engine.errors import ColorizeError
from installer import kritarc

System = Literal["linux", "windows", "macos"]
FLATPAK = "org.kde.krita"
MARKS = ("resourcecache.sqlite", "KRITA_RESOURCE_VERSION", "pykrita", "paintoppresets")
"""What lies in a folder of Krita's resources."""
BUILDS = {"5.0": "3.8", "5.1": "3.8", "5.2": "3.10", "5.3": "3.13", "6.0": "3.13"}
"""Python of the official builds."""


@dataclass(frozen=True)
class Machine:
    """What is asked about the computer; tests give another.

    Attributes:
        system: its kind.
        processor: as ``platform.machine()`` gives it.
        home: of the user.
        env: environment variables.
        root: where the system's folders begin.
    """

    system: System
    processor: str
    home: Path
    env: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path("/")

    def folder(self, variable: str, *usual: str) -> Path:
        """The folder an environment variable names, else the usual one in the home folder."""
        named = self.env.get(variable, "")
        return Path(named) if Path(named).is_absolute() else self.home.joinpath(*usual)


def this_machine() -> Machine:
    """The computer this runs on."""
    systems: dict[str, System] = {"win32": "windows", "darwin": "macos"}
    return Machine(systems.get(sys.platform, "linux"), platform.machine(), Path.home(), dict(os.environ))


@dataclass(frozen=True)
class Krita:
    """One set of Krita's folders; several programs may share it.

    Attributes:
        title: for people.
        data: folder of resources; ``pykrita`` is in it. It need not exist.
        settings: the file kritarc; it need not exist. None where nobody knows it.
        flatpak: whether Krita runs in Flatpak's sandbox.
        programs: with this folder, as far as found.
        pythons: versions inside these programs, as far as they can be told.
    """

    title: str
    data: Path
    settings: Path | None
    flatpak: bool = False
    programs: tuple[Path, ...] = ()
    pythons: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The title and the folder."""
        inside = f", Python {' and '.join(self.pythons)}" if self.pythons else ""
        return f"{self.title}{inside}: {self.data}"


def find_kritas(machine: Machine) -> list[Krita]:
    """Every Krita of this user, the usual one first."""
    finders = {"linux": _linux, "windows": _windows, "macos": _macos}
    found = [k for k in finders[machine.system](machine) if k.programs or k.data.is_dir()]
    return [replace(k, data=_moved(k) or k.data) for k in found]


def named_krita(folder: Path, machine: Machine) -> Krita:
    """The Krita of a folder that the user named.

    Raises:
        ColorizeError: it is no folder of Krita's resources.
    """
    folder = folder.expanduser().absolute()
    if folder.name == "pykrita" and not any((folder / mark).exists() for mark in MARKS):
        folder = folder.parent
    for krita in find_kritas(machine):
        if os.path.realpath(krita.data) == os.path.realpath(folder):
            return krita
    if not any((folder / mark).exists() for mark in MARKS):
        known = ", ".join(str(k.data) for k in find_kritas(machine)) or "none was found"
        raise ColorizeError(
            f"{folder} is not a folder of Krita's resources",
            f"name the one that Krita shows under Settings > Manage Resources > Open Resource Folder (known: {known})",
            wrong_use=True,
        )
    return Krita("Krita", folder, None)


def _linux(machine: Machine) -> Iterator[Krita]:
    programs = _programs(machine, "usr/local/bin/krita", "usr/bin/krita", "opt/krita/bin/krita")
    images = []
    for place in ("Applications", "bin", ".local/bin", "Desktop", "Downloads", "."):
        folder = machine.home / place
        names = _listed(folder)
        images += [folder / n for n in names if re.fullmatch(r"krita[-_.\d].*\.appimage", n, re.IGNORECASE)]
    pythons = [_linked_python(p) for p in programs] + [_build_python(p.name) for p in images]
    title = "Krita" if programs else "Krita AppImage" if images else "Krita's folder (no program found)"
    data = machine.folder("XDG_DATA_HOME", ".local", "share") / "krita"
    settings = machine.folder("XDG_CONFIG_HOME", ".config") / "kritarc"
    yield Krita(title, data, settings, False, (*programs, *images), _known(pythons))

    own = machine.home / ".var" / "app" / FLATPAK
    places = (machine.home / ".local" / "share" / "flatpak", machine.root / "var" / "lib" / "flatpak")
    apps = [p / "app" / FLATPAK / "current" / "active" / "files" for p in places]
    apps = [app for app in apps if app.is_dir()]
    pythons = [_linked_python(app / "bin" / "krita") for app in apps]
    yield Krita(
        "Krita from Flatpak", own / "data" / "krita", own / "config" / "kritarc", True, tuple(apps), _known(pythons)
    )


def _windows(machine: Machine) -> Iterator[Krita]:
    local = machine.folder("LOCALAPPDATA", "AppData", "Local")
    data = machine.folder("APPDATA", "AppData", "Roaming") / "krita"
    roots = {machine.env.get(v, "") for v in ("ProgramFiles", "ProgramW6432")} - {""}
    programs = [p for root in sorted(roots) for p in Path(root).glob("Krita*/bin/krita.exe")]
    libraries = [n for p in programs for n in _listed(p.parent) + _listed(p.parent.parent / "python")]
    pythons = [f"3.{m[1]}" for n in libraries if (m := re.fullmatch(r"python3(\d+)\.dll", n, re.IGNORECASE))]
    yield Krita("Krita", data, local / "kritarc", False, tuple(programs), _known(pythons))
    for package in sorted((local / "Packages").glob("49800Krita_*")):
        cache = package / "LocalCache"
        yield Krita("Krita from the Microsoft Store", cache / "Roaming" / "krita", cache / "Local" / "kritarc")


def _macos(machine: Machine) -> Iterator[Krita]:
    library = machine.home / "Library"
    places = (machine.root / "Applications", machine.home / "Applications")
    programs = [p / "krita.app" for p in places if (p / "krita.app").is_dir()]
    inside = "Contents/Frameworks/Python.framework/Versions"
    pythons = [n for p in programs for n in _listed(p / inside) if re.fullmatch(r"3\.\d+", n)]
    data = library / "Application Support" / "Krita"
    yield Krita("Krita", data, library / "Preferences" / "kritarc", False, tuple(programs), _known(pythons))


def _programs(machine: Machine, *usual: str) -> list[Path]:
    on_path = shutil.which("krita", path=machine.env.get("PATH", ""))
    paths = [Path(on_path)] if on_path else []
    paths += [machine.root / p for p in usual if (machine.root / p).is_file()]
    return list({os.path.realpath(p): p for p in reversed(paths)}.values())


def _linked_python(program: Path) -> str:
    """The Python that Krita's plugin for Python is linked to: the name of that library is plain text in the file."""
    prefix = Path(os.path.realpath(program)).parent.parent
    for library in (p for pattern in ("lib*", "lib/*") for p in prefix.glob(f"{pattern}/kritaplugins/kritapykrita.so")):
        try:
            found = re.search(rb"libpython(3\.\d+)\D", library.read_bytes())
        except OSError:
            continue
        if found:
            return found[1].decode("ascii")
    return ""


def _build_python(name: str) -> str:
    """The Python inside an official build, by its file name."""
    version = re.search(r"(\d+\.\d+)", name)
    return BUILDS.get(version[1], "") if version else ""


def _known(pythons: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(p for p in pythons if p))


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(p.name for p in folder.iterdir())
    except OSError:
        return []


def _moved(krita: Krita) -> Path | None:
    """Where the artist moved Krita's resources to; plugins are looked for there only."""
    try:
        moved = kritarc.resource_folder(krita.settings.read_bytes()) if krita.settings else ""
    except OSError:
        return None
    return Path(moved) if moved and Path(moved).is_dir() else None


def running(krita: Krita, machine: Machine) -> list[int]:
    """Numbers of the processes of Krita that use the same settings or folder, or may do so."""
    if machine.system == "linux":
        return [pid for pid in _linux_processes() if _uses(pid, krita, machine)]
    if machine.system == "windows":
        text = _output("tasklist", "/FI", "IMAGENAME eq krita.exe", "/FO", "CSV", "/NH")
        return [int(pid) for pid in re.findall(r'^"krita\.exe","(\d+)"', text, re.IGNORECASE | re.MULTILINE)]
    text = _output("ps", "-axo", "pid=,comm=")
    return [int(pid) for pid in re.findall(r"^\s*(\d+)\s.*/MacOS/krita$", text, re.MULTILINE)]


def _linux_processes() -> list[int]:
    return sorted(int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_own_krita(entry))


def _is_own_krita(entry: Path) -> bool:
    try:
        return entry.stat().st_uid == os.getuid() and (entry / "exe").readlink().name == "krita"
    except OSError:  # it has ended, or nobody may look
        return False


def _uses(pid: int, krita: Krita, machine: Machine) -> bool:
    """Whether a process has the same settings file; one that does not show its environment may have."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return True
    env = dict(item.split("=", 1) for item in os.fsdecode(text).split("\0") if "=" in item)
    if not env.get("HOME") or krita.settings is None:
        return True
    its = replace(machine, home=Path(env["HOME"]), env=env).folder("XDG_CONFIG_HOME", ".config") / "kritarc"
    return os.path.realpath(its) == os.path.realpath(krita.settings)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
