"""Every architecture: load, round trip, sizes; the hint prior; the checkpoint format's refusals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.errors import ColorizeError
from engine.models.base import ModelInputs
from engine.models.checkpoint import describe, find_weights, list_weights, load_model, save_model
from engine.models.components.hint_prior import FAR, flood_hints
from engine.models.paintstorch import PaintsCompactConfig, PaintsTorchConfig
from engine.models.registry import ARCHITECTURES, parse_config
from engine.models.stablepaint import StablePaintConfig
from engine.models.stenciltorch import Compact, CompactConfig, Thesis, ThesisConfig

SMALL = {
    "stenciltorch-compact": CompactConfig(
        widths=(8, 16, 16, 32), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 1), heads=4
    ),
    "stenciltorch-thesis": ThesisConfig(width=8, features=0, guide=True, cardinality=4),
    "paintstorch-compact": PaintsCompactConfig(
        widths=(8, 16, 16, 32), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 1), heads=4
    ),
    "paintstorch-thesis": PaintsTorchConfig(width=8, features=0, cardinality=4),
    "stablepaint": StablePaintConfig(
        channels=4, encoder=(8, 8), decoder=(16, 8, 8), context=(8, 8, 16), denoiser=(8, 16, 16, 16), embedding=8
    ),
}


def make_inputs(h: int = 64, w: int = 96, batch: int = 1) -> ModelInputs:
    gen = torch.Generator().manual_seed(3)
    line = torch.where(torch.rand(batch, 1, h, w, generator=gen) > 0.95, -1.0, 1.0)
    hints = torch.zeros(batch, 4, h, w)
    hints[:, :, 4:12, 4:20] = torch.tensor([1.0, -1.0, -1.0, 1.0])[None, :, None, None]
    mask = torch.ones(batch, 1, h, w)
    return ModelInputs(line, hints, mask, torch.zeros(batch, 3, h, w), torch.zeros(batch, 1, h, w))


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return ARCHITECTURES[name].build(SMALL[name])


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_outputs_have_a_whole_fraction_of_the_input_size(name: str) -> None:
    net = build(name).eval()
    stride = ARCHITECTURES[name].descriptor.stride
    for h, w in ((stride, stride), (2 * stride, 5 * stride)):
        out = net(make_inputs(h, w))
        assert out.flat.shape == out.shaded.shape
        assert h % out.flat.shape[2] == 0
        assert h // out.flat.shape[2] == w // out.flat.shape[3]


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_saved_weights_give_the_same_picture_after_loading(name: str, tmp_path: Path) -> None:
    net = build(name).half().float().eval()
    inputs = make_inputs()
    with torch.no_grad():
        before = net(inputs).shaded
    path = tmp_path / "m.safetensors"
    save_model(path, net.state_dict(), name, SMALL[name], {"licence": "test"}, {"size": 256})
    loaded = load_model(path)
    with torch.no_grad():
        after = loaded.network(inputs).shaded
    assert (before - after).abs().max() < 1e-3
    assert loaded.descriptor.size == 256
    assert loaded.metadata["licence"] == "test"


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_hint_changes_the_picture_and_gradients_reach_every_weight(name: str) -> None:
    net = build(name).train()
    inputs = make_inputs(batch=2)
    without = ModelInputs(inputs.lineart, torch.zeros_like(inputs.hints), inputs.mask, inputs.context, inputs.known)
    assert (net(inputs).shaded - net(without).shaded).abs().max() > 1e-6
    out = net(inputs)
    (out.flat.square().mean() + out.shaded.square().mean()).backward()
    silent = [k for k, p in net.named_parameters() if p.grad is None]
    assert not silent


def test_folding_batchnorm_does_not_change_the_picture() -> None:
    net = Compact(SMALL["stenciltorch-compact"])  # type: ignore[arg-type]
    for _ in range(3):
        net(make_inputs(batch=4))
    net.eval()
    with torch.no_grad():
        before = net(make_inputs()).shaded
        net.prepare_for_inference()
        after = net(make_inputs()).shaded
    assert (before - after).abs().max() < 1e-4


def test_the_default_configurations_have_the_published_sizes() -> None:
    def millions(net: torch.nn.Module) -> float:
        return sum(p.numel() for p in net.parameters()) / 1e6

    with torch.device("meta"):
        assert 4 <= millions(Compact(CompactConfig())) <= 6
        assert millions(Thesis(ThesisConfig(width=64, features=512, guide=False))) == pytest.approx(22.0, abs=0.5)


def drawing_inputs(line: np.ndarray, strokes: list[tuple[int, int, tuple[float, float, float]]]) -> ModelInputs:
    h, w = line.shape
    hints = torch.zeros(1, 4, h, w)
    for y, x, colour in strokes:
        hints[0, :3, y : y + 4, x : x + 4] = torch.tensor(colour)[:, None, None]
        hints[0, 3, y : y + 4, x : x + 4] = 1
    lineart = torch.from_numpy(line).float()[None, None] * 2 - 1
    one, zero = torch.ones(1, 1, h, w), torch.zeros(1, 1, h, w)
    return ModelInputs(lineart, hints, one, torch.zeros(1, 3, h, w), zero)


def test_the_flood_crosses_lines_last() -> None:
    line = np.ones((64, 64))
    line[:, 40:42] = 0
    inputs = drawing_inputs(line, [(30, 34, (1.0, -1.0, -1.0)), (4, 56, (-1.0, -1.0, 1.0))])
    colour = flood_hints(inputs).colour[0]
    # (50, 46) is closer to the red stroke, but the line lies between.
    assert colour[:, 25, 23].tolist() == [-1.0, -1.0, 1.0]
    assert colour[:, 25, 5].tolist() == [1.0, -1.0, -1.0]


def test_the_flood_takes_the_way_round_through_a_labyrinth() -> None:
    line = np.ones((96, 96))
    for i, x in enumerate(range(16, 96, 16)):
        line[(0 if i % 2 else 12) : (84 if i % 2 else 96), x : x + 3] = 0
    inputs = drawing_inputs(line, [(50, 4, (1.0, 0.0, 0.0))])
    flood = flood_hints(inputs)
    assert bool((flood.colour[0, 0] == 1).all())
    assert flood.cost[0, 24, 47] > flood.cost[0, 24, 10]


def test_without_any_hint_the_flood_says_so() -> None:
    flood = flood_hints(drawing_inputs(np.ones((32, 32)), []))
    assert bool((flood.cost >= FAR / 2).all())
    assert not flood.channels().isnan().any()
    assert flood.channels().abs().max() == 0


def test_known_surroundings_count_as_hints() -> None:
    inputs = drawing_inputs(np.ones((32, 32)), [])
    known = torch.zeros(1, 1, 32, 32)
    known[..., :8] = 1
    context = torch.full((1, 3, 32, 32), 0.5)
    flood = flood_hints(ModelInputs(inputs.lineart, inputs.hints, 1 - known, context, known))
    assert (flood.colour - 0.5).abs().max() < 1e-6


def test_a_stroke_counts_more_than_the_known_surroundings_of_its_region() -> None:
    inputs = drawing_inputs(np.ones((64, 64)), [(30, 30, (1.0, -1.0, -1.0))])
    known = torch.zeros(1, 1, 64, 64)
    known[..., :16] = 1
    context = torch.full((1, 3, 64, 64), 0.5)
    flood = flood_hints(ModelInputs(inputs.lineart, inputs.hints, 1 - known, context, known))
    assert flood.colour[0, :, 16, 12].tolist() == [1.0, -1.0, -1.0]
    assert torch.allclose(flood.colour[0, :, 16, 2], torch.tensor(0.5))


def write_good(path: Path) -> Path:
    save_model(
        path, build("stenciltorch-compact").state_dict(), "stenciltorch-compact", SMALL["stenciltorch-compact"], {}
    )
    return path


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    path = write_good(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ColorizeError, match="cannot be read"):
        load_model(path)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"\x80\x04pickle" * 50)
    with pytest.raises(ColorizeError, match="cannot be read"):
        load_model(path)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"architecture": "resnet", "format_version": "1"})
    with pytest.raises(ColorizeError, match="resnet"):
        load_model(path)


def test_missing_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    state = build("stenciltorch-compact").state_dict()
    path = tmp_path / "m.safetensors"
    kept = {k: t for k, t in state.items() if k != "head.bias"}
    save_model(path, kept, "stenciltorch-compact", SMALL["stenciltorch-compact"], {})
    with pytest.raises(ColorizeError, match=r"head\.bias"):
        load_model(path)
    save_model(path, {**state, "head.bias": torch.zeros(3)}, "stenciltorch-compact", SMALL["stenciltorch-compact"], {})
    with pytest.raises(ColorizeError, match="shape"):
        load_model(path)


def test_weights_are_found_in_the_stated_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, fromenv = tmp_path / "a", tmp_path / "b"
    write_good(named / "stenciltorch.safetensors")
    write_good(fromenv / "stenciltorch.safetensors")
    monkeypatch.setenv("COLORIZE_WEIGHTS", str(fromenv))
    assert find_weights("stenciltorch", named).parent == named
    assert find_weights("stenciltorch").parent == fromenv
    assert list_weights()[0].parent == fromenv
    with pytest.raises(ColorizeError, match="nosuch"):
        find_weights("nosuch")
    with pytest.raises(ColorizeError, match="--weights"):
        find_weights("stenciltorch", tmp_path / "missing")


def test_the_default_model_is_listed_first_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_WEIGHTS", str(tmp_path))
    write_good(tmp_path / "another.safetensors")
    names = [path.stem for path in list_weights()]
    assert names[0] == "stenciltorch"
    assert "another" in names


@pytest.mark.parametrize(
    "values", [{"wdths": (1, 2, 3, 4)}, {"encoder_blocks": "2"}, {"widths": [8, 16]}, {"prior": 1}, {"heads": True}]
)
def test_unknown_keys_and_wrong_types_in_a_config_fail_at_once(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="CompactConfig"):
        parse_config(CompactConfig, values)


def test_a_config_survives_its_own_json() -> None:
    config = CompactConfig(widths=(8, 16, 24, 32))
    assert parse_config(CompactConfig, {**asdict(config), "widths": list(config.widths)}) == config


def test_shipped_weights_load_and_are_small_enough() -> None:
    path = find_weights("stenciltorch")
    assert path.stat().st_size <= 10_000_000
    descriptor = describe(path)
    assert descriptor.architecture == "stenciltorch-compact"
    assert load_model(path).metadata["licence"] == "CC-BY-SA-4.0"
