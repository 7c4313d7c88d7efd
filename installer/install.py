"""Puts the plugin into a Krita, brings it up to date, takes it away: what is changed, and what must hold before."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ColorizeError
from installer import engine_setup, kritarc, layout, wheels
from installer.change import Change, readable_trouble
from installer.places import Krita, Machine, running

STAGING = ".colorize-install"
"""In ``pykrita``, so that what is built there can be renamed into place."""
NOTES = ("engine-start.log",)
"""Files the plugin writes beside ``setup.json``."""
FLATPAK_NOTE = (
    "Flatpak keeps Krita from starting the engine until you allow it, once: "
    "flatpak override --user --talk-name=org.freedesktop.Flatpak org.kde.krita"
)


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        engine_python: runs the engine; None = keep the stored one on an update, else ``this_python``.
        this_python: the one that runs the installer.
        krita_python: version inside Krita, such as ``3.11``; None = every one.
        bundle: file with the wheels; None = get them with pip.
        update: bring an installation up to date; its Python and its being switched on or off stay.
    """

    this_python: Path
    engine_python: Path | None = None
    krita_python: str | None = None
    bundle: Path | None = None
    update: bool = False


def plugin_folder(krita: Krita) -> Path:
    """The plugin's folder in a Krita."""
    return krita.data / "pykrita" / layout.PLUGIN


def is_installed(krita: Krita) -> bool:
    """Whether anything of the plugin is in a Krita."""
    folder = plugin_folder(krita)
    places = (folder, folder.with_name(layout.DESKTOP), folder.with_name(STAGING), engine_setup.setup_file(krita))
    return any(p.exists() or p.is_symlink() for p in places)


def refuse_running(krita: Krita, machine: Machine) -> None:
    """Stop here while Krita runs: it holds files of the plugin, and writes its settings when it is closed."""
    pids = running(krita, machine)
    if pids:
        raise ColorizeError(
            f"Krita is running (process {', '.join(map(str, pids))})",
            "close it and run this again; nothing was changed",
        )


def refuse_root() -> None:
    """Stop ``sudo``: the files would belong to root in the artist's own folder."""
    if hasattr(os, "geteuid") and os.geteuid() == 0 and os.environ.get("SUDO_USER", "root") != "root":
        raise ColorizeError(
            "this would install for root", "run it without sudo, as the user who paints", wrong_use=True
        )


