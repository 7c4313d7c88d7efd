"""Weights of networks that look at pictures, from files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import ColorizeError
from engine.models.checkpoint import FORMAT_VERSION, read_header, read_tensors
from engine.models.components.encoder import ARCHITECTURE, Encoder, EncoderConfig
from engine.models.registry import parse_config

OWN_ENCODER = Path(__file__).resolve().parent.parent / "weights" / "encoder.safetensors"
"""The encoder that comes with the package."""


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of tensors, whatever file they are kept in."""
    found = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        found.update(f"{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def load_encoder(path: Path, device: torch.device | str = "cpu") -> tuple[Encoder, dict[str, str]]:
    """Read an encoder, in fp32 and frozen, and its metadata.

    Raises:
        ColorizeError: unreadable, not an encoder, or damaged.
    """
    remedy = "make one with `training train-encoder`"
    metadata = read_header(path, remedy)
    if metadata.get("architecture") != ARCHITECTURE or metadata.get("format_version") != FORMAT_VERSION:
        raise ColorizeError(f"{path} holds {metadata.get('architecture', 'nothing known')}, no encoder", remedy)
    try:
        network = Encoder(parse_config(EncoderConfig, json.loads(metadata["config"])))
        expected = network.state_dict()
        network.load_state_dict({k: t.to(expected[k].dtype) for k, t in read_tensors(path).items() if k in expected})
    except (KeyError, ValueError, RuntimeError) as e:
        raise ColorizeError(f"the encoder {path} is damaged ({str(e).splitlines()[0]})", remedy) from e
    network.requires_grad_(False)
    network.eval()
    return network.to(device), metadata
