"""What the docker is told: how the engine stands, and how a job has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Status:
    """How things stand.

    Attributes:
        state: ``off``, ``starting``, ``ready``, ``busy``, ``lost`` or ``failed``.
        cause: what happened, one line; also while the engine is started again after a loss.
        remedy: what to do, one line.
        stage: of the job on the device, in words.
        step: how many of its steps are done.
        total: of how many.
        eta: seconds it will still take; negative where unknown.
        queue: own jobs that have not ended.
        device: ``cuda``, ``mps``, ``cpu``, or empty while unknown.
    """

    state: str
    cause: str = ""
    remedy: str = ""
    stage: str = ""
    step: int = 0
    total: int = 0
    eta: float = -1.0
    queue: int = 0
    device: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a job has ended.

    Attributes:
        kind: ``result``, ``error`` or ``cancelled``.
        body: as in the protocol.
        buffers: the layers of a result.
        cause: of an error, one line.
        remedy: of an error, one line.
        code: of an error, as in the protocol; ``stopped``, ``no_engine`` and ``engine_gone`` also come from here.
    """

    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    buffers: list[Any] = field(default_factory=list)
    cause: str = ""
    remedy: str = ""
    code: str = ""
