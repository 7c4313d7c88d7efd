"""An encoder trained on a handful of pictures, and what is built on it: content, local features, thesis presets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file

from engine.cli.main import main as engine
from engine.errors import ColorizeError
from engine.models.checkpoint import load_model, read_metadata
from engine.models.components.encoder import pooled
from engine.models.components.local_features import Illustration2Vec
from engine.models.registry import ARCHITECTURES, parse_config
from training.cli.main import main
from training.data.pack import pack, read_manifest
from training.evaluation.features import own_eye
from training.features.run import PRESETS as ENCODER_PRESETS
from training.features.run import EncoderRun
from training.features.weights import load_encoder
from training.recipes.paintstorch import PRESETS as PAINTS_PRESETS
from training.recipes.paintstorch import PaintsTorchRun
from training.recipes.stenciltorch import PRESETS, StencilTorchRun
from training.runs.config import Phase
from training.runs.run import Run

ART = Path(__file__).parents[2] / "data" / "art"
SMALL = replace(
    ENCODER_PRESETS["cpu"],
    model={"widths": (8, 12, 16, 24)},
    phases=(Phase(1.0, 32, 8, 1.25, 5.0),),
    steps=40,
    workers=0,
    warmup=4,
)
THESIS: dict[str, Any] = {
    "model": {"width": 8, "cardinality": 4},
    "phases": (Phase(1.0, 48, 2, 1.0, 1.0),),
    "steps": 40,
    "workers": 0,
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    list(pack(read_manifest(ART, "train"), out, 96, workers=1))
    return out


@pytest.fixture(scope="module")
def encoder_run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("encoder")
    run = EncoderRun(folder, shards, SMALL)
    assert list(run.train(10))[-1].startswith("stopped at step 40 of 40")
    return folder


@pytest.fixture(scope="module")
def encoder_file(encoder_run: Path) -> Path:
    return encoder_run / "weights.safetensors"


@pytest.fixture(scope="module")
def i2v_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up weights in Illustration2Vec's shapes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("i2v") / "i2v.safetensors"
    save_file({k: t * 0.2 for k, t in Illustration2Vec().state_dict().items()}, path)
    return path


def steps_on_one_batch(run: Run, steps: int) -> list[dict[str, float]]:
    """The loss terms of every step."""
    raw = next(run.batches(run.phase()))
    seen = []
    for _ in range(steps):
        run.net.train()
        seen.append({k: float(t) for k, t in run.optimise(run.parts(raw, 1)).items()})
    return seen


def test_training_lowers_the_encoders_loss(encoder_run: Path) -> None:
    lines = [json.loads(line) for line in (encoder_run / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "samples" in line]
    assert [line["step"] for line in lines] == [20, 40]
    # Of 16 crops each finds its partner by luck at log 15 = 2.7, and an untrained guess is at a right angle: 1.
    assert lines[-1]["contrast"] < 2.5
    assert lines[-1]["guess"] < 0.5 * lines[0]["guess"] + 0.3


def test_an_interrupted_encoder_run_resumes_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    config = replace(SMALL, steps=4)
    whole = EncoderRun(tmp_path / "whole", shards, config)
    list(whole.train(10))
    part = EncoderRun(tmp_path / "part", shards, config)
    batches = part.batches(part.phase())
    part.train_step(next(batches))
    part.train_step(next(batches))
    part.save()
    resumed = EncoderRun(tmp_path / "part", shards, config)
    assert resumed.resume()
    list(resumed.train(10))
    for width, average in whole.averages.tensors.items():
        for key, tensor in average.items():
            assert torch.equal(tensor, resumed.averages.tensors[width][key]), key


def test_the_commands_train_and_probe_an_encoder(shards: Path, tmp_path: Path) -> None:
    command = ["train-encoder", str(shards), str(tmp_path / "run"), "--steps", "1", "--limit", "2"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(main, command).exit_code == 1
    weights = tmp_path / "run" / "weights.safetensors"
    assert weights.stat().st_size < 2e6
    encoder, metadata = load_encoder(weights)
    assert metadata["licence"] == "CC-BY-SA-4.0"
    assert json.loads(metadata["training"])["step"] == 1
    assert not encoder.training
    sheet = tmp_path / "sheet.png"
    art = tmp_path / "art"
    rows = ["file,source_repo,original_path,commit,author,license_spdx,kind,split,pair_id,width,height,note"]
    for number in range(7):
        name = f"test/two/{number}.png"
        (art / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((40, 50, 3), 40 * (number % 2) + number, np.uint8)
        pixels[10:30, 10:20, number % 2] = 250
        Image.fromarray(pixels).save(art / name)
        rows.append(f"{name},a/b,x,0,{'ann' if number % 2 else 'bob'},CC0-1.0,illustration,test,,50,40,")
    (art / "manifest.csv").write_text("\n".join(rows) + "\n")
    done = CliRunner().invoke(main, ["probe-encoder", str(art), str(weights), "--split", "test", "--sheet", str(sheet)])
    assert done.exit_code == 0, done.output
    assert "7 pictures by 2 authors" in done.output
    for row in ("| a colour histogram | 100.0% |", "| another picture | 1.000 | 1.000 |", "| chance | "):
        assert row in done.output
    assert Image.open(sheet).height > 500


def test_an_encoder_gives_evaluation_its_own_features(encoder_file: Path) -> None:
    eye = own_eye(str(encoder_file))
    assert eye.name == "our own art encoder (weights.safetensors)"
    drawing = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    assert eye(drawing).shape == (12 + 16 + 24,)


@pytest.mark.parametrize("content", ["none", "own"])
def test_stenciltorch_as_published_learns_with_guide_and_critic(
    shards: Path, tmp_path: Path, encoder_file: Path, content: str
) -> None:
    config = replace(PRESETS["thesis"], **THESIS, content=content, lr=1e-3)
    run = StencilTorchRun(tmp_path / "run", shards, config, content_weights=encoder_file if content == "own" else None)
    before = {name: [p.clone() for p in network.parameters()] for name, network in run.networks.items()}
    assert set(before) == {"net", "critic"}
    seen = steps_on_one_batch(run, 16)
    assert set(seen[0]) == {"content", "guide", "critic", "adversarial"}
    assert seen[-1]["content"] < 0.95 * seen[0]["content"]
    assert seen[-1]["guide"] < 0.85 * seen[0]["guide"]
    for name, network in run.networks.items():
        moved = [not torch.equal(p, q) for p, q in zip(network.parameters(), before[name], strict=True)]
        assert sum(moved) > 0.9 * len(moved), name


def test_without_the_guide_its_decoder_and_its_loss_are_gone(shards: Path, tmp_path: Path) -> None:
    run = StencilTorchRun(tmp_path / "run", shards, replace(PRESETS["thesis"], **THESIS, guide=False))
    assert run.model_config.guide is False
    assert "guide" not in steps_on_one_batch(run, 1)[0]


def test_as_published_what_lies_outside_the_mask_is_always_painted(shards: Path, tmp_path: Path) -> None:
    run = StencilTorchRun(tmp_path / "run", shards, replace(PRESETS["thesis"], **THESIS))
    inputs = run.parts(next(run.batches(run.phase())), 1)[0].batch.inputs
    assert torch.equal(inputs.known, 1 - inputs.mask)


@pytest.mark.parametrize("features", ["learned", "illustration2vec"])
def test_local_features_are_frozen_travel_with_the_model_and_colour(
    shards: Path, tmp_path: Path, encoder_file: Path, i2v_file: Path, features: str, save: Callable[..., Path]
) -> None:
    file = encoder_file if features == "learned" else i2v_file
    config = replace(PRESETS["thesis"], **THESIS, features=features)
    run = StencilTorchRun(tmp_path / "run", shards, config, features_weights=file)
    local = {k: t.clone() for k, t in run.net.state_dict().items() if k.startswith("local.")}
    assert len(local) > 10
    steps_on_one_batch(run, 2)
    run.averages.update()
    run.save()
    for key, tensor in local.items():
        assert torch.equal(tensor, run.net.state_dict()[key]), key
    weights = tmp_path / "run" / "weights.safetensors"
    loaded = load_model(weights)
    line = torch.rand(1, 1, 64, 48) * 2 - 1
    with torch.no_grad():
        found = loaded.network.get_submodule("local")(line)
        wanted = load_encoder(file)[0](line)[-1] if features == "learned" else run.net.get_submodule("local")(line)
    assert found.shape == (1, 24 if features == "learned" else 512, 4, 3)
    assert torch.allclose(found, wanted, rtol=1e-2, atol=1e-2)
    assert run.config.features_digest  # type: ignore[attr-defined]
    drawing = save("line.png", np.full((48, 64), 255, np.uint8))
    out = tmp_path / "colour.png"
    done = CliRunner().invoke(engine, ["colorize", str(drawing), "-o", str(out), "--weights", str(weights)])
    assert done.exit_code == 0, done.output
    assert Image.open(out).size == (64, 48)


def test_a_runs_critic_looks_at_the_local_features_too(shards: Path, tmp_path: Path, encoder_file: Path) -> None:
    config = replace(PAINTS_PRESETS["thesis"], **THESIS, features="learned", content="own")
    run = PaintsTorchRun(tmp_path / "run", shards, config, content_weights=encoder_file, features_weights=encoder_file)
    assert not any("encoder" in key for key in run.critic.state_dict())
    assert set(steps_on_one_batch(run, 1)[0]) == {"content", "adversarial", "reading", "critic", "reader"}
    batch = run.parts(next(run.batches(run.phase())), 1)[0].batch
    with torch.no_grad():
        score = run.critic(batch.target, batch.inputs)
        run.net.get_submodule("local.network.encoder").get_buffer("spread3").mul_(0.2)
        assert not torch.equal(score, run.critic(batch.target, batch.inputs))


def test_files_of_other_networks_are_refused(shards: Path, tmp_path: Path, encoder_file: Path, i2v_file: Path) -> None:
    config = replace(PRESETS["thesis"], **THESIS)
    for changes, files, said in (
        ({"features": "illustration2vec"}, {"features_weights": encoder_file}, "does not hold illustration2vec"),
        ({"features": "illustration2vec"}, {}, "needs --features-weights"),
        ({"features": "learned"}, {"features_weights": i2v_file}, "no encoder"),
        ({}, {"features_weights": i2v_file}, "without --features"),
    ):
        with pytest.raises(ColorizeError, match=said):
            StencilTorchRun(tmp_path / "run", shards, replace(config, **changes), **files)  # type: ignore[arg-type]


def test_the_command_says_what_a_preset_cannot_do(shards: Path, tmp_path: Path) -> None:
    for options in (["--content", "own"], ["--features", "learned"]):
        for command in ("train-stenciltorch", "train-paintstorch"):
            done = CliRunner().invoke(main, [command, str(shards), str(tmp_path / "run"), *options])
            assert done.exit_code == 2
            assert "take --preset thesis" in done.output
    done = CliRunner().invoke(
        main, ["train-stenciltorch", str(shards), str(tmp_path / "run"), "--preset", "thesis", "--no-prior"]
    )
    assert done.exit_code == 2


@pytest.mark.parametrize("architecture", ["stenciltorch-thesis", "paintstorch-thesis"])
def test_configurations_written_before_there_were_local_features_are_read(architecture: str) -> None:
    config = parse_config(ARCHITECTURES[architecture].config, {"width": 8, "features": 16, "cardinality": 4})
    names = set(ARCHITECTURES[architecture].build(config).state_dict())
    assert not any(name.startswith("local") for name in names)


def test_a_lineart_is_seen_as_a_grey_picture(encoder_file: Path) -> None:
    encoder, _ = load_encoder(encoder_file)
    grey = torch.rand(2, 1, 64, 64) * 2 - 1
    with torch.no_grad():
        assert torch.equal(pooled(encoder(grey)), pooled(encoder(grey.expand(-1, 3, -1, -1))))


def test_an_encoder_is_not_taken_for_a_colouring_model(encoder_file: Path) -> None:
    with pytest.raises(ColorizeError, match="this version knows"):
        read_metadata(encoder_file)
