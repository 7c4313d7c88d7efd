"""The numbers of an evaluation against published values, closed forms and slow references in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.linalg import sqrtm
from scipy.signal import convolve2d
from skimage.color import lab2rgb

from engine.imaging.files.reading import on_white
from training.evaluation.distances import FEWEST, compare_sets, frechet, kernel, standardise
from training.evaluation.heldout import varied
from training.evaluation.metrics import SAME_PICTURE, ciede2000, ms_ssim, psnr, region_accuracy
from training.evaluation.statistics import Spread, bootstrap_groups, bootstrap_mean, in_steps, signed_rank
from training.evaluation.tables import compare

Floats = NDArray[np.float64]

SHARMA = """
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
"""Sharma, Wu and Dalal (2005), table 1, without the 7 pairs outside sRGB's gamut and the 2 whose hues lie exactly
opposite each other: there the formula jumps, and the last bit decides on which side it is."""


@pytest.mark.parametrize("line", SHARMA.strip().splitlines())
def test_ciede2000_of_the_published_pairs(line: str) -> None:
    numbers = np.array(line.split(), np.float64)
    found = ciede2000(lab2rgb(numbers[None, :3]), lab2rgb(numbers[None, 3:6]))
    assert found == pytest.approx(numbers[6], abs=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [((255, 0, 0), (255, 0, 0), 0.0), ((255, 0, 0), (0, 0, 255), 52.88), ((0, 0, 0), (255, 255, 255), 100.0)],
)
def test_ciede2000_of_bytes_is_that_of_the_colours_they_stand_for(
    first: tuple[int, ...], second: tuple[int, ...], difference: float
) -> None:
    a, b = np.array([first], np.uint8), np.array([second], np.uint8)
    assert ciede2000(a, b)[0] == pytest.approx(difference, abs=0.05)
    assert ciede2000(np.float32(a / 255), np.float32(b / 255))[0] == pytest.approx(difference, abs=0.05)


def test_ciede2000_knows_no_first_and_second_and_is_never_negative() -> None:
    a, b = np.random.default_rng(0).integers(0, 256, (2, 2000, 3)).astype(np.uint8)
    forward = ciede2000(a, b)
    assert (forward >= 0).all()
    assert np.quantile(np.abs(forward - ciede2000(b, a)), 0.99) < 1e-6


