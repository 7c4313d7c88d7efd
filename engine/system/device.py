"""Where to compute, and what to make of a failure there; torch is only imported by who asks."""

from __future__ import annotations

DEVICES = ("auto", "cpu", "cuda", "mps")
"""What can be asked for."""
_NO_MEMORY = ("out of memory", "alloc_failed", "allocate")


def find_devices() -> list[str]:
    """The devices that are there, the fastest first: ``cuda``, ``mps``, and always ``cpu``."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, ready in there.items() if ready]


def choose_device(wanted: str) -> tuple[str, str]:
    """Choose where to run: ``cuda``, ``mps`` or ``cpu``, and a note where that is not what was asked for."""
    there = find_devices()
    if wanted == "auto":
        return there[0], ""
    return (wanted, "") if wanted in there else ("cpu", f"coloured on the CPU: torch finds no {wanted} device here")


def is_out_of_memory(failure: BaseException) -> bool:
    """Whether something failed because there was not enough memory, of the computer or of a device.

    torch has a type of its own for CUDA alone, and says it in words elsewhere, as OpenCV does.
    """
    text = str(failure).lower()
    return isinstance(failure, MemoryError) or any(words in text for words in _NO_MEMORY)


def cpu_may_do(failure: BaseException) -> bool:
    """Whether the CPU may manage what a device did not: it ran out of memory, or cannot do one of the steps."""
    return isinstance(failure, NotImplementedError) or is_out_of_memory(failure)
