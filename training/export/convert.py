"""Turns the published ``.pth`` state dicts of others into safetensors, by name map; nothing in them is ever run.

Known are: the generators of the author's PaintsTorch (github.com/yliess86/PaintsTorch) and of StencilTorch (the package
``paintstorch`` in github.com/yliess86/PaintsTorch2), Illustration2Vec as passed around for PyTorch, and torchvision's
VGG16. Where the author's code differs from the thesis's text, the converted file's configuration says so and the
network computes what the author's did: see ``ThesisParts`` and ``ThesisConfig``.
"""

from __future__ import annotations

import hashlib
import pickle
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.models.checkpoint import FORMAT_VERSION, read_tensors, save_model, save_tensors
from engine.models.components.local_features import I2V_CHANNELS, Illustration2Vec
from engine.models.paintstorch import PaintsTorch, PaintsTorchConfig
from engine.models.stenciltorch import Thesis, ThesisConfig, ThesisDecoder
from training.evaluation.networks import VggFeatures
from training.features.weights import tensors_digest

LISTED = 12
"""How many wrong names an error lists."""
NORM_EPSILON = 1e-5
KNOWN_FILES = {"vgg16": "397923af"}
"""First digits of the SHA-256 of published files, as torchvision puts them into its file names."""
_I2V_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv3_2", "conv4_1", "conv4_2")


@dataclass(frozen=True)
class Converted:
    """What was recognised and written.

    Attributes:
        kind: key of ``KINDS``.
        tensors: how many were taken.
        digest: SHA-256 of them, whatever file they are kept in; see ``training.features.weights``.
        left_out: names that were not needed, or what else the file held.
        notes: what the user should know.
    """

    kind: str
    tensors: int
    digest: str
    left_out: list[str]
    notes: list[str]


def read_pickled(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Read the state dict in a ``.pth`` file, with PyTorch's loader that makes tensors and plain containers only.

    Returns:
        The tensors without ``DataParallel``'s prefix, and what else lay beside the state dict.

    Raises:
        ColorizeError: unreadable, or it holds anything that would have to be run, or no state dict.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        raise ColorizeError(
            f"{path} holds more than tensors and was not loaded", "files that run code when read are never loaded"
        ) from e
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError, struct.error) as e:
        why = (str(e).splitlines() or ["it is cut short"])[0]
        raise ColorizeError(f"{path} cannot be read ({why})", "name a PyTorch state dict") from e
    beside: list[str] = []
    for name in ("generator", "G", "state_dict"):
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            beside = [str(k) for k in found if k != name]
            found = found[name]
            break
    if not isinstance(found, dict) or not found or not all(isinstance(t, Tensor) for t in found.values()):
        raise ColorizeError(f"{path} holds no state dict", "name a file with the tensors of one network")
    return {str(k).removeprefix("module."): t for k, t in found.items()}, beside


