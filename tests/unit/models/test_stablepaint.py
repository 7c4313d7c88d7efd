"""StablePaint's networks and how it samples: seeds, strength, guidance, masks, previews, cancelling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.errors import ColorizeError
from engine.models.base import SAMPLERS, Descriptor, ModelInputs, Sampling
from engine.models.components.denoiser import Attention, CrossStage, encode_time, rotate
from engine.models.components.vae import Vae
from engine.models.stablepaint import StablePaint, StablePaintConfig

SMALL = StablePaintConfig(
    channels=4, encoder=(8, 8), decoder=(16, 8, 8), context=(8, 8, 16), denoiser=(8, 16, 16, 16), embedding=8
)


@pytest.fixture(scope="module")
def net() -> StablePaint:
    """A small network whose heads have something to say, in eval mode."""
    torch.manual_seed(0)
    made = StablePaint(SMALL)
    for name, parameter in made.named_parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.05)
        if "denoiser.head" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """The same random numbers in every run."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make_inputs(batch: int = 1, size: int = 64) -> ModelInputs:
    gen = torch.Generator().manual_seed(3)
    line = torch.where(torch.rand(batch, 1, size, size, generator=gen) > 0.97, -1.0, 1.0)
    hints = torch.zeros(batch, 4, size, size)
    hints[:, :, 4:12, 4:20] = torch.tensor([1.0, -1.0, -1.0, 1.0])[None, :, None, None]
    mask = torch.ones(batch, 1, size, size)
    empty = torch.zeros(batch, 3, size, size)
    return ModelInputs(line, hints, mask, empty, torch.zeros(batch, 1, size, size))


