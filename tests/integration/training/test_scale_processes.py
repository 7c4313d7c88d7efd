"""Training in several processes, and batches that are computed in parts."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from scale_helpers import (
    ENCODER,
    PAINTS,
    STENCIL,
    THESIS,
    EncoderInDouble,
    PaintsTorchInDouble,
    QuickPaints,
    StencilTorchInDouble,
    everything,
    log_lines,
    pack_few,
    train,
    wait_for,
)

from engine.errors import ColorizeError
from training.losses.oklab import total_loss
from training.recipes.paintstorch import PaintsTorchRun
from training.recipes.stenciltorch import PRESETS
from training.runs.checkpoints import Checkpoints
from training.runs.config import LossWeights, check_shares, parts_of, with_batch
from training.runs.distributed import join


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, and room for the processes that run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_few(tmp_path_factory.mktemp("shards"))


KINDS: dict[str, tuple[Any, Any]] = {
    "stenciltorch": (StencilTorchInDouble, STENCIL),
    "paintstorch": (PaintsTorchInDouble, PAINTS),
    "encoder": (EncoderInDouble, ENCODER),
}


def _train_in_a_team(rank: int, world: int, port: int, shards: Path, out: Path) -> None:
    """What torchrun would start: one of several processes that train both models."""
    os.environ |= {"RANK": f"{rank}", "WORLD_SIZE": f"{world}", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    torch.set_num_threads(1)
    with join() as team:
        for name, (kind, config) in KINDS.items():
            train(kind(out / name, shards, config, team=team))


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


# With a single sample in a process, torch draws linearts by another kernel, and steep inks magnify its rounding.
@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_same_batches(shards: Path, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    port = _free_port()
    team = [spawn.Process(target=_train_in_a_team, args=(r, 2, port, shards, tmp_path / "two")) for r in range(2)]
    for process in team:
        process.start()
    alone = {name: kind(tmp_path / "one" / name, shards, config) for name, (kind, config) in KINDS.items()}
    for run in alone.values():
        train(run)
    for process in team:
        process.join(100)
    assert [p.exitcode for p in team] == [0, 0]
    for name in KINDS:
        together, _ = Checkpoints(tmp_path / "two" / name).read_newest()
        assert together is not None
        assert together.values["step"] == "20"
        for key, tensor in everything(alone[name]).items():
            assert torch.allclose(tensor, together.tensors[key], atol=1e-5, rtol=1e-5), (name, key)
        one, two = (log_lines(tmp_path / n / name) for n in ("one", "two"))
        assert [line["step"] for line in two] == [20]
        for term, value in one[0].items():
            if term != "seconds":
                assert two[0][term] == pytest.approx(value, rel=1e-4), term


@pytest.mark.slow
def test_torchrun_shares_a_run_and_a_lost_process_ends_it_with_a_message(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        f"{_free_port()}",
    ]
    command = ["-m", "training", "train-stenciltorch", f"{shards}", f"{run}", "--batch", "8", "--save-minutes", "0.001"]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*torchrun, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet
    ) as team:
        wait_for(lambda: list(run.glob("checkpoints/*.safetensors")), team)
        victim = next(p for p in psutil.Process(team.pid).children() if p.environ()["RANK"] == "1")
        victim.kill()
        said = team.communicate(timeout=60)[0]
    assert team.returncode == 1
    assert "process 0: process 0 of 2 lost the others" in said
    state, damaged = Checkpoints(run).read_newest()
    assert state is not None
    assert not damaged
    starts = json.loads((run / "run.json").read_text())["starts"]
    assert [start["processes"] for start in starts] == [2]


def test_a_batch_in_parts_teaches_a_network_without_normalisation_the_same(shards: Path, tmp_path: Path) -> None:
    learnt = []
    for parts in (1, 2):
        run = PaintsTorchInDouble(tmp_path / f"{parts}", shards, replace(THESIS, accumulate=parts))
        train(run)
        learnt.append(everything(run))
    assert all(torch.allclose(tensor, learnt[1][key], atol=1e-5, rtol=1e-5) for key, tensor in learnt[0].items())


def test_the_loss_of_a_batch_is_the_mean_of_the_losses_of_its_parts(shards: Path, tmp_path: Path) -> None:
    run = StencilTorchInDouble(tmp_path, shards, STENCIL)
    raw = next(run.batches(STENCIL.phases[1]))
    # Statistics of a batch are not those of its parts.
    run.net.eval()
    whole = total_loss(run.predict(run.parts(raw, 1)[0].batch), run.parts(raw, 1)[0].batch, LossWeights(), 0.5)[1]
    parts = run.parts(raw, 4)
    run.net.eval()
    each = [total_loss(run.predict(p.batch), p.batch, LossWeights(), 0.5, p.over)[1] for p in parts]
    for term, value in whole.items():
        assert sum(e[term].item() for e in each) / 4 == pytest.approx(value.item(), rel=1e-6), term


def test_parts_train_a_network_with_normalisation_and_a_critic_too(shards: Path, tmp_path: Path) -> None:
    config = replace(PAINTS, accumulate=2, steps=3, adversarial_from=0.0)
    run = QuickPaints(tmp_path, shards, config)
    before = {k: t.clone() for k, t in everything(run).items()}
    train(run)
    after = everything(run)
    assert all(torch.isfinite(t).all() for t in after.values())
    assert any(not torch.equal(t, after[k]) for k, t in before.items() if k.startswith("critic."))
    # Painting for the critic beforehand leaves the count of batches that the statistics saw as it was.
    counts = {int(t) for k, t in after.items() if k.startswith("net.") and k.endswith("num_batches_tracked")}
    assert counts == {3 * 2}


def test_one_number_sets_the_batches_of_all_phases() -> None:
    assert [p.batch for p in with_batch(PRESETS["cpu"], 8).scaled_phases] == [8, 4, 2]
    assert [p.batch for p in with_batch(PRESETS["gpu"], 24).scaled_phases] == [24, 12, 6]
    check_shares(PRESETS["gpu"], 8)
    assert [parts_of(n, 4) for n in (16, 6, 2, 1)] == [4, 3, 2, 1]
    with pytest.raises(ColorizeError, match="--batch 64") as error:
        check_shares(PRESETS["cpu"], 16)
    assert error.value.wrong_use


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; compiling takes minutes on a CPU")
def test_a_compiled_network_computes_the_same(shards: Path, tmp_path: Path) -> None:
    run = PaintsTorchRun(tmp_path, shards, replace(PAINTS, compile=True, steps=2, adversarial_from=1.0))
    parts = run.parts(next(run.batches(run.phase())), 1)
    with torch.no_grad():
        torch.testing.assert_close(run.predict(parts[0].batch).shaded, run.net(parts[0].batch.inputs).shaded)
