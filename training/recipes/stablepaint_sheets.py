"""Sheets that show what matters in each stage of StablePaint, and the VAE's round trip in numbers, of held-out art."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.models.base import Sampling
from engine.models.components.vae import CELL
from engine.models.stablepaint import StablePaint
from training.data.dataset import Crops, Picture
from training.data.synthesis import TrainingBatch, make_batch
from training.evaluation.metrics import ciede2000
from training.recipes.sheets import column, over_white

SHOWN = 6
STRENGTHS = (0.3, 0.6, 0.8, 1.0)
SEEDS = (1, 2)
STEPS = 6


def held_out_batch(pictures: list[Picture], size: int, hints: int, device: torch.device) -> TrainingBatch:
    """A batch of the first held-out pictures with that many strokes, the same at any time."""
    crops = Crops(pictures, size, (1.0, 1.2), 7, hints)
    items = [crops[i] for i in range(min(SHOWN, len(pictures)))]
    raw = {k: torch.stack([item[k] for item in items]).to(device) for k in items[0]}
    return make_batch(raw, torch.Generator(device).manual_seed(7))


def write_sheets(stem: Path, net: StablePaint, stage: str, pictures: list[Picture], size: int) -> None:
    """Write the sheets of a stage beside ``stem``: a row per picture.

    ``vae``: illustration, round trip, the same under the lineart, flats, flats decoded, preview. ``context``, with 12
    hints and with none: lineart, hints, guess (flat, shaded, under the lineart), the illustration's round trip,
    illustration. ``denoiser``: hints, guess, then by strength and seed, illustration.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    device = next(net.parameters()).device
    for hints in (12, 0) if stage != "vae" else (12,):
        batch = held_out_batch(pictures, size, hints, device)
        columns = {"vae": _round_trip, "context": _guess, "denoiser": _variations}[stage](net, batch)
        path = stem.with_name(f"{stem.name}-{stage}-{hints:02d}.png")
        Image.fromarray(np.concatenate([column(c.float()) for c in columns], 1)).save(path)


def _under_lines(picture: Tensor, batch: TrainingBatch) -> Tensor:
    return (picture.clamp(-1, 1) + 1) * ((batch.inputs.lineart + 1) / 2) - 1


def _round_trip(net: StablePaint, batch: TrainingBatch) -> list[Tensor]:
    latent = net.vae.latent(batch.target)
    flat, shaded = net.vae.decode(latent)
    preview = torch.nn.functional.interpolate(net.vae.preview(latent), scale_factor=float(CELL))
    return [batch.target, shaded, _under_lines(shaded, batch), batch.flat, flat, preview]


def _guess(net: StablePaint, batch: TrainingBatch) -> list[Tensor]:
    guess = net.paint(net.context(net.guides(batch.inputs)))
    _, best = net.vae.decode(net.vae.latent(batch.target))
    lines = batch.inputs.lineart.expand(-1, 3, -1, -1)
    shown = [guess.flat, guess.shaded, _under_lines(guess.shaded, batch)]
    return [lines, over_white(batch.inputs), *shown, best, batch.target]


def _variations(net: StablePaint, batch: TrainingBatch) -> list[Tensor]:
    count = len(batch.target)
    columns = [over_white(batch.inputs), net.sample(batch.inputs, Sampling((0,) * count, strength=0.0)).shaded]
    for strength in STRENGTHS:
        for seed in SEEDS:
            sampling = Sampling((seed,) * count, strength, STEPS)
            columns.append(_under_lines(net.sample(batch.inputs, sampling).shaded, batch))
    return [*columns, batch.target]


def _square(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle square of HxWx3 at another size."""
    h, w = int(picture.shape[0]), int(picture.shape[1])
    short = min(h, w)
    y, x = (h - short) // 2, (w - short) // 2
    way = cv2.INTER_AREA if short > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture[y : y + short, x : x + short], (side, side), interpolation=way), np.uint8)


@torch.no_grad()
def rebuild(net: StablePaint, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The VAE's round trip of an HxWx3 picture whose sides are multiples of ``CELL``."""
    device = next(net.parameters()).device
    x = torch.from_numpy(np.array(picture)).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
    _, shaded = net.vae.decode(net.vae.latent(x))
    seen = ((shaded[0].clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).byte().cpu().numpy()
    return np.asarray(seen, np.uint8)


def round_trip(net: StablePaint, pictures: list[NDArray[np.uint8]], side: int) -> dict[str, float]:
    """PSNR in dB and mean CIEDE2000 of the VAE's round trip, means over the middle squares of HxWx3 uint8 pictures."""
    psnr, difference = [], []
    for picture in pictures:
        truth = _square(picture, side)
        rebuilt = rebuild(net, truth)
        error = float(np.mean((rebuilt.astype(np.float64) - truth) ** 2))
        psnr.append(10 * math.log10(255**2 / max(error, 1e-9)))
        difference.append(float(ciede2000(rebuilt[::2, ::2], truth[::2, ::2]).mean()))
    return {"psnr": sum(psnr) / len(psnr), "ciede2000": sum(difference) / len(difference)}


def measure_round_trip(path: Path, step: int, net: StablePaint, pictures: list[Picture], side: int = 256) -> None:
    """Add a line with the round trip's figures to ``path``."""
    figures = round_trip(net, [p.image for p in pictures], side)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "side": side, **figures}) + "\n")
