"""Turns the distribution over a region's colour into colours: the best one, the likeliest few, or a draw.

The colours are those of the known regions and of the network's colour classes, exactly; nothing is mixed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.models.region_transformer import GUESS, UNKNOWN, Encoded, Known, RegionTransformer, palette

FURTHEST = 0.25
"""OKLab distance from which a colour is wrong, however far away it is."""
LIKE = 0.045
"""Standard deviation in OKLab of what counts as the same colour."""
DISTINCT = 0.09
"""OKLab distance from which two suggestions are two."""
ROUNDS = 8


def distances(one: Tensor, other: Tensor) -> Tensor:
    """OKLab distance of each of BxNx3 to each of BxMx3 colours, BxNxM."""
    squares = (one**2).sum(-1)[..., :, None] + (other**2).sum(-1)[..., None, :] - 2 * one @ other.transpose(-1, -2)
    return squares.clamp_min(0).sqrt()


def expected_error(log_p: Tensor, colours: Tensor) -> Tensor:
    """Expected distance of each region's colour to each of the colours there are, counted up to ``FURTHEST``.

    Args:
        log_p: BxNxS log-probabilities of the colours.
        colours: BxSx3 OKLab, as ``palette`` gives them.

    Returns:
        BxNxS; the colour of a region that nobody can have, as it is not known, is infinitely wrong.
    """
    error = log_p.exp() @ distances(colours, colours).clamp_max(FURTHEST)
    return error.masked_fill((log_p <= math.log(1e-30)).all(1, keepdim=True), math.inf)


def decide(log_p: Tensor, colours: Tensor) -> Tensor:
    """Per region the colour that is expected to be least wrong: BxN numbers of the BxSx3 ``colours``.

    A mean of two ideas is neither; this is one of the colours there are. Which of several regions with the same colour
    it names means nothing.
    """
    return expected_error(log_p, colours).argmin(2)


def top(log_p: Tensor, colours: Tensor, count: int) -> list[int]:
    """The likeliest distinct colours of one region, best first.

    Args:
        log_p: S log-probabilities.
        colours: Sx3 OKLab.
        count: how many; fewer where there are no more.

    Returns:
        Numbers of the colours.
    """
    away = distances(colours[None], colours[None])[0]
    possible = log_p > math.log(1e-30)
    mass = torch.exp(-(away**2) / (2 * LIKE**2)) @ log_p.exp()
    chosen: list[int] = []
    while len(chosen) < count and bool(possible.any()):
        best = int(mass.masked_fill(~possible, -1).argmax())
        chosen.append(best)
        possible = possible & (away[best] >= DISTINCT)
    return chosen


@torch.inference_mode()
def sample(
    model: RegionTransformer, encoded: Encoded, known: Known, temperature: float, seed: int, rounds: int = ROUNDS
) -> Known:
    """Draw colours for all unknown regions, those that are surest first (MaskGIT, Chang et al. 2022).

    What one round settles is known to the next, so that the colours fit each other.

    Args:
        model: the network.
        encoded: one drawing.
        known: what is known of it.
        temperature: 0 = the colours of ``decide`` in every round, 1 = as the network thinks, more = wilder.
        seed: the same one gives the same colours.
        rounds: in which they are settled.

    Returns:
        The same with the drawn colours, as guesses.
    """
    generator = torch.Generator().manual_seed(seed)
    state, colour = known.state.clone(), known.colour.clone()
    wanted = int((encoded.valid & (state == UNKNOWN)).sum())
    settled = 0
    for number in range(1, rounds + 1):
        now = Known(state, colour)
        log_p = model.colour(encoded, now)
        colours = palette(model, now)
        if temperature > 0:
            log_p = torch.log_softmax(log_p / temperature, 2)
            drawn = torch.multinomial(log_p[0].exp().cpu(), 1, generator=generator)[:, 0].to(log_p.device)
        else:
            drawn = decide(log_p, colours)[0]
        chosen = colours[0, drawn]
        like = torch.exp(-(distances(chosen[None], colours)[0] ** 2) / (2 * LIKE**2))
        sure = (like * log_p[0].exp()).sum(1).clamp_min(1e-9).log()
        if temperature > 0:
            noise = -torch.empty(len(sure)).exponential_(generator=generator).log()
            sure = sure + noise.to(sure.device) * temperature * (1 - number / rounds)
        open_ = (encoded.valid & (state == UNKNOWN))[0]
        # Few in the first rounds, when little is known: the cosine schedule of the paper.
        until = wanted if number == rounds else round(wanted * (1 - math.cos(math.pi / 2 * number / rounds)))
        best = sure.masked_fill(~open_, -math.inf).topk(max(0, until - settled)).indices
        settled = max(settled, until)
        state[0, best], colour[0, best] = GUESS, chosen[best]
        if settled == wanted:
            break
    return Known(state, colour)
