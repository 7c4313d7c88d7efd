"""Training at scale: several processes, parts of a batch, exact resuming, checkpoints, memory, sets on disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.models.base import ModelOutputs
from training.cli.main import main
from training.data.pack import pack, read_manifest
from training.data.shards import read_index, scan
from training.data.synthesis import TrainingBatch
from training.losses.oklab import total_loss
from training.recipes.paintstorch import PRESETS as PAINTS_PRESETS
from training.recipes.paintstorch import PaintsTorchRun
from training.recipes.stenciltorch import PRESETS, StencilTorchRun
from training.runs.checkpoints import Checkpoints, State
from training.runs.config import LossWeights, Phase, check_shares, parts_of, with_batch
from training.runs.distributed import join
from training.runs.parts import Part
from training.runs.run import Run

ART = Path(__file__).parents[2] / "data" / "art"
TINY = {
    "model": {"widths": (8, 8, 8, 16), "encoder_blocks": (0, 1, 0), "decoder_blocks": (1, 0, 1), "heads": 4},
    "phases": (Phase(0.4, 64, 4, 1.0, 1.5), Phase(1.0, 32, 4, 1.0, 1.2)),
    "steps": 20,
    "workers": 0,
    "warmup": 2,
    "adversarial_from": 0.3,
}
STENCIL = replace(PRESETS["cpu"], **TINY)
PAINTS = replace(PAINTS_PRESETS["cpu"], **TINY)
THESIS = replace(
    PAINTS_PRESETS["thesis"],
    content="none",
    features="none",
    model={"width": 8, "cardinality": 4},
    phases=(Phase(1.0, 32, 4, 1.0, 1.0),),
    steps=2,
    workers=0,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Sums in one order, and room for the processes that run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    list(pack(read_manifest(ART, "train"), out, 80, limit_mb=0.03, workers=1))
    return out


class Sheetless:
    """Draws no sheets, which take longer than the steps of a tiny network."""

    def sheets(self, *, last: bool) -> None:
        """Nothing."""


class QuickStencil(Sheetless, StencilTorchRun):
    """StencilTorch without sheets."""


class QuickPaints(Sheetless, PaintsTorchRun):
    """PaintsTorch without sheets."""


def train(run: Run, minutes: float = 10.0) -> list[str]:
    return list(run.train(minutes))


def everything(run: Run) -> dict[str, Tensor]:
    """All that a run has learnt: weights of all networks, averages and the states of the optimisers."""
    found = {f"average {width}.{k}": t for width, average in run.averages.tensors.items() for k, t in average.items()}
    for name, network in run.networks.items():
        found |= {f"{name}.{k}": t for k, t in network.state_dict().items()}
    for name, optimiser in run.optimisers.items():
        for number, values in optimiser.state_dict()["state"].items():
            found |= {f"{name}.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
    return found


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(t, b[k]) for k, t in a.items())


def steps_logged(folder: Path) -> list[int]:
    return [line["step"] for line in log_lines(folder)]


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log about steps."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if "samples" in line]


# --- several processes -----------------------------------------------------------------------------------------------


def _doubled(value: Any) -> Any:
    """Tensors of floats in float64, also those of a dataclass."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _doubled(getattr(value, f.name)) for f in fields(value)})
    return value


class InDouble(Sheetless):
    """Computes in float64: a young network with BatchNorm makes large differences of float32's rounding."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for network in self.networks.values():  # type: ignore[attr-defined]
            network.double()
        self.averages.restart()  # type: ignore[attr-defined]

    def finish(self, raw: dict[str, Tensor], chance: Any) -> TrainingBatch:
        """In float64."""
        batch: TrainingBatch = _doubled(super().finish(raw, chance))  # type: ignore[misc]
        return batch

    def predict(self, batch: TrainingBatch, network: nn.Module | None = None) -> ModelOutputs:
        """In float64."""
        out: ModelOutputs = (network or self.shared("net"))(batch.inputs)  # type: ignore[attr-defined]
        return out


class StencilTorchInDouble(InDouble, StencilTorchRun):
    """StencilTorch in float64."""


class PaintsTorchInDouble(InDouble, PaintsTorchRun):
    """PaintsTorch in float64."""


KINDS = {"stenciltorch": (StencilTorchInDouble, STENCIL), "paintstorch": (PaintsTorchInDouble, PAINTS)}


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


def wait_for(found: Any, process: Any = None, seconds: float = 90.0) -> None:
    """Wait until something is there and the process that makes it still runs."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


# --- parts of a batch ------------------------------------------------------------------------------------------------


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