def noisy(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    clean = np.kron(rng.integers(0, 256, (12, 14, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    return clean, np.clip(clean + rng.normal(0, 20, clean.shape), 0, 255).astype(np.uint8)


def test_psnr_is_its_formula_and_finite_for_equal_pictures() -> None:
    black = np.zeros((8, 8, 3), np.uint8)
    assert psnr(black, black) == SAME_PICTURE
    assert psnr(black + np.uint8(255), black) == 0
    assert psnr(black + np.uint8(5), black) == pytest.approx(20 * np.log10(255 / 5))


def reference_ms_ssim(a: Floats, b: Floats) -> float:
    """Wang, Simoncelli and Bovik (2003) for one channel in [0, 1], borders left out."""
    at = np.arange(-5, 6)
    line = np.exp(-(at**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = 0.01**2, 0.03**2
    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mean_a, mean_b = (convolve2d(x, window, "valid") for x in (a, b))
        var_a = convolve2d(a * a, window, "valid") - mean_a**2
        var_b = convolve2d(b * b, window, "valid") - mean_b**2
        both = convolve2d(a * b, window, "valid") - mean_a * mean_b
        contrast = (2 * both + c2) / (var_a + var_b + c2)
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        product *= max(0.0, float((contrast * (luminance if scale == 4 else 1)).mean())) ** weight
        a, b = (x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean((1, 3)) if scale < 4 else x for x in (a, b))
    return product


def test_ms_ssim_agrees_with_a_slow_reference() -> None:
    grey, other = (np.repeat(p[..., :1], 3, axis=2) for p in noisy())
    assert ms_ssim(grey, grey) == pytest.approx(1, abs=1e-4)
    expected = reference_ms_ssim(grey[..., 0] / 255, other[..., 0] / 255)
    assert ms_ssim(other, grey) == pytest.approx(expected, abs=5e-4)
    assert np.isnan(ms_ssim(grey[:100], other[:100]))


def test_regions_are_right_when_their_median_is_nearest_to_their_own_colour() -> None:
    labels = np.repeat(np.repeat(np.arange(4).reshape(2, 2), 20, axis=0), 20, axis=1).astype(np.int32)
    palette = np.array([(200, 30, 30), (30, 200, 30), (30, 30, 200), (201, 30, 30)], np.uint8)
    clear = np.ones(labels.shape, np.bool_)
    result = palette[labels]
    assert region_accuracy(result, labels, palette, clear) == (1, 4)
    result[labels == 1] = (60, 40, 180)
    assert region_accuracy(result, labels, palette, clear) == (0.75, 4)
    # Swapped for one that looks the same, a region is right; a minority of wrong pixels does not matter.
    result[labels == 0], result[labels == 3] = palette[3], palette[0]
    result[:8, :20] = (0, 0, 0)
    assert region_accuracy(result, labels, palette, clear) == (0.75, 4)
    assert region_accuracy(result, labels, palette, clear, np.array([0, 1], np.int32)) == (0.5, 2)
    assert np.isnan(region_accuracy(result, labels, palette, ~clear)[0])


def sample(mean: Floats, covariance: Floats, n: int, seed: int) -> Floats:
    """Rows whose mean and covariance (n - 1) are exactly the given ones."""
    rows = np.random.default_rng(seed).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    whitened = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return np.asarray(whitened @ np.linalg.cholesky(covariance).T + mean)


def test_fid_of_known_gaussians_is_the_closed_form() -> None:
    a, b = np.array([4.0, 1.0, 0.25]), np.array([1.0, 1.0, 9.0])
    real, fake = sample(np.zeros(3), np.diag(a), 50, 0), sample(np.array([1.0, -2.0, 0.5]), np.diag(b), 70, 1)
    assert frechet(real, fake) == pytest.approx(5.25 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), abs=1e-9)
    assert frechet(real, real) == pytest.approx(0, abs=1e-9)


def test_fid_of_correlated_gaussians_is_that_of_the_matrix_root() -> None:
    rng = np.random.default_rng(3)
    first, second = (m @ m.T + 0.1 * np.eye(6) for m in rng.normal(size=(2, 6, 6)))
    mean = rng.normal(size=6)
    expected = mean @ mean + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(sample(np.zeros(6), first, 90, 0), sample(mean, second, 90, 1)) == pytest.approx(expected, abs=1e-8)


def test_kid_of_known_distributions_is_the_closed_form() -> None:
    # In one dimension (x y + 1)^3 = 1 + 3 x y + 3 x^2 y^2 + x^3 y^3, so the squared discrepancy is a sum over moments.
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (6000, 1)), rng.normal(0.5, 1, (6000, 1))
    expected = 3 * 0.5**2 + 3 * (1.25 - 1) ** 2 + (0.5**3 + 3 * 0.5) ** 2
    found, _ = kernel(real, fake, subsets=40)
    assert found == pytest.approx(expected, rel=0.1)


def test_one_subset_of_kid_is_the_unbiased_estimate() -> None:
    rng = np.random.default_rng(5)
    real, fake = rng.normal(size=(9, 4)), rng.normal(0.3, 1, (9, 4))
    order = np.random.default_rng(2).permutation(9)
    x, y = real[order[:4]], fake[order[4:8]]

    def k(a: Floats, b: Floats) -> float:
        return float((a @ b / 4 + 1) ** 3)

    apart = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in apart) / 12
    expected -= 2 * sum(k(a, b) for a in x for b in y) / 16
    assert kernel(real, fake, seed=2, subsets=1) == (pytest.approx(expected, abs=1e-12), 0)


def test_a_perfect_method_has_no_distance_and_a_worse_one_a_larger() -> None:
    rng = np.random.default_rng(7)
    real = rng.normal(size=(200, 8)).astype(np.float32)
    found = [compare_sets(real, real + np.float32(shift), standard=True, seed=0) for shift in (0, 0.5, 1)]
    assert abs(found[0]["kid"]) < 0.02
    assert found[0]["kid"] < found[1]["kid"] < found[2]["kid"]
    assert set(found[0]) == {"kid", "kid_deviation"}
    assert compare_sets(real, real, standard=False, seed=0)["fid"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(compare_sets(real[: FEWEST - 1], real[: FEWEST - 1], standard=False, seed=0)["fid"])


def test_standardised_features_have_one_length_and_no_constants() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 5)) * [1, 100, 1e-3, 1, 1]
    rows[:, 3] = 7
    real, fake = standardise(rows, rows + 1)
    assert real.shape == fake.shape == (40, 4)
    assert np.linalg.norm(real, axis=1) == pytest.approx(2)


def test_an_interval_over_groups_is_wider_when_pictures_of_a_group_are_alike() -> None:
    rng = np.random.default_rng(0)
    groups = [f"book {i // 10}" for i in range(80)]
    values = np.repeat(rng.normal(0, 1, 8), 10) + rng.normal(0, 0.01, 80)
    over_pictures, over_groups = bootstrap_mean(values), bootstrap_groups(values, groups)
    assert over_groups[0] == pytest.approx(over_pictures[0])
    assert over_groups[2] - over_groups[1] > 2 * (over_pictures[2] - over_pictures[1])
    assert bootstrap_groups(values, groups) == over_groups
    assert np.isnan(bootstrap_groups(values[:20], groups[:20])[1])
    assert np.isnan(bootstrap_groups(values[:0], [])).all()


def test_percentiles_of_a_spread_are_those_of_its_values() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.gamma(1, 3, 1001).astype(np.float32), np.zeros(500, np.float32)
    spread, other = Spread(), Spread()
    spread.add(in_steps(first))
    other.add(*np.unique(in_steps(second), return_counts=True))
    spread.join(other)
    every = np.concatenate([first, second])
    for share in (0, 5, 50, 95, 100):
        assert spread.percentile(share) == pytest.approx(np.percentile(every, share), abs=1e-3)
    assert np.isnan(Spread().percentile(50))


def test_the_signed_rank_test_knows_exact_small_cases() -> None:
    # All of n differences on one side: 2 of the 2^n signings are as far out.
    assert signed_rank(np.arange(1.0, 9.0)) == pytest.approx(2 / 2**8)
    assert signed_rank(np.array([1.0, -2.0, 3.0, -4.0, np.nan])) > 0.5
    assert signed_rank(np.zeros(5)) == 1
    assert np.isnan(signed_rank(np.array([np.nan])))


def test_a_comparison_counts_only_common_pictures_and_knows_which_way_is_better() -> None:
    rows = [
        {"picture": str(i), "group": "all", "hints": 4, "method": m, "difference": 5.0 + off, "psnr": 20.0 - off}
        for m, off, n in (("mine", 0, 12), ("theirs", 1, 10))
        for i in range(n)
    ]
    (nearer,) = compare(rows, ["mine"], ["theirs"], 0)
    (louder,) = compare(rows, ["mine"], ["theirs"], 0, "psnr")
    assert (nearer["mean"], nearer["won"], nearer["pictures"]) == (-1, 1, 10)
    assert (louder["mean"], louder["won"]) == (1, 1)
    assert nearer["p"] == nearer["p_holm"] == pytest.approx(2 / 2**10)


def test_shown_pictures_come_from_every_folder() -> None:
    assert varied(["a", "a", "a", "a", "b", "c"], 4) == {0, 3, 4, 5}


def test_transparent_pictures_lie_on_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(on_white(image)).tolist() == [[[255, 255, 255], [9, 9, 9]]]
