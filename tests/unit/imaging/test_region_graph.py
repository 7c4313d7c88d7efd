"""Regions of a drawing as a graph: what a network is told of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.imaging.regions.graph import GEOMETRY, build_graph, find_edges, shrink_labels, working_size


def quarters(side: int = 256) -> NDArray[np.int32]:
    """Four squares, numbered like letters on a page."""
    labels = np.zeros((side, side), np.int32)
    labels[:, side // 2 :] += 1
    labels[side // 2 :] += 2
    return labels


def paper(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.ones(labels.shape, np.float32)


@pytest.mark.parametrize(
    ("shape", "expected"), [((1024, 1024), (256, 256)), ((512, 768), (256, 384)), ((300, 1500), (102, 512))]
)
def test_the_working_size_has_a_short_side_of_256_unless_the_long_one_would_pass_512(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert working_size(*shape) == expected


def test_regions_that_meet_are_edges_with_the_length_they_share() -> None:
    edges, lengths = find_edges(quarters(100), 4)
    assert edges.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert lengths.tolist() == [50, 50, 50, 50]


def test_a_region_that_shrinking_would_lose_keeps_a_pixel() -> None:
    labels = np.zeros((1000, 1000), np.int32)
    labels[501, 502] = 1
    small = shrink_labels(labels, 100, 100)
    assert small[50, 50] == 1
    assert (small == 1).sum() == 1


def test_geometry_is_the_same_at_any_size_of_the_canvas() -> None:
    small, large = (build_graph(paper(quarters(s)), quarters(s)).geometry for s in (256, 1024))
    np.testing.assert_allclose(small, large, atol=1e-5)


def test_geometry_says_where_a_region_lies_and_how_large_it_is() -> None:
    graph = build_graph(paper(quarters()), quarters())
    column = {name: graph.geometry[:, i] for i, name in enumerate(GEOMETRY)}
    np.testing.assert_allclose(column["x"], [-0.25, 0.25, -0.25, 0.25])
    np.testing.assert_allclose(column["y"], [-0.25, -0.25, 0.25, 0.25])
    np.testing.assert_allclose(column["share"], 0.5)
    np.testing.assert_allclose(column["fill"], 1)
    np.testing.assert_allclose(column["elongation"], 0, atol=1e-5)
    assert column["touches_border"].all()


def test_cells_share_out_every_region_completely() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.repeat(rng.permutation(64).reshape(8, 8), 37, 0), 41, 1).astype(np.int32)
    graph = build_graph(paper(labels), labels)
    totals = np.bincount(graph.cells[:, 0], graph.shares, graph.count)
    np.testing.assert_allclose(totals, 1, atol=1e-5)
    assert graph.cells[:, 1].max() < graph.cell_columns * -(-graph.labels.shape[0] // 4)


def test_the_smallest_of_too_many_regions_join_their_largest_neighbour() -> None:
    labels = quarters()
    labels[10:14, 10:14] = 4
    labels[200:203, 200:203] = 5
    graph = build_graph(paper(labels), labels, most=4)
    assert graph.count == 4
    assert graph.member[4] == graph.member[0]
    assert graph.member[5] == graph.member[3]
    assert graph.area.sum() == pytest.approx(1)


def test_every_region_of_the_drawing_has_a_place_in_the_graph() -> None:
    rng = np.random.default_rng(2)
    labels = np.zeros((900, 900), np.int32)
    for number in range(1, 3000):
        y, x = rng.integers(0, 898, 2)
        labels[y : y + 2, x : x + 2] = number
    graph = build_graph(paper(labels), labels)
    assert graph.count == 500
    there = np.unique(labels)
    assert (graph.member[there] >= 0).all()
    assert graph.member.max() == 499
    assert set(np.unique(graph.labels)) == set(range(500))


def test_ink_is_measured_inside_each_region() -> None:
    lineart = paper(quarters())
    lineart[:128, :128] = 0.25
    graph = build_graph(lineart, quarters())
    np.testing.assert_allclose(graph.geometry[:, GEOMETRY.index("ink")], [0.75, 0, 0, 0], atol=1e-6)
