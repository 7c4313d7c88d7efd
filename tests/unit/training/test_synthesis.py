"""What training draws of pictures: the shipped recipe's bytes, linearts, hint schemes, what a sample depends on."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from skimage.filters import threshold_otsu
from torch.utils.data import DataLoader

from training.data.chance import SampleChance
from training.data.dataset import Crops, Cutter, Picture, Recipe, sample
from training.data.extractors import EXTRACTORS, LineSource, lifted_ink, otsu, xdog
from training.data.flats import simplify
from training.data.strokes import SCHEMES, Sitter, brush, draw_count, draw_hints, draw_mask
from training.data.synthesis import make_batch

ITEM = ("target", "flat", "hints", "labels", "angle", "mask", "line", "has_line", "context", "count")


def plain_picture() -> Picture:
    y, x = np.mgrid[:160, :200]
    labels = np.zeros((160, 200), np.uint16)
    labels[(y - 80) ** 2 + (x - 70) ** 2 < 50**2] = 1
    labels[(y > 30) & (y < 120) & (x > 120) & (x < 180)] = 2
    labels[(y - 60) ** 2 + (x - 60) ** 2 < 15**2] = 3
    labels[y > 140] = 4
    palette = np.array([[250, 248, 240], [200, 60, 50], [40, 90, 180], [20, 20, 24], [90, 160, 80]], np.uint8)
    image = np.clip(palette[labels].astype(np.int16) - (x[..., None] * 40 // 200), 0, 255).astype(np.uint8)
    line = np.where(np.abs((y - 80) ** 2 + (x - 70) ** 2 - 2500) < 150, 0, 255).astype(np.uint8)
    return Picture("a", image, labels, palette, line, 1.0)


def two_pictures() -> list[Picture]:
    a = plain_picture()
    return [a, Picture("b", a.image[::-1].copy(), a.labels[::-1].copy(), a.palette, None, 3.0)]


def stack(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {k: torch.stack([item[k] for item in items]) for k in items[0]}


def digest(*arrays: NDArray[Any]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def source_of(grey: torch.Tensor, labels: torch.Tensor | None = None) -> LineSource:
    b, _, h, w = grey.shape
    labels = torch.zeros(b, h, w, dtype=torch.int32) if labels is None else labels
    return LineSource(grey, lifted_ink(grey, 3), labels, torch.ones_like(grey), torch.zeros(b, dtype=torch.bool))


# The values were recorded with the code that trained the shipped weights, before recipes had names.


def test_the_default_strokes_and_masks_are_those_of_the_shipped_weights() -> None:
    picture = plain_picture()
    labels = picture.labels.astype(np.int32)
    rng = np.random.default_rng(11)
    assert [draw_count(rng) for _ in range(12)] == [0, 11, 0, 0, 1, 0, 12, 8, 3, 0, 15, 28]
    assert digest(*[draw_mask(np.random.default_rng(s), labels) for s in range(12)]) == "317edbbb6940f272"
    drawn = []
    for seed, count in enumerate([0, -1, 1, 3, 9, 60]):
        mask = draw_mask(np.random.default_rng(seed + 50), labels)
        drawn.append(draw_hints(np.random.default_rng(seed), labels, picture.palette, mask, count, 0.5))
        sitter = Sitter(picture.image, labels, picture.palette, mask)
        again = SCHEMES["default"].draw(np.random.default_rng(seed), sitter, count, 0.5)
        assert np.array_equal(drawn[-1], again)
    assert digest(*drawn) == "d368a08be8dcd84b"


def test_the_default_crops_are_those_of_the_shipped_weights() -> None:
    crops, shown = Crops(two_pictures(), 64, (1.0, 2.0), 5), Crops(two_pictures(), 64, (1.0, 1.2), 7, 4)
    assert digest(*[crops[i][k].numpy() for i in range(8) for k in ITEM]) == "fd1bb42b99e4b8f1"
    assert digest(*[shown[i][k].numpy() for i in range(4) for k in ITEM]) == "51b88f941d2d3524"


def test_the_default_linearts_are_those_of_the_shipped_weights() -> None:
    crops = Crops(two_pictures(), 64, (1.0, 2.0), 5)
    batch = make_batch(stack([crops[i] for i in range(8)]), torch.Generator().manual_seed(0))
    lines = [0.8652, 0.9604, 0.9373, 0.7536, 0.6858, 0.8725, 0.7394, 0.9075]
    weights = [0.8381, 0.9527, 0.0, 0.7085, 0.3769, 0.8494, 0.7126, 0.7318]
    assert batch.inputs.lineart.mean((1, 2, 3)).tolist() == pytest.approx(lines, abs=1e-3)
    assert batch.weight.mean((1, 2, 3)).tolist() == pytest.approx(weights, abs=1e-3)


def test_the_default_flats_are_those_of_the_shipped_weights() -> None:
    labels, palette = simplify(plain_picture().image)
    assert labels.max() + 1 == 9
    assert palette[:3].tolist() == [[230, 228, 220], [186, 46, 36], [10, 60, 150]]
    assert digest(labels) == "04a77bd4b4351e80"


@pytest.mark.parametrize("sigma", [0.3, 0.4, 0.5])
@pytest.mark.parametrize("levels", [(0.0, 1.0), (0.2, 0.9), (0.5, 0.6)])
def test_xdog_of_a_step_edge_is_its_closed_form(sigma: float, levels: tuple[float, float]) -> None:
    low, high = levels
    row = np.where(np.arange(40) < 20, low, high)

    def blurred(width: float) -> NDArray[np.float64]:
        """A step through a sampled Gaussian is the running sum of its taps."""
        taps = np.exp(-(np.arange(-7, 8) ** 2) / (2 * width**2))
        share = np.concatenate([np.zeros(20), np.cumsum(taps / taps.sum()), np.ones(20)])
        return np.asarray(low + (high - low) * share[np.arange(40) + 7])

    d = blurred(sigma) - 0.95 * blurred(4.5 * sigma)
    assert np.allclose(blurred(4.5 * sigma), gaussian_filter1d(row, 4.5 * sigma, mode="nearest", radius=7), atol=1e-12)
    soft = np.where(d >= -0.1, 1.0, 1 + np.tanh(12 * (d + 0.1)))
    grey = torch.tensor(row, dtype=torch.float32).expand(1, 1, 30, 40)
    one = torch.ones(1, 1, 1, 1)
    found = xdog(grey, sigma * one, 4.5 * one, 0.95 * one, -0.1 * one, 12 * one, most=2.6)
    assert np.allclose(found[0, 0].double().numpy(), soft, atol=1e-5)
    hard = xdog(grey, sigma * one, 4.5 * one, 0.95 * one, -0.1 * one, 1e9 * one, most=2.6)
    assert np.array_equal(hard[0, 0].numpy() > 0.5, np.broadcast_to(d >= -0.1, (30, 40)))


def test_the_thesis_extractor_draws_one_of_its_three_widths_in_black_and_white() -> None:
    grey = torch.full((60, 1, 24, 40), 0.9)
    grey[..., 20:] = 0.1
    drawn = EXTRACTORS["thesis"](source_of(grey), SampleChance(torch.arange(60)))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    one = torch.ones(1, 1, 1, 1)
    kinds = [xdog(grey[:1], s * one, 4.5 * one, 0.95 * one, -0.1 * one, 1e9 * one)[0] for s in (0.3, 0.4, 0.5)]
    own = [[torch.equal(d, k.round()) for k in kinds] for d in drawn]
    assert all(any(row) for row in own)
    assert len({tuple(row) for row in own}) > 1


def test_solid_blacks_vanish_in_the_thesis_extractor_and_stay_in_ours() -> None:
    grey = torch.ones(1, 1, 60, 60)
    grey[..., 15:45, 15:45] = 0
    source = source_of(grey)
    thesis = EXTRACTORS["thesis"](source, SampleChance(torch.tensor([1])))
    assert thesis[..., 20:40, 20:40].min() == 1
    assert thesis[..., 15:45, 15:45].min() == 0
    assert EXTRACTORS["ink"](source, SampleChance(torch.tensor([1])))[..., 15:45, 15:45].max() == 0


def test_the_code_of_the_thesis_draws_weak_edges_that_its_text_leaves_out() -> None:
    grey = torch.full((1, 1, 40, 40), 0.8)
    grey[..., 20:] = 0.65
    chance = torch.tensor([3])
    assert EXTRACTORS["thesis"](source_of(grey), SampleChance(chance)).min() == 1
    code = EXTRACTORS["thesis-code"](source_of(grey), SampleChance(chance))
    assert (code[0, 0] == 0).any(0).nonzero().ravel().tolist() == [20, 21]


def test_otsu_parts_like_the_library_does() -> None:
    rng = np.random.default_rng(2)
    tone = np.clip(np.concatenate([rng.normal(0.3, 0.05, 3000), rng.normal(0.8, 0.08, 1000)]), 0, 1).reshape(40, 100)
    quantised = np.floor(tone * 255.999) / 256
    found = float(otsu(torch.tensor(quantised, dtype=torch.float32)[None, None]))
    library = threshold_otsu((quantised * 256).astype(np.uint8)) / 256
    assert np.array_equal(quantised >= found, quantised > library)


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_an_extractor_draws_a_lineart_that_depends_on_the_sample_alone(name: str) -> None:
    crops = Crops(two_pictures(), 64, (1.0, 2.0), 5)
    raw = stack([crops[i] for i in range(6)])
    together = make_batch(raw, extractor=name)
    assert together.inputs.lineart.min() >= -1
    assert together.inputs.lineart.max() <= 1
    assert together.inputs.lineart.std() > 0.05
    alone = make_batch({k: t[4:5] for k, t in raw.items()}, extractor=name)
    assert torch.equal(together.inputs.lineart[4], alone.inputs.lineart[0])
    assert torch.equal(together.weight[4], alone.weight[0])


def test_random_numbers_of_a_sample_are_uniform_normal_and_its_own() -> None:
    a, b = SampleChance(torch.tensor([5, 6, 7])), SampleChance(torch.tensor([6]))
    first, again = a.rand(3, 200, 200), b.rand(1, 200, 200)
    assert torch.equal(first[1], again[0])
    assert first.min() >= 0
    assert first.max() < 1
    counts = torch.histc(first[0], 20, 0, 1)
    assert ((counts - 2000) ** 2 / 2000).sum() < 45  # chi squared, 19 degrees of freedom: 1 in 1,400
    assert abs(torch.corrcoef(torch.stack([first[0].ravel(), first[2].ravel()]))[0, 1]) < 0.02
    normal = a.randn(3, 200, 200)
    assert normal.mean().abs() < 0.02
    assert abs(normal.std() - 1) < 0.02
    with pytest.raises(ValueError, match="3 seeds"):
        a.rand(2, 4)


def test_a_round_brush_paints_what_lies_within_half_its_thickness() -> None:
    dot = brush((9, 9), np.array([[4.0, 4.0]]), 3)
    assert [int(n) for n in dot.sum(1)] == [0, 0, 0, 3, 3, 3, 0, 0, 0]
    line = brush((9, 9), np.array([[1.0, 4.0], [7.0, 4.0]]), 1)
    assert line.sum() == 7
    assert line[4, 1:8].all()


@pytest.mark.parametrize("name", ["paintstorch", "stenciltorch"])
def test_the_strokes_of_the_thesis_keep_to_its_ranges(name: str) -> None:
    rng = np.random.default_rng(3)
    labels = np.zeros((512, 512), np.int32)
    sitter = Sitter(np.full((512, 512, 3), 90, np.uint8), labels, np.array([[9, 8, 7]], np.uint8), labels + 255)
    counts = {SCHEMES[name].count(rng) for _ in range(400)}
    assert counts == set(range(11))
    for _ in range(60):
        one = SCHEMES[name].draw(rng, sitter, 1, 1.0)
        blocks = one.reshape(128, 4, 128, 4, 4)
        assert (blocks == blocks[:, :1, :, :1]).all()
        ys, xs = np.nonzero(blocks[:, 0, :, 0, 3])
        assert len(ys) >= 1
        # A box of 10 and half a brush of 4 on either side.
        assert np.ptp(ys) <= 14
        assert np.ptp(xs) <= 14


def test_paintstorch_takes_colours_from_the_picture_and_stenciltorch_from_the_flats() -> None:
    picture = plain_picture()
    labels = picture.labels.astype(np.int32)
    mask = np.zeros(labels.shape, np.uint8)
    mask[:, 40:] = 255
    sitter = Sitter(picture.image, labels, picture.palette, mask)
    for name, allowed in (("paintstorch", picture.image.reshape(-1, 3)), ("stenciltorch", picture.palette)):
        colours = {tuple(c) for c in allowed.tolist()}
        for seed in range(20):
            hints = SCHEMES[name].draw(np.random.default_rng(seed), sitter, 6, 0.5)
            assert not hints[mask == 0].any()
            assert {tuple(c) for c in hints[hints[..., 3] > 0][:, :3].tolist()} <= colours


def test_hints_from_the_picture_follow_its_new_palette() -> None:
    picture = plain_picture()
    plain = Picture("p", picture.palette[picture.labels], picture.labels, picture.palette, None, 1.0)
    turned = 0
    for epoch in range(40):
        item = sample(Cutter(160, (1.0, 1.0), Recipe("paintstorch", 1.0)), plain, 1, epoch)
        painted = item["hints"][3] > 0
        own = {tuple(c) for c in item["flat"].flatten(1).T.tolist()}
        assert {tuple(c) for c in item["hints"][:3, painted].T.tolist()} <= own
        turned += bool(item["angle"].any()) and bool(painted.any())
    assert turned > 20


def test_an_epoch_takes_every_picture_as_often_as_its_weight_says() -> None:
    crops = Crops(two_pictures(), 32, (1.0, 2.0), 5, recipe=Recipe(order="epochs"))
    assert crops.epoch_length == 4
    names = {}
    for key, picture, times in (("a", crops.pictures[0], 1), ("b", crops.pictures[1], 3)):
        for epoch in range(2):
            for again in range(times):
                item = sample(crops.cutter, picture, 5, epoch, again)
                names[int(item["chance"])] = (key, epoch, again)
    seen = [names[int(crops[i]["chance"])] for i in range(8)]
    assert sorted(seen[:4]) == [("a", 0, 0), ("b", 0, 0), ("b", 0, 1), ("b", 0, 2)]
    assert sorted(seen[4:]) == [("a", 1, 0), ("b", 1, 0), ("b", 1, 1), ("b", 1, 2)]


@pytest.mark.parametrize("order", ["weighted", "epochs"])
def test_batches_are_the_same_with_any_number_of_workers(order: Any) -> None:
    found = []
    for workers in (0, 1, 2):
        crops = Crops(two_pictures(), 32, (1.0, 2.0), 5, recipe=Recipe(order=order))
        loader = DataLoader(crops, batch_size=3, sampler=range(7, 22), num_workers=workers)
        batches = [make_batch(raw) for raw in loader]
        found.append(batches)
    for other in found[1:]:
        assert len(other) == 5
        for a, b in zip(found[0], other, strict=True):
            assert torch.equal(a.inputs.lineart, b.inputs.lineart)
            assert torch.equal(a.inputs.hints, b.inputs.hints)
            assert torch.equal(a.target, b.target)