# --- resuming --------------------------------------------------------------------------------------------------------


class Noted(QuickPaints):
    """Leaves a file for every step."""

    def train_step(self, raw: dict[str, Tensor]) -> dict[str, float]:
        """A step."""
        terms = super().train_step(raw)
        (self.folder / f"did {self.step}").touch()
        return terms


def _train_and_report(shards: Path, out: Path) -> None:
    """A run in a process of its own; its lines go to a file."""
    torch.set_num_threads(1)
    run = Noted(out, shards, replace(PAINTS, workers=1))
    (out / "said").write_text("\n".join(run.train(10)))


def test_a_run_that_gets_sigterm_ends_cleanly_and_resumes_to_the_bit(shards: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_train_and_report, args=(shards, tmp_path / "part"))
    process.start()
    whole = QuickPaints(tmp_path / "whole", shards, PAINTS)
    wait_for(lambda: (tmp_path / "part" / "did 7").exists())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    train(whole)
    process.join(60)
    assert process.exitcode == 0
    said = (tmp_path / "part" / "said").read_text()
    assert "stopped on SIGTERM at step" in said
    assert said.endswith("--resume")
    resumed = QuickPaints(tmp_path / "part", shards, PAINTS)
    assert resumed.resume() == ["workers was 1, now 0", f"resumed at step {resumed.step}"]
    assert 7 <= resumed.step < 20
    train(resumed)
    assert same(everything(whole), everything(resumed))
    assert steps_logged(tmp_path / "part") == steps_logged(tmp_path / "whole") == [20]


