"""What a job promises: exact hints, untouched surroundings, determinism, clear refusals, any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ColorizeError
from engine.imaging.layers.blending import compose_light
from engine.imaging.layers.shading import shading_layer
from engine.models.checkpoint import load_model, save_model
from engine.models.registry import ARCHITECTURES
from engine.models.stenciltorch import CompactConfig, ThesisConfig
from engine.pipeline import Cancelled, Job, JobSettings, Layers, Pipeline

CONFIGS = {
    "stenciltorch-compact": CompactConfig(
        widths=(8, 16, 16, 32), encoder_blocks=(0, 1, 1), decoder_blocks=(1, 1, 1), heads=4
    ),
    "stenciltorch-thesis": ThesisConfig(width=8, cardinality=4),
}


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def any_pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    torch.manual_seed(1)
    net = ARCHITECTURES[request.param].build(CONFIGS[request.param])
    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    save_model(path, net.state_dict(), request.param, CONFIGS[request.param], {}, {"size": 128})
    return Pipeline(load_model(path))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    torch.manual_seed(1)
    config = CONFIGS["stenciltorch-compact"]
    net = ARCHITECTURES["stenciltorch-compact"].build(config)
    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    save_model(path, net.state_dict(), "stenciltorch-compact", config, {}, {"size": 128})
    return Pipeline(load_model(path))


def drawing(h: int = 200, w: int = 300, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    line = np.ones((h, w), np.float32)
    for _ in range(4):
        centre = (rng.uniform(0.2, 0.8, 2) * (w, h)).astype(int).tolist()
        radius = max(2, int(rng.uniform(0.1, 0.3) * min(h, w)))
        cv2.circle(line, centre, radius, float(rng.uniform(0, 0.3)), max(1, min(h, w) // 120))
    return line


def strokes(h: int, w: int, seed: int = 0, count: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hints = np.zeros((h, w, 4), np.uint8)
    for _ in range(count):
        y, x = int(rng.integers(0, h - 6)), int(rng.integers(0, w - 8))
        hints[y : y + 5, x : x + 7] = (*rng.integers(0, 256, 3), 255)
    return hints


def test_flats_hold_every_hint_exactly_and_nothing_but_few_colours(any_pipeline: Pipeline) -> None:
    hints = strokes(200, 300, 3)
    layers = any_pipeline.run(Job(drawing(), hints))
    painted = hints[..., 3] == 255
    wrong = (layers.flats[painted][:, :3] != hints[painted][:, :3]).any(axis=1)
    assert wrong.mean() <= 0.05
    assert len(np.unique(layers.flats.reshape(-1, 4), axis=0)) < 120


def test_the_shading_layer_over_the_flats_gives_the_colour(any_pipeline: Pipeline) -> None:
    layers = any_pipeline.run(Job(drawing(), strokes(200, 300)))
    alpha = layers.shading[..., 3:].astype(np.float32) / 255
    over = layers.flats[..., :3] * (1 - alpha) + layers.shading[..., :3] * alpha
    assert np.abs(over - layers.colour[..., :3]).max() <= 1.01


@settings(max_examples=12)
@given(st.integers(16, 420), st.integers(16, 420), st.integers(0, 1 << 20), st.sampled_from(["all", "box", "soft"]))
def test_outside_the_mask_nothing_is_painted_at_any_size(
    pipeline: Pipeline, h: int, w: int, seed: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.full((h, w), 255, np.uint8)
    if kind != "all":
        mask[:] = 0
        top, left = int(rng.integers(0, h)), int(rng.integers(0, w))
        mask[top : int(rng.integers(top, h)) + 1, left : int(rng.integers(left, w)) + 1] = 255
    if kind == "soft":
        mask = cv2.GaussianBlur(mask, (0, 0), 2)
        mask[h // 2, w // 2] = 255
    context = rng.integers(0, 256, (h, w, 4)).astype(np.uint8)
    layers = pipeline.run(Job(drawing(h, w, seed), strokes(h, w, seed), mask, context))
    for layer in (layers.flats, layers.colour):
        assert layer.shape == (h, w, 4)
        assert layer.dtype == np.uint8
        assert np.array_equal(layer[..., 3], mask)
        assert not layer[mask == 0].any()
    assert not layers.shading[mask == 0].any()


def test_the_same_job_gives_the_same_bytes(pipeline: Pipeline) -> None:
    job = Job(drawing(), strokes(200, 300))
    first, second = pipeline.run(job), pipeline.run(job)
    assert np.array_equal(first.colour, second.colour)
    assert np.array_equal(first.flats, second.flats)


def test_a_lineart_known_by_its_digest_gives_the_same_bytes_and_another_its_own(pipeline: Pipeline) -> None:
    hints = strokes(200, 300)
    for seed in (0, 1, 0, 2, 3, 4, 0):
        line = drawing(seed=seed)
        kept = pipeline.run(Job(line, hints, lineart_digest=f"drawing {seed}"))
        fresh = pipeline.run(Job(line, hints))
        assert np.array_equal(kept.colour, fresh.colour)


def test_a_stroke_colours_its_whole_region_and_not_the_next(pipeline: Pipeline) -> None:
    line = np.ones((256, 256), np.float32)
    cv2.circle(line, (128, 128), 70, 0.0, 3)
    hints = np.zeros((256, 256, 4), np.uint8)
    hints[120:126, 100:140] = (220, 30, 60, 255)
    hints[10:16, 10:60] = (20, 160, 220, 255)
    flats = pipeline.run(Job(line, hints)).flats
    assert flats[170, 128, :3].tolist() == [220, 30, 60]
    assert flats[240, 240, :3].tolist() == [20, 160, 220]


def test_a_stroke_that_slips_over_a_line_does_not_colour_the_neighbour(pipeline: Pipeline) -> None:
    line = np.ones((256, 256), np.float32)
    line[:, 128:131] = 0
    hints = np.zeros((256, 256, 4), np.uint8)
    hints[100:106, 40:135] = (220, 30, 60, 255)
    hints[20:26, 180:240] = (20, 160, 220, 255)
    flats = pipeline.run(Job(line, hints)).flats
    assert flats[200, 200, :3].tolist() == [20, 160, 220]
    assert flats[200, 60, :3].tolist() == [220, 30, 60]


def test_two_colours_in_one_region_share_it(pipeline: Pipeline) -> None:
    line = np.ones((200, 300), np.float32)
    hints = np.zeros((200, 300, 4), np.uint8)
    hints[90:96, 20:40] = (255, 0, 0, 255)
    hints[90:96, 260:280] = (0, 0, 255, 255)
    flats = pipeline.run(Job(line, hints)).flats
    assert flats[93, 10, :3].tolist() == [255, 0, 0]
    assert flats[93, 290, :3].tolist() == [0, 0, 255]
    assert {tuple(c) for c in flats.reshape(-1, 4).tolist()} == {(255, 0, 0, 255), (0, 0, 255, 255)}


def test_a_region_that_goes_on_outside_the_mask_takes_its_colour_there(pipeline: Pipeline) -> None:
    context = np.full((200, 300, 4), (200, 40, 40, 255), np.uint8)
    mask = np.zeros((200, 300), np.uint8)
    mask[60:140, 100:200] = 255
    flats = pipeline.run(Job(np.ones((200, 300), np.float32), None, mask, context)).flats
    assert np.abs(flats[mask > 0][:, :3].astype(int) - (200, 40, 40)).max() < 40


def test_a_stroke_in_the_mask_counts_more_than_the_surroundings(pipeline: Pipeline) -> None:
    context = np.full((200, 300, 4), (200, 40, 40, 255), np.uint8)
    mask = np.zeros((200, 300), np.uint8)
    mask[60:140, 100:200] = 255
    hints = np.zeros((200, 300, 4), np.uint8)
    hints[98:102, 140:160] = (20, 160, 220, 255)
    flats = pipeline.run(Job(np.ones((200, 300), np.float32), hints, mask, context)).flats
    assert (flats[mask > 0][:, :3] == (20, 160, 220)).all()


def test_a_thin_stroke_on_a_large_canvas_is_heard(pipeline: Pipeline) -> None:
    line = np.ones((2400, 1800), np.float32)
    cv2.circle(line, (900, 1200), 500, 0.0, 6)
    hints = np.zeros((2400, 1800, 4), np.uint8)
    hints[1200:1202, 800:1000] = (10, 200, 90, 255)
    flats = pipeline.run(Job(line, hints)).flats
    assert flats[1500, 900, :3].tolist() == [10, 200, 90]


def test_colour_does_not_cross_a_line_at_full_size(pipeline: Pipeline) -> None:
    line = np.ones((1500, 1500), np.float32)
    line[:, 750:753] = 0
    hints = np.zeros((1500, 1500, 4), np.uint8)
    hints[700:720, 200:400] = (255, 255, 255, 255)
    hints[700:720, 1100:1300] = (0, 0, 0, 255)
    flats = pipeline.run(Job(line, hints)).flats
    assert (flats[:, :750, :3] == 255).all()
    assert (flats[:, 753:, :3] == 0).all()


@pytest.mark.parametrize(("h", "w"), [(1, 1), (8, 8), (64, 64), (16, 900), (900, 16)])
def test_tiny_and_narrow_canvases_work(pipeline: Pipeline, h: int, w: int) -> None:
    layers = pipeline.run(Job(np.ones((h, w), np.float32)))
    assert layers.colour.shape == (h, w, 4)
    assert (layers.colour[..., 3] == 255).all()


def test_progress_names_every_stage_and_ends(pipeline: Pipeline) -> None:
    seen: list[tuple[str, int, int]] = []
    pipeline.run(Job(drawing()), progress=lambda *step: seen.append(step))
    assert [s[0] for s in seen] == ["regions", "colours", "flats", "shading", "done"]
    assert seen[-1][1] == seen[-1][2]


def test_a_cancelled_job_stops(pipeline: Pipeline) -> None:
    with pytest.raises(Cancelled):
        pipeline.run(Job(drawing()), cancelled=lambda: True)


def test_mismatched_sizes_are_named(pipeline: Pipeline) -> None:
    with pytest.raises(ColorizeError, match="300x200"):
        pipeline.run(Job(drawing(), strokes(100, 120)))
    with pytest.raises(ColorizeError, match="120x100"):
        pipeline.run(Job(drawing(), mask=np.full((100, 120), 255, np.uint8)))


def test_an_empty_mask_and_a_size_out_of_range_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ColorizeError, match="mask is empty"):
        pipeline.run(Job(drawing(), mask=np.zeros((200, 300), np.uint8)))
    with pytest.raises(ColorizeError, match="working size of 9000 is outside"):
        pipeline.run(Job(drawing(), settings=JobSettings(size=9000)))


def test_without_shading_the_colour_is_the_flats_and_the_shading_layer_is_empty(any_pipeline: Pipeline) -> None:
    mask = cv2.GaussianBlur(np.pad(np.full((100, 150), 255, np.uint8), ((50, 50), (75, 75))), (0, 0), 5)
    layers = any_pipeline.run(Job(drawing(), strokes(200, 300), mask, settings=JobSettings(shading=0.0)))
    assert layers.flats.any()
    assert np.array_equal(layers.colour, layers.flats)
    assert not layers.shading.any()


def test_smooth_edges_change_borders_that_show_and_nothing_else(any_pipeline: Pipeline) -> None:
    line, hints = np.ones((200, 300), np.float32), strokes(200, 300)
    cv2.ellipse(line, (150, 100), (90, 55), 20, 0, 360, 0.5, 2)
    mask = cv2.GaussianBlur(np.pad(np.full((140, 220), 255, np.uint8), ((30, 30), (40, 40))), (0, 0), 3)
    mask[mask < 8] = 0
    job = Job(line, hints, mask)
    crisp, smooth = any_pipeline.run(job), any_pipeline.run(job.with_settings(edges="smooth"))
    assert np.array_equal(crisp.colour, any_pipeline.run(job.with_settings(edges="crisp")).colour)
    changed = (crisp.flats != smooth.flats).any(axis=2)
    assert 50 < changed.sum() < 3000
    for before, after in ((crisp.flats, smooth.flats), (crisp.colour, smooth.colour)):
        assert np.array_equal(before[..., 3], after[..., 3])
        assert not after[mask == 0].any()
        assert np.array_equal(before[~changed], after[~changed])
    # A changed pixel lies at a border, and between the colours around it.
    flats = crisp.flats[..., :3]
    low, high = cv2.erode(flats, np.ones((5, 5))), cv2.dilate(flats, np.ones((5, 5)))
    inside = changed & (cv2.erode(mask, np.ones((5, 5))) > 0)
    assert ((smooth.flats[..., :3] >= low) & (smooth.flats[..., :3] <= high))[inside].all()
    # Shading over flats still gives the colour, and without shading they are one.
    alpha = smooth.shading[..., 3:] / 255 / np.maximum(smooth.flats[..., 3:] / 255, 1 / 255)
    over = smooth.flats[..., :3] * (1 - alpha) + smooth.shading[..., :3] * alpha
    assert np.abs(over - smooth.colour[..., :3])[mask == 255].max() <= 1.01
    bare = any_pipeline.run(job.with_settings(edges="smooth", shading=0.0))
    assert np.array_equal(bare.flats, bare.colour)
    assert np.array_equal(bare.flats, smooth.flats)


def test_shading_grows_with_its_strength_and_one_is_as_without_a_word(any_pipeline: Pipeline) -> None:
    job = Job(drawing(), strokes(200, 300))
    flats, sizes = any_pipeline.run(job).flats, []
    for strength in (0.0, 0.5, 1.0, 2.0):
        layers = any_pipeline.run(job.with_settings(shading=strength))
        assert np.array_equal(layers.flats, flats)
        sizes.append(np.abs(layers.colour.astype(int) - flats).mean())
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[-2] > 0
    assert np.array_equal(any_pipeline.run(job.with_settings(shading=1.0)).colour, any_pipeline.run(job).colour)


def test_a_gap_is_closed_or_left_open_as_asked_also_on_a_drawing_that_is_kept(pipeline: Pipeline) -> None:
    line = np.ones((256, 256), np.float32)
    cv2.circle(line, (128, 128), 70, 0.0, 3)
    line[118:138, 180:] = 1
    hints = np.zeros((256, 256, 4), np.uint8)
    hints[10:16, 10:60] = (20, 160, 220, 255)
    for gap, leaks in ((None, True), (30, False), (10, True), (0, True), (30, False)):
        flats = pipeline.run(Job(line, hints, settings=JobSettings(gap=gap), lineart_digest="one")).flats
        assert (flats[128, 128, :3].tolist() == [20, 160, 220]) == leaks


@settings(max_examples=20)
@given(st.integers(0, 1 << 30))
def test_a_clipped_shading_layer_is_right_at_soft_edges_and_as_ever_elsewhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flats, colour = rng.integers(0, 256, (2, 9, 11, 4)).astype(np.uint8)
    flats[..., 3] = colour[..., 3] = rng.choice([0, 1, 100, 254, 255], (9, 11))
    clipped, plain = Layers(flats, colour, clipped=True).shading, Layers(flats, colour).shading
    alpha, painted = clipped[..., 3:].astype(np.float32) / 255, colour[..., 3] > 0
    over = flats[..., :3] * (1 - alpha) + clipped[..., :3] * alpha
    assert np.abs(over - colour[..., :3])[painted].max() <= 1.01
    assert not clipped[~painted][:, 3].any()
    hard = np.isin(colour[..., 3], (0, 255))
    assert np.array_equal(clipped[hard], plain[hard])


@settings(max_examples=20)
@given(st.integers(0, 1 << 30))
def test_any_two_layers_are_bridged_by_a_shading_layer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flats, colour = rng.integers(0, 256, (2, 9, 11, 4)).astype(np.uint8)
    flats[..., 3] = colour[..., 3] = 255
    layers = Layers(flats, colour)
    alpha = layers.shading[..., 3:].astype(np.float32) / 255
    over = flats[..., :3] * (1 - alpha) + layers.shading[..., :3] * alpha
    assert np.abs(over - colour[..., :3]).max() <= 1.01
    assert np.array_equal(layers.shading, shading_layer(flats, colour))


def test_light_adds_two_layers_that_make_the_picture_and_leaves_the_rest_as_it_is(pipeline: Pipeline) -> None:
    job = Job(drawing(), strokes(200, 300))
    plain, lit = pipeline.run(job), pipeline.run(job.with_settings(light=120.0, light_style="cel"))
    assert plain.shadow is None
    assert plain.light is None
    assert lit.shadow is not None
    assert lit.light is not None
    assert (lit.flats == plain.flats).all()
    assert (compose_light(lit.flats, lit.shadow, lit.light) == lit.colour).all()
    assert lit.shadow[..., 3].any()


def test_strokes_and_seed_leave_no_ghost_in_the_light(pipeline: Pipeline) -> None:
    grey = {"light": 30.0, "light_tint": False}
    one, other = (
        pipeline.run(Job(drawing(), hints).with_settings(**grey))
        for hints in (strokes(200, 300, 1), strokes(200, 300, 2))
    )
    assert (one.flats != other.flats).any()
    assert one.shadow is not None
    assert other.shadow is not None
    assert (one.shadow == other.shadow).all()


def test_another_light_on_a_known_picture_is_as_if_it_were_new(pipeline: Pipeline) -> None:
    kept = Job(drawing(seed=5), strokes(200, 300), lineart_digest="five")
    pipeline.run(kept.with_settings(light=10.0))
    turned = pipeline.run(kept.with_settings(light=200.0, light_style="cel"))
    anew = pipeline.run(Job(drawing(seed=5), strokes(200, 300)).with_settings(light=200.0, light_style="cel"))
    assert (turned.colour == anew.colour).all()
    assert (turned.flats == anew.flats).all()
    recoloured = pipeline.run(Job(kept.lineart, strokes(200, 300, 9), lineart_digest="five").with_settings(light=200.0))
    assert (recoloured.flats != turned.flats).any()
