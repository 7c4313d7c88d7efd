"""Weights on disk: safetensors with metadata, found by name in the usual places, checked before use. No pickle."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.models.base import Descriptor
from engine.models.registry import ARCHITECTURES, parse_config
from engine.system.files import atomic_write
from engine.system.folders import user_data_folder

FORMAT_VERSION = "1"
PACKAGE_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
_REMEDY = "install the package again, or name a good file with --weights or COLORIZE_WEIGHTS"


@dataclass(frozen=True)
class LoadedModel:
    """A network ready to run, what it says of itself, and where it came from."""

    network: nn.Module
    descriptor: Descriptor
    path: Path
    metadata: dict[str, str]


def search_folders(explicit: Path | None) -> list[Path]:
    """Where weights are looked for, first match wins: ``--weights``, $COLORIZE_WEIGHTS, user data, the package."""
    places = [explicit] if explicit else []
    if os.environ.get("COLORIZE_WEIGHTS"):
        places.append(Path(os.environ["COLORIZE_WEIGHTS"]))
    with contextlib.suppress(ColorizeError):  # a user without a home has none there
        places.append(user_data_folder() / "weights")
    return [*places, PACKAGE_WEIGHTS]


def find_weights(model: str, explicit: Path | None = None) -> Path:
    """Find the file of a model: a place may be the file itself or a folder holding ``MODEL.safetensors``.

    Raises:
        ColorizeError: no such file; says where it was looked for.
    """
    for place in search_folders(explicit):
        if place.is_file():
            return place
        if (place / f"{model}.safetensors").is_file():
            return place / f"{model}.safetensors"
        if place == explicit:
            raise ColorizeError(f"there are no weights for '{model}' at {place}", "check the path given with --weights")
    looked = ", ".join(str(p) for p in search_folders(explicit))
    raise ColorizeError(
        f"no weights for a model named '{model}' (looked in {looked})", "see `engine models`; " + _REMEDY
    )


def list_weights(explicit: Path | None = None) -> list[Path]:
    """All weight files that could be loaded by name, each name once.

    The default model comes first, since clients offer the first one; then those of the nearest place.
    """
    found: dict[str, Path] = {}
    for place in search_folders(explicit):
        files = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
        for file in files:
            found.setdefault(file.stem, file)
    return [found[name] for name in sorted(found, key=lambda name: name != DEFAULT_MODEL)]


@contextlib.contextmanager
def _opened(path: Path, remedy: str = _REMEDY) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as f:
            yield f
    except (SafetensorError, OSError, ValueError) as e:
        raise ColorizeError(f"the weights {path} cannot be read ({str(e).splitlines()[0]})", remedy) from e


def read_header(path: Path, remedy: str = _REMEDY) -> dict[str, str]:
    """Read the metadata of any safetensors file.

    Raises:
        ColorizeError: not one, or truncated; with this remedy.
    """
    with _opened(path, remedy) as f:
        return dict(f.metadata() or {})


def read_metadata(path: Path) -> dict[str, str]:
    """Read a file's metadata without its tensors.

    Raises:
        ColorizeError: not a safetensors file, truncated, or not one of ours.
    """
    metadata = read_header(path)
    if metadata.get("architecture") not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ColorizeError(
            f"the weights {path} are for the architecture '{metadata.get('architecture')}'; this version knows {known}",
            _REMEDY,
        )
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ColorizeError(
            f"the weights {path} have format {metadata.get('format_version')}; this version reads {FORMAT_VERSION}",
            "use weights and program of the same release",
        )
    return metadata


def describe(path: Path) -> Descriptor:
    """Descriptor of a weight file: the architecture's own, with the values its metadata measured."""
    metadata = read_metadata(path)
    descriptor = ARCHITECTURES[metadata["architecture"]].descriptor
    try:
        changes = json.loads(metadata.get("descriptor", "{}"))
        values = {**asdict(descriptor), **changes, "architecture": metadata["architecture"]}
        return replace(descriptor, **asdict(parse_config(Descriptor, values)))
    except (ValueError, TypeError) as e:
        raise ColorizeError(f"the weights {path} have broken metadata ({e})", _REMEDY) from e


def load_model(path: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Build the network a file describes and load its tensors, in fp32, ready for inference.

    Raises:
        ColorizeError: unreadable, another architecture, missing or unexpected keys, wrong shapes.
    """
    metadata = read_metadata(path)
    descriptor = describe(path)
    architecture = ARCHITECTURES[metadata["architecture"]]
    try:
        network = architecture.build(parse_config(architecture.config, json.loads(metadata.get("config", "{}"))))
    except (ValueError, TypeError) as e:
        raise ColorizeError(f"the weights {path} have a broken configuration ({e})", _REMEDY) from e
    tensors = read_tensors(path)
    expected = network.state_dict()
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing or extra:
        what = f"lack {missing[0]}" if missing else f"hold an unknown {extra[0]}"
        raise ColorizeError(f"the weights {path} {what} ({len(missing)} missing, {len(extra)} unknown)", _REMEDY)
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            raise ColorizeError(
                f"the weights {path} have {key} of shape {tuple(tensor.shape)}, not {tuple(expected[key].shape)}",
                _REMEDY,
            )
    network.load_state_dict({k: t.to(expected[k].dtype) for k, t in tensors.items()}, assign=True)
    network.requires_grad_(False)
    network.to(device)
    prepare = getattr(network, "prepare_for_inference", None)
    if callable(prepare):
        prepare()
    return LoadedModel(network, descriptor, path, metadata)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Raises:
        ColorizeError: truncated or damaged.
    """
    with _opened(path) as f:
        return {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118 (safe_open is no dict)


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata atomically: a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, temporary, metadata)


def save_model(
    path: Path,
    state: dict[str, Tensor],
    architecture: str,
    config: Any,
    metadata: dict[str, str],
    descriptor: dict[str, Any] | None = None,
) -> None:
    """Write shippable weights: floats in fp16, with what a loader and a reader must know in the metadata."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError("config must be a dataclass instance")
    half = {k: t.half() if t.is_floating_point() else t for k, t in state.items()}
    meta = {
        **metadata,
        "architecture": architecture,
        "config": json.dumps(asdict(config)),
        "descriptor": json.dumps(descriptor or {}),
        "format_version": FORMAT_VERSION,
    }
    save_tensors(path, half, meta)
