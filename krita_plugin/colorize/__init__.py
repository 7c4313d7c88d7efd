"""Colorize: a docker that colours line art by a few strokes, with an engine on the artist's own machine.

Whatever goes wrong while it loads, a docker appears and says what to do: a plugin that is only greyed out helps nobody.
"""

from __future__ import annotations

DOCKER = "colorize_docker"

try:
    import krita
except ImportError:  # not inside Krita: the modules can be used by themselves
    krita = None

if krita is not None:
    from .register import register

    register(DOCKER)
