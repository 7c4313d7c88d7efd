"""From a start to the first picture: a command's own process, and a model that is warm before its first job."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from service_helpers import Caller, Engine, layer, until

from engine.cli.main import main
from engine.service import worker
from engine.service.device import Device
from engine.service.exchange import receive

Pixels = NDArray[np.uint8]
Sketch = Callable[..., Pixels]


def runs(device: Device, model: str = "small") -> list[int]:
    """Count, from now on, how often a model's network runs: a list that grows."""
    device.load(model)
    seen: list[int] = []
    network = device._pipelines[model, device.kind].model.network
    network.register_forward_pre_hook(lambda *_: seen.append(1))
    return seen


def heard(said: io.BytesIO) -> list[dict[str, Any]]:
    """What the device process has said."""
    said.seek(0)
    messages = []
    while (message := receive(said)) is not None:
        messages.append(message)
    return messages


@pytest.mark.parametrize("kind", ["small_weights", "small_stablepaint"])
def test_a_process_of_its_own_gives_the_bytes_of_any_other(
    kind: str, sketch: Sketch, save: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    line, weights = save("line.png", sketch()), request.getfixturevalue(kind)
    given = ["colorize", str(line), "--weights", str(weights), "--device", "cpu", "--size", "64", "-o"]
    mine, other = tmp_path / "mine.png", tmp_path / "other.png"
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli", *given, str(mine)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith(str(mine))
    assert CliRunner().invoke(main, [*given, str(other)]).exit_code == 0
    assert mine.read_bytes() == other.read_bytes()


def test_warming_runs_the_network_once_for_all_and_not_at_all_where_there_is_work(small_weights: Path) -> None:
    device = Device("cpu", small_weights)
    seen = runs(device)
    device.warm("small", lambda: True)
    assert not seen
    device.warm("small", lambda: False)
    assert len(seen) == 1
    device.warm("small", lambda: False)
    assert len(seen) == 1


def test_a_loaded_model_is_told_of_before_it_is_warm(small_weights: Path) -> None:
    said, device = io.BytesIO(), Device("cpu", small_weights)
    link = worker.Link(io.BytesIO(), said)
    told_first = []
    device.load("small")
    network = device._pipelines["small", "cpu"].model.network
    network.register_forward_pre_hook(lambda *_: told_first.append(bool(said.getvalue())))
    worker._load(link, device, "small")
    assert told_first == [True]
    assert [m["models"] for m in heard(said)] == [["small"]]


def test_a_device_that_cannot_be_warmed_is_told_of_and_goes_on(
    small_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, device = io.BytesIO(), Device("cpu", small_weights)

    def run_out(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("out of memory")

    device.load("small")
    device._pipelines["small", "cpu"].model.network.register_forward_pre_hook(run_out)
    worker._load(worker.Link(io.BytesIO(), said), device, "small")
    assert "cannot make small ready: out of memory" in capsys.readouterr().err
    assert {tuple(m["models"]) for m in heard(said)} == {("small",)}


def test_a_job_that_comes_while_the_model_is_warmed_gives_the_bytes_of_any_other(
    start: Callable[..., Engine], call: Callable[[Engine], Caller], sketch: Sketch
) -> None:
    caller = call(start())
    until(lambda: caller.status()["worker"]["state"] == "ready")
    caller.ask("load", model="small")
    first, second = (layer(caller.until(caller.colorize(sketch(), model="small", layers=["colour"]))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
