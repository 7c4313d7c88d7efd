"""L0 smoothing against its definition, signals whose answer is known, and OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.flats import simplify
from training.data.l0 import smooth


def dense_reference(picture: NDArray[np.float64], strength: float, kappa: float = 2.0) -> NDArray[np.float64]:
    """The paper's algorithm in float64 with the differences written out as matrices and a dense solver."""
    h, w, c = picture.shape
    across = np.kron(np.eye(h), np.eye(w, k=1) - np.eye(w))
    across[np.arange(h) * w + w - 1] = 0
    down = np.kron(np.eye(h, k=1) - np.eye(h), np.eye(w))
    down[(h - 1) * w :] = 0
    given = picture.reshape(-1, c)
    s, beta = given.copy(), 2 * strength
    while beta < 1e5:
        gx, gy = across @ s, down @ s
        edge = ((gx**2 + gy**2).sum(1) >= strength / beta)[:, None]
        right = given + beta * (across.T @ (gx * edge) + down.T @ (gy * edge))
        s = np.linalg.solve(np.eye(h * w) + beta * (across.T @ across + down.T @ down), right)
        beta *= kappa
    return np.asarray(s.reshape(h, w, c))


def noisy_step(noise: float = 0.03) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    clean = np.full((64, 96, 3), 0.25)
    clean[:, 48:] = 0.75
    clean[20:40, 20:40] = (0.9, 0.1, 0.3)
    return clean, np.clip(clean + np.random.default_rng(0).normal(0, noise, clean.shape), 0, 1)


@pytest.mark.parametrize("strength", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("shape", [(9, 12, 3), (8, 7, 1)])
def test_it_does_what_the_paper_defines(strength: float, shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(4).random(shape) * 0.3
    picture[3:6, 2:5] += 0.6
    assert np.allclose(smooth(picture, strength), dense_reference(picture, strength), atol=2e-4)


def test_areas_with_strong_edges_stay_as_they_are() -> None:
    clean, _ = noisy_step()
    assert np.abs(smooth(clean, 0.012) - clean).max() < 1e-3


def test_noise_goes_and_the_edges_stay_where_they_are() -> None:
    clean, noisy = noisy_step()
    done = smooth(noisy, 0.012)
    assert np.abs(done - clean).mean() < 0.003
    assert np.abs(done - clean).mean() < np.abs(noisy - clean).mean() / 8


def test_the_mean_colour_is_kept_and_more_strength_leaves_fewer_edges() -> None:
    _, noisy = noisy_step(0.08)
    left = []
    for strength in (0.001, 0.01, 0.1, 0.3):
        done = smooth(noisy, strength)
        assert np.allclose(done.mean((0, 1)), noisy.mean((0, 1)), atol=1e-4)
        left.append(int((np.abs(np.diff(done, axis=1)).max(-1) > 1e-2).sum()))
    # The noise goes first; what the picture is made of goes last.
    assert left[0] > left[1] > 10 * left[2]
    assert abs(left[2] - left[3]) < 40


def test_opencvs_lets_colours_of_opposite_edges_run_into_each_other() -> None:
    """Why there is another: should this fail, OpenCV has mended it, and the option can go."""
    clean, noisy = noisy_step()
    theirs = cv2.ximgproc.l0Smooth((noisy * 255).round().astype(np.uint8), None, 0.012, 2.0) / 255
    assert np.abs(theirs - clean).mean() > 10 * np.abs(smooth(noisy, 0.012) - clean).mean()


def test_settings_that_would_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="over 0"):
        smooth(np.zeros((4, 4, 3)), 0)
    with pytest.raises(ValueError, match="over 1"):
        smooth(np.zeros((4, 4, 3)), 0.1, kappa=1)


def test_flats_of_a_noisy_picture_are_its_areas() -> None:
    clean, noisy = noisy_step()
    labels, palette = simplify((noisy * 255).round().astype(np.uint8), smoothing="l0")
    assert labels.max() == 2
    wanted = (clean * 255)[[0, 0, 30], [0, 90, 30]]
    assert all(np.abs(palette - c).max(1).min() <= 3 for c in wanted)
