"""Where the user's own files lie; without torch, so that the service and the commands can ask at no cost."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_data_folder() -> Path:
    """The folder of the user's own weights, settings and logs, by the platform's custom; it need not exist."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "colorize"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "colorize"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "colorize"
