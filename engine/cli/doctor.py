"""Examines an installation: what is there, what is missing, and how to mend it. Needs nothing to work itself."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine import DEFAULT_MODEL, __version__
from engine.errors import ColorizeError

LEAST_MEMORY_GB = 1.5
"""What a drawing of 2480 x 3508 pixels takes, besides the weights."""
LEAST_DISK_GB = 0.5
_REINSTALL = "install the package again"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        status: ``fail`` when colouring cannot work, ``warn`` when something may go wrong.
        finding: what is there, one line.
        remedy: what to do; empty when all is well.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    finding: str
    remedy: str = ""


def examine(weights: Path | None = None) -> list[Check]:
    """Run all checks, in an order a reader can follow; a check that breaks is a failed check.

    Args:
        weights: what ``--weights`` would be given.
    """
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("engine", lambda: Check("engine", "ok", f"{__version__} on {platform.platform(terse=True)}")),
        ("python", _python),
        ("torch", _torch),
        ("device", _device),
        ("opencv", lambda: _library("opencv", "cv2")),
        ("pillow", _pillow),
        ("weights", lambda: _weights(weights)),
        ("user data", _user_data),
        ("memory", _memory),
        ("disk", _disk),
        ("service", _service),
        ("log", _log),
    ]
    return [_guarded(name, run) for name, run in checks]


def _guarded(name: str, run: Callable[[], Check]) -> Check:
    try:
        return run()
    except ColorizeError as e:
        return Check(name, "fail", e.cause, e.remedy)
    except Exception as e:  # a broken library may raise anything at all
        return Check(name, "fail", " ".join(f"{type(e).__name__}: {e}".split()), _REINSTALL)


def _python() -> Check:
    version = f"{platform.python_version()} ({sys.executable})"
    if not (3, 10) <= sys.version_info < (3, 14):
        return Check("python", "warn", f"{version} is not tested", "use Python 3.10 to 3.13")
    return Check("python", "ok", version)


def _library(name: str, module: str) -> Check:
    return Check(name, "ok", str(importlib.import_module(module).__version__))


def _torch() -> Check:
    import torch

    return Check("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", "ok", f"cuda: {torch.cuda.get_device_name()}")
    if torch.version.cuda:
        remedy = "update the graphics driver, or install the CPU build of torch"
        return Check("device", "warn", "cpu; torch is built for CUDA but finds no device", remedy)
    return Check("device", "ok", f"cpu, {os.cpu_count()} cores")


def _pillow() -> Check:
    from PIL import __version__ as version
    from PIL import features

    missing = [f for f in ("littlecms2", "jpg", "zlib", "webp", "libtiff") if not features.check(f)]
    if missing:
        return Check("pillow", "warn", f"{version} lacks {', '.join(missing)}", "install Pillow from its own wheel")
    return Check("pillow", "ok", version)


def _weights(explicit: Path | None) -> Check:
    from engine.models.checkpoint import describe, find_weights, list_weights, load_model

    path = find_weights(DEFAULT_MODEL, explicit)
    load_model(path)
    try:
        for other in list_weights(explicit):
            describe(other)
    except ColorizeError as e:
        return Check("weights", "warn", f"{path} can be loaded, but {e.cause}", e.remedy)
    return Check("weights", "ok", f"{path} can be loaded")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _user_data() -> Check:
    from engine.system.folders import user_data_folder

    folder = user_data_folder().absolute()
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            return Check("user data", "ok", f"{folder} can be written")
    except OSError as e:
        finding = f"{folder} cannot be written ({e.strerror})"
        return Check("user data", "warn", finding, "mend its permissions if you want to keep weights or settings there")


def _memory() -> Check:
    free = free_memory_gb()
    if free is None:
        return Check("memory", "ok", "the system does not say how much is free")
    if free < LEAST_MEMORY_GB:
        return Check("memory", "warn", f"{free:.1f} GB free", "close other programs before colouring large drawings")
    return Check("memory", "ok", f"{free:.1f} GB free")


def free_memory_gb() -> float | None:
    """Memory that can still be had, in GB (2**30 bytes); None where only other systems' ways would tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    except (OSError, StopIteration):
        return None


def _disk() -> Check:
    from engine.system.folders import user_data_folder

    folder = _existing(user_data_folder().absolute())
    free = shutil.disk_usage(folder).free / 2**30
    if free < LEAST_DISK_GB:
        return Check("disk", "warn", f"{free:.1f} GB free at {folder}", "free some space")
    return Check("disk", "ok", f"{free:.1f} GB free at {folder}")


def _service() -> Check:
    from engine.service import identity, lifecycle

    folder = lifecycle.folder()
    connection = identity.engine_of(folder)
    if connection is None:
        return Check("service", "ok", f"no engine is running; sockets would be in {folder}")
    if lifecycle.find_engine(folder) is None:
        finding = f"the engine (process {connection.pid}) does not answer"
        return Check("service", "warn", finding, "`engine stop` ends it, `engine serve` replaces it")
    return Check("service", "ok", f"an engine is running (process {connection.pid})")


def _log() -> Check:
    from engine.service.lifecycle import check_log

    path, trouble = check_log()
    if trouble:
        return Check("log", "warn", f"{path} cannot be written ({trouble})", "free some space or mend its permissions")
    return Check("log", "ok", str(path))
