"""What a run's folder says of the run: its settings, how it was started, its log and its TensorBoard curves."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from engine.errors import ColorizeError

HARMLESS = ("accumulate", "compile", "workers")
"""Settings that may change on --resume: the samples and what is learnt from them stay the same, to rounding."""
LENGTH = ("steps", "epochs")
"""Settings that may change on --resume where the run becomes longer."""


def git_revision() -> str:
    """The revision of this package, '-dirty' where it was changed, or 'unknown' outside a checkout of it."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=here.parent, capture_output=True, text=True, check=True)  # noqa: S603, S607
        return done.stdout.strip()

    try:
        # An installed copy may lie in somebody else's checkout.
        git("ls-files", "--error-unmatch", here.parent.joinpath("__init__.py").name)
        return git("describe", "--always", "--dirty", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command_line() -> str:
    """The words the program was started with."""
    program = Path(sys.argv[0]).name
    return shlex.join([*(["python", "-m", "training"] if program == "__main__.py" else [program]), *sys.argv[1:]])


def _flat(value: object, name: str = "") -> dict[str, object]:
    """Nested settings as ``recipe.order`` and the like."""
    if isinstance(value, dict) and value:
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{name}.{key}" if name else key).items()}
    return {name: value}


def _write(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ColorizeError(
            f"{path} cannot be read ({e})", "bring the file back, or start a new run from the weights with --init"
        ) from e
    return stored


def settings(config: object, data: dict[str, Any]) -> str:
    """Everything that decides a run, as JSON to keep with its checkpoints.

    Args:
        config: a dataclass of settings.
        data: what the run learns from.
    """
    return json.dumps({**asdict(config), "data": data})  # type: ignore[call-overload]


def check_settings(
    folder: Path, stored: str, config: object, data: dict[str, Any], no_extension: str = ""
) -> list[str]:
    """Compare settings with the stored ones of the run in a folder.

    Args:
        folder: of the run.
        stored: its settings so far.
        config: the settings it is to go on with.
        data: what it learns from.
        no_extension: why the run cannot be made longer; empty where it can.

    Returns:
        A line for every change that is taken.

    Raises:
        ColorizeError: other settings differ.
    """
    before, now = _flat(json.loads(stored)), _flat(json.loads(settings(config, data)))
    usual = _flat(json.loads(settings(type(config)(), {})))
    # A setting that is newer than the run was not there to be changed.
    before |= {k: usual[k] for k in now if k not in before and k in usual}
    changed = [k for k in sorted({*before, *now}) if before.get(k) != now.get(k)]
    said = {k: f"{k} was {before.get(k)}, now {now.get(k)}" for k in changed}
    longer = not no_extension and float(str(now["steps"])) > float(str(before["steps"]))
    taken = (*HARMLESS, *(LENGTH if longer else ()))
    if any(key not in taken for key in said):
        why = f" ({no_extension or 'a run can become longer, not shorter'})" if "steps" in said and not longer else ""
        about = folder / "run.json"
        begun = f" (`{_read(about)['starts'][0]['command']}`)" if about.exists() else ""
        raise ColorizeError(
            f"{folder} was begun with other settings: {'; '.join(said.values())}{why}",
            f"resume with the options of its beginning{begun}, or name another folder",
        )
    return list(said.values())


def record_start(folder: Path, config: object, data: dict[str, Any], start: dict[str, Any]) -> None:
    """Write ``config.json``, and add a start to ``run.json``: its command line, git revision and what ``start`` says.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.json", asdict(config))  # type: ignore[call-overload]
    about = folder / "run.json"
    starts = _read(about)["starts"] if about.exists() and start["step"] else []
    versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
    starts.append({**start, "command": command_line(), "git_revision": git_revision(), **versions})
    _write(about, {"data": data, "starts": starts})


class Journal:
    """``log.jsonl`` and TensorBoard's curves of a run; lines after the step it goes on from are dropped.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        path = folder / "log.jsonl"
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            temporary = path.with_suffix(".part")
            temporary.write_text("".join(line for line in lines if _step_of(line) <= step), encoding="utf-8")
            temporary.replace(path)
        self.file = path.open("a", encoding="utf-8")
        self.curves = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, record: dict[str, Any], terms: dict[str, float]) -> None:
        """Add a line, and a point to the curve of every term."""
        self.file.write(json.dumps({**record, **terms}) + "\n")
        self.file.flush()
        for key, value in terms.items():
            self.curves.add_scalar(key, value, record["step"])

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        self.curves.close()


def _step_of(line: str) -> float:
    """Step of a line of the log; a line that was cut short belongs nowhere."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError):
        return float("inf")
