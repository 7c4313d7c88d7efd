"""Training StablePaint on a handful of shipped pictures: its stages, what each leaves alone, resuming, the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from engine.models.base import Sampling
from engine.models.checkpoint import describe, load_model, read_tensors
from engine.models.components.denoiser import DEVIATION
from engine.pipeline import Job, JobSettings, Pipeline
from training.cli.main import main
from training.data.pack import pack, read_manifest
from training.recipes.stablepaint import PRESETS, STAGES, PaintConfig, StablePaintRun, StageName, plan
from training.recipes.stablepaint_losses import DenoiserLearner, adaptive_weight, draw_times, hinge_critic
from training.recipes.stablepaint_sheets import held_out_batch, round_trip
from training.runs.config import Phase
from training.runs.parts import Part

ART = Path(__file__).parents[2] / "data" / "art"
SMALL = {
    "channels": 4,
    "encoder": (8, 8),
    "decoder": (16, 8, 8),
    "context": (8, 8, 16),
    "denoiser": (8, 16, 16, 16),
    "embedding": 8,
}
TINY = replace(
    PRESETS["cpu"],
    phases={name: (Phase(1.0, 64, 2, 1.0, 1.5),) for name in STAGES},
    steps={"vae": 4, "context": 2, "denoiser": 2},
    base=PaintConfig(model=SMALL, workers=0, warmup=2, adversarial_from=0.5, adversarial=0.1),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    list(pack(read_manifest(ART, "train"), out, 96, workers=1))
    return out


def make(folder: Path, shards: Path, stages: Sequence[StageName] = STAGES, **changes: object) -> StablePaintRun:
    return StablePaintRun(folder, shards, replace(plan(TINY, stages), **changes))  # type: ignore[arg-type]


def train(run: StablePaintRun, steps: int | None = None) -> None:
    """Train to the end, or so many steps."""
    last = run.config.steps if steps is None else run.step + steps
    while run.step < last:
        phase = run.phase()
        for raw in run.batches(phase):
            run.train_step(raw)
            if run.step == last or run.phase() != phase:
                break


def state(run: StablePaintRun, name: str) -> dict[str, Tensor]:
    return {k: t.clone() for k, t in run.net.get_submodule(name).state_dict().items()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Part of the tensors that changed."""
    return float(np.mean([not torch.equal(before[k], after[k]) for k in before]))


def test_stages_take_their_shares_and_begin_where_phases_do() -> None:
    config = plan(PRESETS["cpu"], STAGES)
    steps = PRESETS["cpu"].steps
    assert config.steps == sum(steps.values())
    assert [s.name for s in config.stages] == list(STAGES)
    assert config.stages[0].until == pytest.approx(steps["vae"] / config.steps)
    assert all(any(p.until == pytest.approx(s.until) for p in config.phases) for s in config.stages)
    assert plan(PRESETS["cpu"], ["vae"], 10).steps == 10


def test_each_stage_moves_its_own_network_and_no_other(tmp_path: Path, shards: Path) -> None:
    run = make(tmp_path / "run", shards)
    for name, steps in TINY.steps.items():
        assert run.stage.name == name
        train(run, 1)
        before = {part: state(run, part) for part in STAGES}
        train(run, steps - 1)
        for part in STAGES:
            share = moved(before[part], state(run, part))
            assert (share > 0.6) if part == name else (share == 0), (name, part)


def test_what_follows_rests_on_the_averaged_weights_and_a_standardised_latent(tmp_path: Path, shards: Path) -> None:
    run = make(tmp_path / "run", shards)
    train(run, 4)
    run.measure()
    average = {k.removeprefix("vae."): t.clone() for k, t in run.averages.best.items() if k.startswith("vae.")}
    train(run, 1)
    used = state(run, "vae")
    measured = {"centre", "spread", "glance"}
    assert all(torch.equal(used[k], average[k]) for k in used if k not in measured)
    latent = torch.cat([run.net.vae.latent(p) for p in run.pictures(16, 64, 4)])
    assert torch.allclose(latent.mean((0, 2, 3)), torch.zeros(4), atol=0.5)
    assert torch.allclose(latent.std((0, 2, 3)), torch.ones(4), atol=0.5)


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_weights_in_every_stage(tmp_path: Path, shards: Path) -> None:
    whole = make(tmp_path / "whole", shards)
    train(whole)
    whole.save()
    for interruption in (3, 7):
        folder = tmp_path / f"part{interruption}"
        part = make(folder, shards)
        train(part, interruption)
        part.save()
        resumed = make(folder, shards)
        assert resumed.resume()
        train(resumed)
        resumed.save()
        a, b = (read_tensors(f / "weights.safetensors") for f in (whole.folder, folder))
        assert all(torch.allclose(a[k].float(), b[k].float(), atol=2e-3) for k in a), interruption


