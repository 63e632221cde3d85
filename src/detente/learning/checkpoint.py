"""A Checkpoint: all that an interrupted run needs to continue exactly.

    checkpoint/NNNNNN/  state.json (counters, pool, digests)  NAME.safetensors (adapter, optimizer and critic of that learner)
                        backlog.jsonl.gz (episodes that a later update trains on, if any)  ahead.jsonl.gz (the next rollout,
                        if it was played beside the last update)

A checkpoint is written to a temporary folder and renamed, so it is there completely or not at all; after that its predecessor is
removed. The file of a learner that was not trained in between is not written again: the new folder gets a hard link to it. Random
streams need no place in a checkpoint: they are functions of the seed and the iteration.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from detente import jsonl
from detente.errors import UserError
from detente.files import write_synced
from detente.finite import fault
from detente.learning.curriculum import Curriculum, chosen_from_json
from detente.learning.learner import Learner
from detente.learning.state import Ahead, RunState
from detente.records import Episode, read_episodes

STATE, BACKLOG, AHEAD = "state.json", "backlog", "ahead"
WHOLE = "tensors.safetensors"  # of earlier versions, with all learners
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)  # what reading a damaged state raises
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run, each learner's tensors, and the fingerprint of its base model."""

    state: RunState
    tensors: Mapping[str, Tensors]
    bases: Mapping[str, str] = field(default_factory=dict)


def capture(state: RunState, learners: Mapping[str, Learner], bases: Mapping[str, str] | None = None) -> Checkpoint:
    """The state with the learners' tensors as they are now, not copied."""
    return Checkpoint(state, {name: _tensors(learner) for name, learner in learners.items()}, bases or {})


def restore(saved: Checkpoint, learners: Mapping[str, Learner]) -> None:
    """Set the learners to what was saved; UserError, before any of them has changed, for a checkpoint of other learners."""
    state = saved.state
    for name, learner in learners.items():
        if name not in state.learners or not _fits(saved.tensors.get(name, {}), learner):
            raise UserError(f"The checkpoint of iteration {state.iteration} does not fit the learner '{name}' of this run.")
    for name, learner in learners.items():
        learner.version = state.learners[name]
        own = saved.tensors[name]
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


def write(folder: Path, checkpoint: Checkpoint) -> None:
    """Save a checkpoint, then remove older ones. Tensors of a learner with the same version are the same, and not compared."""
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    states = _states(folder)
    unchanged = _unchanged(states[-1], checkpoint.state.learners) if states else {}
    files = {}
    for name, tensors in checkpoint.tensors.items():
        file = f"{name}.safetensors"
        linked = name in unchanged and _linked(states[-1] / file, partial / file)
        files[name] = unchanged[name] if linked else _save(partial / file, tensors)
    counters = _counters(checkpoint) | {"files": files}
    counters |= _write_episodes(partial, BACKLOG, checkpoint.state.backlog)
    if ahead := checkpoint.state.ahead:
        counters |= _write_episodes(partial, AHEAD, ahead.episodes) | {"audit": dict(ahead.audit)}
        counters |= {"plan": [asdict(chosen) for chosen in ahead.plan]} if ahead.plan else {}
    write_synced(partial / STATE, json.dumps(counters | {"sha256": _sha256(_json(counters))}, indent=2).encode())
    partial.rename(folder / f"{checkpoint.state.iteration:06d}")
    remove_older(folder)


def remove_older(folder: Path) -> None:
    """Remove every state but the newest."""
    for older in _states(folder)[:-1]:
        shutil.rmtree(older)


def newest(folder: Path) -> int:
    """The iteration of the newest state; 0 where there is none."""
    return max((int(state.name) for state in _states(folder)), default=0)


def read_newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint, or None; UserError if it is damaged or its numbers are not finite."""
    states = _states(folder)
    if not states:
        return None
    try:
        header = _header(states[-1])
        if "files" in header:
            tensors = {name: _read(states[-1] / f"{name}.safetensors", sha) for name, sha in header.pop("files").items()}
        else:
            tensors = _read_whole(states[-1] / WHOLE, header)
        for own in tensors.values():
            if reason := fault(own):
                raise ValueError(reason)
        backlog, played = (_read_episodes(states[-1], what, header) for what in (BACKLOG, AHEAD))
        plan = tuple(chosen_from_json(chosen) for chosen in header.get("plan", ()))
        ahead = Ahead(played, header["audit"], plan) if played else None
        return Checkpoint(replace(_state(header), backlog=backlog, ahead=ahead), tensors, _bases(header))
    except DAMAGE as error:
        raise UserError(
            f"The checkpoint {states[-1]} is damaged ({error}); restore it from a copy, "
            f"or remove the folder {folder} to train from the start."
        ) from error


def _counters(checkpoint: Checkpoint) -> dict[str, Any]:
    """The content of state.json: all but the tensors."""
    state = checkpoint.state
    return {
        "iteration": state.iteration,
        "versions": dict(state.learners),
        "kept": {name: list(versions) for name, versions in state.pool.items()},
        "bases": dict(checkpoint.bases),
        "spent": dict(state.spent),
    } | ({} if state.curriculum == Curriculum() else {"curriculum": state.curriculum.to_json()})


def _state(header: Mapping[str, Any]) -> RunState:
    """The inverse of ``_counters``; runs of earlier versions did not count costs."""
    pool = {name: tuple(versions) for name, versions in header["kept"].items()}
    curriculum = Curriculum.from_json(header["curriculum"]) if "curriculum" in header else Curriculum()
    return RunState(header["iteration"], header["versions"], pool, header.get("spent", {}), curriculum=curriculum)


def _bases(header: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of the learners' base models; runs of earlier versions have one for all learners."""
    return dict(header["bases"]) if "bases" in header else dict.fromkeys(header["versions"], header.get("base", ""))


