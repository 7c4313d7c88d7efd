"""Runs that meet numbers that are not finite, become longer, or choose among averages."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from engine.errors import ColorizeError
from engine.models.checkpoint import read_tensors
from training.cli.main import main
from training.data.pack import pack, read_manifest
from training.features.run import PRESETS as ENCODER_PRESETS
from training.features.run import EncoderRun
from training.losses.oklab import total_loss
from training.recipes.paintstorch import PRESETS as PAINTS_PRESETS
from training.recipes.paintstorch import PaintsTorchRun
from training.recipes.stenciltorch import PRESETS, StencilTorchRun
from training.runs.config import Phase
from training.runs.parts import Part
from training.runs.run import Run

ART = Path(__file__).parents[2] / "data" / "art"
TINY: dict[str, Any] = {
    "model": {"widths": (8, 8, 8, 16), "encoder_blocks": (0, 1, 0), "decoder_blocks": (1, 0, 1), "heads": 4},
    "phases": (Phase(1.0, 32, 4, 1.0, 1.5),),
    "steps": 12,
    "workers": 0,
    "warmup": 2,
}
STENCIL = replace(PRESETS["cpu"], **TINY)
PAINTS = replace(PAINTS_PRESETS["cpu"], **TINY, adversarial_from=0.0)
ENCODER = replace(
    ENCODER_PRESETS["cpu"],
    model={"widths": (8, 12, 16, 24)},
    phases=(Phase(1.0, 32, 4, 1.25, 5.0),),
    steps=12,
    workers=0,
    warmup=2,
)
KINDS: dict[str, tuple[Any, Any]] = {
    "stenciltorch": (StencilTorchRun, STENCIL),
    "paintstorch": (PaintsTorchRun, PAINTS),
    "encoder": (EncoderRun, ENCODER),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    list(pack(read_manifest(ART, "train"), out, 80, workers=1))
    return out


def everything(run: Run[Any]) -> dict[str, Tensor]:
    """Weights, statistics and optimisers' states of all networks."""
    found = {
        f"{name}.{k}": t.clone() for name, network in run.networks.items() for k, t in network.state_dict().items()
    }
    for name, optimiser in run.optimisers.items():
        for number, values in optimiser.state_dict()["state"].items():
            found |= {f"{name}.{number}.{k}": torch.as_tensor(v).clone() for k, v in values.items()}
    return found


def spoil(run: Run[Any]) -> None:
    """Put a NaN into a weight, so that every picture and gradient holds one."""
    with torch.no_grad():
        weight = next(iter(run.net.parameters()))
        weight[(0,) * weight.ndim] = math.nan


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_with_a_nan_changes_nothing_and_is_counted(shards: Path, tmp_path: Path, kind: str) -> None:
    make, config = KINDS[kind]
    run = make(tmp_path, shards, config)
    batches = run.batches(run.phase())
    run.train_step(next(batches))
    before = everything(run)
    raw = next(batches)

    def broken(*arguments: Any, **options: Any) -> Any:
        parts = run.__class__.parts(run, *arguments, **options)
        for part in parts:
            picture = part.batch.target if isinstance(part, Part) else part.first
            picture[0, 0, 3, 3] = math.nan
        return parts

    run.parts = broken
    run.train_step(raw)
    del run.parts
    after = everything(run)
    assert before.keys() == after.keys()
    spoilt = {k for k, t in before.items() if not torch.equal(t, after[k])}
    # The reader, which looks at the pictures and not at what they should be, may still learn.
    assert not {k for k in spoilt if not k.startswith("reader")}
    assert run.finiteness.check(run.step) == 1
    assert run.step == 2
    run.train_step(next(batches))
    moved = everything(run)
    assert all(torch.isfinite(t).all() for t in moved.values())
    assert any(not torch.equal(t, moved[k]) for k, t in after.items() if k.startswith("net."))


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.safetensors")}


