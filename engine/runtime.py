"""How the process behaves beside the painter's own program."""

from __future__ import annotations

import os


def yield_cores() -> None:
    """Let threads that wait for work sleep; call it before torch is imported.

    By default OpenMP's threads spin between two layers of a network: that takes a core from whoever else wants it, the
    painter's brush included, and from our own work beside the network.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
