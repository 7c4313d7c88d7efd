"""The device side of the service: which device, and what happens where it does not manage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine.pipeline import Cancelled
from engine.protocol.messages import Buffer
from engine.protocol.settings import JobSettings
from engine.service.buffers import strokes
from engine.service.device import Device, Done, JobRequest
from engine.system.device import choose_device, cpu_may_do, is_out_of_memory

Pixels = NDArray[np.uint8]


def run_out(*_: object) -> None:
    raise torch.cuda.OutOfMemoryError("out of memory. Tried to allocate 2.00 GiB.")


def run(device: Device, line: Pixels) -> tuple[list[str], Done]:
    stages: list[str] = []
    request = JobRequest(line.shape[1], line.shape[0], "small", JobSettings(size=64), ("colour",), False, "")
    lineart = Buffer("lineart", line.shape[1], line.shape[0], "L8", data=line.tobytes())
    done = device.run(request, [lineart], lambda stage, *_: stages.append(stage), lambda *_: None, lambda: False)
    return stages, done


def test_a_device_that_does_not_manage_gives_way_to_the_cpu(small_weights: Path, sketch: Callable[..., Pixels]) -> None:
    _, expected = run(Device("cpu", small_weights), sketch())
    # torch's device without memory stands for a graphics card that runs out of it in the middle of a job.
    device = Device("cpu", small_weights)
    device.kind = "meta"
    device.load("small")
    device._pipelines["small", "meta"].model.network.register_forward_pre_hook(run_out)
    stages, done = run(device, sketch())
    assert stages.count("regions") == 2
    assert (done.device, done.note) == ("cpu", "coloured on the CPU: the meta device had not enough free memory")
    np.testing.assert_array_equal(done.layers[0]["colour"], expected.layers[0]["colour"])
    assert device.kind == "meta"
    assert device.loaded == ["small"]


def test_variations_come_with_their_seeds_and_previews(small_stablepaint: Path, sketch: Callable[..., Pixels]) -> None:
    line = sketch()
    lineart = Buffer("lineart", line.shape[1], line.shape[0], "L8", data=line.tobytes())
    settings = JobSettings(size=64, seed=2**63 - 2, strength=1.0, steps=2, guidance=1.5, variations=3)
    request = JobRequest(64, 48, "small-stablepaint", settings, ("shading", "flats"), True, "")
    device, seen = Device("cpu", small_stablepaint), []
    done = device.run(request, [lineart], lambda *_: None, lambda variation, *_: seen.append(variation), lambda: False)
    assert done.seeds == [2**63 - 2, 2**63 - 1, 0]
    assert seen == [0, 1, 2] * 2
    assert [list(layers) for layers in done.layers] == [["shading", "flats"]] * 3
    assert done.layers[0]["flats"].shape == (48, 64, 4)
    assert len({layers["flats"].tobytes() for layers in done.layers}) > 1


def test_a_sampling_takes_no_step_once_it_is_to_stop(small_stablepaint: Path, sketch: Callable[..., Pixels]) -> None:
    line = sketch()
    lineart = Buffer("lineart", line.shape[1], line.shape[0], "L8", data=line.tobytes())
    request = JobRequest(
        64, 48, "small-stablepaint", JobSettings(size=64, steps=100, variations=2), ("colour",), True, ""
    )
    steps: list[int] = []

    def stop() -> bool:
        return len(steps) >= 8

    with pytest.raises(Cancelled):
        Device("cpu", small_stablepaint).run(
            request, [lineart], lambda _, done, __: steps.append(done), lambda *_: None, stop
        )
    assert len(steps) == 8


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_lack_of_memory_is_told_from_bugs(failure: Exception) -> None:
    assert is_out_of_memory(failure)
    assert cpu_may_do(failure)


def test_a_step_that_a_device_cannot_do_is_left_to_the_cpu_and_a_bug_is_not() -> None:
    assert cpu_may_do(NotImplementedError("not on this device"))
    bug = RuntimeError("shape '[1, 2]' is invalid for input of size 3")
    assert not is_out_of_memory(bug)
    assert not cpu_may_do(bug)


def test_a_device_that_is_not_there_is_replaced_with_a_note() -> None:
    assert choose_device("cpu") == ("cpu", "")
    assert choose_device("auto")[1] == ""
    missing = "mps" if not torch.backends.mps.is_available() else "cuda"
    assert choose_device(missing) == ("cpu", f"coloured on the CPU: torch finds no {missing} device here")


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 2), (-2, -1), (7, 5), (-10, 0), (9, 9)])
def test_hints_lie_where_they_belong_also_over_the_edge(x: int, y: int) -> None:
    part = np.random.default_rng(0).integers(1, 255, (4, 5, 4), dtype=np.uint8)
    canvas = np.zeros((30, 30, 4), np.uint8)
    canvas[10 + y : 14 + y, 10 + x : 15 + x] = part
    found = strokes(Buffer("hints", 5, 4, "RGBA8", x, y, data=part.tobytes()), 9, 8)
    np.testing.assert_array_equal(found, canvas[10:18, 10:19])
