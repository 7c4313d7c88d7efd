"""Looks at an installed plugin and says what is wrong and how to mend it; changes nothing."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from engine import __version__
from engine.cli.doctor import Check
from engine.errors import ColorizeError
from installer import engine_setup, kritarc, layout
from installer.install import FLATPAK_NOTE, STAGING, plugin_folder
from installer.places import Krita, Machine, running

AGAIN = "run `colorize-install --update`"
CHECK_SECONDS = 180.0
"""Seconds for the engine's own check, which loads the model."""
_LOAD = "import sys; sys.path.append(sys.argv[1]); import zmq, msgpack; zmq.Context().term(); print(zmq.__version__)"


def examine(krita: Krita, machine: Machine) -> Iterator[Check]:
    """Run all checks, quick ones first."""
    yield _krita(krita, machine)
    yield from _plugin(krita)
    yield _switched_on(krita)
    yield from _wheels(krita, machine)
    if krita.flatpak:
        allowed = engine_setup.may_leave_sandbox(machine)
        yield (
            Check("sandbox", "ok", "Krita may start the engine")
            if allowed
            else Check(
                "sandbox", "fail", "Flatpak does not let Krita start the engine", FLATPAK_NOTE.partition(": ")[2]
            )
        )
    yield from _engine(krita)


def _krita(krita: Krita, machine: Machine) -> Check:
    if not krita.programs:
        return Check("krita", "warn", f"{krita}: no program was found", "nothing, if this Krita works")
    pids = running(krita, machine)
    return Check("krita", "ok", f"{krita}{f', running (process {pids[0]})' if pids else ''}")


def _plugin(krita: Krita) -> Iterator[Check]:
    folder = plugin_folder(krita)
    if folder.with_name(STAGING).exists():
        yield Check("plugin", "fail", "an earlier installation was cut off", AGAIN)
    missing = [p for p in (folder, folder.with_name(layout.DESKTOP)) if not p.exists()]
    if missing:
        yield Check("plugin", "fail", f"{missing[0]} is missing", "run `colorize-install`")
        return
    manifest = layout.read_manifest(folder)
    if manifest is None:
        yield Check("plugin", "fail", f"{folder} was not put there by the installer, or is damaged", AGAIN)
        return
    damaged = layout.damaged(folder, manifest)
    if damaged:
        more = f" and {len(damaged) - 1} more" if damaged[1:] else ""
        yield Check("plugin", "fail", f"{damaged[0]}{more} missing or changed in {folder}", AGAIN)
    elif manifest.get("version") != __version__:
        yield Check("plugin", "fail", f"version {manifest.get('version')}, but the engine is {__version__}", AGAIN)
    else:
        yield Check("plugin", "ok", f"version {__version__}, whole")
    if not (krita.data / "actions" / layout.ACTIONS).exists():
        yield Check("shortcuts", "warn", f"{layout.ACTIONS} is missing, so there are no keyboard shortcuts", AGAIN)


def _switched_on(krita: Krita) -> Check:
    where = "Settings > Configure Krita > Python Plugin Manager"
    if krita.settings is None:
        return Check("enabled", "warn", "its settings file is not known", f"see {where} in Krita")
    try:
        enabled = kritarc.is_enabled(krita.settings.read_bytes())
    except OSError as e:
        return Check("enabled", "fail", f"{krita.settings} cannot be read ({e.strerror})", "run `colorize-install`")
    if enabled:
        return Check("enabled", "ok", f"in {krita.settings}")
    return Check("enabled", "fail", "the plugin is switched off in Krita", f"switch it on: {where}, then restart Krita")


def _wheels(krita: Krita, machine: Machine) -> Iterator[Check]:
    vendor = plugin_folder(krita) / "vendor" / machine.system
    if not vendor.is_dir():
        yield Check("libraries", "fail", f"{vendor} is missing", AGAIN)
        return
    for python in krita.pythons or ("",):
        program = _python(python) if python else None
        if program is None:
            yield Check(
                "libraries", "ok", f"there; not tried, as no Python {python or 'like that of Krita'} is at hand"
            )
            continue
        done = engine_setup.run_quietly([program, "-I", "-S", "-B", "-c", _LOAD, str(vendor)], 60)
        if done is not None and done.returncode == 0:
            yield Check("libraries", "ok", f"pyzmq {done.stdout.strip()} loads in Python {python}")
        else:
            said = (done.stderr.strip().splitlines() or [""])[-1] if done else "it cannot be run"
            yield Check("libraries", "fail", f"pyzmq does not load in Python {python}: {said}", AGAIN)


def _python(version: str) -> str | None:
    """A Python of that version."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    return shutil.which(f"python{version}")


def _engine(krita: Krita) -> Iterator[Check]:
    path = engine_setup.setup_file(krita)
    about = engine_setup.read(krita)
    if about is None:
        yield Check("engine", "fail", f"{path} is missing or broken", "run `colorize-install`")
        return
    command = engine_setup.command_here(about)
    remedy = "run `colorize-install --update --engine-python PYTHON`"
    try:
        engine_setup.check_python(Path(command[0]))
    except ColorizeError as e:
        yield Check("engine", "fail", e.cause, remedy)
        return
    yield Check("engine", "ok", f"version {__version__}, run by {command[0]}")
    done = engine_setup.run_quietly([*command, "doctor", "--json"], CHECK_SECONDS)
    try:
        found = json.loads(done.stdout.strip().splitlines()[-1])["checks"] if done else None
        wrong = [Check(**c) for c in found if c["status"] != "ok"] if found else []
    except (ValueError, LookupError, TypeError):
        found, wrong = None, []
    if found is None:
        yield Check("doctor", "fail", "the engine's own check did not end well", f"run `{' '.join(command)} doctor`")
        return
    yield from wrong
    weights = next((c["finding"] for c in found if c["name"] == "weights" and c["status"] == "ok"), None)
    if weights:
        yield Check("weights", "ok", weights)
