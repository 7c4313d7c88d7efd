"""Sheets of held-out drawings that the region colour model has coloured, for the eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.imaging.canvas import resize_picture
from engine.imaging.color import oklab_to_srgb
from engine.imaging.regions.graph import RegionGraph
from engine.models.region_transformer import UNKNOWN, RegionTransformer
from training.regions.held_out import WHITE, HeldOut, chosen_colours

TILE = 208
"""Side in pixels of the square each picture is fitted into."""
ROWS = 14
_UNPAINTED = (0.93, 0.0, 0.0)
"""OKLab of what is not known."""


def paint(graph: RegionGraph, lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A drawing whose N regions have Nx3 OKLab colours, under its ink, as a tile."""
    picture = oklab_to_srgb(lab[: graph.count]).take(graph.labels, axis=0) * (1 - graph.ink[..., None])
    h, w = graph.labels.shape
    scale = TILE / max(h, w)
    small = resize_picture(picture, max(1, round(h * scale)), max(1, round(w * scale)))
    tile = np.full((TILE, TILE, 3), 255, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = np.rint(np.clip(small, 0, 1) * 255)
    return tile


@torch.no_grad()
def write_sheet(path: Path, model: RegionTransformer, held_out: HeldOut, device: torch.device | str = "cpu") -> None:
    """Write a PNG, a row per drawing: lineart, then what is known and what is made of it per count, and the truth."""
    many = len(held_out.graphs)
    rows = []
    for number in range(0, many, max(1, many // ROWS)):
        graph = held_out.graphs[number]
        at, row = divmod(number, held_out.size)
        tiles = [paint(graph, np.tile(np.array([WHITE], np.float32), (graph.count, 1)))]
        for count, kept in held_out.batches[at].items():
            batch = kept.to(device)
            chosen = chosen_colours(model, batch, model(batch.drawings, batch.known))[row].cpu()
            if count:
                unknown = (batch.known.state[row, :, None] == UNKNOWN).cpu()
                given = torch.where(unknown, torch.tensor(_UNPAINTED), batch.known.colour[row].cpu())
                tiles.append(paint(graph, given.numpy()))
            tiles.append(paint(graph, chosen.numpy()))
        truth = next(iter(held_out.batches[at].values())).truth[row]
        tiles.append(paint(graph, truth.numpy()))
        rows.append(np.hstack(tiles))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows[:ROWS])).save(path)
