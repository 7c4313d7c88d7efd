"""What a batch has to do: which drawings, with which strokes, and which of them are done already."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import ColorizeError
from engine.system.files import atomic_write

PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm")
"""Suffixes of what is taken for a picture in a folder; of two of the same name the first here counts."""
ROLES = ("hints", "mask", "context")
LAYERS = ("flats", "shading", "colour")
RECORD = ".colorize-batch.jsonl"
"""Name of the record in the output folder."""


@dataclass(frozen=True)
class Frame:
    """One drawing of a batch.

    Attributes:
        lineart: its file.
        inputs: files by role: hints, mask, context; those there are.
        missing: roles for which a folder was given that holds no file for this drawing.
        output: the picture to write.
        layers: further files to write, by the name of the layer.
    """

    lineart: Path
    inputs: dict[str, Path] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    output: Path = Path()
    layers: dict[str, Path] = field(default_factory=dict)

    @property
    def targets(self) -> list[Path]:
        """All files to write, the picture first."""
        return [self.output, *self.layers.values()]


def natural(path: Path) -> list[Any]:
    """Sort key that puts frame 2 before frame 10."""
    parts = re.split(r"(\d+)", str(path.parent)), re.split(r"(\d+)", path.name.casefold())
    return [[int(t) if t.isdecimal() else t for t in part] for part in parts] + [path.name]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; hidden files are none.

    Raises:
        ColorizeError: it may not be read.
    """
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")]
    except OSError as e:
        raise ColorizeError(f"the folder {folder} cannot be read ({e.strerror})", "mend its permissions") from e
    return sorted((p for p in files if p.is_file()), key=natural)


def find_frames(
    sources: Sequence[Path], given: dict[str, Path | None], output: Path, suffix: str, layers: Path | None
) -> list[Frame]:
    """Find the drawings of a batch and what belongs to each.

    Args:
        sources: folders, files, or patterns such as ``shot/*.png``.
        given: by role: a file for all drawings, or a folder with one for each, of the same name as the drawing or
            with the role behind it (``frame_07_hints.png``).
        output: folder to write to.
        suffix: of the pictures to write.
        layers: folder to write layers to, in a folder for each; None = no layers.

    Raises:
        ColorizeError: there are no drawings, or what was given is not there, or does not belong to any of them.
    """
    linearts = _find_linearts(sources)
    for role, place in given.items():
        if place is not None and not place.exists():
            raise ColorizeError(f"there is no {place}", f"check the path given with --{role}", wrong_use=True)
    names = {role: _by_name(place) for role, place in given.items() if place is not None and place.is_dir()}
    # Strokes may lie in the same folder as the drawings.
    shared = {role: place for role, place in given.items() if place is not None and role not in names}
    stems = {p.stem for p in linearts}
    aside = {os.path.realpath(p) for p in shared.values()}
    for role, files in names.items():
        aside |= {os.path.realpath(p) for stem in stems for p in _of_role(files, stem, role)}
    frames = []
    for lineart in linearts:
        if os.path.realpath(lineart) in aside:
            continue
        inputs = dict(shared)
        for role, files in names.items():
            found = _of_role(files, lineart.stem, role)
            same = files.get(lineart.stem)
            if same is not None and same.parent.resolve() != lineart.parent.resolve():
                found.append(same)
            if found:
                inputs[role] = found[0]
        missing = tuple(role for role in names if role not in inputs)
        paths = {name: layers / name / f"{lineart.stem}.png" for name in LAYERS if layers}
        frames.append(Frame(lineart, inputs, missing, output / f"{lineart.stem}{suffix}", paths))
    for role in names:
        if frames and all(role in f.missing for f in frames):
            raise ColorizeError(
                f"nothing in {given[role]} has the name of a drawing",
                f"name them alike, for example {frames[0].lineart.stem}.png or {frames[0].lineart.stem}_{role}.png",
                wrong_use=True,
            )
    _check_places(frames, output)
    return frames


def _find_linearts(sources: Sequence[Path]) -> list[Path]:
    found: dict[str, Path] = {}
    for source in sources:
        files = [source]
        if source.is_dir():
            files = pictures_in(source)
        elif not source.exists() and any(c in source.name for c in "*?["):
            # Shells of Windows leave patterns to the program.
            files = [p for p in source.parent.glob(source.name) if p.is_file() and not p.name.startswith(".")]
        if not files:
            raise ColorizeError(f"there are no pictures in {source}", "name a folder or files", wrong_use=True)
        found.update((os.path.realpath(p), p) for p in files)
    return sorted(found.values(), key=natural)


