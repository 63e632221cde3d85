"""Two games that do not belong to the package: one whose seats differ, and one of four players with two decisions per round."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from detente.games import Family, Measure, Observation, Step
from detente.games.sides import Scalars, Side, Tables, mean

LABELS = ("<A>", "<B>")


@dataclass(frozen=True)
class Trust:
    """The investor keeps 2 points (<B>) or sends them (<A>); then 6 arrive, which the trustee shares (<A>) or takes (<B>).

    Points of a round, investor's first: kept 2, 0; shared 3, 3; taken 0, 6.
    """

    rounds: int = 3

    name = "example_games:Trust"
    family = "example_games:TRUST"
    num_players = 2
    reward_bounds = (0.0, 6.0)
    symmetric = False
    roles = ("investor", "trustee")

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def reset(self, rng: random.Random) -> tuple[str, ...]:
        return ()  # what was done in order: "B" ends a round of the investor, "AA" and "AB" are the investor's and the trustee's

    def to_act(self, state: tuple[str, ...]) -> tuple[int, ...]:
        return (1,) if state and state[-1] == "A" else (0,)

    def observe(self, state: tuple[str, ...], player: int) -> Observation:
        if not state:
            text = f"You are the {self.roles[player]}. Answer <A> or <B>."
        else:
            text = f"The last moves were {state[-1]}. Your label?"
        return Observation(text, (player, state), "<A>|<B>", LABELS)

    def parse(self, state: tuple[str, ...], player: int, text: str) -> str | None:
        return text[1] if text in LABELS else None

    def default_action(self, state: tuple[str, ...], player: int) -> str:
        return "B"

    def step(self, state: tuple[str, ...], actions: Mapping[int, str]) -> Step:
        ((player, action),) = actions.items()
        if player == 0 and action == "A":
            return Step((*state, "A"), None)
        rounds = (*state, "B") if player == 0 else (*state[:-1], "A" + action)
        rewards = {"B": (2.0, 0.0), "AA": (3.0, 3.0), "AB": (0.0, 6.0)}[rounds[-1]]
        return Step(rounds, rewards, done=len(rounds) == self.rounds)


def first(view: Any, rng: random.Random) -> str:
    """Send, or share."""
    return "<A>"


def second(view: Any, rng: random.Random) -> str:
    """Keep, or take."""
    return "<B>"


SEATS: dict[str, tuple[int, ...]] = {"sender": (0,), "keeper": (0,), "sharer": (1,), "taker": (1,), "kind": (0, 1), "mean": (0, 1)}


def first_label(game: Any, sides: Sequence[Side]) -> tuple[Scalars, Tables]:
    """How often the sides answer <A> where they can."""
    actions = [turn.action for episode, player in sides for turn in episode.turns(player)]
    return {"kindness": mean(float(action == "A") for action in actions)}, {}


TRUST = Family(
    name="trust",
    strategies={"sender": first, "keeper": second, "sharer": first, "taker": second, "kind": first, "mean": second},
    seats=lambda game, strategy: SEATS[strategy],
    cooperator=lambda game: "kind",
    measures=(Measure("kindness", "trust: the share of <A>", head="kind", bounds=(0, 1)),),
    measure=first_label,
)


@dataclass(frozen=True)
class Punishment:
    """Everybody gives (<A>) or keeps (<B>); all see who gave; then everybody punishes those who kept (<A>) or not (<B>).

    Points of a round: 2 for each giver, 3 more for a keeper; a punisher pays 0.5 for each keeper but itself, who loses 1 by it.
    """

    rounds: int = 2
    players: int = 4

    name = "example_games:Punishment"
    family = "example_games:PUNISHMENT"
    symmetric = True

    @property
    def num_players(self) -> int:
        return self.players

    @property
    def reward_bounds(self) -> tuple[float, float]:
        return -1.5 * self.players, 2.0 * self.players + 3

    def parameters(self) -> dict[str, Any]:
        return {"name": self.name, **asdict(self)}

    def reset(self, rng: random.Random) -> tuple[int, tuple[str, ...]]:
        return 0, ()  # rounds that are over, and what was given in this one

    def to_act(self, state: tuple[int, tuple[str, ...]]) -> tuple[int, ...]:
        return tuple(range(self.players))

    def observe(self, state: tuple[int, tuple[str, ...]], player: int) -> Observation:
        played, given = state
        text = f"{given.count('A')} gave. Punish those who kept (<A>) or not (<B>)?" if given else "Give (<A>) or keep (<B>)?"
        if not played and not given:
            text = f"A game of {self.players} players and {self.rounds} rounds. {text}"
        return Observation(text, (player, given), "<A>|<B>", LABELS)

    def parse(self, state: tuple[int, tuple[str, ...]], player: int, text: str) -> str | None:
        return text[1] if text in LABELS else None

    def default_action(self, state: tuple[int, tuple[str, ...]], player: int) -> str:
        return "B"

    def step(self, state: tuple[int, tuple[str, ...]], actions: Mapping[int, str]) -> Step:
        (played, given), chosen = state, tuple(actions[player] for player in range(self.players))
        if not given:
            return Step((played, chosen), None, info={})
        rewards = []
        for player in range(self.players):
            points = 2.0 * given.count("A") + 3.0 * (given[player] == "B")
            paid = 0.5 * sum(other != player and given[other] == "B" for other in range(self.players))
            lost = sum(other != player and chosen[other] == "A" for other in range(self.players))
            rewards.append(points - paid * (chosen[player] == "A") - lost * (given[player] == "B"))
        return Step((played + 1, ()), tuple(rewards), done=played + 1 == self.rounds, info={"givers": given.count("A")})


def avenger(view: Any, rng: random.Random) -> str:
    """Give, and punish."""
    return "<A>"


def free_rider(view: Any, rng: random.Random) -> str:
    """Keep, and never punish."""
    return "<B>"


def saint(view: Any, rng: random.Random) -> str:
    """Give, and never punish."""
    return "<B>" if view[1] else "<A>"


PUNISHMENT = Family(
    name="punishment",
    strategies={"saint": saint, "avenger": avenger, "free_rider": free_rider},
    cooperator=lambda game: "saint",
    measures=(Measure("kindness", "punishment: the share of <A>", head="kind", bounds=(0, 1)),),
    measure=first_label,
)
