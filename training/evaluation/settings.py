"""How a model that samples is to do it while it is measured: settings read, checked against the model, named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from engine.errors import ColorizeError
from engine.models.base import SAMPLERS, Descriptor, Sampling, check_setting
from engine.pipeline import Job, Pipeline
from engine.protocol.settings import SETTINGS, WHOLE

DEFAULT = "default"
"""Stands for the model's own settings."""
_EXAMPLE = "write them like steps=4,strength=0.8"


@dataclass(frozen=True)
class Settings:
    """What is asked of a sampling; None = the model's own, and the job's seed.

    Attributes:
        steps, strength, guidance, seed: as in ``JobSettings``.
        sampler: one of ``SAMPLERS``.
    """

    steps: int | None = None
    strength: float | None = None
    guidance: float | None = None
    sampler: str | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """What is asked for, always in the same order; ``DEFAULT`` where nothing is."""
        asked = [(key, value) for key, value in asdict(self).items() if value is not None]
        # 12 digits give back any number that somebody would type, and 0.8 as 0.8.
        parts = [f"{key}={value:.12g}" if isinstance(value, float) else f"{key}={value}" for key, value in asked]
        return ",".join(parts) or DEFAULT

    def sampling(self, descriptor: Descriptor) -> Sampling | None:
        """What it comes to for one model; None for a model that does not sample and of which nothing is asked.

        Raises:
            ColorizeError: something is asked of such a model, or a number is out of range.
        """
        if not descriptor.stochastic:
            if self == Settings():
                return None
            raise ColorizeError(
                f"{descriptor.name} does not sample, so it cannot be measured with {self.name}",
                "leave the settings out, or name a model that does: --sampling MODEL:SETTINGS",
                wrong_use=True,
            )
        check_setting("seed", self.seed)
        made = descriptor.sampling((self.seed or 0,), self.strength, self.steps, self.guidance)
        return made if self.sampler is None else replace(made, sampler=self.sampler)

    def apply(self, job: Job) -> Job:
        """The same job under these settings, but for the sampler, which is the pipeline's; see ``follow``."""
        seed = job.settings.seed if self.seed is None else self.seed
        return job.with_settings(steps=self.steps, strength=self.strength, guidance=self.guidance, seed=seed)

    def follow(self, pipeline: Pipeline) -> Pipeline:
        """A pipeline of the same network that uses the wanted sampler."""
        if self.sampler is None:
            return pipeline
        model = pipeline.model
        changed = replace(model, descriptor=replace(model.descriptor, sampler=self.sampler))
        return Pipeline(changed, str(pipeline.device))


def told(sampling: Sampling) -> dict[str, Any]:
    """A sampling as JSON."""
    numbers: dict[str, Any] = {"steps": sampling.steps, "strength": sampling.strength, "guidance": sampling.guidance}
    return {**numbers, "sampler": sampling.sampler, "seed": sampling.seeds[0]}


def read_settings(text: str) -> Settings:
    """Read settings such as ``steps=4,strength=0.8``; ``default`` asks for nothing.

    Raises:
        ColorizeError: it cannot be read, names a thing twice, or there is no such sampler.
    """
    found: dict[str, Any] = {}
    known = [f.name for f in fields(Settings)]
    for part in [] if text.strip() == DEFAULT else text.split(","):
        key, equals, value = (p.strip() for p in part.partition("="))
        if key not in known or not equals:
            raise ColorizeError(
                f"'{part.strip()}' is no setting; there are {', '.join(known)}", _EXAMPLE, wrong_use=True
            )
        if key in found:
            raise ColorizeError(f"'{text}' names {key} twice", "leave one out", wrong_use=True)
        if key == "sampler":
            if value not in SAMPLERS:
                remedy = "choose one of " + ", ".join(SAMPLERS)
                raise ColorizeError(f"the sampler '{value}' cannot be used", remedy, wrong_use=True)
            found[key] = value
            continue
        try:
            found[key] = int(value) if SETTINGS[key].kind == WHOLE else float(value)
        except ValueError as e:
            raise ColorizeError(f"{key}={value} is no number that fits", _EXAMPLE, wrong_use=True) from e
    return Settings(**found)


def read_all(given: Sequence[str], models: Sequence[str]) -> dict[str, list[Settings]]:
    """Read the settings of all models.

    Args:
        given: ``MODEL:SETTINGS`` each, or ``SETTINGS`` for every model.
        models: the names there are.

    Returns:
        By model its settings in the given order; just the default where none are given.

    Raises:
        ColorizeError: unreadable, no such model, or the same settings twice for one model.
    """
    out: dict[str, list[Settings]] = {model: [] for model in models}
    for text in given:
        model, colon, rest = text.partition(":")
        settings = read_settings(rest if colon else text)
        if colon and model not in out:
            raise ColorizeError(f"no model is named '{model}'", f"there are {', '.join(models)}", wrong_use=True)
        for name in [model] if colon else models:
            if settings in out[name]:
                raise ColorizeError(f"{name} is given {settings.name} twice", "leave one out", wrong_use=True)
            out[name].append(settings)
    return {model: found or [Settings()] for model, found in out.items()}
