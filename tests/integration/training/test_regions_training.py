"""The region colour model on a handful of pictures: pack, interrupt, train, resume, read the weights back."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageDraw

from engine.errors import ColorizeError
from engine.imaging.color import srgb_to_oklab
from engine.models.checkpoint import read_tensors
from engine.models.region_transformer import CONTEXT, GUESS, STROKE, UNKNOWN
from engine.models.region_weights import load_region_model
from training.cli.main import main
from training.data.pack import Source, read_manifest
from training.regions.loss import FLOOR, region_loss
from training.regions.pack import DRAWN, pack_regions
from training.regions.run import PRESETS, RegionRun
from training.regions.samples import RegionBatch, RegionBatches, draw_states, graph_of, open_regions
from training.runs.config import Phase

ART = Path(__file__).parents[2] / "data" / "art"
TINY = replace(
    PRESETS["cpu"],
    model={
        "widths": (8, 8, 8, 8),
        "fused": 16,
        "width": 32,
        "layers": 1,
        "heads": 2,
        "hidden": 32,
        "classes": 16,
        "pair_hidden": 8,
    },
    phases=(Phase(1.0, 256, 2, 1.0, 1.0),),
    steps=6,
    warmup=2,
    workers=0,
    most=40,
    bf16=False,
)


def house(folder: Path, line: bool = True) -> Source:
    """A picture of three plain colours within black lines, and its lineart."""
    art, ink = Image.new("RGB", (240, 160), (130, 190, 240)), Image.new("L", (240, 160), 255)
    for draw, wall, roof, black in (
        (ImageDraw.Draw(art), (230, 200, 150), (180, 50, 40), (0, 0, 0)),
        (ImageDraw.Draw(ink), 255, 255, 0),
    ):
        draw.rectangle((60, 80, 180, 140), fill=wall, outline=black, width=3)
        draw.polygon([(50, 80), (190, 80), (120, 25)], fill=roof, outline=black, width=3)
    folder.mkdir(parents=True, exist_ok=True)
    art.save(folder / "house.png")
    ink.save(folder / "line.png")
    return Source("house", folder / "house.png", folder / "line.png" if line else None, "me", "CC0-1.0", "here", 1.0)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("regions")
    list(pack_regions(read_manifest(ART, "train"), out, 128, workers=1))
    return out


def test_the_regions_of_an_artists_line_have_the_colours_of_the_picture(tmp_path: Path) -> None:
    list(pack_regions([house(tmp_path / "art"), house(tmp_path / "art")], tmp_path / "out", 160, workers=1))
    item = open_regions(tmp_path / "out").train[0]
    drawing = item.read(0)
    assert drawing.line.shape == item.shape == (256, 384)
    for (y, x), rgb in (((30, 30), (130, 190, 240)), ((176, 192), (230, 200, 150)), ((90, 192), (180, 50, 40))):
        expected = srgb_to_oklab(np.array(rgb, np.float32) / 255)
        np.testing.assert_allclose(drawing.colours[drawing.labels[y, x]], expected, atol=0.01)
    assert drawing.spread.max() < 0.05
    graph, _, _ = graph_of(drawing, 100)
    assert graph.count == 3


def test_every_picture_is_drawn_in_several_ways(packed: Path) -> None:
    data = open_regions(packed)
    assert {len(item.regions) for item in data.train + data.held_out} == {len(DRAWN)}
    drawings = [data.train[0].read(n) for n in range(len(DRAWN))]
    assert not np.array_equal(drawings[0].line, drawings[1].line)
    for number, drawing in enumerate(drawings):
        assert len(drawing.colours) == data.train[0].regions[number] > drawing.labels.max()


def test_packing_goes_on_where_it_stopped_and_ends_the_same(packed: Path, tmp_path: Path) -> None:
    sources = read_manifest(ART, "train")
    steps = pack_regions(sources, tmp_path, 128, workers=1)
    next(steps)
    steps.close()
    assert not (tmp_path / "index.json").exists()
    with pytest.raises(FileNotFoundError, match="pack-regions"):
        open_regions(tmp_path)
    list(pack_regions(sources, tmp_path, 128, workers=1))
    assert (tmp_path / "index.json").read_bytes() == (packed / "index.json").read_bytes()
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.tar")}
    done = [at.done for at in pack_regions(sources, tmp_path, 128, workers=1)]
    assert done[-1] == len(sources)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.tar")} == before


def test_a_changed_picture_is_packed_anew(tmp_path: Path) -> None:
    source = house(tmp_path / "art")
    list(pack_regions([source], tmp_path / "out", 96, workers=1))
    first = json.loads((tmp_path / "out" / "index.json").read_text())
    Image.fromarray(np.full((160, 240, 3), 200, np.uint8)).save(source.image)
    list(pack_regions([source], tmp_path / "out", 96, workers=1))
    second = json.loads((tmp_path / "out" / "index.json").read_text())
    assert first["digest"] != second["digest"]
    assert [p.name for p in (tmp_path / "out").glob("*.tar")] == second["files"] != first["files"]


def test_a_file_that_is_no_picture_is_left_out_and_named(tmp_path: Path) -> None:
    good = house(tmp_path / "art")
    (tmp_path / "art" / "bad.png").write_bytes(b"no picture")
    bad = replace(good, key="bad", image=tmp_path / "art" / "bad.png")
    said = [at.said for at in pack_regions([good, bad], tmp_path / "out", 96, workers=1) if at.said]
    assert len(said) == 1
    assert "bad.png" in said[0]
    assert json.loads((tmp_path / "out" / "index.json").read_text())["pictures"] == 1


def test_a_damaged_file_is_named(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed, tmp_path / "copy")
    name = json.loads((packed / "index.json").read_text())["files"][0]
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(ValueError, match=name):
        open_regions(tmp_path / "copy")


def test_a_batch_depends_on_seed_and_number_alone(packed: Path) -> None:
    data = open_regions(packed)
    one, other = RegionBatches(data, 3, 4, 40), RegionBatches(data, 3, 4, 40)
    other[20]
    first, again = one[5], other[5]
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["truth"], RegionBatches(data, 4, 4, 40)[5]["truth"])


def test_processes_share_a_batch_between_them(packed: Path) -> None:
    data = open_regions(packed)
    whole = RegionBatch.unpack(RegionBatches(data, 3, 4, 40)[2])
    for rank in range(2):
        part = RegionBatch.unpack(RegionBatches(data, 3, 4, 40, rank, 2)[2])
        for row, mine in enumerate(range(rank, 4, 2)):
            count = int(part.drawings.valid[row].sum())
            assert count == int(whole.drawings.valid[mine].sum())
            assert torch.equal(part.truth[row, :count], whole.truth[mine, :count])


def test_what_is_known_has_the_true_colour_and_teaches_nothing(packed: Path) -> None:
    batches = RegionBatches(open_regions(packed), 3, 8, 40)
    seen: set[int] = set()
    for number in range(8):
        batch = RegionBatch.unpack(batches[number])
        known = batch.known.state != UNKNOWN
        seen |= set(batch.known.state.unique().tolist())
        assert not batch.weight[known].any()
        assert not batch.weight[~batch.drawings.valid].any()
        assert (batch.weight.sum(1) > 0).all()
        exact = (batch.known.state == STROKE) | (batch.known.state == CONTEXT)
        assert torch.equal(batch.known.colour[exact], batch.truth[exact])
    assert seen == {UNKNOWN, STROKE, CONTEXT, GUESS}


def test_a_quarter_of_the_samples_has_no_known_region(packed: Path) -> None:
    graph, _, _ = graph_of(open_regions(packed).train[0].read(1), 40)
    rng = np.random.default_rng(0)
    states = [draw_states(rng, graph) for _ in range(600)]
    assert 0.2 < np.mean([not s.any() for s in states]) < 0.31
    assert all((s == UNKNOWN).any() for s in states)


def test_the_loss_is_the_same_whichever_like_colour_is_chosen() -> None:
    colours = torch.tensor([[[0.5, 0.1, 0.1], [0.5, 0.1, 0.1], [0.9, -0.1, 0.0]]])
    truth = torch.tensor([[[0.5, 0.1, 0.1]]])
    weight = torch.ones(1, 1)

    def loss(*p: float) -> float:
        return float(region_loss(torch.tensor([[p]]).log(), colours, truth, weight))

    assert loss(0.6, 0.2, 0.2) == pytest.approx(loss(0.1, 0.7, 0.2))
    assert loss(0.6, 0.2, 0.2) == pytest.approx(-np.log(0.8), abs=1e-3)
    assert loss(1e-9, 1e-9, 1.0) == pytest.approx(-np.log(FLOOR), rel=0.01)


def test_an_interrupted_run_goes_on_exactly(packed: Path, tmp_path: Path) -> None:
    whole = RegionRun(tmp_path / "whole", packed, TINY)
    list(whole.train(10))
    first = RegionRun(tmp_path / "parts", packed, TINY)
    for raw in first.batches(first.phase()):
        first.train_step(raw)
        if first.step == 3:
            break
    first.save()
    second = RegionRun(tmp_path / "parts", packed, TINY)
    assert second.resume()[-1] == "resumed at step 3"
    list(second.train(10))
    one, other = (read_tensors(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_a_run_logs_the_held_out_loss_beside_two_rules_and_draws_a_sheet(packed: Path, tmp_path: Path) -> None:
    run = RegionRun(tmp_path, packed, TINY)
    assert list(run.train(10))[-1].startswith("stopped at step 6 of 6")
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    measured = {k.split("/")[1]: v for line in logged for k, v in line.items() if k.startswith("held_out/")}
    assert {"loss", "ciede_0", "ciede_4", "ciede_16", "white_4", "nearest_4", "within_4"} <= measured.keys()
    assert measured["nearest_0"] == measured["white_0"]
    sheet = cv2.imread(str(tmp_path / "sheets" / "0000006.png"))
    assert sheet.shape[0] > 100
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20


def test_a_run_learns(packed: Path, tmp_path: Path) -> None:
    run = RegionRun(tmp_path, packed, replace(TINY, steps=60, lr=3e-3))
    first: dict[str, float] = {}
    for raw in run.batches(run.phase()):
        run.train_step(raw)
        if run.step == 1:
            run.net.eval()
            with torch.no_grad():
                first = run.held_out()
    run.net.eval()
    with torch.no_grad():
        assert run.held_out()["loss"] < first["loss"] - 0.1


def test_the_command_packs_and_trains_and_its_weights_can_be_read(tmp_path: Path) -> None:
    runner = CliRunner()
    pack = ["pack-regions", str(ART), str(tmp_path / "data"), "--short-side", "96", "--workers", "1"]
    result = runner.invoke(main, pack)
    assert result.exit_code == 0, result.output
    train = ["train-regions", str(tmp_path / "data"), str(tmp_path / "run"), "--steps", "1", "--batch", "1"]
    result = runner.invoke(main, [*train, "--most", "20", "--no-bf16"])
    assert result.exit_code == 0, result.output
    network, metadata = load_region_model(tmp_path / "run" / "weights.safetensors")
    assert network.codebook.std() > 0.01
    assert json.loads(metadata["training"])["step"] == 1
    assert metadata["training_data"] == json.loads((tmp_path / "data" / "index.json").read_text())["digest"]
    graph, colours, _ = graph_of(open_regions(tmp_path / "data").train[0].read(0), 20)
    assert graph.count == len(colours)
    again = runner.invoke(main, train)
    assert again.exit_code != 0
    assert "--resume" in again.output


def test_weights_of_another_network_are_refused(small_weights: Path) -> None:
    file = small_weights if small_weights.is_file() else next(small_weights.glob("*.safetensors"))
    with pytest.raises(ColorizeError, match="no region colour model"):
        load_region_model(file)
