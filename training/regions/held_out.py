"""How good the region colour model's choices are on held-out drawings, beside those of two rules."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.imaging.color import oklab_to_srgb
from engine.imaging.regions.graph import GEOMETRY, RegionGraph
from engine.models.region_transformer import STROKE, UNKNOWN, RegionTransformer, palette
from engine.sampling.region_choice import decide
from training.evaluation.metrics import ciede2000
from training.regions.loss import region_loss
from training.regions.samples import RegionBatch, RegionSet, Sample, choose_known, graph_of, region_weights, stack

COUNTS = (0, 4, 16)
"""Known regions of the held-out drawings."""
WITHIN = 10.0
"""CIEDE2000 up to which a colour counts as right."""
WHITE = (1.0, 0.0, 0.0)


@dataclass(frozen=True)
class HeldOut:
    """Held-out drawings, one per picture, the same at every measurement.

    Attributes:
        graphs: of all drawings.
        batches: the drawings in order, ``size`` at a time; of each such batch one by number of known regions, which
            differ in nothing else.
        size: of a batch.
    """

    graphs: list[RegionGraph]
    batches: list[dict[int, RegionBatch]]
    size: int

    @classmethod
    def make(cls, data: RegionSet, most: int, size: int, counts: tuple[int, ...] = COUNTS) -> HeldOut:
        """Choose what is known of each held-out drawing with at most ``most`` regions."""
        drawn = [(item, place % len(item.regions)) for place, item in enumerate(data.held_out)]
        drawn.sort(key=lambda d: (d[0].shape[1] / d[0].shape[0], d[0].regions[d[1]]))
        found = [graph_of(item.read(number), most) for item, number in drawn]

        def sample(number: int, count: int) -> Sample:
            graph, colours, spread = found[number]
            known = choose_known(np.random.default_rng([number, 7]), graph, min(count, graph.count - 1))
            state = np.where(known, STROKE, UNKNOWN).astype(np.int64)
            return Sample(graph, colours, region_weights(graph, spread, ~known), state, colours * known[:, None])

        rows = [range(i, min(i + size, len(found))) for i in range(0, len(found), size)]
        batches = [{count: stack([sample(number, count) for number in some]) for count in counts} for some in rows]
        return cls([graph for graph, _, _ in found], batches, size)


def chosen_colours(model: RegionTransformer, batch: RegionBatch, log_p: Tensor) -> Tensor:
    """BxNx3 OKLab that ``decide`` chooses; those that are known as they are."""
    colours = palette(model, batch.known)
    at = decide(log_p, colours)[..., None].expand(-1, -1, 3)
    return torch.where(batch.known.state[..., None] != UNKNOWN, batch.known.colour, colours.gather(1, at))


def nearest_known(batch: RegionBatch) -> Tensor:
    """BxNx3 OKLab of the known region whose centre is nearest to each; white where none is known."""
    place = batch.drawings.geometry[..., [GEOMETRY.index("x"), GEOMETRY.index("y")]]
    away = torch.cdist(place, place).masked_fill((batch.known.state == UNKNOWN)[:, None, :], math.inf)
    at = away.argmin(2, keepdim=True).expand(-1, -1, 3)
    return torch.where(away.amin(2, keepdim=True).isinf(), place.new_tensor(WHITE), batch.known.colour.gather(1, at))


def _difference(lab: Tensor, truth: Tensor) -> Tensor:
    """CIEDE2000 of BxNx3 OKLab colours, BxN on the CPU."""
    one, other = (oklab_to_srgb(x.cpu().numpy().astype(np.float32)) for x in (lab, truth))
    return torch.from_numpy(ciede2000(one, other))


@torch.no_grad()
def measure(
    model: RegionTransformer, held_out: HeldOut, device: torch.device | str = "cpu", *, bf16: bool = False
) -> dict[str, float]:
    """The loss on held-out drawings, and how far off the chosen colours are.

    Args:
        model: in evaluation mode.
        held_out: the drawings.
        device: where the model is.
        bf16: run it in bfloat16.

    Returns:
        ``loss``, the mean over the numbers of known regions; per such number K ``loss_K``, ``ciede_K`` (the mean over
        drawings of the mean over the pixels of unknown regions), ``within_K`` (part of these pixels whose colour is
        right, see ``WITHIN``), and the same difference of two rules, ``white_K`` and ``nearest_K``.
    """
    found: dict[str, list[float]] = {}
    kind = torch.device(device).type
    for by_count in held_out.batches:
        with torch.autocast(kind, torch.bfloat16, bf16):
            encoded = model.encode(next(iter(by_count.values())).drawings.to(device))
        for count, kept in by_count.items():
            batch = kept.to(device)
            with torch.autocast(kind, torch.bfloat16, bf16):
                log_p = model.colour(encoded, batch.known)
            loss = region_loss(log_p, palette(model, batch.known), batch.truth, batch.weight)
            share = (batch.drawings.geometry[..., GEOMETRY.index("share")] ** 2 * (batch.weight > 0)).cpu()
            share = share / share.sum(1, keepdim=True).clamp_min(1e-9)
            error = _difference(chosen_colours(model, batch, log_p), batch.truth)
            white = _difference(batch.truth.new_tensor(WHITE).expand_as(batch.truth), batch.truth)
            nearest = _difference(nearest_known(batch), batch.truth)
            some = share.sum(1) > 0
            for name, values in (
                ("loss", loss.cpu()),
                ("ciede", (error * share).sum(1)),
                ("within", ((error <= WITHIN) * share).sum(1)),
                ("white", (white * share).sum(1)),
                ("nearest", (nearest * share).sum(1)),
            ):
                found.setdefault(f"{name}_{count}", []).extend(values[some].tolist())
    means = {name: float(np.mean(values)) for name, values in found.items() if values}
    losses = [means[f"loss_{count}"] for count in COUNTS if f"loss_{count}" in means]
    return {"loss": float(np.mean(losses)), **means} if losses else {}
