"""Content losses, the guide of StencilTorch's thesis recipe, and the losses of the encoder, each in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import ColorizeError
from engine.models.base import ModelInputs
from engine.models.components.encoder import Encoder, EncoderConfig, pooled
from engine.models.components.local_features import FEATURE_NETS
from training.cli import train
from training.data.synthesis import TrainingBatch
from training.evaluation.features import OWN, own_file
from training.features.objective import TEMPERATURE, contrast, guess_error
from training.features.views import turn_hue
from training.features.weights import OWN_ENCODER
from training.losses.content import CONTENTS, encoder_content, in_features, load_content, pixels
from training.recipes.stenciltorch import PRESETS, composite, guide_error

SMALL = EncoderConfig((4, 6, 8, 10))


def picture(value: float, size: int = 32) -> Tensor:
    return torch.full((2, 3, size, size), value)


def test_the_pixel_loss_is_the_mean_square_over_channels_and_pixels() -> None:
    assert pixels(picture(0.5), picture(0.2)).item() == pytest.approx(0.09, abs=1e-7)


def test_a_content_loss_is_the_mean_square_of_each_map_and_then_of_all_maps() -> None:
    content = in_features(lambda x: [2 * x, F.avg_pool2d(x, 4) - 7, x.mean(1, keepdim=True) * 0.5])
    # A constant difference d gives (2d)^2, d^2 and (d/2)^2.
    assert content(picture(0.5), picture(0.2)).item() == pytest.approx(0.09 * (4 + 1 + 0.25) / 3, abs=1e-7)


def test_content_moves_the_picture_and_not_the_truth() -> None:
    torch.manual_seed(0)
    encoder = Encoder(SMALL).eval().requires_grad_(False)
    content = encoder_content(encoder)
    wrong, truth = torch.rand(1, 3, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32, requires_grad=True)
    assert content(truth, truth).item() == 0
    content(wrong, truth).backward()
    assert wrong.grad is not None
    assert wrong.grad.abs().sum() > 0
    assert truth.grad is None


def test_vgg16_is_looked_at_after_its_fourth_activation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    state = {f"features.{n}.weight": torch.randn(o, i, 3, 3) * (2 / (9 * i)) ** 0.5 for n, (o, i) in sizes.items()}
    state |= {f"features.{n}.bias": torch.randn(o) * 0.1 for n, (o, _) in sizes.items()}
    beyond = {"features.10.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)}
    save_file(state | beyond, tmp_path / "vgg16.safetensors")
    mean, deviation = (
        torch.tensor(v).double().view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def look(x: Tensor) -> Tensor:
        x = ((x.double() + 1) / 2 - mean) / deviation
        for n in sizes:
            x = F.max_pool2d(x, 2) if n == 5 else x
            x = F.relu(F.conv2d(x, state[f"features.{n}.weight"].double(), state[f"features.{n}.bias"].double(), 1, 1))
        return x

    a, b = torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 3, 16, 16) * 2 - 1
    loaded = load_content("vgg16", tmp_path / "vgg16.safetensors")
    assert look(a).shape == (2, 128, 8, 8)
    assert loaded.loss(a, b).item() == pytest.approx(((look(a) - look(b)) ** 2).mean().item(), rel=1e-3)
    assert len(loaded.digest) == 64


def test_content_weights_that_are_missing_wrong_or_for_nothing_are_explained(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ColorizeError, match="needs --content-weights") as caught:
        load_content("vgg16")
    assert caught.value.wrong_use
    with pytest.raises(ColorizeError, match="does not hold the weights of VGG16"):
        load_content("vgg16", tmp_path / "other.safetensors")
    with pytest.raises(ColorizeError, match="no encoder"):
        load_content("own", tmp_path / "other.safetensors")
    with pytest.raises(ColorizeError, match="without --content"):
        load_content("none", tmp_path / "other.safetensors")


def test_the_command_offers_what_there_is() -> None:
    assert train.CONTENTS == CONTENTS
    assert train.FEATURE_NETS == FEATURE_NETS


def test_the_encoder_that_comes_with_the_package_gives_content_and_the_evaluation_its_features() -> None:
    same = torch.zeros(1, 3, 32, 32)
    assert load_content("own").loss(same, same + 0.5) > 0
    path, _, name = own_file(OWN)
    assert path == OWN_ENCODER
    assert name == "our own art encoder (shipped weights)"


def batch(mask: Tensor) -> TrainingBatch:
    b, _, h, w = mask.shape
    target = torch.linspace(-1, 1, b * 3 * h * w).reshape(b, 3, h, w)
    lineart = torch.zeros(b, 1, h, w)
    inputs = ModelInputs(lineart, torch.zeros(b, 4, h, w), mask, target, 1 - mask)
    nothing = torch.zeros(b, 1, h, w)
    return TrainingBatch(
        inputs, target, target * 0.5, nothing, nothing, torch.zeros(b, h // 2, w // 2, dtype=torch.int64)
    )


def test_outside_the_mask_the_composite_is_the_input_bit_for_bit() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 4:] = 1
    made = composite(torch.full((2, 3, 8, 8), 0.3), batch(mask))
    assert torch.equal(made[..., :4], batch(mask).target[..., :4])
    assert torch.equal(made[..., 4:], torch.full((2, 3, 8, 4), 0.3))


def test_the_guide_is_judged_inside_the_mask_and_its_error_shared_over_the_whole_picture() -> None:
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 2:] = 1
    sample = batch(mask)
    # 0.2 off everywhere; three quarters of it count.
    assert guide_error(sample.flat + 0.2, sample).item() == pytest.approx(0.04 * 0.75, abs=1e-6)


def test_the_guides_weight_falls_on_a_straight_line() -> None:
    losses = replace(PRESETS["thesis"].losses, guide_start=0.4, guide_end=0.1)
    assert [losses.guide(p) for p in (0, 0.5, 1)] == pytest.approx([0.4, 0.25, 0.1])


def test_contrast_of_pairs_that_are_alike_and_otherwise_orthogonal_has_a_closed_form() -> None:
    vectors = torch.eye(3) * 5
    # Of the five others one has cosine 1 and four have 0.
    wanted = math.log(math.exp(1 / TEMPERATURE) + 4) - 1 / TEMPERATURE
    assert contrast(vectors, vectors * 0.1).item() == pytest.approx(wanted, rel=1e-5)
    # Where all are the same nothing can be told: log of the number of others.
    same = torch.ones(3, 3)
    assert contrast(same, same).item() == pytest.approx(math.log(5), rel=1e-5)


def test_a_guess_is_judged_by_its_angle_and_the_truth_stays_where_it_is() -> None:
    guess = torch.tensor([[1.0, 1.0]]).view(1, 2, 1, 1).requires_grad_(True)
    truth = torch.tensor([[3.0, 0.0]]).view(1, 2, 1, 1).requires_grad_(True)
    error = guess_error(guess, truth)
    assert error.item() == pytest.approx(1 - 0.5**0.5, rel=1e-6)
    error.backward()
    assert guess.grad is not None
    assert truth.grad is None


def test_a_third_of_a_turn_of_the_hue_moves_the_channels_on() -> None:
    x = torch.rand(2, 3, 4, 4)
    turned = turn_hue(x, torch.tensor([0.0, 2 * math.pi / 3]))
    assert torch.allclose(turned[0], x[0], atol=1e-6)
    assert torch.allclose(turned[1], x[1][[2, 0, 1]], atol=1e-6)


def test_an_encoders_channels_have_the_deviation_one_over_what_it_was_measured_on() -> None:
    torch.manual_seed(0)
    encoder = Encoder(SMALL)
    batches = [torch.rand(4, 3, 64, 64) * 2 - 1 for _ in range(2)]
    encoder.measure_spread(batches)
    with torch.no_grad():
        seen = [encoder(b) for b in batches]
    for number, width in enumerate(SMALL.widths):
        values = torch.cat([maps[number].transpose(0, 1).flatten(1) for maps in seen], 1)
        assert values.shape[0] == width
        spread = values.std(1)
        # Channels that hardly stir are not blown up.
        assert spread.max().item() == pytest.approx(1, abs=1e-3)
        assert (spread < 1 + 1e-3).all()
    assert [tuple(m.shape[2:]) for m in seen[0]] == [(32, 32), (16, 16), (8, 8), (4, 4)]
    assert pooled(seen[0]).shape == (4, sum(SMALL.widths[1:]))
