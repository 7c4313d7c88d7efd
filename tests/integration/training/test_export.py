"""``training export``: finished weights and ONNX files, that other programs get the pictures the engine makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result

from engine.models.base import ModelInputs
from engine.models.checkpoint import describe, load_model, read_metadata, save_model
from engine.models.components.hint_prior import flood_hints
from engine.models.registry import ARCHITECTURES, parse_config
from training.cli.main import main

SMALL = {"widths": [8, 16, 16, 32], "encoder_blocks": [0, 1, 1], "decoder_blocks": [1, 1, 1], "heads": 4}
CASES = {
    "stenciltorch-compact": SMALL,
    "stenciltorch-compact, no prior": {**SMALL, "prior": False},
    "paintstorch-compact": SMALL,
    "stenciltorch-thesis": {"width": 8, "cardinality": 4},
    "stenciltorch-thesis, features": {"width": 8, "cardinality": 4, "features": 6, "guide": False},
    "paintstorch-thesis": {"width": 8, "cardinality": 4},
}
WANTED = {
    "stenciltorch-compact": ["lineart", "hints", "mask", "context", "known", "flood"],
    "stenciltorch-compact, no prior": ["lineart", "hints", "mask", "context", "known"],
    "paintstorch-compact": ["lineart", "hints", "flood"],
    "stenciltorch-thesis": ["lineart", "hints", "mask", "context", "known"],
    "stenciltorch-thesis, features": ["lineart", "hints", "mask", "context", "known", "features"],
    "paintstorch-thesis": ["lineart", "hints"],
}
NOTES = {"licence": "CC-BY-SA-4.0", "training_data": "d1" * 32, "training": '{"step": 7}'}


def make_weights(path: Path, case: str) -> Path:
    """Weights of an architecture in a small size, all drawn by chance, so that no part of the network stays silent."""
    name = case.partition(",")[0]
    architecture = ARCHITECTURES[name]
    config = parse_config(architecture.config, CASES[case])
    torch.manual_seed(3)
    network = architecture.build(config)
    for key, tensor in network.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
        elif tensor.is_floating_point():
            tensor.add_(torch.randn_like(tensor) * 0.05)
    save_model(path, network.state_dict(), name, config, NOTES, {"shading_gain": 1.5})
    return path


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def properties(path: Path) -> dict[str, str]:
    return {p.key: p.value for p in onnx.load(str(path)).metadata_props}


@pytest.mark.parametrize("case", CASES)
def test_an_onnx_file_of_any_architecture_colours_a_drawing_as_torch_does(case: str, tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path / "w.safetensors", case), tmp_path / "out.onnx"
    result = export(weights, out)
    assert result.exit_code == 0, result.output
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == WANTED[case]
    assert [o.name for o in session.get_outputs()] == ["flat", "shaded"]

    # A size of its own, that the export neither traced nor checked, and inputs put together without its code.
    gen = torch.Generator().manual_seed(1)
    b, h, w = 2, 160, 96
    coverage = (torch.rand(b, 1, h, w, generator=gen) > 0.9).float()
    mask = torch.ones(b, 1, h, w)
    mask[:, :, :48] = 0
    inputs = ModelInputs(
        torch.rand(b, 1, h, w, generator=gen) * 2 - 1,
        torch.cat([(torch.rand(b, 3, h, w, generator=gen) * 2 - 1) * coverage, coverage], 1),
        mask,
        torch.rand(b, 3, h, w, generator=gen) * 2 - 1,
        1 - mask,
    )
    tensors = {name: getattr(inputs, name, None) for name in WANTED[case]}
    more = {}
    if "flood" in tensors:
        flood = flood_hints(inputs)
        tensors["flood"] = torch.cat([flood.colour, flood.cost[:, None]], 1)
    if "features" in tensors:
        more["features"] = tensors["features"] = torch.rand(b, 6, h // 16, w // 16, generator=gen)
    flat, shaded = session.run(None, {k: t.numpy() for k, t in tensors.items()})
    with torch.inference_mode():
        expected = load_model(weights).network(inputs, **more)
    np.testing.assert_allclose(flat, expected.flat.numpy(), atol=1e-4)
    np.testing.assert_allclose(shaded, expected.shaded.numpy(), atol=1e-4)
    assert expected.shaded.std() > 0.01


def test_every_input_of_an_onnx_file_changes_its_picture(tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path / "w.safetensors", "stenciltorch-compact"), tmp_path / "out.onnx"
    assert export(weights, out).exit_code == 0
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    sizes = {"lineart": 1, "hints": 4, "mask": 1, "context": 3, "known": 1}
    feed = {name: rng.random((1, c, 64, 64), np.float32) for name, c in sizes.items()}
    feed["flood"] = rng.random((1, 4, 32, 32), np.float32)
    feed["known"] = np.rint(feed["known"])
    _, before = session.run(None, feed)
    for name in feed:
        _, after = session.run(None, {**feed, name: 1 - feed[name]})
        assert np.abs(after - before).max() > 1e-4, name


def test_an_onnx_file_carries_the_metadata_of_the_weights_and_tells_how_to_feed_it(tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path / "w.safetensors", "stenciltorch-compact"), tmp_path / "sub" / "out.onnx"
    (tmp_path / "w.md").write_text("# The card", encoding="utf-8")
    art = Path(__file__).parents[2] / "data" / "art"
    changes = ["--descriptor", '{"shading_gain": 1.25}', "--note", "metrics=good = yes", "--art", art]
    result = export(weights, out, *changes)
    assert result.exit_code == 0, result.output
    assert result.output.count("differs from torch by at most") >= 4
    told = properties(out)
    stored = read_metadata(weights)
    assert all(told[key] == value for key, value in stored.items() if key != "descriptor")
    assert told["metrics"] == "good = yes"
    assert told["model_card"] == "# The card"
    assert "CC" in told["sources"]
    assert json.loads(told["descriptor"])["shading_gain"] == 1.25
    assert json.loads(told["descriptor"])["stride"] == 32
    assert (told["stride"], told["opset"]) == ("32", "17")
    assert len(told["source_sha256"]) == 64
    assert "cv2.watershed" in told["flood_recipe"]
    ports = json.loads(told["interface"])
    assert [p["name"] for p in ports["inputs"]] == WANTED["stenciltorch-compact"]
    assert [(p["name"], p["part"]) for p in ports["outputs"]] == [("flat", 2), ("shaded", 2)]
    assert [i.version for i in onnx.load(str(out)).opset_import if not i.domain] == [17]


def test_a_file_that_differs_from_torch_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path / "w.safetensors", "paintstorch-compact"), tmp_path / "out" / "x.onnx"
    result = export(weights, out, "--tolerance", "0")
    assert result.exit_code == 1
    assert "differs from torch" in result.output
    assert "--tolerance" in result.output
    assert list(out.parent.iterdir()) == []


def test_an_older_file_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path / "w.safetensors", "paintstorch-compact"), tmp_path / "x.onnx"
    out.write_bytes(b"before")
    assert export(weights, out, "--tolerance", "0").exit_code == 1
    assert out.read_bytes() == b"before"


def test_the_same_weights_give_the_same_graph(tmp_path: Path) -> None:
    weights = make_weights(tmp_path / "w.safetensors", "paintstorch-compact")
    for name in ("a.onnx", "b.onnx"):
        assert export(weights, tmp_path / name).exit_code == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_run_folder_and_an_installed_model_are_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    run.mkdir()
    weights = make_weights(run / "weights.safetensors", "paintstorch-compact")
    assert export(run, tmp_path / "run.onnx").exit_code == 0
    (tmp_path / "installed").mkdir()
    shutil.copy(weights, tmp_path / "installed" / "mine.safetensors")
    monkeypatch.setenv("COLORIZE_WEIGHTS", str(tmp_path / "installed"))
    assert export("mine", tmp_path / "name.onnx").exit_code == 0
    assert properties(tmp_path / "run.onnx") == properties(tmp_path / "name.onnx")


def test_finished_weights_can_be_exported_again_with_other_values_and_keep_the_rest(tmp_path: Path) -> None:
    weights, out = make_weights(tmp_path / "w.safetensors", "stenciltorch-compact"), tmp_path / "out.safetensors"
    changes = ["--descriptor", '{"palette_mean": [0.5, 0.0, 0.0]}', "--note", "note=hello", "--note", "config=broken"]
    assert export(weights, out, *changes).exit_code == 0
    assert read_metadata(out)["note"] == "hello"
    assert read_metadata(out)["training_data"] == NOTES["training_data"]
    assert json.loads(read_metadata(out)["config"])["heads"] == 4
    assert describe(out).shading_gain == 1.5
    assert describe(out).palette_mean == (0.5, 0.0, 0.0)
    load_model(out)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing", "x.onnx"], 1, "no weights for a model named 'nothing'"),
        (["empty", "x.onnx"], 1, "holds no run"),
        (["w.safetensors", "x.pth"], 2, "should end in .safetensors or .onnx"),
        (["w.safetensors", "x.onnx", "--note", "hello"], 2, "should be KEY=VALUE"),
        (["w.safetensors", "x.onnx", "--descriptor", "{"], 2, "no JSON"),
        (["w.safetensors", "x.onnx", "--descriptor", "[]"], 2, "JSON object"),
        (["w.safetensors", "x.onnx", "--descriptor", '{"gain": 1}'], 1, "knows no gain"),
        (["w.safetensors", "x.safetensors", "--descriptor", '{"gain": 1}'], 1, "knows no gain"),
        (["w.safetensors", "x.onnx", "--descriptor", '{"stochastic": true}'], 1, "by chance in several steps"),
        (["broken.safetensors", "x.onnx"], 1, "cannot be read"),
    ],
)
def test_wrong_use_is_explained(
    arguments: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_weights(Path("w.safetensors"), "paintstorch-thesis")
    Path("broken.safetensors").write_bytes(b"no weights")
    Path("empty").mkdir()
    result = export(*arguments)
    assert result.exit_code == code, result.output
    assert said in " ".join(result.output.split())
    assert not [p for p in Path().iterdir() if p.name.startswith((".x", "x."))]
