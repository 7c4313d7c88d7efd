"""``training convert`` on made-up state dicts with the names and shapes of the published ones.

What the converted networks compute is compared with the published ones' arithmetic, written down here by name.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner, Result
from torch import Tensor

from engine.models.base import ModelInputs
from engine.models.checkpoint import load_model, read_tensors
from training.cli.main import main

State = dict[str, Tensor]
WIDTH = 32
DILATIONS = {4: (1,) * 20, 3: (1, 1, 2, 2, 4, 4, 2, 1), 2: (1, 1, 2, 2, 4, 4, 2, 1), 1: (1, 2, 4, 2, 1)}
I2V = {0: (3, 64), 3: (64, 128), 6: (128, 256), 8: (256, 256), 11: (256, 512), 13: (512, 512)}


def weight(o: int, i: int, k: int, groups: int = 1) -> Tensor:
    """Rounded to 16 bits, as in a converted file."""
    return (torch.randn(o, i // groups, k, k) * (2 / (i // groups * k * k)) ** 0.5).half().float()


def bias(o: int) -> Tensor:
    return (torch.randn(o) * 0.1).half().float()


def conv(state: State, name: str, o: int, i: int, k: int) -> None:
    state |= {f"{name}.weight": weight(o, i, k), f"{name}.bias": bias(o)}


def paintstorch_state() -> State:
    """The generator's, f = 32: every name with its shape."""
    torch.manual_seed(0)
    f, s = WIDTH, State()
    for name, o, i, k in (
        ("toH.0", f, 4, 7),
        ("to0.0", f // 2, 1, 3),
        ("to1.0", f, f // 2, 4),
        ("to2.0", 2 * f, f, 4),
        ("to3.0", 4 * f, 3 * f, 4),
        ("to4.0", 8 * f, 4 * f, 4),
        ("exit", 3, f, 3),
    ):
        conv(s, name, o, i, k)
    for n, arrive in ((4, 8 * f + 512), (3, 8 * f), (2, 4 * f), (1, 2 * f)):
        c = f * 2 ** (n - 1)
        conv(s, f"tunnel{n}.0", c, arrive, 3)
        conv(s, f"tunnel{n}.3", 2 * c, c, 3)
        for k in range(len(DILATIONS[n])):
            block = f"tunnel{n}.2.{k}"
            s[f"{block}.conv_reduce.weight"] = weight(c // 2, c, 1)
            s[f"{block}.conv_conv.weight"] = weight(c // 2, c // 2, 3, groups_of(n, c))
            s[f"{block}.conv_expand.weight"] = weight(c, c // 2, 1) * 0.1
    return {k: t.half().float() for k, t in s.items()}


def groups_of(stage: int, channels: int) -> int:
    return 16 if stage == 1 else min(32, channels // 2)


def apply(s: State, name: str, x: Tensor, stride: int = 1, dilation: int = 1, groups: int = 1) -> Tensor:
    w = s[f"{name}.weight"]
    reach = (w.shape[-1] - 1) // 2 * dilation
    return F.conv2d(x, w, s.get(f"{name}.bias"), stride, reach, dilation, groups)


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def paintstorch(s: State, lineart: Tensor, hints: Tensor, features: Tensor) -> Tensor:
    h = leaky(apply(s, "toH.0", hints))
    maps = [leaky(apply(s, "to0.0", lineart))]
    for i in range(1, 5):
        x = torch.cat([maps[-1], h], 1) if i == 3 else maps[-1]
        maps.append(leaky(apply(s, f"to{i}.0", x, 2)))
    x = torch.cat([maps[4], features], 1)
    for n in (4, 3, 2, 1):
        x = leaky(apply(s, f"tunnel{n}.0", x))
        for k, d in enumerate(DILATIONS[n]):
            y = leaky(apply(s, f"tunnel{n}.2.{k}.conv_reduce", x))
            y = leaky(apply(s, f"tunnel{n}.2.{k}.conv_conv", y, 1, d, groups_of(n, x.shape[1])))
            x = x + apply(s, f"tunnel{n}.2.{k}.conv_expand", y)
        x = leaky(F.pixel_shuffle(apply(s, f"tunnel{n}.3", x), 2))
        x = torch.cat([x, maps[n - 1]], 1)
    return torch.tanh(apply(s, "exit", x))


def stenciltorch_state(norms: bool) -> State:
    """The generator's, f = 32, with or without BatchNorm: every name with its shape."""
    torch.manual_seed(1)
    f, s = WIDTH, State()

    def layer(name: str, o: int, i: int, k: int, groups: int = 1, scale: float = 1.0) -> None:
        w = (weight(o, i, k, groups) * scale).half().float()
        if norms:
            s[f"{name}.conv.weight"] = w
            s[f"{name}.bn.weight"], s[f"{name}.bn.bias"] = 1 + bias(o), bias(o)
            s[f"{name}.bn.running_mean"], s[f"{name}.bn.running_var"] = bias(o), 1 + bias(o).abs()
            s[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)
        else:
            s[f"{name}.weight"], s[f"{name}.bias"] = w, bias(o)

    layer("convh", f, 4, 7)
    for name, o, i, k in (
        ("conv1", f // 2, 4, 3),
        ("conv2", f, f // 2, 4),
        ("conv3", 2 * f, f, 4),
        ("conv4", 4 * f, 3 * f, 4),
        ("conv5", 8 * f, 4 * f, 4),
        ("out", 3, f, 3),
    ):
        layer(name, o, i, k)
    for n, arrive in ((4, 8 * f + 512), (3, 8 * f), (2, 4 * f), (1, 2 * f)):
        c, groups = f * 2 ** (n - 1), f // 4 if n == 1 else f // 2
        layer(f"deconv{n + 1}.preprocess", c, arrive, 3)
        layer(f"deconv{n + 1}.postprocess.0", 2 * c, c, 3)
        for k in range(len(DILATIONS[n])):
            block = f"deconv{n + 1}.process.{k}"
            layer(f"{block}.reduce", c // 2, c, 1)
            layer(f"{block}.conv", c // 2, c // 2, 3, groups)
            layer(f"{block}.expand", c, c // 2, 1, scale=0.1)
    return s


def stenciltorch(s: State, picture: Tensor, hints: Tensor, features: Tensor) -> Tensor:
    def layer(name: str, x: Tensor, stride: int = 1, dilation: int = 1, groups: int = 1) -> Tensor:
        if f"{name}.bn.weight" not in s:
            return apply(s, name, x, stride, dilation, groups)
        x = apply(s, f"{name}.conv", x, stride, dilation, groups)
        mean, var, gamma, beta = (s[f"{name}.bn.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, gamma, beta)

    f = WIDTH
    h = leaky(layer("convh", hints))
    maps = [leaky(layer("conv1", picture))]
    for i in range(2, 6):
        x = torch.cat([maps[-1], h], 1) if i == 4 else maps[-1]
        maps.append(leaky(layer(f"conv{i}", x, 2)))
    x = features
    for n in (4, 3, 2, 1):
        x = torch.cat([maps[n], x], 1)
        x = leaky(layer(f"deconv{n + 1}.preprocess", x))
        for k, d in enumerate(DILATIONS[n]):
            block = f"deconv{n + 1}.process.{k}"
            y = leaky(layer(f"{block}.reduce", x))
            y = leaky(layer(f"{block}.conv", y, 1, d, f // 4 if n == 1 else f // 2))
            x = leaky(x + leaky(layer(f"{block}.expand", y)))
        x = leaky(F.pixel_shuffle(layer(f"deconv{n + 1}.postprocess.0", x), 2))
    return torch.tanh(layer("out", torch.cat([x, maps[0]], 1)))


def i2v_state() -> State:
    torch.manual_seed(2)
    s = State()
    for number, (i, o) in I2V.items():
        conv(s, str(number), o, i, 3)
        s[f"{number}.weight"] *= 0.7
    s["0.weight"] /= 50
    conv(s, "16", 4, 512, 3)  # a layer beyond the cut
    return {k: t.half().float() for k, t in s.items()}


def i2v(s: State, picture: Tensor) -> Tensor:
    mean = torch.tensor([164.76139251, 167.47864617, 181.13838569]).view(1, 3, 1, 1)
    x = F.avg_pool2d(picture, 2).mul(0.5).add(0.5).mul(255) - mean
    for number in I2V:
        x = F.relu(apply(s, str(number), x))
        if number in (0, 3, 8):
            x = F.max_pool2d(x, 2)
    return x


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["convert", *map(str, arguments)])


def inputs() -> ModelInputs:
    torch.manual_seed(3)
    lineart, mask = torch.rand(1, 1, 64, 64) * 2 - 1, torch.zeros(1, 1, 64, 64)
    mask[..., 16:] = 1
    coverage = torch.zeros(1, 1, 64, 64)
    coverage[..., 8:32, 8:32] = 1
    hints = torch.cat([torch.rand(1, 3, 64, 64) * coverage, coverage], 1)
    return ModelInputs(lineart, hints, mask, torch.rand(1, 3, 64, 64) * 2 - 1, 1 - mask)


@pytest.fixture
def features_file(tmp_path: Path) -> Path:
    torch.save(i2v_state(), tmp_path / "i2v.pth")
    done = run(tmp_path / "i2v.pth", tmp_path / "i2v.safetensors")
    assert done.exit_code == 0, done.output
    assert "left out 2: 16.bias, 16.weight" in done.output
    return tmp_path / "i2v.safetensors"


def test_paintstorch_colours_as_published_once_converted(tmp_path: Path, features_file: Path) -> None:
    state, x = paintstorch_state(), inputs()
    wrapped = {"generator": {f"module.{k}": t for k, t in state.items()}, "optimizer": {"lr": 1e-4}, "epoch": 9}
    torch.save(wrapped, tmp_path / "generator.pth")
    out = tmp_path / "out.safetensors"
    done = run(tmp_path / "generator.pth", out, "--features-weights", features_file)
    assert done.exit_code == 0, done.output
    assert "PaintsTorch" in done.output
    assert "left out 2: optimizer, epoch" in done.output
    wanted = paintstorch(state, x.lineart, F.avg_pool2d(x.hints, 4), i2v(i2v_state(), x.lineart.expand(-1, 3, -1, -1)))
    with torch.no_grad():
        found = load_model(out).network(x).shaded
    assert torch.allclose(found, wanted, atol=1e-4)
    assert wanted.std() > 0.05


@pytest.mark.parametrize("norms", [False, True], ids=["plain", "norms"])
def test_stenciltorch_colours_as_published_once_converted(tmp_path: Path, features_file: Path, norms: bool) -> None:
    state, x = stenciltorch_state(norms), inputs()
    torch.save(state, tmp_path / "checkpoint_39.pth")
    out = tmp_path / "out.safetensors"
    done = run(tmp_path / "checkpoint_39.pth", out, "--features-weights", features_file)
    assert done.exit_code == 0, done.output
    assert "StencilTorch" in done.output
    picture = torch.cat([x.composite, x.mask], 1)
    hints = F.avg_pool2d(torch.cat([x.hints[:, :3] + x.hints[:, 3:] - 1, x.hints[:, 3:]], 1), 4)
    wanted = stenciltorch(state, picture, hints, i2v(i2v_state(), x.composite))
    with torch.no_grad():
        found = load_model(out).network(x).shaded
    # Folded norms are rounded to 16 bits.
    assert torch.allclose(found, wanted, atol=2e-2 if norms else 1e-4)
    assert wanted.std() > 0.05


def test_without_the_features_weights_the_user_is_told(tmp_path: Path) -> None:
    torch.save(paintstorch_state(), tmp_path / "g.pth")
    done = run(tmp_path / "g.pth", tmp_path / "out.safetensors")
    assert done.exit_code == 0, done.output
    assert "local features are zeros" in done.output


def test_unknown_names_and_wrong_shapes_are_listed(tmp_path: Path) -> None:
    state = paintstorch_state()
    state["to9.0.weight"] = state.pop("to2.0.weight")
    state["exit.bias"] = torch.zeros(4)
    torch.save(state, tmp_path / "g.pth")
    done = run(tmp_path / "g.pth", tmp_path / "out.safetensors")
    assert done.exit_code == 1
    for fault in ("no to2.0.weight", "unknown to9.0.weight", "exit.bias of shape (4,), not (3,)"):
        assert fault in done.output
    assert not (tmp_path / "out.safetensors").exists()


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"encoder0.0.weight": torch.zeros(1)}, tmp_path / "g.pth")
    done = run(tmp_path / "g.pth", tmp_path / "out.safetensors")
    assert done.exit_code == 1
    assert "holds no known network (it begins with encoder0.0.weight)" in done.output


class Bomb:
    """Would make a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.target,)


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path) -> None:
    torch.save({"toH.0.weight": torch.zeros(1), "extra": Bomb(tmp_path / "ran")}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    for name in ("evil.pth", "plain.pth"):
        done = run(tmp_path / name, tmp_path / "out.safetensors")
        assert done.exit_code == 1
        assert "more than tensors" in done.output
    assert not (tmp_path / "ran").exists()


def test_files_that_are_no_state_dicts_are_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in ("list.pth", "text.pth", "empty.pth"):
        done = run(tmp_path / name, tmp_path / "out.safetensors")
        assert done.exit_code == 1
        assert name in done.output


def test_vgg16_is_cut_after_its_fourth_activation(tmp_path: Path) -> None:
    shapes = {"0": (64, 3), "2": (64, 64), "5": (128, 64), "7": (128, 128), "10": (256, 128)}
    state = State()
    for number, (o, i) in shapes.items():
        conv(state, f"features.{number}", o, i, 3)
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "vgg16.pth")
    done = run(tmp_path / "vgg16.pth", tmp_path / "vgg16.safetensors")
    assert done.exit_code == 0, done.output
    assert "is not the published one" in done.output
    kept = read_tensors(tmp_path / "vgg16.safetensors")
    assert sorted(kept) == sorted(f"features.{n}.{p}" for n in (0, 2, 5, 7) for p in ("bias", "weight"))
