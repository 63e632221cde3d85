"""What a run holds in memory: its learners, their base models, and all policies that can take a seat.

Config ──> Session (game, learners, a host for each base model, policies)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from peft import PeftConfig, PeftModel

from detente import adapters
from detente.config import Config
from detente.copies import all_learners, copies
from detente.engines.mixing import unreached
from detente.games.base import Game
from detente.hosts import Host, check_reached
from detente.learning.audit import Scope, audit, worst
from detente.learning.checks import check
from detente.learning.forward import active
from detente.learning.learner import Helpers, Learner
from detente.learning.loading import Trained, load_learners
from detente.learning.variation import possible_games
from detente.matches import Stream
from detente.policies import Policies
from detente.records import Episode, PolicyRef, Seating

log = logging.getLogger(__name__)


Adapter = tuple[Mapping[str, torch.Tensor], PeftConfig]  # PEFT's tensors and configuration
Snapshot = Mapping[PolicyRef, Adapter]  # of learners as they were


class Workers(Protocol):
    """Other processes that play the episodes of training, as ``detente.learning.cluster`` has them."""

    def play(
        self,
        seatings: Sequence[Seating],
        stream: Stream,
        adapters: Mapping[PolicyRef, Callable[[], Adapter]],
        watch: Callable[[Episode], None],
        settings: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Coroutine[Any, Any, list[Episode]]:
        """Give the workers these versions of learners; what is returned plays one episode per seating, in the order given.
        ``settings``: by group the parameters of the game that a curriculum has chosen."""
        ...


@dataclass(frozen=True)
class Session:
    """The live objects of a run. ``hosts`` maps each learner to its host, which learners on the same base model share; ``frozen``
    maps the names in ``config.seats`` that do not learn to their policies. ``workers`` play in place of this process, if any."""

    config: Config
    game: Game
    learners: dict[str, Learner]
    hosts: dict[str, Host]
    policies: Policies
    frozen: dict[str, PolicyRef]
    workers: Workers | None = None

    @property
    def present(self) -> dict[str, PolicyRef]:
        """The present policy of every learner and of every name in ``config.seats``; of copies the name stands for the first."""
        first = {name: self.learners[copies(self.config, name)[0]].policy for name in self.config.learner_names}
        return first | {name: learner.policy for name, learner in self.learners.items()} | self.frozen

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each learner's base model."""
        return {name: host.base.fingerprint for name, host in self.hosts.items()}

    @property
    def models(self) -> dict[Host, PeftModel]:
        """Each base model of learners, with the adapters of all of them."""
        return {host: self.learners[name].model for name, host in self.hosts.items()}

    def publish(self) -> None:
        """Serve the learners' present weights."""
        for name, learner in self.learners.items():
            engine = self.hosts[name].engine
            if not engine.serves(learner.policy):
                engine.serve(learner.policy, learner.weights(), learner.lora)

    @contextmanager
    def audited_later(self) -> Iterator[None]:
        """First answers that engines give inside are scored at the end, when the models are free."""
        with ExitStack() as stack:
            for host in self.policies.hosts:
                stack.enter_context(host.first_answers.later())
            yield

    def snapshot(self) -> Snapshot:
        """A copy of the learners' present weights, to know them by when they have changed."""
        return {
            learner.policy: ({key: tensor.detach().clone() for key, tensor in learner.weights().items()}, learner.lora)
            for learner in self.learners.values()
        }

    def serve_kept(self, folder: Path, wanted: Collection[PolicyRef]) -> None:
        """Serve the kept versions that take part in an iteration, and retire other old ones; versions not served yet are read."""
        present = self.present.values()
        for host in self.models:
            for policy in host.engine.policies:
                if policy.name in self.learners and policy not in present and policy not in wanted:
                    host.engine.retire(policy)
        for policy in wanted:
            if policy.name in self.learners and policy.kind == "adapter" and not self.hosts[policy.name].engine.serves(policy):
                self.hosts[policy.name].engine.serve(policy, *self.adapter(folder, policy))

    def adapter(self, folder: Path, policy: PolicyRef) -> Adapter:
        """The tensors and PEFT's configuration of a learner's version: the present one, or one that is kept in the folder."""
        learner = self.learners[policy.name]
        if policy == learner.policy:
            return learner.weights(), learner.lora
        kept = adapters.version_folder(folder, policy.name, policy.version)
        return adapters.load(kept, self.hosts[policy.name].base)

    def close(self) -> None:
        """Close the engines, after the last episode."""
        self.policies.close()

    def sources(
        self, host: Host, folder: Path, played: Iterable[PolicyRef], before: Snapshot = MappingProxyType({})
    ) -> Mapping[PolicyRef, Scope]:
        """For the audit: scopes that run a base model, without the engine, under each policy that played on it, and alone."""
        model = self.models[host]
        scopes: dict[PolicyRef, Scope] = {PolicyRef("base", "the base model"): model.disable_adapter}
        for policy in played:
            if policy.kind not in ("base", "adapter") or self.policies.home(policy) is not host:
                continue
            if policy.kind == "base":
                scopes[policy] = model.disable_adapter
            elif policy in (learner.policy for learner in self.learners.values()):
                scopes[policy] = partial(active, model, policy.name)
            elif policy in before:
                scopes[policy] = partial(host.scores.under, *before[policy])
            else:
                kept = adapters.version_folder(folder, policy.name, policy.version)
                scopes[policy] = partial(host.scores.from_disk, self.policies.folders.get(policy, kept))
        return scopes


