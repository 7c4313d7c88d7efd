"""Where the user's own files lie; without torch, so that the service and the commands can ask at no cost."""

from __future__ import annotations

import sys
from pathlib import Path


def user_data_folder() -> Path:
    """The folder of the user's own weights, settings and logs, by the platform's custom; it need not exist.

    ``engine.protocol.connection`` has a rule of its own for the folder of the sockets, since it stands alone in Krita.
    """
    if sys.platform == "darwin":
        # Newer versions of platformdirs follow $XDG_DATA_HOME here too; what users have already lies there.
        return Path.home() / "Library" / "Application Support" / "colorize"
    import platformdirs

    return platformdirs.user_data_path("colorize", appauthor=False)
