"""The two networks of others that pictures are judged by, built here, with weights from a file the user gives.

They are written out because torch-fidelity unpickles its weights and torchmetrics' LPIPS fetches its own; names and
shapes are those of the published files, so that a state dict saved as safetensors fits as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.models.checkpoint import read_tensors

Size = int | tuple[int, int]


class _Conv(nn.Module):
    """Convolution, BatchNorm and ReLU, padded so that stride 1 keeps the size unless ``pad`` is off."""

    def __init__(self, inputs: int, outputs: int, kernel: Size = 1, stride: int = 1, *, pad: bool = True) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Block(nn.Module):
    """Branches side by side. A branch is a chain of names; a tuple of two names forks the chain's end.

    Args:
        convolutions: by name.
        branches: chains of names; what they give is concatenated in this order.
        pool: ``average`` (over known pixels only) or ``max`` before ``branch_pool``, or ``halve``: a branch of its own
            that is a maximum with stride 2.
    """

    def __init__(
        self, convolutions: dict[str, _Conv], branches: Sequence[Sequence[str | tuple[str, str]]], pool: str
    ) -> None:
        super().__init__()
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)
        self.branches, self.pool = branches, pool

    def forward(self, x: Tensor) -> Tensor:
        out = []
        for branch in self.branches:
            y = x
            for name in branch:
                if isinstance(name, str):
                    y = self.get_submodule(name)(y)
                else:
                    y = torch.cat([self.get_submodule(part)(y) for part in name], 1)
            out.append(y)
        if self.pool == "halve":
            out.append(F.max_pool2d(x, 3, 2))
        else:
            average = self.pool == "average"
            y = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if average else F.max_pool2d(x, 3, 1, 1)
            out.append(self.get_submodule("branch_pool")(y))
        return torch.cat(out, 1)


def _block_a(inputs: int, pooled: int) -> _Block:
    layers = {
        "branch1x1": _Conv(inputs, 64),
        "branch5x5_1": _Conv(inputs, 48),
        "branch5x5_2": _Conv(48, 64, 5),
        "branch3x3dbl_1": _Conv(inputs, 64),
        "branch3x3dbl_2": _Conv(64, 96, 3),
        "branch3x3dbl_3": _Conv(96, 96, 3),
        "branch_pool": _Conv(inputs, pooled),
    }
    chains = (("branch1x1",), ("branch5x5_1", "branch5x5_2"), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))
    return _Block(layers, chains, "average")


def _block_b(inputs: int) -> _Block:
    layers = {
        "branch3x3": _Conv(inputs, 384, 3, 2, pad=False),
        "branch3x3dbl_1": _Conv(inputs, 64),
        "branch3x3dbl_2": _Conv(64, 96, 3),
        "branch3x3dbl_3": _Conv(96, 96, 3, 2, pad=False),
    }
    return _Block(layers, (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")), "halve")


def _block_c(inputs: int, inner: int) -> _Block:
    wide, high = (1, 7), (7, 1)
    layers = {
        "branch1x1": _Conv(inputs, 192),
        "branch7x7_1": _Conv(inputs, inner),
        "branch7x7_2": _Conv(inner, inner, wide),
        "branch7x7_3": _Conv(inner, 192, high),
        "branch7x7dbl_1": _Conv(inputs, inner),
        "branch7x7dbl_2": _Conv(inner, inner, high),
        "branch7x7dbl_3": _Conv(inner, inner, wide),
        "branch7x7dbl_4": _Conv(inner, inner, high),
        "branch7x7dbl_5": _Conv(inner, 192, wide),
        "branch_pool": _Conv(inputs, 192),
    }
    chains = (
        ("branch1x1",),
        tuple(f"branch7x7_{i}" for i in range(1, 4)),
        tuple(f"branch7x7dbl_{i}" for i in range(1, 6)),
    )
    return _Block(layers, chains, "average")


def _block_d(inputs: int) -> _Block:
    layers = {
        "branch3x3_1": _Conv(inputs, 192),
        "branch3x3_2": _Conv(192, 320, 3, 2, pad=False),
        "branch7x7x3_1": _Conv(inputs, 192),
        "branch7x7x3_2": _Conv(192, 192, (1, 7)),
        "branch7x7x3_3": _Conv(192, 192, (7, 1)),
        "branch7x7x3_4": _Conv(192, 192, 3, 2, pad=False),
    }
    return _Block(layers, (("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{i}" for i in range(1, 5))), "halve")


def _block_e(inputs: int, pool: str) -> _Block:
    layers = {
        "branch1x1": _Conv(inputs, 320),
        "branch3x3_1": _Conv(inputs, 384),
        "branch3x3_2a": _Conv(384, 384, (1, 3)),
        "branch3x3_2b": _Conv(384, 384, (3, 1)),
        "branch3x3dbl_1": _Conv(inputs, 448),
        "branch3x3dbl_2": _Conv(448, 384, 3),
        "branch3x3dbl_3a": _Conv(384, 384, (1, 3)),
        "branch3x3dbl_3b": _Conv(384, 384, (3, 1)),
        "branch_pool": _Conv(inputs, 192),
    }
    chains = (
        ("branch1x1",),
        ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
        ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
    )
    return _Block(layers, chains, pool)


class InceptionV3(nn.Module):
    """Inception v3 as FID and KID are defined by it: the TensorFlow graph of 2015-12-05 as ported to PyTorch.

    Its averages leave padding out, and its last block takes the maximum where others average. The 1,008 classes are
    kept only because the published file has them.
    """

    SIDE = 299

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2, pad=False)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _block_a(192, 32), _block_a(256, 64), _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b, self.Mixed_6c = _block_c(768, 128), _block_c(768, 160)
        self.Mixed_6d, self.Mixed_6e = _block_c(768, 160), _block_c(768, 192)
        self.Mixed_7a = _block_d(768)
        self.Mixed_7b, self.Mixed_7c = _block_e(1280, "average"), _block_e(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, pictures: Tensor) -> Tensor:
        """Bx3x299x299 pictures in [-1, 1] to Bx2048 features: the last map's mean."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pictures)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        features: Tensor = x.mean((2, 3))
        return features


