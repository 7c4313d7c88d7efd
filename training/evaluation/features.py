"""What turns pictures into features for distances between sets: Inception from a user's file, or a model of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine import DEFAULT_MODEL
from engine.errors import ColorizeError
from engine.models.base import ModelInputs
from engine.models.checkpoint import find_weights, load_model
from engine.models.components.encoder import ARCHITECTURE as ENCODER
from engine.models.components.encoder import pooled
from training.data.extractors import to_grey
from training.evaluation.networks import InceptionV3, load_inception
from training.features.weights import OWN_ENCODER, load_encoder

OWN = "own"
"""The word for the features that come with this program."""
INCEPTION = "Inception v3"
OWN_SIDE = 256
CODES = {"stenciltorch-compact": ("enc2", "enc3", "middle2"), "stenciltorch-thesis": ("enc2", "enc3", "enc4")}
"""The modules whose maps are a model's view of a picture, by architecture."""


class Features(Protocol):
    """Turns pictures into vectors: Bx3xSxS in [-1, 1] to BxD float32, S = ``side``."""

    side: int

    def __call__(self, pictures: Tensor) -> Tensor:
        """Look at a batch."""
        ...


@dataclass(frozen=True)
class Eye:
    """Features ready for use.

    Attributes:
        name: what the report calls them.
        digest: SHA-256 of the weights' file.
        look: the features themselves.
        device: where they are computed.
        standardise: bring every feature to mean 0 and deviation 1 over the originals and every picture's vector to one
            length before distances are taken. Inception's published distances do without; a network whose features
            have no bound needs it, or a few pictures decide everything.
    """

    name: str
    digest: str
    look: Features
    device: torch.device
    standardise: bool

    @torch.inference_mode()
    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features of one HxWx3 picture, D numbers; it is resized to a square whatever its shape, as is custom."""
        x = torch.from_numpy(np.array(picture)).to(self.device).permute(2, 0, 1)[None].float()
        side = (self.look.side, self.look.side)
        x = F.interpolate(x, side, mode="bilinear", align_corners=False, antialias=True)
        return np.asarray(self.look(x / 127.5 - 1)[0].float().cpu().numpy(), np.float32)


class InceptionFeatures:
    """The 2,048 features of Inception v3."""

    side = InceptionV3.SIDE

    def __init__(self, path: Path, device: torch.device) -> None:
        self.network = load_inception(path).to(device)

    def __call__(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        # From [-1, 1] to what its training subtracted and divided by: 128.
        features: Tensor = self.network((pictures * 127.5 - 0.5) / 128)
        return features


class CodeFeatures:
    """What a colouring model's encoder sees in a finished picture: means of its maps at three scales.

    The picture is given as known context everywhere, its own grey as the lineart, without hints and with an empty mask.
    """

    side = OWN_SIDE

    def __init__(self, path: Path, device: torch.device) -> None:
        model = load_model(path, device)
        self.network = model.network
        self._maps: dict[str, Tensor] = {}
        for name in CODES[model.metadata["architecture"]]:
            self.network.get_submodule(name).register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._maps[name] = output

        return hook

    def __call__(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        b, _, h, w = pictures.shape
        grey = to_grey((pictures + 1) / 2) * 2 - 1
        nothing = grey.new_zeros(b, 1, h, w)
        self.network(ModelInputs(grey, grey.new_zeros(b, 4, h, w), nothing, pictures, torch.ones_like(nothing)))
        return torch.cat([m.mean((2, 3)) for m in self._maps.values()], 1)


class EncoderFeatures:
    """What an encoder remembers of a picture (``training train-encoder``): means of its maps at three scales."""

    side = OWN_SIDE

    def __init__(self, path: Path, device: torch.device) -> None:
        self.network, _ = load_encoder(path, device)

    def __call__(self, pictures: Tensor) -> Tensor:
        """See ``Features``."""
        return pooled(self.network(pictures))


LOADERS: dict[str, Callable[[Path, torch.device], Features]] = {
    ENCODER: EncoderFeatures,
    **dict.fromkeys(CODES, CodeFeatures),
}
"""Readers of our own features by the ``architecture`` in a file's metadata."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        ColorizeError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as e:
        raise ColorizeError(f"{path} cannot be read ({e.strerror})", "check the path", wrong_use=True) from e


def inception_eye(path: Path, device: str = "cpu") -> Eye:
    """Inception v3 with the weights in a file.

    Raises:
        ColorizeError: the file is not what it should be.
    """
    place = torch.device(device)
    return Eye(INCEPTION, digest_of(path), InceptionFeatures(path, place), place, standardise=False)


def own_file(wanted: str) -> tuple[Path, str, str]:
    """What lies behind a word for our own features.

    Args:
        wanted: the path of a safetensors file whose architecture is one of ``LOADERS``, or ``OWN`` for the encoder that
            comes with the package, else that of the shipped model.

    Returns:
        The file, its architecture, and what a report calls the features.

    Raises:
        ColorizeError: no such file, or it holds nothing that gives features.
    """
    path = Path(wanted)
    if wanted == OWN:
        path = OWN_ENCODER if OWN_ENCODER.is_file() else find_weights(DEFAULT_MODEL)
    try:
        with safe_open(path, framework="pt") as f:
            architecture = str((f.metadata() or {}).get("architecture", "nothing known"))
    except (SafetensorError, OSError) as e:
        raise ColorizeError(f"{path} is no safetensors file", "name another with --features", wrong_use=True) from e
    if architecture not in LOADERS:
        known = ", ".join(sorted(LOADERS))
        cause = f"{path} holds {architecture}, which gives no features"
        raise ColorizeError(cause, f"name a file of {known} with --features", wrong_use=True)
    name = "shipped weights" if wanted == OWN else path.name
    return path, architecture, f"our own {architecture.removesuffix('-encoder')} encoder ({name})"


def own_eye(wanted: str, device: str = "cpu") -> Eye:
    """Our own features, see ``own_file``.

    Raises:
        ColorizeError: the file is not what it should be.
    """
    path, architecture, name = own_file(wanted)
    place = torch.device(device)
    return Eye(name, digest_of(path), LOADERS[architecture](path, place), place, standardise=True)
