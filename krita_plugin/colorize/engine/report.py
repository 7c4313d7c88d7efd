"""The text of "Copy report": what is needed to find out why something fails, without keys, pixels or the user's name.

It is in English whatever the artist's language is, as those who read it are not the artist.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from ..qt import QtCore

MANIFEST = Path(__file__).resolve().parents[1] / "manifest.json"
"""Written by the installer: what is in the plugin's folder, and of which release it is."""
LOG_LINES = 40
LOG_BYTES = 16 * 1024
_SECRET = re.compile(r"key|secret|public", re.IGNORECASE)


def compose(
    about: dict[str, str],
    *,
    protocol: int,
    status: Any,
    setup: Any = None,
    runtime: str = "",
    engine_version: str = "",
    engine_status: dict[str, Any] | None = None,
    models: list[dict[str, Any]] | None = None,
    last_output: list[str] | None = None,
    last_error: str = "",
) -> str:
    """Write the report.

    Args:
        about: what the caller knows, name and value, such as Krita's version.
        protocol: version of the wire protocol.
        status: of the session.
        setup: how the engine is started, None while nobody knows.
        runtime: folder of the connection file.
        engine_version: release of the engine, as far as known.
        engine_status: body of the engine's newest ``status``.
        models: descriptors.
        last_output: what the engine's start printed last.
        last_error: the engine's own words of the newest failed job.
    """
    known = engine_status or {}
    facts = {
        "plugin": plugin_version(),
        "protocol": protocol,
        "installed": (setup.version if setup is not None else "") or "unknown",
        "engine": engine_version or "unknown",
        "system": f"{platform.platform()} ({platform.machine()})",
        "locale": QtCore.QLocale().name(),
        "python": platform.python_version(),
        "qt": f"{QtCore.QT_VERSION_STR}, PyQt {QtCore.PYQT_VERSION_STR}",
        "zmq": f"{_version('zmq')}, msgpack {_version('msgpack')}",
        **about,
        "status": _status(status),
        "command": json.dumps(setup.command) if setup is not None else "unknown",
        "runtime": runtime or "unknown",
        "models": ", ".join(str(m.get("name")) for m in models or []) or "none known",
    }
    lines = ["Colorize report", *(f"{name:<9} {value}" for name, value in facts.items())]
    if last_error:
        lines.append(f"error     {last_error}")
    shown = {k: v for k, v in known.items() if not _SECRET.search(k)}
    lines += _section("Engine status", [f"{k}: {json.dumps(v, default=str)}" for k, v in shown.items()])
    lines += _section("Last words of the engine's start", last_output or [])
    lines += _section("Engine log", _tail(str(known.get("log") or "")))
    return _without_name("\n".join(lines)) + "\n"


def plugin_version() -> str:
    """The release that the installer has noted, or ``unknown``: the plugin's own files do not repeat it."""
    try:
        return str(json.loads(MANIFEST.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, LookupError, TypeError):
        return "unknown"


def _status(status: Any) -> str:
    parts = [status.state, status.cause, status.remedy]
    if status.state == "busy":
        parts.append(f"{status.stage} ({status.step} of {status.total})")
    return "; ".join(p for p in (*parts, f"{status.queue} jobs", status.device) if p)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", *lines] if lines else []


def _version(name: str) -> str:
    module = sys.modules.get(name)
    version = getattr(module, "__version__", None) or getattr(module, "version", None)
    return ".".join(map(str, version)) if isinstance(version, tuple) else str(version or "not loaded")


def _tail(path: str) -> list[str]:
    try:
        with Path(path).open("rb") as f:
            f.seek(max(0, os.fstat(f.fileno()).st_size - LOG_BYTES))
            text = f.read(LOG_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return []
    return text.splitlines()[-LOG_LINES:]


def _without_name(text: str) -> str:
    """Put ``~`` for the home folder and for the user's name in other paths."""
    homes = {str(Path.home()), os.path.expanduser("~")}  # noqa: PTH111
    for home in sorted((h for h in homes if len(h) > 1), key=len, reverse=True):
        text = text.replace(json.dumps(home)[1:-1], "~").replace(home, "~")
    try:
        name = getpass.getuser()
    except (KeyError, ImportError, OSError):
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(name)}(?=[/\\\s\"',;:]|$)", "~", text, flags=re.MULTILINE)
