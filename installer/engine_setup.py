"""Which Python runs the engine: tries it, and writes it down in ``setup.json``, where the plugin looks for it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from engine import __version__
from engine.errors import ColorizeError
from installer.places import FLATPAK, Krita, Machine

NAME = "setup.json"
HOST = ["flatpak-spawn", "--host"]
"""How a program in Flatpak's sandbox starts one outside."""
_MODULE = ["-s", "-m", "engine.cli"]


def check_python(python: Path) -> None:
    """Try whether a Python has the engine, of this version.

    Raises:
        ColorizeError: it has not.
    """
    code = "import engine; print(engine.__version__)"
    done = run_quietly([str(python), "-s", "-c", code], 60)
    if done is None:
        raise ColorizeError(f"{python} cannot be run as Python", "name a Python with --engine-python", wrong_use=True)
    said = (done.stdout + done.stderr).strip().splitlines() or [""]
    if done.returncode:
        raise ColorizeError(
            f"{python} cannot load the engine ({said[-1]})",
            "install it there (`python -m pip install .` in Colorize's folder), or name another with --engine-python",
        )
    if said[-1] != __version__:
        raise ColorizeError(
            f"{python} has engine {said[-1]}, but this installer is for {__version__}",
            "install the same version there, or name another Python with --engine-python",
        )


def run_quietly(command: list[str], seconds: float) -> subprocess.CompletedProcess[str] | None:
    """Run a command as the plugin would, from an empty folder; None where it cannot be started or takes too long."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    env["PYTHONUTF8"] = "1"
    try:
        with tempfile.TemporaryDirectory() as folder:
            return subprocess.run(  # noqa: S603
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, env=env, cwd=folder
            )
    except (OSError, subprocess.TimeoutExpired):
        return None


def contents(krita: Krita, python: Path) -> bytes:
    """The text of ``setup.json``."""
    command, runtime = [os.path.abspath(python), *_MODULE], ""  # noqa: PTH100 (a link in a virtual environment must stay)
    if krita.flatpak:
        runtime = str(run_folder(krita))
        command = [*HOST, f"--env=COLORIZE_RUNTIME={runtime}", *command]
    about = {"format": 1, "version": __version__, "command": command, "runtime": runtime}
    return (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def run_folder(krita: Krita) -> Path:
    """Where the engine and a Krita in Flatpak's sandbox meet: both see this folder."""
    return krita.data.parent / "colorize" / "run"


def setup_file(krita: Krita) -> Path:
    """Where ``setup.json`` is; outside the plugin's folder, which Krita's own importer replaces."""
    return krita.data / "colorize" / NAME


def read(krita: Krita) -> dict[str, Any] | None:
    """The values in ``setup.json``; None where it is missing or broken."""
    try:
        about = json.loads(setup_file(krita).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    command = about.get("command") if isinstance(about, dict) and about.get("format") == 1 else None
    good = isinstance(command, list) and len(command) > len(_MODULE) and all(isinstance(c, str) for c in command)
    return about if good else None


def command_here(about: dict[str, Any]) -> list[str]:
    """The command as it is outside Flatpak's sandbox."""
    command: list[str] = about["command"]
    if command[: len(HOST)] == HOST:
        command = [c for c in command[len(HOST) :] if not c.startswith("--env=")]
    return command


def stored_python(krita: Krita) -> Path | None:
    """The Python in ``setup.json``."""
    about = read(krita)
    return Path(command_here(about)[0]) if about else None


def may_leave_sandbox(machine: Machine) -> bool:
    """Whether Flatpak lets Krita start programs outside; the artist has to allow it."""
    overrides = machine.folder("XDG_DATA_HOME", ".local", "share") / "flatpak" / "overrides" / FLATPAK
    try:
        lines = overrides.read_text(encoding="utf-8").replace(" ", "").splitlines()
    except OSError:
        return False
    return "org.freedesktop.Flatpak=talk" in lines
