"""The training command on a handful of shipped pictures: pack, train, interrupt, resume, export, colour."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from engine.models.checkpoint import load_model, read_metadata, read_tensors
from engine.pipeline import Job, Pipeline
from training.cli.main import main
from training.data.dataset import Crops, load_shards
from training.data.flats import simplify
from training.data.pack import pack, read_manifest
from training.data.strokes import draw_hints, draw_mask
from training.data.synthesis import make_batch
from training.recipes.paintstorch import PRESETS as PAINTS_PRESETS
from training.recipes.paintstorch import PaintsTorchRun
from training.recipes.stenciltorch import PRESETS, StencilTorchRun
from training.runs.config import Phase
from training.runs.run import Run

ART = Path(__file__).parents[2] / "data" / "art"
TINY = replace(
    PRESETS["cpu"],
    model={"widths": (8, 16, 16, 32), "encoder_blocks": (0, 1, 1), "decoder_blocks": (1, 1, 1), "heads": 4},
    phases=(Phase(0.5, 64, 4, 1.0, 1.5), Phase(1.0, 96, 2, 1.0, 1.2)),
    steps=8,
    workers=0,
    warmup=2,
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    list(pack(read_manifest(ART, "train"), out, 96, workers=1))
    return out


def test_flats_of_a_plain_picture_are_its_areas() -> None:
    picture = np.full((80, 80, 3), 250, np.uint8)
    picture[20:60, 20:60] = (200, 40, 40)
    labels, palette = simplify(picture)
    assert labels.max() == 1
    assert {tuple(c) for c in palette.tolist()} == {(250, 250, 250), (200, 40, 40)}


def test_shards_stay_under_their_limit_and_hold_every_picture(tmp_path: Path) -> None:
    sources = read_manifest(ART, "train")
    list(pack(sources, tmp_path, 96, limit_mb=0.03, workers=1))
    files = sorted(tmp_path.glob("shard-*.tar"))
    assert len(files) > 1
    data = load_shards(tmp_path)
    assert len(data.train) + len(data.held_out) == len(sources)
    assert any(p.line is not None for p in data.train + data.held_out)


def test_held_out_art_in_the_training_split_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ART, tmp_path / "art")
    manifest = tmp_path / "art" / "manifest.csv"
    rows = list(csv.DictReader(manifest.open(newline="")))
    row = next(r for r in rows if r["split"] == "train")
    row["file"] = row["file"].replace("train/", "test/")
    with manifest.open("w", newline="") as f:
        writer = csv.DictWriter(f, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    result = CliRunner().invoke(main, ["pack", str(tmp_path / "art"), str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "marked train but lies in test" in result.output


def test_a_sample_depends_on_nothing_but_seed_and_number(shards: Path) -> None:
    data = load_shards(shards)
    first, again = Crops(data.train, 64, (1, 2), 5), Crops(data.train, 64, (1, 2), 5)
    for i in (0, 7, 123456):
        a, b = first[i], again[i]
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(first[1]["target"], Crops(data.train, 64, (1, 2), 6)[1]["target"])


def test_hints_lie_inside_the_mask_and_mostly_in_their_own_region() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 96), np.int32)
    labels[:, 48:] = 1
    palette = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    own = total = 0
    for _ in range(60):
        mask = draw_mask(rng, labels)
        hints = draw_hints(rng, labels, palette, mask, 5, 0.5)
        assert not hints[mask == 0].any()
        painted = hints[..., 3] > 0
        own += (np.abs(hints[painted][:, :3].astype(int) - palette[labels[painted]]).max(axis=1) < 30).sum()
        total += painted.sum()
    assert own / total > 0.85


def test_batches_are_in_range_and_judge_no_ink(shards: Path) -> None:
    crops = Crops(load_shards(shards).train, 64, (1, 2), 5)
    items = [crops[i] for i in range(12)]
    raw = {k: torch.stack([item[k] for item in items]) for k in items[0]}
    batch = make_batch(raw, torch.Generator().manual_seed(0))
    inputs = batch.inputs
    for tensor in (inputs.lineart, inputs.hints[:, :3], batch.target, batch.flat):
        assert tensor.min() >= -1 - 1e-4
        assert tensor.max() <= 1 + 1e-4
    assert ((inputs.known + inputs.mask) <= 1).all()
    assert batch.weight[inputs.lineart < -0.99].max() <= 0.006
    assert inputs.lineart.std() > 0.05


def train(run: Run, minutes: float = 10.0) -> None:
    for _ in run.train(minutes):
        pass


def test_an_interrupted_run_resumes_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    whole = StencilTorchRun(tmp_path / "whole", shards, TINY)
    train(whole)
    part = StencilTorchRun(tmp_path / "part", shards, TINY)
    crops = iter(part.batches(part.phase()))
    for _ in range(3):
        part.train_step(next(crops))
    part.save()
    resumed = StencilTorchRun(tmp_path / "part", shards, TINY)
    assert resumed.resume()
    assert resumed.step == 3
    train(resumed)
    a, b = (read_tensors(tmp_path / name / "weights.safetensors") for name in ("whole", "part"))
    assert all(torch.allclose(a[k].float(), b[k].float(), atol=1e-3) for k in a)
    lines = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    assert lines
    assert all("held_out/loss/0.05" in json.loads(line) for line in lines)
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["steps"] == 8


def test_the_adversarial_phase_trains_and_resumes(shards: Path, tmp_path: Path) -> None:
    config = replace(TINY, adversarial_from=0.0, steps=2)
    run = StencilTorchRun(tmp_path / "run", shards, config)
    assert run.critic is not None
    before = {k: t.clone() for k, t in run.critic.state_dict().items()}
    train(run)
    assert any(not torch.equal(before[k], t) for k, t in run.critic.state_dict().items())
    assert StencilTorchRun(tmp_path / "run", shards, config).resume()


def test_training_lowers_the_loss(shards: Path, tmp_path: Path) -> None:
    config = replace(TINY, steps=60, phases=(Phase(1.0, 64, 4, 1.0, 1.2),))
    run = StencilTorchRun(tmp_path / "run", shards, config)
    losses = []
    for raw in run.batches(run.phase()):
        run.step += 19 - run.step % 20
        terms = run.train_step(raw)
        losses.append(terms["flat"])
        run.step = len(losses)
        if len(losses) == 50:
            break
    assert np.mean(losses[-12:]) < 0.85 * np.mean(losses[:12])


@pytest.mark.slow
def test_the_command_trains_exports_and_the_engine_colours_with_it(shards: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out.safetensors"
    command = ["train-stenciltorch", str(shards), str(run), "--steps", "1", "--max-minutes", "0.01"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, command).exit_code == 1
    result = CliRunner().invoke(main, ["export", str(run), str(out), "--note", "note=hello"])
    assert result.exit_code == 0, result.output
    assert read_metadata(out)["note"] == "hello"
    layers = Pipeline(load_model(out)).run(Job(np.ones((64, 64), np.float32)))
    assert layers.colour.shape == (64, 64, 4)
    assert [p.suffix for p in (run / "sheets").iterdir()] == [".png"] * 4


def test_a_new_run_can_start_from_finished_weights(shards: Path, tmp_path: Path) -> None:
    first = StencilTorchRun(tmp_path / "first", shards, TINY)
    first.save()
    second = StencilTorchRun(tmp_path / "second", shards, replace(TINY, seed=9))
    second.start_from(tmp_path / "first" / "weights.safetensors")
    a, b = first.net.state_dict(), second.net.state_dict()
    assert all(torch.allclose(a[k].float(), b[k].float(), atol=1e-3) for k in a)
    with pytest.raises(ValueError, match="does not fit"):
        StencilTorchRun(tmp_path / "third", shards, replace(TINY, model={})).start_from(
            tmp_path / "first" / "weights.safetensors"
        )


def test_missing_shards_are_explained(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["train-stenciltorch", str(tmp_path), str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "training pack" in result.output


PAINTS = replace(
    PAINTS_PRESETS["cpu"],
    model=TINY.model,
    phases=TINY.phases,
    steps=8,
    workers=0,
    warmup=2,
    adversarial_from=0.25,
)


@pytest.mark.slow
def test_paintstorch_resumes_with_critic_and_reader_to_the_same_weights(tmp_path: Path, shards: Path) -> None:
    whole = PaintsTorchRun(tmp_path / "whole", shards, PAINTS)
    train(whole)
    part = PaintsTorchRun(tmp_path / "part", shards, PAINTS)
    for raw in part.batches(part.phase()):
        part.train_step(raw)
        if part.step == 4:
            break
    part.save()
    resumed = PaintsTorchRun(tmp_path / "part", shards, PAINTS)
    assert resumed.resume()
    train(resumed)
    for name, network in whole.networks.items():
        other = resumed.networks[name].state_dict()
        assert all(torch.equal(tensor, other[key]) for key, tensor in network.state_dict().items()), name


def test_paintstorch_as_published_takes_a_step_of_each_network(tmp_path: Path, shards: Path) -> None:
    config = replace(
        PAINTS_PRESETS["thesis"], model={"width": 8, "cardinality": 4}, phases=(Phase(1.0, 64, 2, 1.0, 1.0),), workers=0
    )
    run = PaintsTorchRun(tmp_path / "run", shards, config)
    before = {name: [p.clone() for p in network.parameters()] for name, network in run.networks.items()}
    assert set(before) == {"net", "critic", "reader"}
    run.train_step(next(run.batches(run.phase())))
    for name, network in run.networks.items():
        moved = [not torch.equal(p, q) for p, q in zip(network.parameters(), before[name], strict=True)]
        assert sum(moved) > 0.9 * len(moved), name


def test_paintstorch_starts_from_the_inpainting_networks_weights_with_the_same_picture(
    tmp_path: Path, shards: Path
) -> None:
    first = StencilTorchRun(tmp_path / "first", shards, TINY)
    first.save()
    second = PaintsTorchRun(tmp_path / "second", shards, PAINTS)
    second.start_from(tmp_path / "first" / "weights.safetensors")
    raw = next(second.batches(second.phase()))
    batch = make_batch(second.prepare(raw), torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = first.net.eval()(batch.inputs), second.net.eval()(batch.inputs)
    # Outside the border, where the mask's own padding shows.
    assert torch.allclose(a.flat[..., 12:-12, 12:-12], b.flat[..., 12:-12, 12:-12], atol=2e-2)
