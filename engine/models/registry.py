"""The list of architectures. Adding a model is one file with a config and a module, and one entry here."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from torch import nn

from engine.models.base import Descriptor
from engine.models.paintstorch import PaintsCompactConfig, PaintsTorch, PaintsTorchConfig
from engine.models.stablepaint import StablePaint, StablePaintConfig
from engine.models.stenciltorch import Compact, CompactConfig, Thesis, ThesisConfig


@dataclass(frozen=True)
class Architecture:
    """A buildable architecture: its config class, the module built from it, and what the pipeline must know."""

    config: type[Any]
    build: Callable[[Any], nn.Module]
    descriptor: Descriptor


ARCHITECTURES: dict[str, Architecture] = {
    "stenciltorch-compact": Architecture(
        CompactConfig,
        Compact,
        Descriptor("stenciltorch", "StencilTorch: colour from strokes", "stenciltorch-compact", stride=32),
    ),
    "stenciltorch-thesis": Architecture(
        ThesisConfig,
        Thesis,
        Descriptor("stenciltorch-thesis", "StencilTorch as in the thesis", "stenciltorch-thesis", stride=16),
    ),
    "paintstorch-compact": Architecture(
        PaintsCompactConfig,
        Compact,
        Descriptor(
            "paintstorch",
            "PaintsTorch: colour from strokes, whole picture",
            "paintstorch-compact",
            stride=32,
            uses_mask=False,
            uses_context=False,
        ),
    ),
    "paintstorch-thesis": Architecture(
        PaintsTorchConfig,
        PaintsTorch,
        Descriptor(
            "paintstorch-thesis",
            "PaintsTorch as in the thesis",
            "paintstorch-thesis",
            stride=16,
            uses_mask=False,
            uses_context=False,
        ),
    ),
    "stablepaint": Architecture(
        StablePaintConfig,
        StablePaint,
        Descriptor(
            "stablepaint",
            "StablePaint: colour in variations",
            "stablepaint",
            stride=64,
            stochastic=True,
            steps=4,
            strength=0.5,
            guidance=1.0,
            splits_regions=False,
        ),
    ),
}


def _fits(value: object, kind: object) -> bool:
    origin = typing.get_origin(kind)
    if origin is tuple:
        args = typing.get_args(kind)
        return isinstance(value, tuple) and len(value) == len(args) and all(map(_fits, value, args))
    if origin is types.UnionType:
        return any(_fits(value, k) for k in typing.get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)


def parse_config(cls: type[Any], values: dict[str, Any]) -> Any:
    """Build a config dataclass from JSON values; unknown keys and wrong types fail at once.

    Raises:
        ValueError: naming the key, what it holds and what it should hold.
    """
    if not is_dataclass(cls):
        raise TypeError(f"{cls} is no config")
    kinds = typing.get_type_hints(cls)
    unknown = set(values) - {f.name for f in fields(cls)}
    if unknown:
        raise ValueError(f"{cls.__name__} knows no {', '.join(sorted(unknown))}")
    ready: dict[str, Any] = {}
    for key, value in values.items():
        plain = tuple(value) if isinstance(value, list) else value
        if not _fits(plain, kinds[key]):
            raise ValueError(f"{cls.__name__}.{key} should be {kinds[key]}, not {value!r}")
        ready[key] = plain
    return cls(**ready)
