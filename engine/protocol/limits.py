"""How large a job may be, for all who read, send, check or make one."""

from __future__ import annotations

MIN_SIDE = 8
"""Pixels of the shorter side of a picture at least."""
MAX_SIDE = 30000
"""Pixels of the longer side of a picture at most."""
MAX_PIXELS = 120 * 1000 * 1000
"""Pixels of a picture at most; checked before anything of that size is read or allocated."""
MAX_VARIATIONS = 8
"""Pictures that one job makes at most."""
MAX_SEED = 2**63 - 1
"""Largest seed; after it comes 0."""
