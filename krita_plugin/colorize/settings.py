"""The artist's settings, kept by Krita in kritarc, so that updating or removing the plugin leaves them alone."""

from __future__ import annotations

import json
from typing import Any

from krita import Krita

GROUP = "colorize"


def read(name: str, default: Any) -> Any:
    """A value that ``write`` has kept; the default where there is none, or one of another type."""
    text = Krita.instance().readSetting(GROUP, name, "")
    try:
        value = json.loads(text) if text else default
    except (ValueError, RecursionError):
        return default
    return value if isinstance(value, type(default)) else default


def write(name: str, value: Any) -> None:
    """Keep a value; plain JSON types."""
    Krita.instance().writeSetting(GROUP, name, json.dumps(value))
