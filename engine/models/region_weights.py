"""Weights of the region colour model on disk."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from engine.errors import ColorizeError
from engine.models.checkpoint import FORMAT_VERSION, read_header, read_tensors, save_tensors
from engine.models.region_transformer import ARCHITECTURE, RegionTransformer, RegionTransformerConfig
from engine.models.registry import parse_config


def save_region_model(
    path: Path, tensors: dict[str, Tensor], config: RegionTransformerConfig, metadata: dict[str, str]
) -> None:
    """Write the weights atomically, in fp16, with what a loader and a reader must know in the metadata."""
    half = {k: t.half() if t.is_floating_point() else t for k, t in tensors.items()}
    own = {"architecture": ARCHITECTURE, "format_version": FORMAT_VERSION, "config": json.dumps(asdict(config))}
    save_tensors(path, half, {**metadata, **own})


def load_region_model(path: Path, device: torch.device | str = "cpu") -> tuple[RegionTransformer, dict[str, str]]:
    """Read the model, in fp32, frozen and ready for inference, and its metadata.

    Raises:
        ColorizeError: unreadable, another network's, or damaged.
    """
    remedy = "make one with `training train-regions`"
    metadata = read_header(path, remedy)
    if metadata.get("architecture") != ARCHITECTURE or metadata.get("format_version") != FORMAT_VERSION:
        found = metadata.get("architecture", "nothing known")
        raise ColorizeError(f"{path} holds {found}, no region colour model of this version", remedy)
    try:
        network = RegionTransformer(parse_config(RegionTransformerConfig, json.loads(metadata["config"])))
        expected = network.state_dict()
        network.load_state_dict({k: t.to(expected[k].dtype) for k, t in read_tensors(path).items()})
    except (KeyError, ValueError, TypeError, RuntimeError) as e:
        raise ColorizeError(f"the region colour model {path} is damaged ({str(e).splitlines()[0]})", remedy) from e
    network.requires_grad_(False)
    network.to(device)
    network.prepare_for_inference()
    return network, metadata
