"""Resumable states of a run: written whole or not at all, the newest few kept, checked when they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.errors import ColorizeError
from engine.models.checkpoint import read_tensors, save_tensors

KEEP = 2


@dataclass(frozen=True)
class State:
    """What a run goes on from: tensors by name, and plain values beside them."""

    tensors: dict[str, Tensor]
    values: dict[str, str]


Optimisers = dict[str, torch.optim.Optimizer]


def pack_tensors(
    networks: dict[str, nn.Module], optimisers: Optimisers, averages: dict[float, dict[str, Tensor]]
) -> dict[str, Tensor]:
    """All that a run has learnt, under one name each."""
    tensors = {f"average {width}.{k}": t for width, average in averages.items() for k, t in average.items()}
    for name, network in networks.items():
        tensors |= {f"{name}.{k}": t for k, t in network.state_dict().items()}
    for name, optimiser in optimisers.items():
        for number, values in optimiser.state_dict()["state"].items():
            tensors |= {f"{name}.{number}.{k}": torch.as_tensor(v) for k, v in values.items()}
    return tensors


def unpack_tensors(
    tensors: dict[str, Tensor],
    networks: dict[str, nn.Module],
    optimisers: Optimisers,
    averages: dict[float, dict[str, Tensor]],
) -> None:
    """Put back what ``pack_tensors`` made, in the layout of the weights, so that sums come out the same to the bit.

    Raises:
        ColorizeError: the networks are others.
    """

    def part(name: str) -> dict[str, Tensor]:
        return {k.removeprefix(name + "."): t for k, t in tensors.items() if k.startswith(name + ".")}

    try:
        for name, network in networks.items():
            network.load_state_dict(part(name))
        for width, average in averages.items():
            for key, tensor in part(f"average {width}").items():
                average[key].copy_(tensor)
        for name, optimiser in optimisers.items():
            numbered = [p for group in optimiser.param_groups for p in group["params"]]
            values: dict[int, dict[str, Tensor]] = {}
            for key, tensor in part(name).items():
                number, _, what = key.partition(".")
                like = numbered[int(number)]
                laid = torch.empty_like(like, dtype=tensor.dtype) if tensor.shape == like.shape else tensor.clone()
                values.setdefault(int(number), {})[what] = laid.copy_(tensor)
            optimiser.load_state_dict({**optimiser.state_dict(), "state": values})
    except (RuntimeError, KeyError, IndexError) as e:
        raise ColorizeError(
            f"the checkpoint is of other networks ({str(e).splitlines()[0]})",
            "resume with the version of the package that began the run, or begin anew with --init for its weights",
        ) from e


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and contents."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


class Checkpoints:
    """The states in the folder ``checkpoints`` of a run.

    Args:
        run: the run's folder.
        keep: how many to keep.
    """

    def __init__(self, run: Path, keep: int = KEEP) -> None:
        if keep < 1:
            raise ValueError(f"{keep} checkpoints cannot be resumed from; keep at least 1")
        self.folder, self.keep = run / "checkpoints", keep

    def files(self) -> list[Path]:
        """All states, newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def write(self, step: int, state: State) -> None:
        """Keep the state of a step and drop the oldest.

        Raises:
            ColorizeError: it cannot be written; those before are kept.
        """
        tensors = {k: t.detach().cpu().clone(memory_format=torch.contiguous_format) for k, t in state.tensors.items()}
        path = self.folder / f"step-{step:09d}.safetensors"
        with self.written(f"the checkpoint of step {step}"):
            save_tensors(path, tensors, {**state.values, "step": str(step), "sha256": digest(tensors)})
        for old in self.files()[self.keep :]:
            old.unlink(missing_ok=True)

    @contextmanager
    def written(self, what: str) -> Iterator[None]:
        """Explain where something cannot be written, and what the run can go on from.

        Raises:
            ColorizeError: it cannot.
        """
        try:
            yield
        except (OSError, SafetensorError) as e:
            kept = self.files()
            last = f"the run can go on from {kept[0].name}" if kept else "there is no checkpoint before it"
            raise ColorizeError(
                f"{what} cannot be written to {self.folder.parent} ({str(e).splitlines()[0]}); {last}",
                "make room there, or lower --keep, and go on with --resume",
            ) from e

    def read_newest(self) -> tuple[State | None, list[str]]:
        """The newest state that is whole, and a line for every newer one that is not; None where there is none at all.

        Raises:
            ColorizeError: there are some, and all are damaged.
        """
        damaged: list[str] = []
        for path in self.files():
            state = self._read(path)
            if isinstance(state, State):
                return state, damaged
            damaged.append(f"left out the damaged checkpoint {path.name} ({state})")
        if damaged:
            raise ColorizeError(
                f"all checkpoints in {self.folder} are damaged", "begin in another folder, with --init for its weights"
            )
        return None, damaged

    @staticmethod
    def _read(path: Path) -> State | str:
        """A state, or why it cannot be used."""
        try:
            with safe_open(path, framework="pt") as f:
                values = dict(f.metadata() or {})
            tensors = read_tensors(path)
        except ColorizeError as e:
            return e.cause
        except (SafetensorError, OSError, ValueError) as e:
            return str(e).splitlines()[0]
        whole = values.get("sha256") == digest(tensors)
        return State(tensors, values) if whole else "its contents do not fit their SHA-256"
