"""The networks of others are built as published: names, shapes and answers, with made-up weights for all of them.

The expected numbers were computed once with the same weights by torch-fidelity 0.4.0 (``FeatureExtractorInceptionV3``
behind the antialiased resizing of torchmetrics 1.9.0) and by torchmetrics' LPIPS on torchvision 0.28.0.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import ColorizeError
from training.evaluation.features import inception_eye, own_eye
from training.evaluation.networks import InceptionV3, Lpips, load_inception, load_lpips

INCEPTION_MEAN, INCEPTION_FIRST = 3.67903, (7.76016, 0.0569125, 0.0, 7.09412)
LPIPS = {"vgg": 2.06011, "alex": 2.40917}


def made_up(name: str, like: Tensor) -> Tensor:
    """Weights that depend on nothing but a tensor's name and shape, sized so that signals neither die nor explode."""
    if not like.is_floating_point():
        return torch.zeros_like(like)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if "running_var" in name or "bn.weight" in name or name.startswith("lin"):
        values = rng.uniform(0.5, 1.5, like.shape)
    elif like.dim() < 2:
        values = rng.normal(0, 0.1, like.shape)
    else:
        values = rng.normal(0, (2 / np.prod(like.shape[1:])) ** 0.5, like.shape)
    return torch.from_numpy(values).half()


def picture(height: int, width: int, seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(small, np.ones((height // 6, width // 8, 1), np.uint8))


def as_tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_file({k: made_up(k, t) for k, t in InceptionV3().state_dict().items()}, path)
    return path


def lpips_file(folder: Path, backbone: str) -> Path:
    tensors = {}
    for key, tensor in Lpips(backbone).state_dict().items():
        name = key if key.startswith("net.") else f"lin{key.split('.')[1]}.model.1.weight"
        tensors[name] = made_up(name, tensor)
    save_file(tensors, folder / f"{backbone}.safetensors")
    return folder / f"{backbone}.safetensors"


def test_inception_answers_as_the_published_one(inception_file: Path) -> None:
    features = inception_eye(inception_file)(picture(180, 240, 1))
    assert features.shape == (2048,)
    assert features.mean() == pytest.approx(INCEPTION_MEAN, rel=1e-3)
    assert features[:4] == pytest.approx(INCEPTION_FIRST, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize("backbone", ["vgg", "alex"])
def test_lpips_answers_as_the_published_one(tmp_path: Path, backbone: str) -> None:
    network = load_lpips(lpips_file(tmp_path, backbone))
    a, b = as_tensor(picture(96, 128, 1)), as_tensor(picture(96, 128, 2))
    assert float(network(a, b)) == pytest.approx(LPIPS[backbone], rel=1e-3)
    assert float(network(a, b)) == pytest.approx(float(network(b, a)), rel=1e-5)
    assert float(network(a, a)) == 0


def test_files_that_hold_something_else_are_explained(tmp_path: Path, inception_file: Path) -> None:
    with pytest.raises(ColorizeError, match="does not hold the weights of LPIPS"):
        load_lpips(inception_file)
    with pytest.raises(ColorizeError, match="does not hold the weights of Inception"):
        load_inception(lpips_file(tmp_path, "alex"))
    with pytest.raises(ColorizeError, match="gives no features"):
        own_eye(str(inception_file))
    (tmp_path / "not.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ColorizeError, match="no safetensors file"):
        own_eye(str(tmp_path / "not.safetensors"))
    with pytest.raises(ColorizeError, match="cannot be read"):
        inception_eye(tmp_path / "nowhere.safetensors")


def test_our_own_features_see_colour_and_do_not_depend_on_the_size(small_weights: Path) -> None:
    eye = own_eye(str(small_weights))
    drawing = picture(240, 320, 3)
    grey = np.repeat(drawing.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    seen = eye(drawing)
    assert seen.dtype == np.float32
    assert np.array_equal(seen, eye(drawing))
    larger = np.kron(drawing, np.ones((2, 2, 1), np.uint8))
    change = np.linalg.norm(eye(grey) - seen)
    assert np.linalg.norm(eye(larger) - seen) < 0.05 * change