def _by_name(folder: Path) -> dict[str, Path]:
    files = sorted(pictures_in(folder), key=lambda p: PICTURES.index(p.suffix.lower()), reverse=True)
    return {p.stem: p for p in files}


def _of_role(files: dict[str, Path], stem: str, role: str) -> list[Path]:
    return [files[name] for name in (f"{stem}{sign}{role}" for sign in "_-. ") if name in files]


def _check_places(frames: list[Frame], output: Path) -> None:
    inputs = {os.path.realpath(p): p for f in frames for p in (f.lineart, *f.inputs.values())}
    for frame in frames:
        for target in frame.targets:
            hit = inputs.get(os.path.realpath(target))
            if hit is not None:
                raise ColorizeError(
                    f"{target} would overwrite {hit}", f"choose another folder than {output}", wrong_use=True
                )


def clashes(frames: list[Frame]) -> dict[int, ColorizeError]:
    """Frames, by their place in the list, whose picture would overwrite that of one before."""
    taken: dict[str, Frame] = {}
    found: dict[int, ColorizeError] = {}
    for number, frame in enumerate(frames):
        # Not every file system tells a.png from A.png.
        first = taken.setdefault(str(frame.output).casefold(), frame)
        if first is not frame:
            found[number] = ColorizeError(
                f"{frame.lineart} and {first.lineart} would both become {first.output}", "rename one of them"
            )
    return found


def fingerprint(path: Path) -> list[Any]:
    """What tells a file from another or an older one without reading it: name, bytes, nanoseconds; name if missing."""
    try:
        stat = path.stat()
    except OSError:
        return [path.name]
    return [path.name, stat.st_size, stat.st_mtime_ns]


class Record:
    """Which pictures of a folder a batch has made, from what; a line for each, so that nothing is lost by a kill.

    Args:
        folder: of the pictures.
        settings: all that changes pictures besides their inputs; plain values.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.path = folder / RECORD
        self._settings = settings
        self._entries: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(OSError):
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                # The last line may be cut short.
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    entry = json.loads(line)
                    self._entries[str(entry["output"])] = entry

    def key(self, frame: Frame) -> str:
        """What a picture is made from now; taken before that is read, so that a change meanwhile is noticed later."""
        inputs = {role: fingerprint(path) for role, path in frame.inputs.items()}
        layers = sorted(frame.layers)
        text = json.dumps([self._settings, fingerprint(frame.lineart), inputs, layers], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def done(self, frame: Frame) -> bool:
        """Whether the picture is there, newer than its inputs, and made from them with the same settings."""
        entry = self._entries.get(frame.output.name, {})
        if "made" not in entry or entry.get("from") != self.key(frame):
            return False
        try:
            oldest = min(p.stat().st_mtime_ns for p in frame.targets)
            return oldest >= max(p.stat().st_mtime_ns for p in (frame.lineart, *frame.inputs.values()))
        except OSError:
            return False

    def foreign(self, frame: Frame) -> bool:
        """Whether the picture is somebody else's work: not made by a batch, or changed since."""
        entry = self._entries.get(frame.output.name)
        if entry is None:
            return any(p.exists() for p in frame.targets)
        return frame.output.exists() and "made" in entry and entry["made"] != fingerprint(frame.output)

    def begin(self, frame: Frame) -> None:
        """Note that the picture is about to be written: whatever is there from now on is ours."""
        self._add({"output": frame.output.name})

    def finish(self, frame: Frame, made_from: str) -> None:
        """Note that the picture is written; ``made_from`` is what ``key`` gave before its inputs were read."""
        self._add({"output": frame.output.name, "from": made_from, "made": fingerprint(frame.output)})

    def _add(self, entry: dict[str, Any]) -> None:
        self._entries[entry["output"]] = entry
        # Without the record the picture is there all the same; it will be made again.
        with contextlib.suppress(OSError):
            start = "" if not self.path.exists() or self._ends_a_line() else "\n"
            with self.path.open("a", encoding="utf-8") as file:
                file.write(start + json.dumps(entry) + "\n")

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def tidy(self) -> None:
        """Write the record anew, a line for each picture that is still there."""
        lines = [json.dumps(e) for name, e in self._entries.items() if (self.path.parent / name).exists()]
        with contextlib.suppress(OSError), atomic_write(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
