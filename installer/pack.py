"""Makes the two files that can be carried to another computer: the wheels, and the plugin for Krita's own importer."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import ColorizeError
from engine.system.files import atomic_write
from installer import layout, wheels
from installer.change import readable_trouble
from installer.places import Machine, System
from installer.wheels import Wheel

SYSTEMS: tuple[System, ...] = ("linux", "windows", "macos")
_DATE = (2020, 1, 1, 0, 0, 0)
"""Of every file in an archive, so that the same content gives the same archive."""


def write_bundle(target: Path, systems: list[System], machine: Machine, say: Callable[[str], None]) -> int:
    """Write the wheels of some systems into a file for ``--bundle``.

    Returns:
        How many they are.

    Raises:
        ColorizeError: no network, or the file cannot be written.
    """
    chosen = [w for system in systems for w in wheels.wheels_for(system, machine)]
    with _archive(target) as archive, tempfile.TemporaryDirectory(prefix="colorize-") as name:
        folder = Path(name)
        _get(systems, machine, folder, None, say)
        for wheel in chosen:
            _add(archive, wheel.name, (folder / wheel.name).read_bytes(), zipfile.ZIP_STORED)
    return len(chosen)


def write_pack(
    target: Path, systems: list[System], machine: Machine, bundle: Path | None, say: Callable[[str], None]
) -> None:
    """Write the plugin with the libraries of some systems into a file for Krita's importer.

    Raises:
        ColorizeError: no network, or the file cannot be written.
    """
    with _archive(target) as archive, tempfile.TemporaryDirectory(prefix="colorize-") as name:
        folder, pykrita = Path(name, "wheels"), Path(name, "pykrita")
        folder.mkdir()
        chosen = _get(systems, machine, folder, bundle, say)
        layout.assemble(pykrita)
        plugin = pykrita / layout.PLUGIN
        for system in systems:
            wheels.unpack(chosen[system], folder, plugin / "vendor" / system)
        layout.write_manifest(plugin, {w.name: w.digest for some in chosen.values() for w in some})
        for path in sorted(pykrita.rglob("*")):
            inside = path.relative_to(pykrita).as_posix()
            # Krita looks for the folder itself in the list of names.
            _add(archive, f"{inside}/" if path.is_dir() else inside, b"" if path.is_dir() else path.read_bytes())
        _add(archive, "actions/", b"")
        _add(archive, f"actions/{layout.ACTIONS}", layout.actions_file())


def _get(
    systems: list[System], machine: Machine, folder: Path, bundle: Path | None, say: Callable[[str], None]
) -> dict[System, list[Wheel]]:
    chosen = {system: wheels.wheels_for(system, machine) for system in systems}
    for system, some in chosen.items():
        say(f"wheels for {system}")
        if bundle is None:
            wheels.download(some, folder, say)
        else:
            wheels.take_from_bundle(some, bundle, folder)
    return chosen


@contextlib.contextmanager
def _archive(target: Path) -> Iterator[zipfile.ZipFile]:
    """A new archive that appears under its name only when it is whole."""
    if not target.absolute().parent.is_dir():
        raise ColorizeError(f"the folder of {target} is not there", "make it, or name another file", wrong_use=True)
    with (
        readable_trouble(target),
        atomic_write(target, mode=0o644) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
    ):
        yield archive


def _add(archive: zipfile.ZipFile, name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.compress_type = method
    info.external_attr = (0o40755 << 16) | 0x10 if name.endswith("/") else 0o100644 << 16
    archive.writestr(info, data)
