"""Training at scale: exact resuming, checkpoints, memory, sets on disk."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from scale_helpers import (
    PAINTS,
    STENCIL,
    QuickPaints,
    QuickStencil,
    everything,
    pack_few,
    same,
    steps_logged,
    train,
    wait_for,
)
from torch import Tensor

from engine.errors import ColorizeError
from training.cli.main import main
from training.data.shards import read_index, scan
from training.recipes.stenciltorch import StencilTorchRun
from training.runs.checkpoints import Checkpoints, State
from training.runs.config import Phase
from training.runs.parts import Part


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


@pytest.mark.slow
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


@pytest.mark.slow
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