class Installation:
    """An installation or update that is ready to be told or done."""

    def __init__(self, krita: Krita, machine: Machine, request: Request) -> None:
        """Check what can be checked, and plan.

        Raises:
            ColorizeError: no wheel for that Python, no engine in that Python, nothing to update.
        """
        self.krita, self.machine, self.request = krita, machine, request
        self.plugin = plugin_folder(krita)
        if request.update and not is_installed(krita):
            raise ColorizeError(f"the plugin is not in {krita.data}", "run this without --update to install it")
        if krita.pythons and not request.krita_python and not set(krita.pythons) & set(wheels.PYTHONS):
            wheels.wheels_for(machine.system, machine, krita.pythons)  # tells that there are none
        chosen = [request.krita_python] if request.krita_python else None
        self.wheels = wheels.wheels_for(machine.system, machine, chosen)
        self.python = self._engine_python()
        self.reuses = self._has_wheels()
        self.change = self._plan()

    def describe(self) -> list[str]:
        """What ``run`` would do, a line each."""
        source = "pip" if self.request.bundle is None else str(self.request.bundle)
        origin = "keep the installed wheels" if self.reuses else f"get {len(self.wheels)} wheels from {source}"
        with readable_trouble(self.krita.data):
            return [origin, *self.change.describe()]

    def run(self, say: Callable[[str], None]) -> None:
        """Do it.

        Raises:
            ColorizeError: Krita runs, no wheels, something cannot be written; all is as it was.
        """
        refuse_root()
        refuse_running(self.krita, self.machine)
        with tempfile.TemporaryDirectory(prefix="colorize-") as folder, readable_trouble(Path(folder)):
            self._downloads = Path(folder)
            if not self.reuses and self.request.bundle is not None:
                wheels.take_from_bundle(self.wheels, self.request.bundle, self._downloads)
            elif not self.reuses:
                wheels.download(self.wheels, self._downloads, say)
            refuse_running(self.krita, self.machine)  # it may have been started meanwhile
            if self.change.staging.exists():
                say("clearing up after an installation that was cut off")
            self.change.apply()

    def notes(self) -> list[str]:
        """What is left for the artist to do."""
        lines = []
        if self.krita.settings is None:
            lines.append(
                "switch the plugin on in Krita: Settings > Configure Krita > Python Plugin Manager > Colorize; then "
                "start Krita again"
            )
        elif kritarc.is_enabled(_text(self.krita.settings)) is False:
            lines.append("the plugin is switched off in Krita; `colorize-install` without --update switches it on")
        if self.krita.flatpak and not engine_setup.may_leave_sandbox(self.machine):
            lines.append(FLATPAK_NOTE)
        return lines

    def _engine_python(self) -> Path:
        request = self.request
        kept = engine_setup.stored_python(self.krita) if request.update and request.engine_python is None else None
        if kept is not None:
            try:
                engine_setup.check_python(kept)
            except ColorizeError:
                kept = None  # it is gone or too old: the one that runs this takes its place
        python = kept or request.engine_python or request.this_python
        if kept is None:
            engine_setup.check_python(python)
        return python

    def _has_wheels(self) -> bool:
        """Whether the same wheels are there already, whole."""
        there = layout.read_manifest(self.plugin)
        if there is None or there["wheels"] != {w.name: w.digest for w in self.wheels}:
            return False
        return not layout.damaged(self.plugin, there, f"vendor/{self.machine.system}/")

    def _build(self, folder: Path) -> None:
        layout.write_plugin(folder)
        vendor = Path("vendor", self.machine.system)
        if self.reuses:
            wheels.copy_unpacked(self.plugin / vendor, folder / vendor)
        else:
            wheels.unpack(self.wheels, self._downloads, folder / vendor)
        layout.write_manifest(folder, {w.name: w.digest for w in self.wheels})

    def _plan(self) -> Change:
        krita = self.krita
        change = Change(self.plugin.with_name(STAGING))
        change.folder(self.plugin, self._build)
        change.file(self.plugin.with_name(layout.DESKTOP), layout.desktop_file())
        change.file(krita.data / "actions" / layout.ACTIONS, layout.actions_file())
        change.file(engine_setup.setup_file(krita), engine_setup.contents(krita, self.python))
        if krita.settings is not None:
            before = _text(krita.settings)
            if not self.request.update or kritarc.is_enabled(before) is None:
                change.file(krita.settings, kritarc.enable(before))
        return change


class Removal:
    """Takes the plugin away; the artist's settings of it in kritarc stay."""

    def __init__(self, krita: Krita, machine: Machine) -> None:
        self.krita, self.machine = krita, machine
        plugin, own = plugin_folder(krita), engine_setup.setup_file(krita).parent
        self.change = Change(plugin.with_name(STAGING))
        removed = [plugin, plugin.with_name(layout.DESKTOP), krita.data / "actions" / layout.ACTIONS]
        removed += [engine_setup.setup_file(krita), *(own / name for name in NOTES)]
        for path in removed:
            self.change.remove(path)
        if krita.settings is not None and krita.settings.exists():
            before = _text(krita.settings)
            after = kritarc.forget(before)
            if before.strip() and not after.strip():
                self.change.remove(krita.settings)
            else:
                self.change.file(krita.settings, after)
        if krita.flatpak:
            run = engine_setup.run_folder(krita)
            for folder in (run, run.parent):
                self.change.remove_if_empty(folder)
        for folder in (own, krita.data / "actions", plugin.parent, krita.data):
            self.change.remove_if_empty(folder)

    def describe(self) -> list[str]:
        """What ``run`` would do, a line each."""
        with readable_trouble(self.krita.data):
            return self.change.describe()

    def run(self) -> None:
        """Do it.

        Raises:
            ColorizeError: Krita runs, or something cannot be removed; all is as it was.
        """
        refuse_root()
        refuse_running(self.krita, self.machine)
        self.change.apply()


def _text(path: Path) -> bytes:
    with readable_trouble(path):
        return path.read_bytes() if path.exists() else b""
