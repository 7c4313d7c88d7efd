"""The compiled libraries the plugin brings along, pyzmq and msgpack: which files, where from, and into which folder.

By default the wheels of every Python that a Krita may have go into one folder: the same folder serves a Krita that is
updated to another Python, and the distribution's Krita beside an AppImage, which share it anyway. All wheels are of one
version, so that their Python files are the same, and their compiled files have the Python in their names. Which files
those are, and their digests, is fixed in ``wheels.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.errors import ColorizeError
from installer.places import Machine, System

PYTHONS = ("3.8", "3.10", "3.11", "3.12", "3.13", "3.14")
"""Versions that a supported Krita may have."""
_OFFLINE = re.compile(r"connection broken by|ConnectionError|ProxyError|ConnectTimeout|ReadTimeout|SSLError")
_LIST = Path(__file__).parent / "wheels.json"


@dataclass(frozen=True)
class Wheel:
    """One file of ``wheels.json``.

    Attributes:
        name: of the file.
        digest: SHA-256.
    """

    name: str
    digest: str

    @property
    def project(self) -> str:
        """``pyzmq`` or ``msgpack``."""
        return self.name.split("-")[0]

    @property
    def version(self) -> str:
        """Of the project."""
        return self.name.split("-")[1]

    @property
    def python(self) -> str:
        """The tag of the Python it is for, such as ``cp311``."""
        return self.name.split("-")[2]

    @property
    def platforms(self) -> list[str]:
        """The tags of its platforms."""
        return self.name[: -len(".whl")].split("-")[4].split(".")

    def serves(self, python: str) -> bool:
        """Whether the compiled part works in a version such as ``3.11``."""
        minor, own = int(python.split(".")[1]), int(self.python[len("cp3") :])
        return minor >= own if "-abi3-" in self.name else minor == own


def wheels_for(system: System, machine: Machine, pythons: Iterable[str] | None = None) -> list[Wheel]:
    """The wheels a Krita needs.

    Args:
        system: on which Krita runs.
        machine: this computer; its processor counts where the system is the same.
        pythons: versions inside Krita; None = every one.

    Raises:
        ColorizeError: there is none for that processor or that Python.
    """
    kinds = json.loads(_LIST.read_text(encoding="utf-8"))
    processor = {"windows": "amd64", "macos": "universal2"}.get(system, "x86_64")
    if system == machine.system == "linux":
        processor = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.processor.lower(), machine.processor.lower())
    if f"{system}/{processor}" not in kinds:
        raise ColorizeError(
            f"there are no pyzmq wheels for {system} on {processor}",
            "Linux needs an x86_64 or aarch64 processor; use another computer for Krita with Colorize",
        )
    wheels = [Wheel(name, digest) for name, digest in kinds[f"{system}/{processor}"].items()]
    if pythons is None:
        return wheels
    wanted: dict[str, Wheel] = {}
    for python in pythons:
        serving = [w for w in wheels if w.serves(python)]
        if not any(w.project == "pyzmq" for w in serving):
            raise ColorizeError(
                f"there is no pyzmq wheel for Python {python} on {system} {processor}",
                f"use a Krita with one of Python {', '.join(PYTHONS)}",
            )
        if not any(w.project == "msgpack" for w in serving):
            serving.append([w for w in wheels if w.project == "msgpack"][-1])  # it also works uncompiled
        wanted.update({w.name: w for w in serving})
    return list(wanted.values())


def download(wheels: list[Wheel], folder: Path, say: Callable[[str], None]) -> None:
    """Get wheels with pip, from wherever pip is set up to get them, and check them.

    Raises:
        ColorizeError: there is no network, no pip or no such wheel.
    """
    tags = sorted({w.python for w in wheels}, key=lambda tag: int(tag[len("cp3") :]))

    def get(tag: str) -> None:
        some = [w for w in wheels if w.python == tag]
        options = [f"--platform={p}" for p in sorted({p for w in some for p in w.platforms})]
        options += [
            "--only-binary=:all:",
            "--no-deps",
            f"--python-version=3.{tag[len('cp3') :]}",
            "--implementation=cp",
        ]
        options += [f"--dest={folder}", "--retries=1", "--no-input", "--disable-pip-version-check"]
        _pip("download", *options, *(f"{w.project}=={w.version}" for w in some))

    say(f"downloading {len(wheels)} wheels of {' and '.join(sorted({f'{w.project} {w.version}' for w in wheels}))}")
    with ThreadPoolExecutor(4) as pool:  # pip knows one Python at a time, and mostly waits
        list(pool.map(get, tags))
    _check(wheels, folder, "the registry", "report it: the registry gave another file than the one Colorize knows")


def _pip(*arguments: str) -> None:
    try:
        command = [sys.executable, "-m", "pip", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as e:
        raise ColorizeError(f"pip did not work ({e})", "try again, or use --bundle FILE") from e
    if not done.returncode:
        return
    said = done.stdout + done.stderr
    errors = [line[len("ERROR: ") :].strip() for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = (errors or said.splitlines()[-1:] or ["it did not say why"])[0]
    if "No module named pip" in said:
        raise ColorizeError(
            f"{sys.executable} has no pip", f"run `{sys.executable} -m ensurepip`, or use --bundle FILE"
        )
    if _OFFLINE.search(said):
        raise ColorizeError(
            "the package registry cannot be reached",
            "connect this computer to the network, or make a file on another one with `colorize-install bundle FILE` "
            "and use --bundle FILE here",
        )
    if "No space left" in said:
        raise ColorizeError("the disk is full", "free some space and run this again")
    if "No matching distribution" in said or "Could not find a version" in said:
        raise ColorizeError(f"no matching wheel: {reason}", "use another package registry, or --bundle FILE")
    raise ColorizeError(f"pip did not work: {reason}", "mend what it says, or use --bundle FILE")


def take_from_bundle(wheels: list[Wheel], bundle: Path, folder: Path) -> None:
    """Copy wheels out of a file of ``write_bundle`` and check them.

    Raises:
        ColorizeError: the file is none, or is for another version or system.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            there = set(archive.namelist())
            for wheel in wheels:
                if wheel.name in there:
                    (folder / wheel.name).write_bytes(archive.read(wheel.name))
    except (zipfile.BadZipFile, OSError, EOFError) as e:
        raise ColorizeError(
            f"{bundle} cannot be read as a bundle ({e})", "make it again with `colorize-install bundle`"
        ) from e
    _check(wheels, folder, str(bundle), "make it again with this version's `colorize-install bundle`")


