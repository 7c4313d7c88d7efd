"""What an encoder is taught without labels.

Crops of one picture should be told apart from all others of the batch (SimCLR, Chen et al. 2020), and every cell of a
lineart's maps should tell what the coloured picture's hold there. The second is a prediction and goes one way: were
both simply made equal, colour would be forgotten. VICReg (Bardes et al. 2022) in SimCLR's place was slower to begin:
after 80 steps of 64 pairs its variance term had gone from 16.7 to 15.6 of 25.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.components.encoder import Encoder, EncoderConfig, pooled
from training.features.views import Looks

TEMPERATURE = 0.2
PROJECTED = 256


def contrast(a: Tensor, b: Tensor) -> Tensor:
    """SimCLR's NT-Xent of NxD vectors of N pairs: each is to find its partner among all 2N - 1 others, by cosine."""
    z = F.normalize(torch.cat([a, b]))
    similarity = z @ z.T / TEMPERATURE
    alike = torch.eye(len(z), dtype=torch.bool, device=z.device)
    partner = torch.arange(len(z), device=z.device).roll(len(a))
    return F.cross_entropy(similarity.masked_fill(alike, -torch.inf), partner)


def guess_error(guess: Tensor, truth: Tensor) -> Tensor:
    """Mean over cells of 1 - cosine between BxCxHxW maps; the truth is not moved towards the guess."""
    return (1 - F.cosine_similarity(guess, truth.detach(), dim=1)).mean()


class Learner(nn.Module):
    """An encoder with what is needed to teach it and thrown away afterwards.

    Args:
        config: of the encoder.
        guess: weight of the prediction from a lineart.
        gather: brings the rows of all processes together, with their gradients; for training.
    """

    def __init__(
        self, config: EncoderConfig, guess: float = 1.0, gather: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        self.guess, self.gather = guess, gather
        self.encoder = Encoder(config)
        width = sum(config.widths[1:])
        self.projector = nn.Sequential(
            nn.Linear(width, PROJECTED, bias=False),
            nn.BatchNorm1d(PROJECTED),
            nn.ReLU(),
            nn.Linear(PROJECTED, PROJECTED, bias=False),
            nn.BatchNorm1d(PROJECTED),
            nn.ReLU(),
            nn.Linear(PROJECTED, PROJECTED, bias=False),
        )
        self.guessers = nn.ModuleList(nn.Conv2d(w, w, 1) for w in config.widths[2:])

    def forward(self, looks: Looks) -> dict[str, Tensor]:
        """The terms of the loss, to be added up."""
        # One pass, so that BatchNorm's statistics are of pictures and linearts alike, as when the encoder is used.
        maps = self.encoder(torch.cat([looks.first, looks.second, looks.line]))
        parts = [m.chunk(3) for m in maps]
        first, second = ([p[i] for p in parts] for i in (0, 1))
        views = [self.projector(pooled(view)) for view in (first, second)]
        if self.training:
            views = [self.gather(view) for view in views]
        terms = {"contrast": contrast(*views)}
        errors = [guess_error(g(p[2]), p[0]) for g, p in zip(self.guessers, parts[2:], strict=True)]
        terms["guess"] = self.guess * torch.stack(errors).mean()
        return terms