def check_served(
    session: Session, folder: Path, episodes: Sequence[Episode], iteration: int, before: Snapshot = MappingProxyType({})
) -> dict[str, float]:
    """The served-policy audit of every base model; see learning/audit.py. Kept adapters are read from the folder; ``before`` has
    weights of learners that were played with and have changed since."""
    played = {policy for episode in episodes for policy in episode.policies}
    audits = [
        audit(
            episodes,
            session.sources(host, folder, played, before),
            model,
            host.grammar,
            turns=session.config.record.audit_turns,
            temperature=lambda policy: session.policies.answering(policy).temperature,
            tolerance=host.first_answers.tolerance,
            seed=(session.config.seed, "audit", iteration),
        )
        for host, model in session.models.items()
    ]
    result = worst([result for result in audits if result is not None])
    return {} if result is None else {"audit/gap": result.claimed, "audit/other_gap": result.other}


def open_session(config: Config, helpers: Helpers | None = None, workers: Workers | None = None) -> Session:
    """Load and connect all that a run needs; UserError for what is missing. ``helpers`` compute the learners' gradients in place of
    this process, and ``workers`` play."""
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    game = check(config, begun=True)  # whoever begins a run checks more
    check_reached(config.engine)
    policies = Policies.of(config)
    learners: dict[str, Learner] = {}
    for trained in load_learners(config):
        learners |= trained.learners
        if helpers is not None:
            helpers.spread(trained.model, next(iter(trained.learners)))
            for learner in trained.learners.values():
                learner.helpers = helpers
        _host(config, trained, policies)
    learners = {name: learners[name] for name in all_learners(config)}
    hosts = {name: policies.learners[name][0] for name in learners}
    frozen = {name: policies.resolve(name) for name in config.seats if name not in config.learner_names}
    for played in (game, *chain(*possible_games(config).values())):
        policies.within(played).check_room([*(learner.policy for learner in learners.values()), *frozen.values()])
    return Session(config, game, learners, hosts, policies, frozen, workers)


def _host(config: Config, trained: Trained, policies: Policies) -> None:
    """Let learners play, and say which parts of their model do not learn."""
    learners = trained.learners
    host = policies.use(trained.base, trained.model, overlap=bool(config.overlap))
    first_of_shape = {learner.options.lora: learner for learner in reversed(learners.values())}
    for learner in first_of_shape.values():
        host.engine.reserve(learner.name, learner.lora, _at_once(config, len(learners)))
    for name, learner in learners.items():
        policies.learners[name] = (host, learner.options.answer)
    for name in (name for name, learner in learners.items() if learner.options.lora.targets == "all-linear"):
        if parts := unreached(trained.model, name):
            log.warning("Not trained, as lora.targets=all-linear does not reach it: %s.", ", ".join(parts))
            break


def _at_once(config: Config, learners: int) -> int:
    """Adapters of learners that are served at the same time: of each its version, the next one, and the kept ones that play."""
    options = config.opponents
    kept = min(options.max_loaded, config.iterations // options.keep_every) if options.kept else 0
    return learners * (2 + kept)