def fold_norms(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Merge each ``NAME.bn`` into its ``NAME.conv``, which become ``NAME.weight`` and ``NAME.bias``."""
    folded = dict(tensors)
    for key in tensors:
        if not key.endswith(".bn.weight"):
            continue
        name = key.removesuffix(".bn.weight")
        parts = {p: folded.pop(f"{name}.bn.{p}", None) for p in ("weight", "bias", "running_mean", "running_var")}
        folded.pop(f"{name}.bn.num_batches_tracked", None)
        weight = folded.pop(f"{name}.conv.weight", None)
        if weight is None or any(t is None for t in parts.values()):
            raise ColorizeError(f"{name} lacks parts of its convolution or BatchNorm", "the file is not whole")
        gamma, beta, mean, var = (t.double() for t in parts.values() if t is not None)
        scale = gamma / torch.sqrt(var + NORM_EPSILON)
        bias = folded.pop(f"{name}.conv.bias", torch.zeros_like(mean)).double()
        folded[f"{name}.weight"] = (weight.double() * scale.view(-1, 1, 1, 1)).float()
        folded[f"{name}.bias"] = ((bias - mean) * scale + beta).float()
    return folded


def _both(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.weight", f"{theirs}.weight"
    yield f"{ours}.bias", f"{theirs}.bias"


def paintstorch_names() -> dict[str, str]:
    """Our names of PaintsTorch's generator to the author's."""
    pairs = list(_both("encoder.hints.0", "toH.0"))
    for i in range(5):
        pairs += _both(f"encoder.enc{i}.0", f"to{i}.0")
    for i, dilations in enumerate(ThesisDecoder.DILATIONS):
        ours, theirs = f"decoder.stages.{i}", f"tunnel{4 - i}"
        pairs += [*_both(f"{ours}.0", f"{theirs}.0"), *_both(f"{ours}.{len(dilations) + 2}", f"{theirs}.3")]
        for k in range(len(dilations)):
            for a, b in (("reduce", "conv_reduce"), ("group", "conv_conv"), ("expand", "conv_expand")):
                pairs.append((f"{ours}.{k + 2}.{a}.weight", f"{theirs}.2.{k}.{b}.weight"))
    return dict([*pairs, *_both("decoder.out", "exit")])


def stenciltorch_names() -> dict[str, str]:
    """Our names of StencilTorch's generator to the author's, once its norms are folded."""
    pairs = list(_both("encoder.hints.0", "convh"))
    for i in range(5):
        pairs += _both(f"encoder.enc{i}.0", f"conv{i + 1}")
    for i, dilations in enumerate(ThesisDecoder.DILATIONS):
        ours, theirs = f"decoder.stages.{i}", f"deconv{5 - i}"
        pairs += _both(f"{ours}.0", f"{theirs}.preprocess")
        pairs += _both(f"{ours}.{len(dilations) + 2}", f"{theirs}.postprocess.0")
        for k in range(len(dilations)):
            for a, b in (("reduce", "reduce"), ("group", "conv"), ("expand", "expand")):
                pairs += _both(f"{ours}.{k + 2}.{a}", f"{theirs}.process.{k}.{b}")
    return dict([*pairs, *_both("decoder.out", "out")])


def illustration2vec_names(tensors: dict[str, Tensor]) -> dict[str, str]:
    """Our names of Illustration2Vec's layers to those of a file: numbers of a plain sequence, or Caffe's."""
    numbers = [i for i, layer in enumerate(Illustration2Vec().layers) if isinstance(layer, nn.Conv2d)]
    pairs: list[tuple[str, str]] = []
    for number, name in zip(numbers, _I2V_LAYERS, strict=True):
        found = (t for t in (str(number), f"model.{number}", name, f"block.{name}") if f"{t}.weight" in tensors)
        pairs += _both(f"layers.{number}", next(found, str(number)))
    return dict(pairs)


def rename(
    tensors: dict[str, Tensor], names: dict[str, str], expected: dict[str, Tensor], path: Path, *, more: bool = False
) -> tuple[dict[str, Tensor], list[str]]:
    """Give tensors our names and check them against the network they are for.

    Args:
        tensors: by their names.
        names: ours to theirs.
        expected: the network's state.
        path: of the file, for errors.
        more: the file may hold more than is wanted.

    Returns:
        The tensors, and the names left out.

    Raises:
        ColorizeError: names missing or unknown, or wrong shapes; lists them.
    """
    extra = sorted(set(tensors) - set(names.values()))
    faults = [f"no {theirs}" for theirs in names.values() if theirs not in tensors]
    faults += [] if more else [f"unknown {name}" for name in extra]
    for ours, theirs in names.items():
        if theirs in tensors and tensors[theirs].shape != expected[ours].shape:
            shapes = tuple(tensors[theirs].shape), tuple(expected[ours].shape)
            faults.append(f"{theirs} of shape {shapes[0]}, not {shapes[1]}")
    if faults:
        rest = f" and {len(faults) - LISTED} more" if len(faults) > LISTED else ""
        raise ColorizeError(
            f"{path} does not fit: {'; '.join(faults[:LISTED])}{rest}", "it is of another network or version"
        )
    return {ours: tensors[theirs].float() for ours, theirs in names.items()}, extra


def _swap_skip(weight: Tensor, skip: int) -> Tensor:
    """Input channels from (skip, below) to (below, skip): the author joins them the other way round."""
    return torch.cat([weight[:, skip:], weight[:, :skip]], 1)


Ready = tuple[dict[str, Tensor], list[str], list[str], str, Any]
"""Tensors by our names, names left out, notes, the architecture, and its configuration (None = no colouring model)."""


def _generator(
    tensors: dict[str, Tensor], names: dict[str, str], config: Any, features: Path | None, path: Path
) -> Ready:
    architecture = "stenciltorch-thesis" if isinstance(config, ThesisConfig) else "paintstorch-thesis"
    network = Thesis(config) if isinstance(config, ThesisConfig) else PaintsTorch(config)
    state, extra = rename(tensors, names, network.state_dict(), path)
    notes = []
    if features is None:
        notes.append("without --features-weights its local features are zeros, so colours differ from the author's")
    else:
        own = read_tensors(features)
        wanted = {k: k.removeprefix("local.network.") for k in network.state_dict() if k.startswith("local.")}
        more, _ = rename(own, wanted, network.state_dict(), features)
        state |= more
        notes.append(f"Illustration2Vec from {features.name} goes with it")
    return state, extra, notes, architecture, config


def _parts(features: Path | None) -> dict[str, Any]:
    own = "none" if features is None else "illustration2vec"
    return {"features": I2V_CHANNELS, "full_skip": True, "feature_net": own}


def _paintstorch(tensors: dict[str, Tensor], features: Path | None, path: Path) -> Ready:
    config = PaintsTorchConfig(len(tensors["toH.0.weight"]), cardinality=32, fine_cardinality=16, **_parts(features))
    return _generator(tensors, paintstorch_names(), config, features, path)


def _stenciltorch(tensors: dict[str, Tensor], features: Path | None, path: Path) -> Ready:
    tensors = fold_norms(tensors)
    if "convh.weight" not in tensors:
        raise ColorizeError(f"{path} lacks convh.weight", "the file is not whole")
    width = len(tensors["convh.weight"])
    config = ThesisConfig(
        width,
        guide=False,
        cardinality=max(1, width // 2),
        fine_cardinality=max(1, width // 4),
        active_blocks=True,
        ground=-1.0,
        composite_features=True,
        **_parts(features),
    )
    names = stenciltorch_names()
    state, extra, notes, architecture, config = _generator(tensors, names, config, features, path)
    for i, skip in ((1, 4 * width), (2, 2 * width), (3, width)):
        state[f"decoder.stages.{i}.0.weight"] = _swap_skip(state[f"decoder.stages.{i}.0.weight"], skip)
    notes.append("the author shrinks hints by taking every fourth pixel, this program by their mean")
    return state, extra, notes, architecture, config


def _illustration2vec(tensors: dict[str, Tensor], _: Path | None, path: Path) -> Ready:
    names = illustration2vec_names(tensors)
    state, extra = rename(tensors, names, Illustration2Vec().state_dict(), path, more=True)
    return state, extra, [], "illustration2vec", None


def _vgg16(tensors: dict[str, Tensor], _: Path | None, path: Path) -> Ready:
    expected = VggFeatures().state_dict()
    state, extra = rename(tensors, {k: k for k in expected}, expected, path, more=True)
    return state, extra, [], "vgg16", None


KINDS: dict[
    str, tuple[Callable[[dict[str, Tensor]], bool], Callable[[dict[str, Tensor], Path | None, Path], Ready]]
] = {
    "PaintsTorch": (lambda t: "toH.0.weight" in t, _paintstorch),
    "StencilTorch": (lambda t: "convh.weight" in t or "convh.conv.weight" in t, _stenciltorch),
    "VGG16": (lambda t: "features.0.weight" in t, _vgg16),
    "Illustration2Vec": (
        lambda t: any(f"{n}.weight" in t for n in ("0", "model.0", "conv1_1", "block.conv1_1")),
        _illustration2vec,
    ),
}
"""How a network is recognised by its names and made ours, by what it is called."""


def convert(source: Path, out: Path, features: Path | None = None) -> Converted:
    """Write a published state dict as safetensors.

    Args:
        source: the ``.pth`` file.
        out: where to write.
        features: converted Illustration2Vec to go with a generator.

    Raises:
        ColorizeError: nothing known, or it does not fit.
        OSError: ``out`` cannot be written.
    """
    tensors, beside = read_pickled(source)
    kind = next((k for k, (is_it, _) in KINDS.items() if is_it(tensors)), None)
    if kind is None:
        some = ", ".join(list(tensors)[:4])
        raise ColorizeError(f"{source} holds no known network (it begins with {some})", f"known: {', '.join(KINDS)}")
    state, extra, notes, architecture, config = KINDS[kind][1](tensors, features, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    known = KNOWN_FILES.get(architecture)
    if known is not None:
        same = digest.startswith(known)
        notes.append(f"the file {'is' if same else 'is not'} the published one, whose SHA-256 begins with {known}")
    metadata = {"converted_from": source.name, "source_sha256": digest, "licence": "that of the source"}
    if config is None:
        save_tensors(out, state, {**metadata, "architecture": architecture, "format_version": FORMAT_VERSION})
    else:
        save_model(out, state, architecture, config, metadata)
    return Converted(kind, len(state), tensors_digest(read_tensors(out)), [*beside, *extra], notes)