def _write_episodes(state: Path, what: str, episodes: Sequence[Episode]) -> dict[str, str]:
    """Write the episodes, if there are any; returns their digest for state.json."""
    if not episodes:
        return {}
    payload = gzip.compress(b"".join(episode.to_line() for episode in episodes), jsonl.LEVEL, mtime=0)
    write_synced(state / f"{what}.jsonl.gz", payload)
    return {what: _sha256(payload)}


def _read_episodes(state: Path, what: str, header: Mapping[str, Any]) -> tuple[Episode, ...]:
    """The inverse of ``_write_episodes``."""
    if what not in header:
        return ()
    file = state / f"{what}.jsonl.gz"
    _check(header[what], file.read_bytes())
    return tuple(read_episodes(file))


def _header(state: Path) -> dict[str, Any]:
    """The content of state.json; an error of DAMAGE if it does not match its digest."""
    header: dict[str, Any] = json.loads((state / STATE).read_text(encoding="utf-8"))
    if "files" in header:
        _check(header.pop("sha256"), _json(header))
    return header


def _read(file: Path, sha256: str) -> Tensors:
    """A learner's tensors."""
    payload = file.read_bytes()
    _check(sha256, payload)
    return load(payload)


def _read_whole(file: Path, header: dict[str, Any]) -> dict[str, Tensors]:
    """All learners' tensors, from the file of earlier versions; removes the digest, which covers the header, from the header."""
    payload = file.read_bytes()
    _check(header.pop("sha256"), _json(header) + payload)
    tensors: dict[str, Tensors] = {name: {} for name in header["versions"]}
    for key, value in load(payload).items():
        name, _, own = key.partition("/")
        tensors[name][own] = value
    return tensors


def _unchanged(before: Path, versions: Mapping[str, int]) -> dict[str, str]:
    """The digests of the files in the previous checkpoint that hold the same versions of learners."""
    try:
        header = _header(before)
        return {name: sha for name, sha in header["files"].items() if header["versions"][name] == versions.get(name)}
    except DAMAGE:  # or of the earlier layout; ``read_newest`` reports damage
        return {}


def _linked(old: Path, new: Path) -> bool:
    """Make a hard link to a file; False where the file is gone or the disk has no links."""
    try:
        os.link(old, new)
    except OSError:
        return False
    return True


def _save(file: Path, tensors: Tensors) -> str:
    """Write a learner's tensors; returns their digest."""
    payload = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    write_synced(file, payload)
    return _sha256(payload)


def _json(counters: Mapping[str, Any]) -> bytes:
    return json.dumps(counters, sort_keys=True).encode()


def _sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _check(expected: str, payload: bytes) -> None:
    if _sha256(payload) != expected:
        raise ValueError("its contents do not match their digest")


def _states(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name.isdecimal()) if folder.is_dir() else []


def _parameters(learner: Learner) -> list[Any]:
    return [p for group in learner.optimizer.param_groups for p in group["params"]]


def _fits(own: Tensors, learner: Learner) -> bool:
    """Whether these are the tensors of such a learner, of the right shapes."""
    shapes: dict[str, torch.Size] = {}
    for i, parameter in enumerate(_parameters(learner)):
        shapes |= {f"parameter/{i}": parameter.shape}
        if f"optimizer/{i}/step" in own:
            moments = {f"optimizer/{i}/{key}": parameter.shape for key in ("exp_avg", "exp_avg_sq")}
            shapes |= moments | {f"optimizer/{i}/step": torch.Size()}
    return {key: tensor.shape for key, tensor in own.items()} == shapes


def _tensors(learner: Learner) -> Tensors:
    result: Tensors = {}
    for i, parameter in enumerate(_parameters(learner)):
        result[f"parameter/{i}"] = parameter
        for key, value in learner.optimizer.state.get(parameter, {}).items():
            result[f"optimizer/{i}/{key}"] = value
    return result
