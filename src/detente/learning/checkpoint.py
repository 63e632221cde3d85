"""One TrainState: all that an interrupted run needs to go on exactly where it was.

    checkpoint/NNNNNN/  state.json (counters, pool, digest)  tensors.safetensors (adapters, optimizers, critics)

A state is written to a temporary folder and renamed, so it is there whole or not at all; the one before it is removed after that.
Random streams need no place in it: they are functions of the seed and the iteration.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from detente.errors import UserError
from detente.learning.learner import Learner

STATE, TENSORS = "state.json", "tensors.safetensors"


@dataclass(frozen=True)
class TrainState:
    """After how many iterations, which versions were kept per learner, the tensors of the learners, the base's fingerprint, and
    what remote models have cost."""

    iteration: int
    versions: dict[str, int]
    kept: dict[str, list[int]]
    tensors: dict[str, Tensor]
    base: str = ""
    spent: Mapping[str, int] = field(default_factory=dict)


def capture(
    iteration: int,
    learners: Mapping[str, Learner],
    kept: Mapping[str, list[int]],
    base: str = "",
    spent: Mapping[str, int] | None = None,
) -> TrainState:
    """The state of a run now."""
    tensors: dict[str, Tensor] = {}
    for name, learner in learners.items():
        for key, value in _tensors(learner).items():
            tensors[f"{name}/{key}"] = value
    versions = {name: learner.version for name, learner in learners.items()}
    return TrainState(iteration, versions, {name: list(v) for name, v in kept.items()}, tensors, base, dict(spent or {}))


def restore(state: TrainState, learners: Mapping[str, Learner]) -> None:
    """Put the learners back to that state."""
    for name, learner in learners.items():
        learner.version = state.versions[name]
        prefix = f"{name}/"
        own = {key.removeprefix(prefix): value for key, value in state.tensors.items() if key.startswith(prefix)}
        with torch.no_grad():
            for i, parameter in enumerate(_parameters(learner)):
                parameter.copy_(own[f"parameter/{i}"])
        optimizer = learner.optimizer.state_dict()
        optimizer["state"] = {
            i: {key: own[f"optimizer/{i}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            for i in range(len(_parameters(learner)))
            if f"optimizer/{i}/step" in own
        }
        learner.optimizer.load_state_dict(optimizer)


def write(folder: Path, state: TrainState) -> None:
    """Save a state, then remove the older ones."""
    payload = save({key: value.detach().cpu().contiguous() for key, value in state.tensors.items()})
    counters = {key: value for key, value in vars(state).items() if key != "tensors"}
    header = counters | {"sha256": _digest(counters, payload)}
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write(partial / TENSORS, payload)
    _write(partial / STATE, json.dumps(header, indent=2).encode())
    partial.rename(folder / f"{state.iteration:06d}")
    for older in _states(folder)[:-1]:
        shutil.rmtree(older)


def read_newest(folder: Path) -> TrainState | None:
    """The newest state, or None where there is none; UserError if it is damaged."""
    states = _states(folder)
    if not states:
        return None
    try:
        header: dict[str, Any] = json.loads((states[-1] / STATE).read_text(encoding="utf-8"))
        payload = (states[-1] / TENSORS).read_bytes()
        if header.pop("sha256") != _digest(header, payload):
            raise ValueError("its contents do not match their digest")
        return TrainState(**header, tensors=load(payload))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"The checkpoint {states[-1]} is damaged ({error}); restore it from a copy, "
            f"or remove the folder {folder} to train from the start."
        ) from error


def _digest(counters: Mapping[str, Any], payload: bytes) -> str:
    digest = hashlib.sha256(json.dumps(counters, sort_keys=True).encode())
    digest.update(payload)
    return digest.hexdigest()


def _states(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []


def _parameters(learner: Learner) -> list[Any]:
    return [p for group in learner.optimizer.param_groups for p in group["params"]]


def _tensors(learner: Learner) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for i, parameter in enumerate(_parameters(learner)):
        result[f"parameter/{i}"] = parameter
        for key, value in learner.optimizer.state.get(parameter, {}).items():
            result[f"optimizer/{i}/{key}"] = value
    return result


def _write(path: Path, payload: bytes) -> None:
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
