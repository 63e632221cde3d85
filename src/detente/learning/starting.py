"""Where the learners of a run start: with a fresh adapter, or with the weights of one that is there already.

    start_from=runs/x@40 ── started ──> weights of the learner, version 0 ── keep ──> adapters/NAME/000000/ of the run

A learner starts there again when its lifetime is over. Optimizer and critic are new. The run keeps what it started from, and
needs the source no more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from peft import PeftConfig
from torch import Tensor

from detente import adapters, models
from detente.engines.mixing import refused
from detente.errors import UserError
from detente.learning.learner import Learner
from detente.learning.run_folder import RunFolder
from detente.learning.session import Session
from detente.models import LanguageModel
from detente.policies import adapter_folder
from detente.seeding import derive

SHAPE = {"r": "lora.rank", "lora_alpha": "lora.alpha"}  # settings of an adapter that the options of a run have
PLAIN = ("rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "lora_bias")  # settings that training leaves as PEFT has them


def start(session: Session, folder: RunFolder | None = None, learners: Collection[str] | None = None) -> None:
    """Set learners (None: all), in memory, to the weights that they start from, as the folder of a run that has begun keeps them.

    UserError for an adapter of another base model or of another shape than the learner's, before any of them has changed.
    """
    weights = {name: _read(session, name, folder) for name in _started(session) if learners is None or name in learners}
    with torch.no_grad():
        for name, tensors in weights.items():
            for key, own in session.learners[name].weights().items():
                own.copy_(tensors[key])


def renew(session: Session, folder: RunFolder, iteration: int) -> None:
    """Let those learners start anew whose lifetime is over before this iteration, counted from 0, and serve their weights."""
    lifetimes = {name: learner.options.lifetime for name, learner in session.learners.items()}
    over = [name for name, lifetime in lifetimes.items() if lifetime is not None and iteration and iteration % lifetime == 0]
    for name in over:
        session.learners[name].reset(derive(session.config.seed, "reset", name, iteration))
    start(session, folder, over)
    session.publish()


def keep(session: Session, folder: RunFolder) -> None:
    """Write the weights that learners start from as their version 0."""
    for name in _started(session):
        target, learner = adapters.version_folder(folder.adapters, name, 0), session.learners[name]
        if not target.exists():
            adapters.save(target, learner.weights(), learner.lora, session.hosts[name].base)


def _started(session: Session) -> list[str]:
    return [name for name, learner in session.learners.items() if learner.options.start_from]


def _read(session: Session, name: str, folder: RunFolder | None) -> Mapping[str, Tensor]:
    learner, base = session.learners[name], session.hosts[name].base
    source = str(learner.options.start_from)
    own = adapters.version_folder(folder.adapters, name, 0) if folder else None
    place = own if own is not None and own.exists() else adapter_folder(source)
    _check_named(source, place, base)
    weights, config = adapters.load(place, base)
    _check_shape(source, weights, config, learner)
    return weights


def _check_named(source: str, place: Path, base: LanguageModel) -> None:
    """UserError for an adapter that names another base model, where no fingerprint tells."""
    called, fingerprint = adapters.trained_on(place)
    if called and not fingerprint and called not in (base.name, base.folder) and models.own_folder(called) != base.folder:
        raise UserError(f"start_from={source} is an adapter of the base model '{called}', and this run trains on '{base.name}'.")


def _check_shape(source: str, weights: Mapping[str, Tensor], config: PeftConfig, learner: Learner) -> None:
    """UserError unless the adapter computes with the matrices that the learner's has, in the same way."""
    if reason := refused(config):
        raise UserError(f"start_from={source} cannot be trained on: {reason}.")
    theirs, own = config.to_dict(), learner.lora.to_dict()
    if any(theirs[key] != own[key] for key in SHAPE):
        has, wants = (" ".join(f"{option}={made[key]}" for key, option in SHAPE.items()) for made in (theirs, own))
        raise UserError(f"start_from={source} has {has}, and '{learner.name}' {wants}; train with {has}.")
    if unusual := [key for key in PLAIN if (theirs.get(key) or None) != (own.get(key) or None)]:
        raise UserError(f"start_from={source} cannot be trained on: it has {', '.join(unusual)}, which a learner has not.")
    shapes, wanted = ({key: tuple(tensor.shape) for key, tensor in tensors.items()} for tensors in (weights, learner.weights()))
    if shapes != wanted:
        differing = sorted(key for key in shapes | wanted if shapes.get(key) != wanted.get(key))
        raise UserError(
            f"start_from={source} and '{learner.name}' have different matrices, first {differing[0]}; "
            "give the lora.targets that it was trained with."
        )
