"""What a run holds in memory: one base model, its engine, the learners on it, and everybody who can sit down.

Config ──> Session (game, model, engine, learners, policies)
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model

from detente import models
from detente.config import Config
from detente.engines.base import Engine
from detente.engines.mixing import linear_only, unreached
from detente.errors import UserError
from detente.games.base import Game
from detente.learning import adapters
from detente.learning.audit import Scope
from detente.learning.forward import active
from detente.learning.learner import Learner
from detente.models import LanguageModel
from detente.policies import Host, Policies, check, pinned
from detente.records import PolicyRef

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """The live objects of a run; ``frozen`` maps the names of seats that do not learn to their policies."""

    config: Config
    game: Game
    host: Host
    model: PeftModel
    learners: dict[str, Learner]
    policies: Policies
    frozen: dict[str, PolicyRef]

    @property
    def base(self) -> LanguageModel:
        """What the learners' adapters lie on."""
        return self.host.base

    @property
    def engine(self) -> Engine:
        """What serves the learners."""
        return self.host.engine

    @property
    def present(self) -> dict[str, PolicyRef]:
        """Every name in ``config.seats`` with the policy that it stands for now."""
        return {name: learner.policy for name, learner in self.learners.items()} | self.frozen

    def publish(self) -> None:
        """Serve the learners' present weights."""
        for learner in self.learners.values():
            if not self.engine.serves(learner.policy):
                self.engine.serve(learner.policy, learner.weights(), self.model.peft_config[learner.name])

    def serve_kept(self, folder: Path, wanted: Collection[PolicyRef]) -> None:
        """Serve the kept checkpoints that take part in an iteration and nothing else that is old; read those not served already."""
        present = self.present.values()
        for policy in self.engine.policies:
            if policy.name in self.learners and policy not in present and policy not in wanted:
                self.engine.retire(policy)
        for policy in wanted:
            if policy.name in self.learners and policy.kind == "adapter" and not self.engine.serves(policy):
                weights, config = adapters.load(adapters.version_folder(folder, policy.name, policy.version), self.base)
                self.engine.serve(policy, weights, config)

    def sources(self, folder: Path, played: Iterable[PolicyRef]) -> Mapping[PolicyRef, Scope]:
        """For the audit: how to run the model under each policy that played and under the base model, not asking the engine.

        Policies on another base model are left out.
        """
        scopes: dict[PolicyRef, Scope] = {PolicyRef("base", "the base model"): self.model.disable_adapter}
        from_disk = self.host.first_answers.from_disk
        for policy in played:
            if policy.kind in ("base", "adapter") and self.policies.home(policy).base is not self.base:
                continue
            if policy.kind == "base":
                scopes[policy] = self.model.disable_adapter
            elif policy.kind == "adapter" and policy in (learner.policy for learner in self.learners.values()):
                scopes[policy] = partial(active, self.model, policy.name)
            elif policy.kind == "adapter":
                kept = adapters.version_folder(folder, policy.name, policy.version)
                scopes[policy] = partial(from_disk, self.policies.folders.get(policy, kept))
        return scopes


def with_versions(config: Config, begun: Config | None) -> Config:
    """The options with a version for every frozen seat that names a run: that with which this run begun, else the newest.

    So the opponent stays the same when its own run trains on. UserError for a run without adapters.
    """
    before = begun.seats if begun is not None and len(begun.seats) == len(config.seats) else (None,) * len(config.seats)
    seats = []
    for name, old in zip(config.seats, before, strict=True):
        same = old is not None and (old == name or old.rpartition("@")[0] == name)
        seats.append(old if same else name if name in config.learner_names else pinned(name))
    return config.model_copy(update={"seats": tuple(seats)})


def open_session(config: Config) -> Session:
    """Load and connect everything that a run needs; UserError for what is missing."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    game = check(config)
    policies = Policies.of(config)
    base = models.load(config.model, dtype=config.dtype, device=config.device)
    for name in config.learner_names:
        _check_name(name, base)
    lora = linear_only(adapters.lora_config(config.lora), base.model)
    first, *more = config.learner_names
    with models.LOADING, torch.random.fork_rng():  # one order of random numbers, whatever other threads load
        torch.manual_seed(config.seed)
        try:
            model = get_peft_model(base.model, lora, adapter_name=first)
        except ValueError as error:  # PEFT's for modules that the model does not have
            raise UserError(f"lora.targets={config.lora.targets} does not fit the model '{config.model}'.") from error
        for name in more:
            model.add_adapter(name, lora)
        learners = {
            name: Learner(name, model, config.learner(name), lora, config.answer.temperature) for name in config.learner_names
        }
    host = policies.use(base, model)
    host.engine.reserve(first, model.peft_config[first])
    if config.lora.targets == "all-linear" and (frozen_parts := unreached(model, first)):
        log.warning("Not trained, as lora.targets=all-linear does not reach it: %s.", ", ".join(frozen_parts))
    frozen = {name: policies.resolve(name) for name in config.seats if name not in config.learner_names}
    policies.check_room([*(learner.policy for learner in learners.values()), *frozen.values()])
    return Session(config, game, host, model, learners, policies, frozen)


def _check_name(name: str, base: LanguageModel) -> None:
    """PEFT finds an adapter's tensors by its name, which must be no other part of a tensor's name."""
    taken = {part for path, _ in base.model.named_modules() for part in path.split(".")}
    if name in taken:
        raise UserError(f"A learner cannot be named '{name}', which is the name of a part of the model; give it another.")
