"""Populations of the donor game over generations: what a strategy is, how new ones are made, and who plays by them.

    better half, with what they ended with ── Scripts: a parent's share and a little more or less ──┐
                                           └─ Writers: a model reads them all, and writes its own ──┴──> strategies

Used by generations.py.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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
MUTATION = 0.1  # the standard deviation of a child's share from its parent's
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


def question(rules: str, best: Sequence[Ended]) -> str:
    """What a model is told before it writes a strategy."""
    lines = [f'It ended with {resources:.1f} units: "{agent.strategy}"' for agent, resources in best]
    known = ["These strategies did best among those who played before you:", *lines] if best else []
    wish = "Change these as you like. Write" if best else "Write"
    form = f"{TALK.form('...')}, in at most {TALK.chars} characters"
    return "\n".join([rules, *known, f"{wish} the strategy that you will follow in the game, as {form}."])


def opened(agents: str, game: Game) -> Society:
    """The population of a name: a script, or model:NAME; UserError for others."""
    if agents in SLOPES:
        return Scripts(SLOPES[agents])
    if not agents.startswith("model:"):
        raise unknown("population", agents, [*SLOPES, "model:smollm2-135m"])
    policies = Policies(game, AnswerOptions(max_tokens=128))
    policy = policies.resolve(agents)
    policies.check_room([policy])
    return Writers(policies, policy, family_of(game).rules(game))