def _check(wheels: list[Wheel], folder: Path, source: str, remedy: str) -> None:
    for wheel in wheels:
        path = folder / wheel.name
        if not path.is_file():
            raise ColorizeError(f"no matching wheel: {source} has no {wheel.name}", remedy)
        if hashlib.sha256(path.read_bytes()).hexdigest() != wheel.digest:
            raise ColorizeError(f"{wheel.name} from {source} is damaged or not the original", remedy)


def unpack(wheels: list[Wheel], folder: Path, vendor: Path) -> None:
    """Unpack checked wheels into one folder.

    Args:
        wheels: of one system.
        folder: where their files are.
        vendor: to unpack into; created.
    """
    vendor.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        with zipfile.ZipFile(folder / wheel.name) as archive:
            for name in archive.namelist():
                parts = PurePosixPath(name).parts
                if name.startswith("/") or "\\" in name or ".." in parts:
                    raise ColorizeError(f"{wheel.name} wants to write outside its folder", "report it")
                target = vendor.joinpath(*parts)
                # Of the notes about the wheels only what is the same in each is kept, the licences among it.
                if (
                    name.endswith("/")
                    or (target.exists() and ".dist-info/" in name)
                    or parts[-1] in ("RECORD", "WHEEL")
                ):
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                data = archive.read(name)
                if target.exists() and target.read_bytes() != data:
                    raise ColorizeError(f"{name} is not the same in every wheel", "use --krita-python VERSION")
                target.write_bytes(data)


def copy_unpacked(installed: Path, vendor: Path) -> None:
    """Take the libraries over from the installation before."""
    shutil.copytree(installed, vendor, ignore=shutil.ignore_patterns("__pycache__"))
