"""Repetition: the same players play the same game again and again, and are told what was done in the last rounds.

With a future long enough cooperation is an equilibrium of games in which nobody cooperates once: whoever defects is answered
(Friedman, A non-cooperative equilibrium for supergames, Review of Economic Studies 1971).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from detente.games.mechanisms.deeds import Deed
from detente.games.mechanisms.meetings import Meetings, Past


@dataclass(frozen=True, kw_only=True)
class Repetition(Meetings):
    """The same players, seat by seat."""

    name: str = "repetition"

    def order(self, rng: random.Random) -> tuple[int, ...]:
        return tuple(range(self.num_players))

    def introduction(self) -> str:
        told = f"Every time you are told what was done in the last {self.look_back} rounds. " if self.look_back else ""
        return f"The same players play the following game again and again. {told}The points of all rounds are added up."

    def told_of(self, past: Sequence[Past], player: int, partners: Sequence[int], choices: Sequence[str]) -> str:
        lines = [f"- You {answers(round_.deeds[player], choices)}, they {listed(round_, partners, choices)}." for round_ in past]
        return "\n".join(["What was done, the last round at the end:", *lines])


def answers(deeds: Sequence[Deed], choices: Sequence[str]) -> str:
    """What a player did in a round, all its decisions."""
    return " and ".join(decision.told(choices) for decision in deeds) or "nothing"


def listed(past: Past, players: Sequence[int], choices: Sequence[str]) -> str:
    """What these players did in a round."""
    return ", ".join(answers(past.deeds[player], choices) for player in players)