_VGG = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_ALEX = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""From [-1, 1] to the mean and deviation that the backbones were trained with."""


def _vgg() -> list[nn.Sequential]:
    """VGG16 up to each of its five last activations before a pooling, numbered as in torchvision."""
    slices, inputs, number = [], 3, 0
    for stage, widths in enumerate(_VGG):
        part = nn.Sequential()
        if stage:
            part.add_module(str(number), nn.MaxPool2d(2, 2))
            number += 1
        for width in widths:
            part.add_module(str(number), nn.Conv2d(inputs, width, 3, 1, 1))
            part.add_module(str(number + 1), nn.ReLU())
            inputs, number = width, number + 2
        slices.append(part)
    return slices


def _alex() -> list[nn.Sequential]:
    """AlexNet up to each of its five activations, numbered as in torchvision."""
    slices, inputs, number = [], 3, 0
    for stage, (width, kernel, stride, padding) in enumerate(_ALEX):
        part = nn.Sequential()
        if stage in (1, 2):
            part.add_module(str(number), nn.MaxPool2d(3, 2))
            number += 1
        part.add_module(str(number), nn.Conv2d(inputs, width, kernel, stride, padding))
        part.add_module(str(number + 1), nn.ReLU())
        inputs, number = width, number + 2
        slices.append(part)
    return slices


class Lpips(nn.Module):
    """Learned perceptual image patch similarity (Zhang et al. 2018): weighted distance of unit feature vectors.

    ``d = sum over layers of mean over pixels of w . (f(a)/|f(a)| - f(b)/|f(b)|)^2``.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        slices = _vgg() if backbone == "vgg" else _alex()
        self.net = nn.ModuleDict({f"slice{i}": part for i, part in enumerate(slices, 1)})
        widths = [w[-1] for w in _VGG] if backbone == "vgg" else [w[0] for w in _ALEX]
        self.weights = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in widths)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance of two Bx3xHxW pictures in [-1, 1]: B numbers, 0 for the same."""
        x, y = (a - self.shift) / self.scale, (b - self.shift) / self.scale
        total = a.new_zeros(len(a))
        for part, weight in zip(self.net.values(), self.weights, strict=True):
            x, y = part(x), part(y)
            gap = (_unit(x) - _unit(y)) ** 2
            total = total + (gap * weight).sum(1).mean((1, 2))
        return total


def _unit(x: Tensor) -> Tensor:
    return x / torch.sqrt((x**2).sum(1, keepdim=True) + 1e-8)


class VggFeatures(nn.Module):
    """VGG16 (Simonyan and Zisserman 2014) up to its fourth activation, relu2_2: 128 maps at 1/2."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for part in _vgg()[:2]:
            for name, layer in part.named_children():
                self.features.add_module(name, layer)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Bx3xHxW in [-1, 1] to Bx128x(H/2)x(W/2)."""
        maps: Tensor = self.features((pictures - self.shift) / self.scale)
        return maps


def load_vgg16(path: Path) -> VggFeatures:
    """Read VGG16 from safetensors with torchvision's names; layers beyond the fourth activation are left out.

    Raises:
        ColorizeError: unreadable, or not these weights.
    """
    network = VggFeatures()
    tensors = read_tensors(path)
    wanted = network.state_dict()
    beyond = {k for k in tensors if k not in wanted and k.startswith(("features.", "classifier."))}
    _fill(network, {k: t for k, t in tensors.items() if k not in beyond}, path, "VGG16 as torchvision names it")
    return network


def load_inception(path: Path) -> InceptionV3:
    """Read Inception weights from safetensors with the names of the published file.

    Raises:
        ColorizeError: unreadable, or not these weights.
    """
    network = InceptionV3()
    _fill(network, read_tensors(path), path, "Inception v3 for FID")
    return network


def load_lpips(path: Path) -> Lpips:
    """Read LPIPS weights, backbone and linear layers, from safetensors with the names of the ``lpips`` package.

    Raises:
        ColorizeError: unreadable, or not these weights.
    """
    tensors = read_tensors(path)
    first = tensors.get("net.slice1.0.weight")
    network = Lpips("alex" if first is not None and first.shape[-1] == 11 else "vgg")
    renamed = {key: tensor for key, tensor in tensors.items() if key.startswith("net.")}
    for key, tensor in tensors.items():
        # The package has every linear layer under two names, of which safetensors keeps one.
        if key.startswith("lin") and key.endswith(".model.1.weight"):
            number = key.removeprefix("lins.").removeprefix("lin").split(".")[0]
            renamed[f"weights.{number}"] = tensor
    _fill(network, renamed, path, "LPIPS with VGG16 or AlexNet")
    return network


def _fill(network: nn.Module, tensors: dict[str, Tensor], path: Path, what: str) -> None:
    expected = network.state_dict()
    counters = {k for k in expected if k.endswith("num_batches_tracked")}
    wrong = sorted((set(tensors) ^ set(expected)) - counters)
    wrong = wrong or sorted(k for k in set(tensors) & set(expected) if tensors[k].shape != expected[k].shape)
    if wrong:
        raise ColorizeError(
            f"{path} does not hold the weights of {what} ({wrong[0]} does not fit)",
            "docs/training.md says how to make the file",
        )
    network.load_state_dict({k: tensors.get(k, expected[k]).to(expected[k].dtype) for k in expected})
    network.requires_grad_(False)
    network.eval()
