"""What PaintsTorch's and StencilTorch's trainings share, among it the networks of others that they look through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.models.checkpoint import read_tensors
from engine.models.components.local_features import FEATURE_NETS, Illustration2Vec, LocalFeatures, features_config
from training.features.weights import OWN_ENCODER, load_encoder, tensors_digest
from training.losses.content import Content, LoadedContent, load_content
from training.losses.critic import Critic, ThesisCritic
from training.recipes.colouring import ColouringRun
from training.runs.config import ColouringConfig


@dataclass(frozen=True)
class ThesisTrainConfig(ColouringConfig):
    """A run of PaintsTorch or StencilTorch.

    Attributes:
        as_published: the thesis's losses and optimiser rather than ours.
        content: content loss as published or in its stead, one of ``training.losses.content.CONTENTS``.
        features: local features of the lineart, one of ``engine.models.components.local_features.FEATURE_NETS``.
        content_digest: SHA-256 of the tensors behind the content loss, found when the run begins,
        features_digest: and of those behind the features.
    """

    as_published: bool = False
    content: str = "none"
    features: str = "none"
    content_digest: str = ""
    features_digest: str = ""


C = TypeVar("C", bound=ThesisTrainConfig)


@dataclass(frozen=True)
class Eyes:
    """The networks of others, read from their files.

    Attributes:
        content: the content loss.
        features: tensors of ``LocalFeatures.network`` by name, None = no features.
    """

    content: LoadedContent
    features: dict[str, Tensor] | None

    def fill(self, run: ColouringRun) -> None:
        """Give the generator of a run the weights of its local features."""
        local = getattr(run.net, "local", None)
        if self.features is not None and isinstance(local, LocalFeatures):
            local.network.load_state_dict(self.features)
            run.averages.restart()


def open_eyes(config: C, content_weights: Path | None, features_weights: Path | None) -> tuple[C, Eyes]:
    """Read the networks that a run needs and put down in its settings which they are.

    Args:
        config: of the run.
        content_weights: file of the content loss's network.
        features_weights: file of the features' network.

    Raises:
        ColorizeError: a file is missing, of another network, or given for nothing.
    """
    if not config.as_published and (config.content, config.features) != ("none", "none"):
        raise ColorizeError(
            "this preset has colour losses of its own and looks through no network of others",
            "leave --content and --features out, or take --preset thesis",
            wrong_use=True,
        )
    content = load_content(config.content, content_weights)
    model, features = _features(config.features, features_weights)
    digest = "" if features is None else tensors_digest(features)
    ready = replace(config, model={**config.model, **model}, content_digest=content.digest, features_digest=digest)
    return ready, Eyes(content, features)


def _features(name: str, path: Path | None) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """The part of the model's configuration, and the tensors."""
    if name not in FEATURE_NETS:
        raise ColorizeError(f"no features are named {name}", f"choose of {', '.join(FEATURE_NETS)}", wrong_use=True)
    if name == "none":
        if path is not None:
            raise ColorizeError("--features-weights without --features", "name the features as well", wrong_use=True)
        return {}, None
    if name == "learned":
        encoder, _ = load_encoder(path or OWN_ENCODER)
        return features_config(name, encoder.config), {f"encoder.{k}": t for k, t in encoder.state_dict().items()}
    if path is None:
        raise ColorizeError(
            "--features illustration2vec needs --features-weights FILE",
            "`training convert` makes the file; --features learned needs no other file",
            wrong_use=True,
        )
    with torch.device("meta"):
        expected = Illustration2Vec().state_dict()
    tensors = {k: t.float() for k, t in read_tensors(path).items()}
    if {k: t.shape for k, t in tensors.items()} != {k: t.shape for k, t in expected.items()}:
        raise ColorizeError(f"{path} does not hold {name}", "`training convert` makes the file")
    return features_config(name), tensors


class ThesisRun(ColouringRun):
    """A run of PaintsTorch or StencilTorch, as published or with losses of our own.

    Args:
        folder: of the run.
        shards: packed art.
        config: what decides it.
        content_weights: file of the content loss's network, see ``open_eyes``,
        features_weights: and of the local features'.
        options: see ``Run``.

    Attributes:
        content: the content loss.
    """

    def __init__(
        self,
        folder: Path,
        shards: Path,
        config: ThesisTrainConfig,
        content_weights: Path | None = None,
        features_weights: Path | None = None,
        **options: Any,
    ) -> None:
        config, eyes = open_eyes(config, content_weights, features_weights)
        super().__init__(folder, shards, config, **options)
        eyes.fill(self)
        self.content: Content = eyes.content.to(self.device)
        self.as_published = config.as_published
        if config.as_published:
            self.optimisers["optimiser"] = torch.optim.Adam(
                self.net.parameters(), lr=config.lr, betas=(0.5, 0.9), fused=True
            )
        else:
            self.optimisers["optimiser"] = torch.optim.AdamW(
                self.net.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=True
            )

    def join(self, name: str, network: nn.Module) -> None:
        """Let a network beside the generator take part, with an optimiser of its own."""
        self.networks[name] = network.to(self.device)
        self.optimisers[f"{name}_optimiser"] = torch.optim.Adam(
            network.parameters(), lr=1e-4, betas=(0.5, 0.9), fused=True
        )

    def new_critic(self) -> nn.Module:
        """A critic of the recipe, not trained yet."""
        if not self.as_published:
            return Critic()
        sizes = self.model_config
        return ThesisCritic(sizes.width, sizes.cardinality, sizes.features, getattr(self.net, "local", None))

    @property
    def clip(self) -> float:
        """The greatest norm of the generator's gradient; 0 = any, as published."""
        return 0.0 if self.as_published else 1.0
