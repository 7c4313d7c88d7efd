"""Colorize: a docker that colours line art by a few strokes, with an engine on the artist's own machine.

Whatever goes wrong while it loads, a docker appears and says what to do: a plugin that is only greyed out helps nobody.
"""

from __future__ import annotations

DOCKER = "colorize_docker"

try:
    import krita  # noqa: F401 (where it is, this is Krita; elsewhere the modules can be used by themselves)
except ImportError:
    pass
else:
    from .register import register

    register(DOCKER)