def half_known(size: int = 64) -> ModelInputs:
    known = torch.zeros(1, 1, size, size)
    known[..., : size // 2] = 1
    picture = torch.linspace(-1, 1, size).expand(1, 3, size, size).contiguous()
    return replace(make_inputs(size=size), known=known, mask=1 - known, context=picture)


def test_the_default_configuration_fits_the_shipped_size() -> None:
    with torch.device("meta"):
        made = StablePaint(StablePaintConfig())
    parameters = sum(p.numel() for p in made.denoiser.parameters())
    assert 8.0e6 <= parameters <= 12e6
    assert sum(t.numel() for t in made.state_dict().values()) * 2 <= 17.97e6


def test_a_seed_gives_the_same_picture_and_another_gives_another(net: StablePaint) -> None:
    first, again, other = (net.sample(make_inputs(), Sampling((seed,), 0.8)).shaded for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 1e-3


@pytest.mark.parametrize("sampler", ["euler", "heun", "ddim"])
def test_variations_in_one_batch_are_those_drawn_one_by_one(net: StablePaint, sampler: str) -> None:
    together = net.sample(make_inputs(), Sampling((5, 6, 7), 0.7, 3, sampler=sampler)).shaded
    assert together.shape == (3, 3, 64, 64)
    for place, seed in enumerate((5, 6, 7)):
        alone = net.sample(make_inputs(), Sampling((seed,), 0.7, 3, sampler=sampler)).shaded
        assert torch.allclose(together[place], alone[0], atol=1e-4)


def test_no_strength_is_the_guess_whatever_the_seed(net: StablePaint) -> None:
    inputs = make_inputs()
    guess = net.context(net.guides(inputs))
    assert torch.equal(net.draw(inputs, Sampling((1,), strength=0.0)), guess)
    assert torch.equal(net.draw(inputs, Sampling((2,), strength=0.0)), guess)


def test_the_stronger_the_further_from_the_guess(net: StablePaint) -> None:
    inputs = make_inputs()
    guess = net.context(net.guides(inputs))
    far = [float((net.draw(inputs, Sampling((1,), s)) - guess).abs().mean()) for s in (0.01, 0.3, 1.0)]
    assert far[0] < 0.05 * far[2]
    assert far == sorted(far)


def test_ddpm_takes_only_the_steps_that_the_strength_leaves(net: StablePaint) -> None:
    told: list[tuple[int, int]] = []
    sampling = Sampling((1,), 0.02, sampler="ddpm", watch=lambda done, of, _: told.append((done, of)))
    net.sample(make_inputs(), sampling)
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] == len(told) - 1 < 100


@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_guidance_moves_away_from_what_no_hint_gives_and_one_leaves_it(net: StablePaint, guidance: float) -> None:
    inputs = make_inputs()
    plain, one, more = (net.draw(inputs, Sampling((1,), 0.8, guidance=g)) for g in (1.0, 1.0 + 1e-6, guidance))
    assert torch.allclose(plain, one, atol=1e-4)
    assert (plain - more).abs().max() > 1e-4


def test_guidance_of_nothing_is_the_picture_without_hints(net: StablePaint) -> None:
    """The path seen from the guess without hints must be the very path that has no hints at all."""
    inputs = make_inputs()
    bare = replace(inputs, hints=torch.zeros_like(inputs.hints))
    # At full strength and with one noise, both begin at the guess plus noise; the guesses differ by what is corrected.
    free = net.draw(inputs, Sampling((1,), 1.0, 1, guidance=0.0))
    alone = net.draw(bare, Sampling((1,), 1.0, 1))
    assert torch.allclose(free, alone, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_known_cells_come_out_as_they_were(net: StablePaint, sampler: str) -> None:
    inputs = half_known()
    latent = net.guides(inputs).latent
    drawn = net.draw(inputs, Sampling((1, 2), 0.05 if sampler == "ddpm" else 0.9, 3, sampler=sampler))
    assert torch.allclose(drawn[..., :4], latent[..., :4].expand(2, -1, -1, -1), atol=1e-5)
    assert (drawn[0, ..., 4:] - drawn[1, ..., 4:]).abs().max() > 1e-4


def test_previews_are_small_pictures_one_per_seed_and_the_last_is_the_result(net: StablePaint) -> None:
    shown: list[Tensor] = []
    inputs = make_inputs()
    sampling = Sampling((1, 2), 0.8, 3, watch=lambda _done, _of, preview: shown.append(preview()))
    latent = net.draw(inputs, sampling)
    assert [s.shape[1:] for s in shown] == [torch.Size([3, 8, 8])] * 4
    assert [s.shape[0] for s in shown] == [2] * 4
    assert torch.allclose(shown[-1], net.vae.preview(latent), atol=1e-5)


def test_cancelling_takes_one_step_at_most(net: StablePaint) -> None:
    calls = 0

    def count(_module: torch.nn.Module, _given: object, _out: object) -> None:
        nonlocal calls
        calls += 1

    def stop(done: int, _of: int, _preview: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    handle = net.denoiser.register_forward_hook(count)
    with pytest.raises(KeyboardInterrupt):
        net.sample(make_inputs(), Sampling((1,), 0.8, 50, watch=stop))
    handle.remove()
    assert calls == 2


def test_samples_and_seeds_that_do_not_go_together_are_refused(net: StablePaint) -> None:
    with pytest.raises(ValueError, match="2 samples"):
        net.sample(make_inputs(2), Sampling((1, 2, 3)))


@pytest.mark.parametrize(
    "values", [{"seeds": ()}, {"strength": 1.2}, {"steps": 0}, {"guidance": -1.0}, {"sampler": "magic"}]
)
def test_values_out_of_range_are_wrong_use(values: dict[str, object]) -> None:
    with pytest.raises(ColorizeError, match=r"choose|ask") as caught:
        Sampling(**values)  # type: ignore[arg-type]
    assert caught.value.wrong_use


def test_a_descriptor_fills_in_its_own_defaults() -> None:
    descriptor = Descriptor("m", "M", "stablepaint", 64, stochastic=True, steps=6, strength=0.4, guidance=1.5)
    assert descriptor.sampling() == Sampling((0,), 0.4, 6, 1.5)
    assert descriptor.sampling((3, 4), 0.0, 2, 1.0) == Sampling((3, 4), 0.0, 2, 1.0)


def test_the_linear_beginning_rebuilds_what_a_few_components_can() -> None:
    torch.manual_seed(1)
    vae = Vae(4, (8, 8), (16, 8, 8)).eval()
    # Each cell one colour: three components say everything.
    plain = [torch.rand(4, 3, 4, 4).mul(2).sub(1).repeat_interleave(8, 2).repeat_interleave(8, 3) for _ in range(8)]
    vae.begin_linear(plain)
    flat, shaded = vae.decode_raw(vae.encode(plain[0]).mean)
    assert torch.allclose(shaded, plain[0], atol=1e-3)
    assert torch.allclose(flat, plain[0], atol=1e-3)


def test_measured_latents_have_mean_0_and_deviation_1_and_previews_the_colours() -> None:
    vae = Vae(4, (8, 8), (16, 8, 8)).eval().requires_grad_(False)
    plain = [torch.rand(4, 3, 4, 4).mul(2).sub(1).repeat_interleave(8, 2).repeat_interleave(8, 3) for _ in range(16)]
    vae.begin_linear(plain)
    vae.measure(plain)
    latent = torch.cat([vae.latent(p) for p in plain])
    assert torch.allclose(latent.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(latent.std((0, 2, 3)), torch.ones(4), atol=1e-2)
    assert torch.allclose(vae.preview(vae.latent(plain[0])), plain[0][..., ::8, ::8], atol=1e-2)
    assert torch.allclose(vae.decode(latent[:4])[1], vae.decode_raw(vae.encode(plain[0]).mean)[1], atol=1e-3)


def test_times_and_rotations_stay_in_float32_when_the_network_does_not() -> None:
    t = torch.tensor([0.5, 0.5003])
    with torch.autocast("cpu", torch.bfloat16):
        coded = encode_time(t.bfloat16().float())
        assert encode_time(t).dtype == torch.float32
        turned = rotate(torch.ones(1, 1, 64, 16), 8, 8)
    assert coded.dtype == torch.float32
    # In bfloat16 the two times would be one.
    assert (encode_time(t)[0] - encode_time(t)[1]).abs().max() > 0.1
    assert torch.allclose(turned, rotate(torch.ones(1, 1, 64, 16), 8, 8))


def test_attention_scores_depend_on_how_far_apart_places_are_in_both_directions() -> None:
    query, key = torch.arange(1.0, 17.0) / 8, torch.linspace(2, -1, 16)
    x = query.expand(1, 1, 35, 16).contiguous()
    y = key.expand(1, 1, 35, 16).contiguous()
    a, b = (rotate(v, 5, 7)[0, 0].unflatten(0, (5, 7)) for v in (x, y))

    def score(row: int, column: int, other_row: int, other_column: int) -> float:
        return float(a[row, column] @ b[other_row, other_column])

    assert score(1, 2, 3, 4) == pytest.approx(score(0, 1, 2, 3), abs=1e-4)
    assert score(1, 2, 3, 4) != pytest.approx(score(1, 2, 4, 3), abs=1e-3)
    assert score(1, 2, 1, 4) != pytest.approx(score(1, 2, 3, 2), abs=1e-3)


def test_attention_mixes_features_by_an_ordinary_softmax_over_all_places() -> None:
    torch.manual_seed(2)
    layer = Attention(32)
    torch.nn.init.eye_(layer.out.weight)
    x, other = torch.randn(1, 6, 32), torch.randn(1, 6, 32)
    key, value = other @ layer.key_value.weight[:32].T, other @ layer.key_value.weight[32:].T
    key, value = key + layer.key_value.bias[:32], value + layer.key_value.bias[32:]
    query = layer.query(x)
    turned_q, turned_k = (rotate(v[:, None], 2, 3)[:, 0] for v in (query, key))
    wanted = torch.softmax(turned_q @ turned_k.transpose(1, 2) / 32**0.5, 2) @ value
    assert torch.allclose(layer(x, other, (2, 3)), wanted, atol=1e-5)


def test_the_cross_stage_hears_what_lies_far_away() -> None:
    torch.manual_seed(4)
    stage = CrossStage(32, 3)
    for attention in (stage.itself, stage.cross):
        torch.nn.init.normal_(attention.out.weight, std=0.2)
    x, pooled = torch.randn(1, 32, 4, 4), torch.zeros(1, 3, 4, 4)
    marked = pooled.clone()
    marked[..., 3, 3] = 5
    assert (stage(x, pooled) - stage(x, marked))[0, :, 0, 0].abs().max() > 1e-4
