"""Quick ways to make samples and losses give what the plain ways give."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from engine.imaging.regions.segmentation import find_regions
from training.data.dataset import Crops, load_shards
from training.data.extractors import dilate
from training.data.pack import pack, read_manifest
from training.data.strokes import OVERSHOOT, draw_hints, draw_mask
from training.data.synthesis import make_batch, paper_regions
from training.losses.colour import to_oklab, to_oklab_apart
from training.losses.oklab import reduce, true_shading

ART = Path(__file__).parents[2] / "data" / "art"


def strokes_on_the_whole_picture(
    rng: np.random.Generator,
    labels: NDArray[np.int32],
    palette: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    count: int,
    unit: float,
) -> NDArray[np.uint8]:
    """``draw_hints`` without any bounding box."""
    h, w = labels.shape
    out = np.zeros((h, w, 4), np.uint8)
    allowed = mask > 0
    areas = np.bincount(labels[allowed], minlength=len(palette)).astype(np.float64)
    chance = np.sqrt(areas) * (areas >= 4)
    for region in rng.choice(len(palette), count, p=chance / chance.sum()):
        inside = (labels == region) & allowed
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
        ys, xs = np.nonzero(depth >= min(float(depth.max()), 3.0 * unit))
        weight = depth[ys, xs].astype(np.float64)
        first = int(rng.choice(len(ys), p=weight / weight.sum()))
        reach = rng.uniform(0.02, 0.35) * max(h, w)
        near = np.nonzero((np.abs(ys - ys[first]) < reach) & (np.abs(xs - xs[first]) < reach))[0]
        order = [first, *rng.choice(near, int(rng.integers(0, 4))).tolist()]
        points = np.stack([xs[order], ys[order]], 1).astype(np.int32)
        width = max(1, round(float(np.exp(rng.uniform(np.log(2), np.log(24)))) * unit))
        stroke = np.zeros((h, w), np.uint8)
        if len(points) == 1 or rng.random() < 0.2:
            cv2.circle(stroke, points[0].tolist(), max(1, width // 2), 255, -1)
        else:
            cv2.polylines(stroke, [points.reshape(-1, 1, 2)], False, 255, width)
        painted = (stroke > 0) & allowed
        if rng.random() >= OVERSHOOT:
            painted &= inside
        colour = palette[region].astype(np.float32) + rng.normal(0, 3, 3)
        out[painted, :3] = np.clip(np.rint(colour), 0, 255).astype(np.uint8)
        out[painted, 3] = 255
    return out


def test_strokes_drawn_in_boxes_are_those_drawn_on_the_whole_picture() -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        h, w = (int(n) for n in rng.integers(30, 110, 2))
        seeds = rng.integers(0, 12, (6, 6)).astype(np.uint8)
        labels = cv2.resize(seeds, (w, h), interpolation=cv2.INTER_NEAREST).astype(np.int32)
        palette = rng.integers(0, 256, (12, 3)).astype(np.uint8)
        mask, unit = draw_mask(rng, labels), float(rng.uniform(0.2, 1.5))
        one, two = (np.random.default_rng(seed) for _ in range(2))
        quick = draw_hints(one, labels, palette, mask, 12, unit)
        assert np.array_equal(quick, strokes_on_the_whole_picture(two, labels, palette, mask, 12, unit)), seed
        assert one.random() == two.random()


def test_oklab_has_the_gradient_of_its_formula() -> None:
    gen = torch.Generator().manual_seed(0)
    x = (torch.rand(2, 3, 4, 5, generator=gen, dtype=torch.float64) * 2.6 - 1.3).requires_grad_()
    assert torch.autograd.gradcheck(to_oklab, (x,), eps=1e-7, atol=1e-4)
    black = torch.full((1, 3, 1, 1), -1.0, dtype=torch.float64, requires_grad=True)
    to_oklab(black).sum().backward()
    assert black.grad is not None
    assert torch.isfinite(black.grad).all()


def test_oklab_of_a_sum_sends_each_gradient_to_its_own_summand() -> None:
    gen = torch.Generator().manual_seed(1)
    a, b = (torch.rand(1, 3, 4, 4, generator=gen, requires_grad=True) for _ in range(2))
    first, second = to_oklab_apart(a, b)
    assert torch.equal(first, to_oklab((a + b).detach()))
    slope = torch.rand(1, 3, 4, 4, generator=gen)
    wanted = torch.autograd.grad((to_oklab(a + b.detach()) * slope).sum(), a)[0]
    found = torch.autograd.grad((first * slope).sum(), (a, b), retain_graph=True)
    assert torch.allclose(found[0], wanted)
    assert not found[1].any()
    assert torch.allclose(torch.autograd.grad((second * slope).sum(), b)[0], wanted)


@pytest.mark.parametrize("reach", [1, 2, 3])
def test_dilating_is_the_maximum_of_a_window(reach: int) -> None:
    x = torch.rand(2, 1, 17, 23, generator=torch.Generator().manual_seed(reach)) * 2 - 1
    assert torch.equal(dilate(x, reach), F.max_pool2d(x, 2 * reach + 1, 1, reach))


def test_reducing_is_the_mean_of_squares_with_a_gradient_or_without() -> None:
    x = torch.rand(2, 3, 16, 32, generator=torch.Generator().manual_seed(0))
    for factor in (2, 4):
        assert torch.allclose(reduce(x, factor), F.avg_pool2d(x, factor))
    assert reduce(x.clone().requires_grad_(), 2).requires_grad


def test_quick_regions_close_small_gaps_and_keep_narrow_areas() -> None:
    line = np.ones((64, 64), np.float32)
    line[:, 31:33] = 0
    line[30:32, 31:33] = 1
    line[10:40, 50] = line[10:40, 53] = line[10, 50:54] = line[39, 50:54] = 0
    found = paper_regions(line)
    assert found[5, 5] == found[60, 20]
    assert len({int(found[5, 5]), int(found[5, 45]), int(found[20, 51])}) == 3
    for plain in (np.ones((8, 8), np.float32), np.zeros((8, 8), np.float32)):
        assert len(np.unique(paper_regions(plain))) == 1


def test_what_losses_learn_of_regions_has_the_statistics_of_the_engines_regions(tmp_path: Path) -> None:
    list(pack(read_manifest(ART, "train"), tmp_path, 192, workers=1))
    crops = Crops(load_shards(tmp_path).train, 128, (1.0, 2.4), 5)
    raw = {k: torch.stack([crops[n][k] for n in range(32)]) for k in crops[0]}
    batch = make_batch(raw, torch.Generator().manual_seed(0))
    lines = (-F.max_pool2d(-(batch.inputs.lineart + 1) / 2, 2))[:, 0].numpy()
    engines = torch.from_numpy(np.stack([find_regions(line) for line in lines])).long()
    lab, weight = to_oklab(reduce(batch.target, 2)), reduce(batch.weight, 2)
    figures = []
    for regions in (engines, batch.regions):
        shading, judged = true_shading(lab, regions, weight)
        figures.append([float((shading.abs() * judged).sum() / judged.sum()), float(judged.mean())])
    assert figures[1] == pytest.approx(figures[0], rel=0.15)
