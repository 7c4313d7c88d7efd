"""Puts the plugin's own files together as Krita's ``pykrita`` folder wants them; not the wheels."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from engine import __version__

PLUGIN = "colorize"
DESKTOP = "colorize.desktop"
ACTIONS = "colorize.action"
MANIFEST = "manifest.json"
"""In the plugin's folder: the version, the wheels, and the digest of every file."""

_ROOT = Path(__file__).resolve().parent.parent
"""Where ``krita_plugin`` and ``engine`` lie: a checkout or ``site-packages``."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.py[cod]", "*.ts", ".*", "*~")
"""What builds and editors leave behind, and the translators' sources."""


def assemble(pykrita: Path) -> None:
    """Write ``colorize.desktop`` and ``colorize/``, with the wire protocol in it, into a folder.

    Args:
        pykrita: the folder; created where it is missing. An older ``colorize`` in it is replaced.
    """
    pykrita.mkdir(parents=True, exist_ok=True)
    if (pykrita / PLUGIN).exists():
        shutil.rmtree(pykrita / PLUGIN)
    write_plugin(pykrita / PLUGIN)
    (pykrita / DESKTOP).write_bytes(desktop_file())


def write_plugin(folder: Path) -> None:
    """Make the folder ``colorize/``: the plugin and the wire protocol."""
    shutil.copytree(_ROOT / "krita_plugin" / PLUGIN, folder, ignore=_LEFT_OUT)
    shutil.copytree(_ROOT / "engine" / "protocol", folder / "protocol", ignore=_LEFT_OUT)


def desktop_file() -> bytes:
    """The file that makes Krita list the plugin."""
    return (_ROOT / "krita_plugin" / DESKTOP).read_bytes()


def actions_file() -> bytes:
    """The plugin's actions and shortcuts, which Krita reads from ``actions/``."""
    return (_ROOT / "krita_plugin" / "actions" / ACTIONS).read_bytes()


def write_manifest(folder: Path, wheels: dict[str, str]) -> None:
    """Note what is in a ready plugin folder, so that a later check can tell whether it is whole.

    Args:
        folder: the plugin's.
        wheels: file names and SHA-256 of the wheels unpacked in it.
    """
    files = {p.relative_to(folder).as_posix(): _digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    about = {"format": 1, "version": __version__, "wheels": wheels, "files": files}
    (folder / MANIFEST).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What ``write_manifest`` noted; None where it is missing or broken."""
    try:
        about = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    good = isinstance(about, dict) and about.get("format") == 1
    return about if good and all(isinstance(about.get(k), dict) for k in ("wheels", "files")) else None


def damaged(folder: Path, manifest: dict[str, Any], under: str = "") -> list[str]:
    """Files that are missing or not as they were installed.

    Args:
        folder: the plugin's.
        manifest: of ``read_manifest``.
        under: look only at names that begin so.
    """
    return [n for n, d in manifest["files"].items() if n.startswith(under) and _digest(folder / n) != d]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
