"""What an evaluation has found so far, on disk: a file per method, picture and number of hints, so that it resumes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ColorizeError
from engine.system.files import atomic_write
from training.evaluation.measure import Measured

PACKAGES = (
    *("engine.imaging", "engine.models", "engine.pipeline", "engine.sampling"),
    *("training.data", "training.evaluation", "training.features"),
)
"""Code on which numbers depend."""


def code_digest() -> str:
    """SHA-256 over the code on which numbers depend: what an older version has measured is measured again."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for folder in import_module(package).__path__:
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(file.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Unit:
    """One piece of work: a method on a picture with a number of hints; ``what`` is that number or ``mask``."""

    method: str
    picture: str
    what: str


class Records:
    """A folder of records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, unit: Unit) -> Path:
        """Where a record lies."""
        return self.folder / unit.method / unit.what / f"{unit.picture}.npz"

    def write(self, unit: Unit, key: str, measured: Measured) -> None:
        """Keep what was measured, atomically.

        Args:
            unit: what it is of.
            key: everything it depends on, as one digest.
            measured: the numbers.

        Raises:
            ColorizeError: the folder cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            f"strokes/{name}": np.stack(counted) for name, counted in measured.strokes.items()
        }
        arrays |= {f"features/{eye}/{name}": values for (name, eye), values in measured.features.items()}
        arrays |= {f"cells/{name}": values for name, values in measured.cells.items()}
        head = json.dumps({"key": key, "rows": measured.rows})
        arrays["head"] = np.frombuffer(head.encode(), np.uint8)
        path = self.path(unit)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, temporary.open("wb") as f:
                np.savez_compressed(f, **arrays)  # type: ignore[arg-type]
        except OSError as e:
            cause = f"{path} cannot be written ({e.strerror})"
            raise ColorizeError(cause, "free some space or name another folder") from e

    def read(self, unit: Unit, key: str) -> Measured | None:
        """What is known of a unit; None when nothing is, the file is broken, or it was made from something else."""
        try:
            with np.load(self.path(unit), allow_pickle=False) as stored:
                head = json.loads(stored["head"].tobytes())
                if head["key"] != key:
                    return None
                out = Measured(rows=head["rows"])
                for name in stored.files:
                    kind, _, rest = name.partition("/")
                    if kind == "strokes":
                        values, counts = stored[name]
                        out.strokes[rest] = values, counts
                    elif kind == "cells":
                        out.cells[rest] = stored[name]
                    elif kind == "features":
                        eye, _, output = rest.partition("/")
                        out.features[output, eye] = stored[name]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None
        return out


def digest(*parts: object) -> str:
    """SHA-256 of values as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
