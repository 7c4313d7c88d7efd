"""Where the user's own files lie; without torch, so that the service and the commands can ask at no cost."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from engine.errors import ColorizeError


def user_data_folder() -> Path:
    """The folder of the user's own weights, settings and logs, by the platform's custom; it need not exist.

    ``engine.protocol.connection`` has a rule of its own for the folder of the sockets, since it stands alone in Krita.

    Raises:
        ColorizeError: the user has no home folder that it could be in.
    """
    if sys.platform == "darwin":
        # Newer versions of platformdirs follow $XDG_DATA_HOME here too; what users have already lies there.
        return _home() / "Library" / "Application Support" / "colorize"
    import platformdirs

    # Without a home, newer versions of platformdirs raise and older ones leave the "~".
    with contextlib.suppress(RuntimeError):
        folder = platformdirs.user_data_path("colorize", appauthor=False)
        if folder.is_absolute():
            return folder
    # A relative $XDG_DATA_HOME counts as none, by its specification.
    return _home() / ".local" / "share" / "colorize"


def _home() -> Path:
    try:
        home = Path.home()
    except (RuntimeError, KeyError):
        home = Path()
    if not home.is_absolute():
        raise ColorizeError("the user's home folder is not known", "set HOME to a folder of your own")
    return home
