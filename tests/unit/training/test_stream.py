"""Shards as files: read by the webdataset package, and streamed in one order whatever the workers and ranks."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import webdataset
from PIL import Image

from training.data.dataset import Crops, Cutter, Recipe, decode_picture, load_shards, sample
from training.data.pack import pack, read_manifest
from training.data.shards import read_index, scan
from training.data.stream import ShardStream, StreamCrops, make_loader, open_shards

ART = Path(__file__).parents[2] / "data" / "art"
FIELDS = ("file", "author", "license_spdx", "kind", "split", "pair_id", "source_repo")
CUTTER = Cutter(24, (1.0, 1.5), Recipe(order="epochs"))


def write_art(root: Path, names: list[str]) -> Path:
    """A folder of small pictures; those in ``anime_vn`` are packed with weight 4."""
    rng = np.random.default_rng(1)
    rows = []
    for name in names:
        path = root / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colours = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((40, 36), Image.Resampling.NEAREST).save(path)
        rows.append([f"train/{name}", "A. Nother", "CC0-1.0", "illustration", "train", "", "here"])
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(FIELDS)
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stream")
    names = [f"rare/p{i:03d}.png" for i in range(40)] + [f"anime_vn/q{i}.png" for i in range(3)]
    list(pack(read_manifest(write_art(root / "art", names), "train"), root / "shards", 32, limit_mb=0.02, workers=1))
    return root / "shards"


@pytest.fixture(scope="module")
def stream(folder: Path) -> ShardStream:
    data = open_shards(folder, memory_mb=0)
    assert isinstance(data, ShardStream)
    assert len(data.shards) > 4
    return data


def names_of(batches: list[dict[str, torch.Tensor]]) -> list[list[int]]:
    return [b["chance"].tolist() for b in batches]


def test_the_webdataset_package_reads_the_shards(tmp_path: Path) -> None:
    list(pack(read_manifest(ART, "train"), tmp_path, 64, workers=1))
    urls = [str(p) for p in sorted(tmp_path.glob("*.tar"))]
    found = {s["__key__"]: s for s in webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")}
    own = load_shards(tmp_path)
    assert set(found) == {p.key for p in own.train + own.held_out}
    for picture in own.train + own.held_out:
        sample_ = found[picture.key]
        assert sample_["json"]["licence"]
        assert sample_["image.webp"].shape == picture.image.shape
        assert np.abs(sample_["image.webp"].astype(int) - picture.image).max() <= 1
        assert ("line.png" in sample_) == (picture.line is not None)


def test_a_set_is_streamed_only_when_it_is_too_large_for_memory(folder: Path) -> None:
    assert not isinstance(open_shards(folder), ShardStream)
    small = read_index(folder).megabytes
    assert 0.2 < small < 0.5
    assert isinstance(open_shards(folder, memory_mb=small / 2), ShardStream)
    assert not isinstance(open_shards(folder, limit=3, memory_mb=0), ShardStream)


def test_an_epoch_of_the_stream_has_the_samples_of_one_in_memory(folder: Path, stream: ShardStream) -> None:
    data = load_shards(folder)
    # No key of these pictures says that it is held out, so the set in memory keeps one back and the stream does not.
    assert not stream.held_out
    crops = Crops(data.train + data.held_out, CUTTER.size, CUTTER.zoom, 9, recipe=CUTTER.recipe)
    found = {int(s["chance"]): s for s in StreamCrops(stream, CUTTER, 9, 1, 0, stream.epoch_length)}
    assert len(found) == crops.epoch_length == 40 + 3 * 4
    for i in range(crops.epoch_length):
        mine = crops[i]
        assert all(torch.equal(mine[k], found[int(mine["chance"])][k]) for k in mine)


def test_the_order_is_new_every_epoch_and_mixes_shards(stream: ShardStream) -> None:
    n = stream.epoch_length
    key_of = {}
    for shard in stream.shards:
        with shard.path.open("rb") as file:
            for entry in scan(shard.path):
                for epoch in range(2):
                    picture = decode_picture(entry.key, entry.read(file))
                    for again in range(4):
                        key_of[int(sample(CUTTER, picture, 9, epoch, again)["chance"])] = (shard.path.name, entry.key)
    drawn = [key_of[int(s["chance"])] for s in StreamCrops(stream, CUTTER, 9, 1, 0, 2 * n, window=15)]
    assert sorted(drawn[:n]) == sorted(drawn[n:])
    assert drawn[:n] != drawn[n:]
    assert len({shard for shard, _ in drawn[:8]}) > 1
    # A window keeps to its shards: that bounds the memory.
    assert len({shard for shard, _ in drawn[:15]}) < len(stream.shards)


@pytest.mark.parametrize("streamed", [True, False])
def test_batches_are_the_same_with_any_number_of_workers(folder: Path, stream: ShardStream, streamed: bool) -> None:
    data = stream if streamed else load_shards(folder)
    found = [list(make_loader(data, CUTTER, 3, 4, 0, 30, workers=n)) for n in (0, 1, 2)]
    assert len(found[0]) == 30
    for other in found[1:]:
        assert names_of(other) == names_of(found[0])
        assert all(torch.equal(a["hints"], b["hints"]) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("streamed", [True, False])
def test_ranks_share_the_batches_of_one_process(folder: Path, stream: ShardStream, streamed: bool) -> None:
    data = stream if streamed else load_shards(folder)
    whole = names_of(list(make_loader(data, CUTTER, 3, 6, 0, 20)))
    parts = [names_of(list(make_loader(data, CUTTER, 3, 2, 0, 20, rank=r, world=3))) for r in range(3)]
    assert [a + b + c for a, b, c in zip(*parts, strict=True)] == whole


@pytest.mark.parametrize("streamed", [True, False])
def test_a_run_goes_on_where_it_stopped(folder: Path, stream: ShardStream, streamed: bool) -> None:
    data = stream if streamed else load_shards(folder)
    whole = names_of(list(make_loader(data, CUTTER, 3, 4, 0, 40)))
    rest = names_of(list(make_loader(data, CUTTER, 3, 4, 4 * 17, 23, workers=2)))
    assert rest == whole[17:]


def test_resuming_far_into_a_run_reads_only_its_own_window(stream: ShardStream) -> None:
    far = StreamCrops(stream, CUTTER, 3, 1, 10**9, 2)
    assert len(list(far)) == 2


def test_a_stream_holds_a_window_and_not_the_set(tmp_path: Path) -> None:
    """The same shard listed 4,000 times over is 4,000 times the data; memory must not follow."""
    list(pack(read_manifest(ART, "train"), tmp_path, 112, workers=1))
    small = open_shards(tmp_path, memory_mb=0)
    assert isinstance(small, ShardStream)
    large = ShardStream(small.shards * 4000, [], small.digest)
    list(StreamCrops(small, CUTTER, 3, 8, 0, 4, window=16))
    process = psutil.Process()
    before = process.memory_info().rss
    assert sum(1 for _ in StreamCrops(large, CUTTER, 3, 8, 0, 10, window=16)) == 80
    assert process.memory_info().rss - before < 20e6


def test_pictures_that_cannot_be_read_are_left_out_and_listed(tmp_path: Path) -> None:
    art = write_art(tmp_path / "art", ["rare/good.png", "rare/cut.png", "rare/text.png", "rare/ünï cödé.png"])
    cut = art / "train" / "rare" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:60])
    (art / "train" / "rare" / "text.png").write_text("not a picture")
    lines = list(pack(read_manifest(art, "train"), tmp_path / "out", 32, workers=1))
    assert sum(line.startswith("left out") for line in lines) == 2
    index = json.loads((tmp_path / "out" / "index.json").read_text(encoding="utf-8"))
    assert index["pictures"] == 2
    assert [Path(f["file"]).name for f in index["left_out"]] == ["cut.png", "text.png"]
    assert {p.key for p in load_shards(tmp_path / "out").train} | {
        p.key for p in load_shards(tmp_path / "out").held_out
    } == {"rare-good", "rare-ünï cödé"}


def test_files_of_one_name_keep_apart(tmp_path: Path) -> None:
    art = write_art(tmp_path / "art", ["rare/a.png", "x/rare/a.png", "rare/a.bmp"])
    list(pack(read_manifest(art, "train"), tmp_path / "out", 32, workers=1))
    data = load_shards(tmp_path / "out")
    assert len({p.key for p in data.train + data.held_out}) == 3


def test_packing_again_replaces_the_shards_of_before(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    art = write_art(tmp_path / "art", ["rare/a.png", "rare/b.png"])
    list(pack(read_manifest(art, "train"), out, 32, workers=1))
    assert len(list(out.iterdir())) == 2
    data = load_shards(out)
    assert len(data.train) + len(data.held_out) == 2


def test_shards_that_do_not_fit_their_index_are_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    index = json.loads((out / "index.json").read_text())
    (out / index["shards"][0]["file"]).unlink()
    with pytest.raises(ValueError, match="which its index names"):
        read_index(out)
    shutil.copy(out / index["shards"][1]["file"], out / index["shards"][0]["file"])
    index["shards"][0]["per_epoch"] += 1
    (out / "index.json").write_text(json.dumps(index))
    wrong = open_shards(out, memory_mb=0)
    assert isinstance(wrong, ShardStream)
    with pytest.raises(ValueError, match="does not fit its shards"):
        list(StreamCrops(wrong, CUTTER, 1, 1, 0, wrong.epoch_length))
    (out / index["shards"][2]["file"]).write_bytes(b"no tar at all")
    with pytest.raises(ValueError, match="damaged"):
        load_shards(out)


def test_shards_with_an_older_index_are_read_but_not_streamed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder, out)
    index = json.loads((out / "index.json").read_text())
    (out / "index.json").write_text(json.dumps({k: index[k] for k in ("pictures", "short_side", "digest")}))
    assert len(load_shards(out).train) >= 42
    with pytest.raises(ValueError, match="older version"):
        open_shards(out, memory_mb=0)