def test_the_vae_begins_with_principal_components_and_gets_better(tmp_path: Path, shards: Path) -> None:
    run = make(tmp_path / "run", shards, ("vae",), steps=60, adversarial_from=1.0)
    parts = run.parts(next(iter(run.batches(run.phase()))), 1)
    errors = []
    for _ in range(25):
        run.before_step()
        errors.append(float(run.optimise(parts)["picture"]))
        if run.step == 0:
            run.net.eval()
            pictures = [p.image for p in run.data.held_out + run.data.train]  # type: ignore[union-attr]
            assert round_trip(run.net, pictures, 64)["psnr"] > 17
        run.step += 1
        run.optimisers["optimiser"].param_groups[0]["lr"] = 2e-3
    assert errors[-1] < 0.95 * errors[0]


def test_the_critics_opinion_leaves_no_gradients_in_it(tmp_path: Path, shards: Path) -> None:
    run = make(tmp_path / "run", shards, ("vae",), adversarial_from=0.0)
    before = {k: t.clone() for k, t in run.judge.state_dict().items()}
    raw = next(iter(run.batches(run.phase())))
    run.begin_stage()
    run.freeze_others()
    parts = run.parts(raw, 1)
    run.descend("optimiser", parts, run._pleasing_round_trip)
    assert all(p.grad is None for p in run.judge.parameters())
    run.descend("critic_optimiser", parts, run._judgement)
    assert moved(before, run.judge.state_dict()) > 0.8


def test_hinge_and_adaptive_weight_have_their_closed_forms() -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([-0.5, -3.0])
    assert float(hinge_critic(real, fake)) == pytest.approx((0.25 + 0.25) / 2)
    last = torch.tensor([1.0, 2.0], requires_grad=True)
    weight = adaptive_weight((last * torch.tensor([3.0, 4.0])).sum(), (last * torch.tensor([0.0, 0.5])).sum(), last)
    assert float(weight) == pytest.approx(5 / 0.5, rel=1e-4)
    assert not weight.requires_grad


def test_times_are_mostly_in_the_middle_and_reach_both_ends() -> None:
    t = draw_times(torch.Generator().manual_seed(1), 20_000)
    assert 0 < float(t.min()) < 0.01
    assert 0.99 < float(t.max()) < 1
    # 0.8 of the logit-normal's 72.8 % between a quarter and three quarters (|z| < ln 3), and 0.2 of one half.
    middle = float(((t > 0.25) & (t < 0.75)).float().mean())
    assert middle == pytest.approx(0.8 * 0.728 + 0.2 * 0.5, abs=0.02)


def test_an_untrained_denoiser_errs_as_the_best_linear_one_does(tmp_path: Path, shards: Path) -> None:
    """With k the linear factor, e - r - k x = (1 - k t) e - (1 + k (1 - t)) r, whose squares add up."""
    run = make(tmp_path / "run", shards, ("denoiser",))
    run.net.vae.begin_linear(run.pictures(16, 64, 4))
    run.measure_latent(run.net)
    run.net.eval().requires_grad_(False)
    batch = held_out_batch(run.data.train, 64, 8, run.device)  # type: ignore[union-attr]
    learner = DenoiserLearner(run.net)
    error = np.mean([float(learner(Part(batch, torch.Generator().manual_seed(n)))["velocity"]) for n in range(40)])
    difference = run.net.vae.latent(batch.target) - run.net.context(run.net.guides(batch.inputs))
    t = draw_times(torch.Generator().manual_seed(1), 20_000)
    k = (t - (1 - t) * DEVIATION**2) / ((1 - t) ** 2 * DEVIATION**2 + t**2)
    wanted = ((1 - k * t) ** 2 + (1 + k * (1 - t)) ** 2 * float((difference**2).mean())).mean()
    assert error == pytest.approx(float(wanted), rel=0.1)


@pytest.mark.slow
def test_the_command_trains_all_stages_and_the_engine_colours_with_it(tmp_path: Path, shards: Path) -> None:
    run = tmp_path / "run"
    command = ["train-stablepaint", str(shards), str(run), "--steps", "3", "--batch", "2", "--limit", "4"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    config = json.loads((run / "config.json").read_text())
    assert [s["name"] for s in config["stages"]] == list(STAGES)
    assert CliRunner().invoke(main, command).exit_code == 1
    weights = run / "weights.safetensors"
    assert weights.stat().st_size <= 18_000_000
    assert describe(weights).stochastic
    model = load_model(weights)
    layers = Pipeline(model).run(Job(np.ones((64, 64), np.float32), settings=JobSettings(size=64)))
    assert layers.colour.shape == (64, 64, 4)
    batch = held_out_batch(StablePaintRun(run, shards, plan(TINY, ("vae",))).data.train, 64, 4, torch.device("cpu"))  # type: ignore[union-attr]
    with torch.inference_mode():
        drawn = model.network.sample(batch.inputs, Sampling(tuple(range(len(batch.target)))))  # type: ignore[operator]
    assert torch.isfinite(drawn.shaded).all()


def test_a_later_stage_alone_needs_weights_to_go_on_from(tmp_path: Path, shards: Path) -> None:
    result = CliRunner().invoke(main, ["train-stablepaint", str(shards), str(tmp_path / "run"), "--stage", "context"])
    assert result.exit_code == 2
    assert "--init" in result.output