def test_a_run_that_turns_to_nan_stops_with_an_error_and_keeps_its_weights(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train-stenciltorch", str(shards), str(tmp_path / "run"), "--batch", "2", "--limit", "4"]
    monkeypatch.setitem(PRESETS, "cpu", replace(STENCIL, steps=60))
    first = CliRunner().invoke(main, [*command, "--max-minutes", "0"])
    assert first.exit_code == 0, first.output
    good = digests(tmp_path / "run")
    calls = 0

    def broken(*arguments: Any) -> tuple[Tensor, dict[str, Tensor]]:
        nonlocal calls
        calls += 1
        loss, terms = total_loss(*arguments)
        return (loss * math.nan if calls > 7 else loss), terms

    monkeypatch.setattr("training.recipes.stenciltorch.total_loss", broken)
    second = CliRunner().invoke(main, [*command, "--resume"])
    assert second.exit_code == 1
    assert "was not a finite number" in second.output
    assert "in a row" in second.output
    assert "--resume" in second.output
    assert digests(tmp_path / "run") == good
    monkeypatch.undo()
    monkeypatch.setitem(PRESETS, "cpu", replace(STENCIL, steps=60))
    third = CliRunner().invoke(main, [*command, "--resume", "--max-minutes", "0"])
    assert third.exit_code == 0, third.output
    assert "resumed at step 0" in third.output


def test_broken_weights_are_never_written_over_good_ones(shards: Path, tmp_path: Path) -> None:
    run = StencilTorchRun(tmp_path, shards, STENCIL)
    run.save()
    good = digests(tmp_path)
    run.step += 1
    spoil(run)
    with pytest.raises(ColorizeError, match="is not a finite number at step 1"):
        run.save()
    assert digests(tmp_path) == good
    again = StencilTorchRun(tmp_path, shards, STENCIL)
    for average in again.averages.tensors.values():
        next(t for t in average.values() if t.is_floating_point()).fill_(7e4)
    with pytest.raises(ColorizeError, match="is not a finite number"):
        # Finite, but not in the fp16 of the file.
        again.save()
    assert digests(tmp_path) == good


@pytest.mark.parametrize("kind", KINDS)
def test_the_average_with_the_least_held_out_loss_is_written(shards: Path, tmp_path: Path, kind: str) -> None:
    make, config = KINDS[kind]
    run = make(tmp_path, shards, replace(config, steps=3))
    list(run.train(10))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = {width: lines[-1][f"held_out/loss/{width}"] for width in (0.05, 0.1)}
    best = min(losses, key=lambda width: losses[width])
    metadata = json.loads(_metadata(tmp_path / "weights.safetensors")["training"])
    assert metadata["average"] == best == run.averages.chosen
    assert metadata["held_out"]["loss"] == losses[best]
    with run.lent(run.averages.best):
        assert run.held_out()["loss"] == losses[best]
    stored = read_tensors(tmp_path / "weights.safetensors")
    average = run.averages.best
    same = [torch.equal(t.float(), average[k].half().float()) for k, t in stored.items() if t.is_floating_point()]
    # Those of an encoder are measured anew.
    assert sum(same) >= len(same) - 4


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


class Quick(StencilTorchRun):
    """Without sheets."""

    def sheets(self, *, last: bool) -> None:
        """Nothing."""


def test_a_run_made_longer_in_its_plateau_equals_one_that_was_long_from_the_start(shards: Path, tmp_path: Path) -> None:
    long = Quick(tmp_path / "long", shards, replace(STENCIL, steps=24, losses=replace(STENCIL.losses, guide_end=1.5)))
    list(long.train(10))
    short = replace(long.config, steps=12)
    begun = Quick(tmp_path / "short", shards, short)
    for raw in begun.batches(begun.phase()):
        begun.train_step(raw)
        if begun.step == 8:
            break
    begun.save()
    longer = Quick(tmp_path / "short", shards, long.config)
    assert longer.resume() == ["steps was 12, now 24", "resumed at step 8"]
    list(longer.train(10))
    whole = everything(long)
    assert all(torch.equal(t, whole[k]) for k, t in everything(longer).items())
    finished = Quick(tmp_path / "long", shards, replace(long.config, steps=60))
    assert "resumed at step 24" in finished.resume()
    assert finished.learning_rate() == finished.config.lr


def test_a_run_cannot_become_shorter_and_all_changes_are_named(shards: Path, tmp_path: Path) -> None:
    Quick(tmp_path, shards, STENCIL).save()
    with pytest.raises(ColorizeError, match="longer, not shorter"):
        Quick(tmp_path, shards, replace(STENCIL, steps=11)).resume()
    with pytest.raises(ColorizeError, match=r"losses\.hint was 1\.0, now 2\.0; steps was 12, now 13"):
        Quick(tmp_path, shards, replace(STENCIL, steps=13, losses=replace(STENCIL.losses, hint=2.0))).resume()


def test_epochs_set_the_steps(shards: Path, tmp_path: Path) -> None:
    run = Quick(tmp_path, shards, replace(STENCIL, epochs=8.0))
    assert run.config.steps == round(8 * run.data.epoch_length / 4)
    both = ["train-stenciltorch", str(shards), str(tmp_path / "x"), "--steps", "3", "--epochs", "1"]
    assert CliRunner().invoke(main, both).exit_code == 2


class Interrupted(EncoderRun):
    """Is told to stop at its third step."""

    def optimise(self, parts: Sequence[Any]) -> dict[str, Tensor]:
        """A step."""
        if self.step == 2:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)
        return super().optimise(parts)


def test_an_encoder_run_ends_cleanly_on_sigterm_and_survives_a_damaged_checkpoint(shards: Path, tmp_path: Path) -> None:
    run = Interrupted(tmp_path, shards, ENCODER)
    run.save()
    said = list(run.train(10))
    assert "stopped on SIGTERM at step 3" in said[0]
    newest = run.checkpoints.files()[0]
    newest.write_bytes(newest.read_bytes()[:500])
    resumed = EncoderRun(tmp_path, shards, ENCODER)
    told = resumed.resume()
    assert "left out the damaged checkpoint" in told[0]
    assert told[-1] == "resumed at step 0"
