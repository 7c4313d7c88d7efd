"""Which command starts the engine: the artist's own choice, or what the installer has stored."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Mendable
from ..i18n import tr

FORMAT = 1
MODULE = ["-s", "-m", "engine.cli"]
SANDBOX = "flatpak-spawn"
"""The one command that is looked up by its name: it leads out of a Flatpak."""
MAX_FILE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Setup:
    """How to start the engine.

    Attributes:
        command: its first words; ``serve`` and options follow.
        runtime: folder of the connection file where the usual one cannot be shared, else empty.
        version: release that the installer has installed, or empty.
    """

    command: list[str]
    runtime: str = ""
    version: str = ""


class SetupError(Mendable):
    """Nobody knows how to start the engine."""


def data_folder() -> Path:
    """Where the plugin's own files lie: beside ``pykrita``, as Krita's importer replaces what is in it."""
    return Path(__file__).resolve().parents[3] / "colorize"


def read_setup(chosen_python: str = "", path: Path | None = None) -> Setup:
    """Find out how to start the engine: ``$COLORIZE_PYTHON``, else the artist's choice, else the stored command.

    Args:
        chosen_python: path of an interpreter, or empty.
        path: file of the installer; beside the plugin by default.

    Raises:
        SetupError: there is no such command, or its interpreter is not there.
    """
    path = data_folder() / "setup.json" if path is None else path
    for python, name in ((os.environ.get("COLORIZE_PYTHON", ""), "COLORIZE_PYTHON"), (chosen_python, "")):
        if python.strip():
            return _chosen(python.strip(), name, path)
    stored = _stored(path)
    if stored.command[0] != SANDBOX:
        _check_program(stored.command[0], tr("the engine's Python"), _install_again())
    return stored


def _chosen(python: str, variable: str, path: Path) -> Setup:
    python = os.path.expanduser(python)  # noqa: PTH111 (it need not be a path at all)
    try:
        stored = _stored(path)
    except SetupError:
        stored = Setup([])
    if stored.command[:1] == [SANDBOX]:
        # Outside the sandbox, where it cannot be looked at.
        way = [stored.command[0]]
        for word in stored.command[1:]:
            if not word.startswith("--"):
                break
            way.append(word)
        return Setup([*way, python, *MODULE], stored.runtime, stored.version)
    what = variable or tr("the Python chosen for the engine")
    remedy = (
        tr("correct or remove the variable COLORIZE_PYTHON, then start Krita again")
        if variable
        else tr("choose the engine's Python in the menu of the docker")
    )
    _check_program(python, what, remedy)
    return Setup([python, *MODULE], stored.runtime, stored.version)


def _check_program(program: str, what: str, remedy: str) -> None:
    if not os.path.isabs(program):  # noqa: PTH117
        raise SetupError(tr("{what} is no full path: {program}").format(what=what, program=program), remedy)
    if not Path(program).is_file():
        raise SetupError(tr("{what} is not there any more: {program}").format(what=what, program=program), remedy)
    if not os.access(program, os.X_OK):
        raise SetupError(tr("{what} is no program: {program}").format(what=what, program=program), remedy)


def _install_again() -> str:
    return tr("run colorize-install again, or choose the engine's Python in the menu of the docker")


def _stored(path: Path) -> Setup:
    try:
        with path.open("rb") as f:
            values: Any = json.loads(f.read(MAX_FILE_BYTES).decode("utf-8"))
    except FileNotFoundError:
        raise SetupError(
            tr("the engine has not been set up for this Krita ({path} is missing)").format(path=path), _install_again()
        ) from None
    except (OSError, ValueError, RecursionError) as e:
        reason = getattr(e, "strerror", None) or type(e).__name__
        raise SetupError(
            tr("{path} cannot be read ({reason})").format(path=path, reason=reason), _install_again()
        ) from e
    wrong = _what_is_wrong(values)
    if wrong:
        raise SetupError(tr("{path} is no good: {reason}").format(path=path, reason=wrong), _install_again())
    return Setup(list(values["command"]), values.get("runtime", ""), values.get("version", ""))


def _what_is_wrong(values: Any) -> str:
    if not isinstance(values, dict):
        return tr("it does not hold a map")
    if values.get("format") != FORMAT:
        return tr("it is of another release")
    command = values.get("command")
    if not isinstance(command, list) or not command or any(not _plain(word) or not word for word in command):
        return tr("its command is no list of words")
    if command[0] != SANDBOX and not os.path.isabs(command[0]):  # noqa: PTH117
        return tr("its command does not begin with a full path")
    if not _plain(values.get("runtime", "")) or not _plain(values.get("version", "")):
        return tr("its runtime or version is no text")
    runtime = values.get("runtime", "")
    if runtime and not os.path.isabs(runtime):  # noqa: PTH117
        return tr("its runtime is no full path")
    return ""


def _plain(text: Any) -> bool:
    return isinstance(text, str) and "\0" not in text
