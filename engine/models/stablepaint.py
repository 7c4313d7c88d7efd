"""StablePaint: latent diffusion that starts from a good guess.

Three networks: a VAE between pictures and small latent maps (``vae``), a context encoder that guesses the
illustration's latent c from lineart, hints, mask and known pixels, and a denoiser (``denoiser``) that draws how the
illustration differs from the guess. What is drawn is the difference r = z - c along the straight path
x_t = (1 - t) r + t e with normal noise e; that is the path z_t = (1 - t) z + t (c + e), whose noise lies round the
guess. So strength s starts from c + s e at t = s: 0 is the guess itself, 1 is free of it but for what the denoiser
reads from its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.base import ModelInputs, ModelOutputs, Sampling
from engine.models.components.blocks import Foldable, ResidualBlock
from engine.models.components.denoiser import Denoiser, zero
from engine.models.components.hint_prior import flood_hints
from engine.models.components.vae import CELL, Vae
from engine.models.stenciltorch import GlobalAttention
from engine.sampling.diffusion import ddim, ddpm, linear_schedule
from engine.sampling.noise import grid_sizes, mix_noise
from engine.sampling.path import Kept, even_times, keep
from engine.sampling.straight import euler, heun

HINT_CHANNELS = 8
"""Near and far confidence, hint colour and coverage, mask, known."""
LINE_CHANNELS = CELL * CELL


@dataclass(frozen=True)
class StablePaintConfig:
    """Sizes of the three networks.

    Attributes:
        channels: of the latent map.
        encoder: widths of the VAE's encoder at 1/4 and 1/8 of the picture.
        decoder: widths of its decoder at 1/8, 1/4 and 1/2.
        context: widths of the context encoder at 1/8, 1/16 and 1/32.
        denoiser: widths of the denoiser at 1/8, 1/16, 1/32 and 1/64.
        embedding: size of its time embedding.
    """

    channels: int = 8
    encoder: tuple[int, int] = (32, 64)
    decoder: tuple[int, int, int] = (96, 48, 24)
    context: tuple[int, int, int] = (56, 72, 96)
    denoiser: tuple[int, int, int, int] = (64, 128, 192, 320)
    embedding: int = 228


@dataclass(frozen=True)
class Guides:
    """What context encoder and denoiser are told, at the latent's size.

    Attributes:
        latent: BxCxhxw, the latent of known pixels and flooded hints in one picture; 0 where there is neither.
        hints: BxHINT_CHANNELSxhxw.
        lines: BxLINE_CHANNELSxhxw, the lineart's pixels.
        known: Bx1xhxw in {0, 1}, cells whose pixels are all known.
    """

    latent: Tensor
    hints: Tensor
    lines: Tensor
    known: Tensor

    def expand(self, count: int) -> Guides:
        """The same for several pictures of one drawing."""
        if self.latent.shape[0] == count:
            return self
        return Guides(*(x.expand(count, -1, -1, -1) for x in (self.latent, self.hints, self.lines, self.known)))


class ContextEncoder(nn.Module):
    """A small U-Net from the guides to the latent of the illustration.

    Its answer is ``gate * flooded + own``: where strokes decide, the gate need only open.
    """

    def __init__(self, channels: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        w1, w2, w3 = widths
        self.channels = channels
        self.stem = nn.Conv2d(channels + HINT_CHANNELS + LINE_CHANNELS, w1, 3, 1, 1)
        self.enc1, self.down1 = ResidualBlock(w1), nn.Conv2d(w1, w2, 3, 2, 1)
        self.enc2, self.down2 = ResidualBlock(w2), nn.Conv2d(w2, w3, 3, 2, 1)
        self.attention = GlobalAttention(w3, w3 // 16)
        self.middle = ResidualBlock(w3)
        self.up2, self.up1 = nn.Conv2d(w3, w2, 1), nn.Conv2d(w2, w1, 1)
        self.dec1 = ResidualBlock(w1)
        self.head = nn.Conv2d(w1, 2 * channels, 3, 1, 1)
        zero(self.head)

    def forward(self, guides: Guides) -> Tensor:
        """The guessed latent, BxCxhxw."""
        x = torch.cat([guides.latent, guides.hints, guides.lines], 1)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        e1 = self.enc1(F.relu(self.stem(x), inplace=True))
        e2 = self.enc2(F.relu(self.down1(e1), inplace=True))
        m = self.middle(self.attention(F.relu(self.down2(e2), inplace=True)))
        d2 = F.relu(F.interpolate(self.up2(m), scale_factor=2.0) + e2, inplace=True)
        d1 = self.dec1(F.relu(F.interpolate(self.up1(d2), scale_factor=2.0) + e1, inplace=True))
        own, gate = self.head(d1).chunk(2, 1)
        guess: Tensor = own + torch.sigmoid(gate) * guides.latent
        return guess


class StablePaint(Foldable):
    """The three networks together, stride 64."""

    def __init__(self, config: StablePaintConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.vae = Vae(channels, config.encoder, config.decoder)
        self.context = ContextEncoder(channels, config.context)
        pooled = 2 * channels + HINT_CHANNELS
        self.denoiser = Denoiser(channels, pooled + LINE_CHANNELS, pooled, config.denoiser, config.embedding)

    def guides(self, inputs: ModelInputs) -> Guides:
        """Flood the hints, encode them with what is known, and bring everything to the latent's size."""
        flood = flood_hints(inputs)
        channels = flood.channels()
        full = F.interpolate(flood.colour, scale_factor=2.0)
        picture = torch.where(inputs.known > 0.5, inputs.context, full)
        near_far = F.avg_pool2d(channels[:, 3:], CELL // 2)
        known = (-F.max_pool2d(-inputs.known, CELL) > 0.99).to(full.dtype)
        # Without any hint the flood is one grey, which says nothing.
        latent = self.vae.latent(picture) * ((near_far[:, 1:] > 0) | (known > 0)).to(full.dtype)
        pooled = F.avg_pool2d(torch.cat([inputs.hints, inputs.mask], 1), CELL)
        hints = torch.cat([near_far, pooled, known], 1)
        return Guides(latent, hints, F.pixel_unshuffle(inputs.lineart, CELL), known)

    def conditions(self, guides: Guides, guess: Tensor) -> Tensor:
        """What the denoiser is told: the guess and the guides."""
        return torch.cat([guess, guides.latent, guides.hints, guides.lines], 1)

    def estimate(self, x: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        """Expected difference to the guess, given BxCxhxw ``x`` on its straight path at B times."""
        velocity: Tensor = self.denoiser(x, conditions, t)
        return x - t.view(-1, 1, 1, 1).to(x.dtype) * velocity

    def paint(self, latent: Tensor) -> ModelOutputs:
        """Decode a standardised latent, BxCxhxw."""
        return ModelOutputs(*self.vae.decode(latent))

    def forward(self, inputs: ModelInputs) -> ModelOutputs:
        """Colour a batch by ``Sampling()``, each sample from the same noise."""
        return self.sample(inputs, Sampling((0,) * inputs.lineart.shape[0]))

    def sample(self, inputs: ModelInputs, sampling: Sampling) -> ModelOutputs:
        """Colour a batch, a picture per seed; see ``SamplingModel``."""
        return self.paint(self.draw(inputs, sampling))

    def draw(self, inputs: ModelInputs, sampling: Sampling) -> Tensor:
        """The standardised latents that ``sample`` paints, one per seed."""
        count = len(sampling.seeds)
        if inputs.lineart.shape[0] not in (1, count):
            raise ValueError(f"{inputs.lineart.shape[0]} samples do not go with {count} seeds")
        guides = self.guides(inputs)
        first: Tensor = self.context(guides)
        guides, guess = guides.expand(count), first.expand(count, -1, -1, -1)
        schedule = linear_schedule()
        begin = schedule.step_of(sampling.strength)
        stops = list(range(begin, -1, -1)) if sampling.sampler == "ddpm" else schedule.skipping(begin, sampling.steps)
        straight = sampling.sampler in ("euler", "heun")
        steps = 0 if sampling.strength == 0 else sampling.steps if straight else len(stops) - 1

        def tell(done: int, of: int, difference: Tensor) -> None:
            if sampling.watch is not None:
                sampling.watch(done, of, lambda: self.vae.preview(first + difference))

        draws = Noise(sampling.seeds)
        noise = draws(guess)
        kept = Kept(guides.latent - guess, guides.known, noise) if bool(guides.known.any()) else None
        nothing = torch.zeros_like(guess)
        tell(0, steps, keep(nothing, 0.0, kept))
        if steps == 0:
            return guess + keep(nothing, 0.0, kept)
        denoise = self._guess_and_guide(inputs, guides, guess, sampling)
        if straight:
            follow = euler if sampling.sampler == "euler" else heun
            times = even_times(sampling.strength, steps)
            return guess + follow(denoise, noise * sampling.strength, times, kept, tell)
        noise = noise * schedule.time(begin)
        if sampling.sampler == "ddpm":
            return guess + ddpm(denoise, noise, schedule, begin, draws, kept, tell)
        return guess + ddim(denoise, noise, schedule, stops, draws, 0.0, kept, tell)

    def _guess_and_guide(
        self, inputs: ModelInputs, guides: Guides, guess: Tensor, sampling: Sampling
    ) -> Callable[[Tensor, float], Tensor]:
        """What the samplers ask: the expected difference to the guess, guided away from what no hint would give."""
        told = self.conditions(guides, guess)

        def with_hints(x: Tensor, t: float) -> Tensor:
            return self.estimate(x, told, x.new_full((x.shape[0],), t))

        if sampling.guidance == 1 or not bool(inputs.hints[:, 3:].any()):
            return with_hints
        bare = self.guides(replace(inputs, hints=torch.zeros_like(inputs.hints)))
        other: Tensor = self.context(bare).expand_as(guess)
        untold = self.conditions(bare.expand(guess.shape[0]), other)
        apart = other - guess

        def guided(x: Tensor, t: float) -> Tensor:
            # The same z and noise seen from the other guess c': (1 - t) (z - c') + t e = x - (1 - t) (c' - c).
            free = self.estimate(x - (1 - t) * apart, untold, x.new_full((x.shape[0],), t)) + apart
            return free + sampling.guidance * (with_hints(x, t) - free)

        return guided


class Noise:
    """Normal noise (``mix_noise``) with a stream of its own per picture, made on the CPU: all devices draw alike."""

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, like: Tensor) -> Tensor:
        """Noise of the shape of ``like``, a sample per stream."""
        channels, height, width = like.shape[1:]

        def normal(h: int, w: int) -> Tensor:
            return torch.stack([torch.randn(channels, h, w, generator=stream) for stream in self.streams])

        white = normal(height, width)
        made = mix_noise(white, [normal(*size) for size in grid_sizes(height, width)])
        return made.to(like.device, like.dtype)
