"""The region colour model: what its answers may depend on, and that it learns to copy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.imaging.regions.graph import RegionGraph, build_graph
from engine.models.region_transformer import (
    GUESS,
    STROKE,
    UNKNOWN,
    Known,
    RegionTransformer,
    RegionTransformerConfig,
    collate,
    palette,
)
from engine.sampling.region_choice import decide, sample, top
from training.regions.loss import region_loss

SMALL = RegionTransformerConfig(
    widths=(8, 8, 8, 8), fused=16, width=32, layers=2, heads=2, hidden=48, classes=12, pair_hidden=8
)


def drawing(rows: int, columns: int, seed: int = 0, height: int = 120, width: int = 160) -> RegionGraph:
    """A grid of rectangles with uneven sides and lines between them."""
    rng = np.random.default_rng(seed)
    y = np.sort(rng.choice(np.arange(20, height - 20), rows - 1, replace=False))
    x = np.sort(rng.choice(np.arange(20, width - 20), columns - 1, replace=False))
    row = np.searchsorted(y, np.arange(height), side="right")
    column = np.searchsorted(x, np.arange(width), side="right")
    labels = (row[:, None] * columns + column[None]).astype(np.int32)
    lineart = np.ones((height, width), np.float32)
    lineart[y], lineart[:, x] = 0, 0
    return build_graph(lineart, labels)


def model(config: RegionTransformerConfig = SMALL, seed: int = 0) -> RegionTransformer:
    torch.manual_seed(seed)
    net = RegionTransformer(config)
    net.codebook.copy_(torch.rand(config.classes, 3) * torch.tensor([1.0, 0.4, 0.4]) - torch.tensor([0.0, 0.2, 0.2]))
    return net.eval()


def some_known(graphs: list[RegionGraph], seed: int = 0) -> Known:
    generator = torch.Generator().manual_seed(seed)
    most = max(g.count for g in graphs)
    state = torch.zeros(len(graphs), most, dtype=torch.int64)
    for row, graph in enumerate(graphs):
        state[row, torch.randperm(graph.count, generator=generator)[: graph.count // 2]] = STROKE
    colour = torch.rand(len(graphs), most, 3, generator=generator) * 0.3 + 0.3
    return Known(state, colour * (state != UNKNOWN)[..., None])


def test_the_configured_network_has_at_most_1_3_million_parameters() -> None:
    net = RegionTransformer(RegionTransformerConfig())
    assert sum(p.numel() for p in net.parameters()) <= 1_300_000


def test_every_region_gets_one_distribution_over_classes_and_known_regions() -> None:
    graphs = [drawing(2, 3), drawing(3, 4, 1)]
    known = some_known(graphs)
    with torch.no_grad():
        log_p = model()(collate(graphs), known)
    assert log_p.shape == (2, 12, SMALL.classes + 12)
    assert torch.allclose(log_p.exp().sum(2), torch.ones(2, 12), atol=1e-5)
    copies = log_p[..., SMALL.classes :].exp()
    unknown = known.state == UNKNOWN
    assert copies[unknown[:, None, :].expand(-1, 12, -1)].max() == 0
    assert copies.diagonal(dim1=1, dim2=2).max() == 0


def test_padding_to_larger_drawings_changes_nothing() -> None:
    graph, larger = drawing(2, 3), drawing(5, 6, 1, 200, 288)
    net, known = model(), some_known([graph, larger])
    alone = Known(known.state[:1, : graph.count], known.colour[:1, : graph.count])
    with torch.no_grad():
        padded = net(collate([graph, larger]), known)[0, : graph.count]
        single = net(collate([graph]), alone)[0]
    kept = torch.cat([padded[:, : SMALL.classes], padded[:, SMALL.classes : SMALL.classes + graph.count]], 1)
    assert torch.allclose(kept, single, atol=1e-4)


def test_the_order_of_the_regions_does_not_matter() -> None:
    graph = drawing(3, 4)
    order = np.random.default_rng(3).permutation(graph.count)
    place = np.argsort(order)
    edges = np.sort(place[graph.edges], 1).astype(np.int32)
    cells = np.stack([place[graph.cells[:, 0]], graph.cells[:, 1]], 1).astype(np.int32)
    mixed = replace(
        graph,
        labels=place[graph.labels].astype(np.int32),
        area=graph.area[order],
        geometry=graph.geometry[order],
        edges=edges,
        cells=cells,
    )
    net, known = model(), some_known([graph])
    with torch.no_grad():
        plain = net(collate([graph]), known)[0]
        other = net(collate([mixed]), Known(known.state[:, order], known.colour[:, order]))[0]
    columns = np.concatenate([np.arange(SMALL.classes), SMALL.classes + order])
    assert torch.allclose(plain[order][:, columns], other, atol=1e-4)


def test_folding_for_inference_keeps_the_answers() -> None:
    graph = drawing(3, 4)
    net, known = model(), some_known([graph])
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(collate([graph]), known)
        net.eval()
        before = net(collate([graph]), known)
        net.prepare_for_inference()
        after = net(collate([graph]), known)
    assert torch.allclose(before, after, atol=1e-4)


@pytest.fixture(scope="module")
def taught() -> tuple[RegionTransformer, RegionGraph]:
    """A network that has seen one drawing, in which every second column has the same colour, in any colours."""
    graph = drawing(4, 4)
    net = model(seed=1).train()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    batch = 8
    drawings = collate([graph] * batch)
    kind = torch.arange(16) % 2
    for _ in range(250):
        colours = torch.rand(batch, 2, 3, generator=generator) * torch.tensor([0.6, 0.3, 0.3])
        colours = colours + torch.tensor([0.2, -0.15, -0.15])
        truth = colours[:, kind]
        known = torch.rand(batch, 16, generator=generator) < 0.4
        state = known.long() * STROKE
        given = Known(state, truth * known[..., None])
        log_p = net(drawings, given)
        loss = region_loss(log_p, palette(net, given), truth, (~known).float() / 16).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval(), graph


def test_a_stroke_on_one_region_colours_its_siblings(taught: tuple[RegionTransformer, RegionGraph]) -> None:
    net, graph = taught
    state = torch.zeros(1, 16, dtype=torch.int64)
    colour = torch.zeros(1, 16, 3)
    even, odd = torch.tensor([0.7, 0.12, -0.08]), torch.tensor([0.35, -0.1, 0.1])
    for region, value in ((5, odd), (10, even)):
        state[0, region], colour[0, region] = STROKE, value
    known = Known(state, colour)
    with torch.no_grad():
        log_p = net(collate([graph]), known)
    chosen = palette(net, known)[0, decide(log_p, palette(net, known))[0]]
    unknown = (state[0] == UNKNOWN).nonzero()[:, 0]
    right = [torch.equal(chosen[r], (even, odd)[r % 2]) for r in unknown.tolist()]
    assert sum(right) >= 12


def test_only_colours_of_known_regions_and_classes_are_chosen() -> None:
    graph = drawing(3, 4)
    net, known = model(), some_known([graph])
    colours = palette(net, known)
    with torch.no_grad():
        chosen = decide(net(collate([graph]), known), colours)[0]
    possible = torch.cat([torch.ones(SMALL.classes, dtype=torch.bool), known.state[0] != UNKNOWN])
    assert possible[chosen].all()


def test_the_choice_is_never_between_two_ideas() -> None:
    colours = torch.tensor([[[0.5, 0.2, 0.1], [0.5, -0.2, -0.1], [0.5, 0.0, 0.0]]])
    log_p = torch.tensor([[[0.55, 0.44, 0.01]]]).log()
    assert decide(log_p, colours).tolist() == [[0]]


def test_suggestions_are_distinct_colours_with_the_likeliest_first() -> None:
    colours = torch.tensor([[0.9, 0.0, 0.0], [0.91, 0.0, 0.0], [0.4, 0.1, 0.1], [0.6, -0.1, 0.0]])
    log_p = torch.tensor([0.25, 0.3, 0.35, 0.1]).log()
    chosen = top(log_p, colours, 5)
    assert chosen[0] in (0, 1)
    assert chosen[1:] == [2, 3]


def test_a_draw_settles_every_region_and_depends_on_its_seed_alone() -> None:
    graph = drawing(4, 5)
    net, known = model(), some_known([graph])
    with torch.no_grad():
        encoded = net.encode(collate([graph]))
    first, again, other = (sample(net, encoded, known, 1.0, seed) for seed in (3, 3, 4))
    assert torch.equal(first.colour, again.colour)
    assert not torch.equal(first.colour, other.colour)
    assert (first.state != UNKNOWN).all()
    given = known.state != UNKNOWN
    assert torch.equal(first.colour[given], known.colour[given])
    assert (first.state[~given] == GUESS).all()
    colours = torch.cat([net.codebook, known.colour[0][given[0]]])
    away = torch.cdist(first.colour[0][~given[0]], colours).amin(1)
    assert away.max() == 0
