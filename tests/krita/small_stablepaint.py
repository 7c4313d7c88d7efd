"""Writes a file of weights of a small StablePaint that has learned nothing but samples that differ.

A program of its own, since only the engine's Python need have torch (see newer_krita.sh).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from engine.models.checkpoint import save_model
from engine.models.stablepaint import StablePaint, StablePaintConfig


def main() -> None:
    """Write the file, always the same."""
    config = StablePaintConfig(
        channels=4, encoder=(8, 8), decoder=(16, 8, 8), context=(8, 8, 16), denoiser=(8, 16, 16, 16), embedding=8
    )
    torch.manual_seed(1)
    net = StablePaint(config)
    for name, parameter in net.named_parameters():
        # What begins with no say gets some, or all seeds would look alike.
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.05)
        if "denoiser.head" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    net.vae.get_buffer("glance").normal_(std=0.3)
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(path, net.state_dict(), "stablepaint", config, {})


if __name__ == "__main__":
    main()