class Interrupted(QuickStencil):
    """Gets Ctrl-C in the middle of some steps."""

    def optimise(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """A step."""
        if self.step in (4, 13):
            os.kill(os.getpid(), signal.SIGINT)
        return super().optimise(parts)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C")
def test_a_run_interrupted_again_and_again_resumes_to_the_bit(shards: Path, tmp_path: Path) -> None:
    whole = QuickStencil(tmp_path / "whole", shards, STENCIL)
    train(whole)
    for last in (5, 14, 20):
        run = Interrupted(tmp_path / "part", shards, STENCIL)
        run.resume()
        said = train(run)
        assert run.step == last
        assert ("stopped on SIGINT" in said[0]) == (last < 20)
    assert same(everything(whole), everything(run))
    # What listened to the signal before does again.
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_log_that_went_past_the_checkpoint_is_cut_back_to_it(shards: Path, tmp_path: Path) -> None:
    config = replace(STENCIL, steps=2)
    train(QuickStencil(tmp_path, shards, config))
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 2, "samples": 8}\n{"step": 20, "samples": 80}\n{"step": 40, "sam')
    again = QuickStencil(tmp_path, shards, config)
    again.resume()
    train(again)
    assert steps_logged(tmp_path) == [2]


def test_resuming_with_other_settings_is_refused_unless_they_do_no_harm(shards: Path, tmp_path: Path) -> None:
    run, options = tmp_path / "run", ["--batch", "4", "--max-minutes", "0"]
    begin = ["train-stenciltorch", str(shards), str(run), *options]
    first = CliRunner().invoke(main, [*begin, "--steps", "8"])
    assert first.exit_code == 0, first.output
    other = CliRunner().invoke(main, [*begin, "--steps", "9", "--lr", "0.1", "--resume"])
    assert other.exit_code == 1
    assert "lr was 0.0012, now 0.1; steps was 8, now 9" in other.output
    assert "begun with other settings" in other.output
    less = CliRunner().invoke(main, [*begin, "--steps", "8", "--limit", "3", "--resume"])
    assert "data.limit was None, now 3" in less.output
    again = CliRunner().invoke(main, [*begin, "--steps", "8", "--resume", "--accumulate", "1", "--keep", "5"])
    assert again.exit_code == 0, again.output
    assert "resumed at step 0" in again.output


def test_the_folder_tells_all_about_a_run(shards: Path, tmp_path: Path) -> None:
    config = replace(STENCIL, steps=20, adversarial_from=1.0, seed=5)
    train(StencilTorchRun(tmp_path, shards, config, limit=4))
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 5
    about = json.loads((tmp_path / "run.json").read_text())
    assert about["data"] == {"digest": read_index(shards).digest, "limit": 4}
    assert {"step", "processes", "device", "command", "git_revision", "torch", "python"} == set(about["starts"][0])
    assert steps_logged(tmp_path) == [20]
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert len(list((tmp_path / "sheets").iterdir())) == 4


# --- checkpoints -----------------------------------------------------------------------------------------------------


def _state(value: float) -> State:
    return State({"w": torch.full((2000,), value), "none": torch.empty(0), "n": torch.tensor(3)}, {"samples": "1"})


def test_the_newest_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (5, 20, 100, 1000):
        checkpoints.write(step, _state(step))
    files = checkpoints.files()
    assert [int(f.stem.removeprefix("step-")) for f in files] == [1000, 100, 20]
    files[0].write_bytes(files[0].read_bytes()[:3000])
    whole = bytearray(files[1].read_bytes())
    whole[-9] ^= 1
    files[1].write_bytes(whole)
    state, damaged = checkpoints.read_newest()
    assert state is not None
    assert state.values["step"] == "20"
    assert torch.equal(state.tensors["w"], _state(20).tensors["w"])
    assert [line.split("(")[0].split()[-1] for line in damaged] == [f.name for f in files[:2]]
    assert "SHA-256" in damaged[1]
    files[2].write_bytes(b"")
    with pytest.raises(ColorizeError, match=r"all checkpoints .* are damaged"):
        checkpoints.read_newest()


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
def test_a_full_disk_is_explained_and_the_last_checkpoint_kept(tmp_path: Path) -> None:
    import resource

    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.write(7, _state(7))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ColorizeError, match=r"step 8 cannot be written.*go on from step-000000007") as error:
            checkpoints.write(8, _state(8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "--resume" in error.value.remedy
    assert [f.name for f in checkpoints.folder.iterdir()] == ["step-000000007.safetensors"]
    state, _ = checkpoints.read_newest()
    assert state is not None


# --- memory ----------------------------------------------------------------------------------------------------------


class Cramped(QuickStencil):
    """A device that has memory for so many samples at a time."""

    room = 2

    def optimise(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """As far as there is room."""
        if len(parts[0].batch.target) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
        return super().optimise(parts)


def test_a_batch_that_does_not_fit_is_explained_with_one_that_does(shards: Path, tmp_path: Path) -> None:
    config = replace(STENCIL, phases=(Phase(0.1, 64, 2, 1.0, 1.2), Phase(1.0, 64, 8, 1.0, 1.2)), adversarial_from=0.0)
    run = Cramped(tmp_path, shards, config)
    with pytest.raises(ColorizeError, match="a batch of 8 crops of 64 px does not fit") as error:
        train(run)
    assert "Tried to allocate 2.00 GiB" in error.value.cause
    assert "2 fit (tried)" in error.value.cause
    assert "--resume --accumulate 4," in error.value.remedy
    # Eight are four times the first phase's.
    assert "--batch 1 --init" in error.value.remedy
    resumed = Cramped(tmp_path, shards, replace(config, accumulate=4))
    said = resumed.resume()
    assert said == ["accumulate was 1, now 4", "resumed at step 2"]
    run.room = 0
    with pytest.raises(ColorizeError, match="neither does a single one"):
        list(run.train(1))


# --- sets on disk ----------------------------------------------------------------------------------------------------


def test_a_streamed_run_leaves_out_what_is_damaged_and_says_so(shards: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "shards"
    shutil.copytree(shards, spoilt)
    names = sorted(spoilt.glob("*.tar"))
    assert len(names) > 2
    with names[0].open("r+b") as file:
        entry = scan(names[0])[0]
        file.seek(entry.parts["image.webp"][0])
        file.write(b"no picture")
    names[1].write_bytes(b"no tar" * 200)
    # Both shards are seen in the first two epochs.
    config = replace(STENCIL, stream=True, steps=12, phases=(Phase(1.0, 64, 2, 1.0, 1.5),), adversarial_from=1.0)
    run = QuickStencil(tmp_path / "run", spoilt, config)
    assert run.config.recipe.order == "epochs"
    said = train(run)
    assert f"left out {names[0].name}: {entry.key}" in said
    assert f"left out {names[1].name}: pictures in it" in said
    assert said[-2].startswith("2 pictures or shards could not be read")
    assert run.step == 12
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len([line for line in log if "left_out" in line]) == 2


def test_a_damaged_picture_is_left_out_of_a_set_in_memory_too(shards: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "shards"
    shutil.copytree(shards, spoilt)
    name = min(spoilt.glob("*.tar"))
    with name.open("r+b") as file:
        entry = scan(name)[0]
        file.seek(entry.parts["flats.png"][0])
        file.write(b"no picture")
    run = QuickStencil(tmp_path / "run", spoilt, replace(STENCIL, steps=1))
    said = train(run)
    assert said[0].startswith(f"left out {name.name}: {entry.key}")
