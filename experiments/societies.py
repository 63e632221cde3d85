"""Populations of the donor game over generations: what a strategy is, how new ones are made, and who plays by them.

    better half, with what they ended with ── Scripts: a parent's share and a little more or less ──────┐
                                           ├─ Writers: a model reads them all, and writes its own ──────┼──> strategies
                                           └─ Learners: a parent's adapter, trained on among the better half ┘

Used by generations.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Protocol

from detente import config, models
from detente.errors import unknown
from detente.games.base import Game, Observation
from detente.games.donor import reciprocal
from detente.games.family import family_of
from detente.games.talk import Talk
from detente.matches import Seats
from detente.options import AnswerOptions
from detente.players.base import Player
from detente.players.scripted import Scripted
from detente.policies import Policies
from detente.records import PolicyRef
from detente.seeding import derive, stream
from detente.together import run, together

SLOPES = {
    "giver": 0.0,
    "half_reciprocal": 0.5,
    "reciprocal": 1.0,
}  # scripts, by how much a gift follows the recipient's last one
ADAPTERS = "adapters:"
MUTATION = 0.1  # the standard deviation of a child's share from its parent's
LEARNER, ITERATIONS = "main", 5
TALK = Talk(300, ("Strategy:", ""))

Path = tuple[int | str, ...]


@dataclass(frozen=True)
class Agent:
    """Who plays: the generation in which its strategy was made, and whose strategies it was made from."""

    name: int
    born: int
    parents: tuple[int, ...]
    strategy: str


Ended = tuple[Agent, float]  # an agent and what it ended with, in the mean of both games
Made = tuple[str, tuple[int, ...]]  # a strategy, and the names of those from which it was made


class Society(Protocol):
    """How strategies are made, and who plays by them."""

    @property
    def seats(self) -> Seats: ...

    def sits(self, strategy: str) -> tuple[PolicyRef, str]:
        """The policy of a seat, and what it is told when a game begins."""
        ...

    def make(self, count: int, best: Sequence[Ended], path: Path) -> list[Made]:
        """So many strategies, from those of the ``best`` where there are any; ``path`` names the random numbers."""
        ...

    def close(self) -> None:
        """Nobody plays any more."""
        ...


@dataclass(frozen=True)
class Scripts:
    """Scripts whose strategy is the share that they give to strangers."""

    slope: float

    @property
    def seats(self) -> Scripts:
        return self

    def sits(self, strategy: str) -> tuple[PolicyRef, str]:
        return PolicyRef("script", strategy), ""

    def make(self, count: int, best: Sequence[Ended], path: Path) -> list[Made]:
        rng = stream(*path)
        return [self._child(rng, best) for _ in range(count)]

    def _child(self, rng: random.Random, best: Sequence[Ended]) -> Made:
        if not best:
            return f"{rng.random():.4f}", ()
        parent, _ = rng.choice(best)
        return f"{min(1.0, max(0.0, rng.gauss(float(parent.strategy), MUTATION))):.4f}", (parent.name,)

    def player(self, policy: PolicyRef, *, chat: str, seed: int) -> Player:
        share = float(policy.name)
        return Scripted(policy.name, seed, reciprocal(share, share, self.slope))

    def within(self, game: Game) -> Scripts:
        return self

    def briefing(self, policy: PolicyRef) -> str:
        return ""

    def at_once(self, sitting: Sequence[PolicyRef]) -> int | None:
        return None

    def close(self) -> None:
        """Nothing is kept."""


@dataclass(frozen=True)
class Writers:
    """Language models that write their strategies."""

    seats: Policies
    policy: PolicyRef
    rules: str

    def sits(self, strategy: str) -> tuple[PolicyRef, str]:
        return self.policy, f"Your strategy: {strategy}"

    def make(self, count: int, best: Sequence[Ended], path: Path) -> list[Made]:
        told = Observation(question(self.rules, best), None, TALK.pattern.pattern)
        names = [f"{'/'.join(map(str, path))}/{number}" for number in range(count)]
        players = [self.seats.player(self.policy, chat=name, seed=derive(name)) for name in names]
        try:
            answers = run(together([player.act(told) for player in players]))
        finally:
            for player in players:
                player.close()
        parents = tuple(agent.name for agent, _ in best)
        return [(TALK.parse(answer.text) or "", parents) for answer in answers]

    def close(self) -> None:
        self.seats.close()


@dataclass(frozen=True)
class Learners:
    """Adapters of one base model, each with its strategy: a run folder in ``place``, by name. Those of the first generation are
    trained against themselves; a new one later is a copy of a survivor's that trains on, for so many ``iterations``, in the
    population that it is made for: the better half on their seats, and itself on all others."""

    seats: Policies
    model: str
    place: Folder
    iterations: int

    def sits(self, strategy: str) -> tuple[PolicyRef, str]:
        return self.seats.resolve(str(self.place / strategy)), ""

    def make(self, count: int, best: Sequence[Ended], path: Path) -> list[Made]:
        return [self._trained(count, best, (*path, number)) for number in range(count)]

    def _trained(self, count: int, best: Sequence[Ended], path: Path) -> Made:
        from detente.learning.loop import train

        parent = stream(*path).choice(best)[0] if best else None
        own = [f"seed={derive(*path)}"] if parent is None else [f"seed={derive(*path)}", f"start_from={self._named(parent)}"]
        seats = [*(str(self.place / agent.strategy) for agent, _ in best), *[LEARNER] * count]
        name = "-".join(map(str, path[-2:]))  # generation and number
        train(training(self.model, self.seats.game, self.iterations, seats, own), self.place / name)
        return name, () if parent is None else (parent.name,)

    def _named(self, agent: Agent) -> str:
        return json.dumps(str(self.place / agent.strategy))

    def close(self) -> None:
        self.seats.close()


def training(model: str, game: Game, iterations: int, seats: Sequence[str], own: Sequence[str] = ()) -> config.Config:
    """The options with which an adapter is trained: those of the preset, in this game, with these in the seats."""
    changes = [f"model={json.dumps(model)}", f"game={json.dumps(game.parameters())}", f"seats={json.dumps([*seats])}"]
    return config.load("donor", [*changes, f"iterations={iterations}", "evaluation.episodes=0", *own])


def question(rules: str, best: Sequence[Ended]) -> str:
    """What a model is told before it writes a strategy."""
    lines = [f'It ended with {resources:.1f} units: "{agent.strategy}"' for agent, resources in best]
    known = ["These strategies did best among those who played before you:", *lines] if best else []
    wish = "Change these as you like. Write" if best else "Write"
    form = f"{TALK.form('...')}, in at most {TALK.chars} characters"
    return "\n".join([rules, *known, f"{wish} the strategy that you will follow in the game, as {form}."])


def opened(agents: str, game: Game, place: Folder = Folder(), iterations: int = ITERATIONS) -> Society:
    """The population of a name: a script, model:NAME, or adapters:NAME, which are trained for so many ``iterations`` each and kept
    in ``place``. UserError for others."""
    if agents in SLOPES:
        return Scripts(SLOPES[agents])
    if agents.startswith(ADAPTERS):
        model = agents.removeprefix(ADAPTERS)
        models.folder(model)
        options = training(model, game, iterations, [LEARNER] * game.num_players)
        return Learners(Policies.of(options), model, place, iterations)
    if not agents.startswith("model:"):
        raise unknown("population", agents, [*SLOPES, "model:smollm2-135m", "adapters:pocket_groups"])
    policies = Policies(game, AnswerOptions(max_tokens=128))
    policy = policies.resolve(agents)
    policies.check_room([policy])
    return Writers(policies, policy, family_of(game).rules(game))
