"""Reputation: a population whose members meet others every time, and are told what these did before.

To cooperate with strangers one must know what they did (indirect reciprocity: Nowak and Sigmund, Nature 2005), and to whom: who
defected on a defector deserves no less (second order).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from detente.errors import UserError, as_typed
from detente.games.mechanisms.meetings import Meetings, Past
from detente.games.mechanisms.repetition import answers, listed
from detente.games.parameters import check_choice, check_count

TOLD = ("nothing", "moves", "joint")
MOST_PLAYERS = 60


@dataclass(frozen=True, kw_only=True)
class Reputation(Meetings):
    """``players`` (None: two groups) are divided anew in every play, by the seed.

    ``told`` of those whom one meets: ``nothing``, their last ``moves``, or ``joint``, these with what those did whom they had met.
    """

    name: str = "reputation"
    players: int | None = None
    told: str = "moves"

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.of.num_players
        check_choice("told", self.told, TOLD)
        check_count("players", self.num_players, 2, MOST_PLAYERS)
        if self.num_players % size or self.num_players < 2 * size:
            raise UserError(
                f"The number of players is a multiple of the {size} who play {self.of.name} together, at least {2 * size}, "
                f"not {as_typed(self.players)}."
            )

    @property
    def num_players(self) -> int:
        return 2 * self.of.num_players if self.players is None else self.players

    @property
    def symmetric(self) -> bool:
        """The seed decides who sits where in the game inside, so that seats do not differ."""
        return True

    @property
    def roles(self) -> None:
        return None

    def order(self, rng: random.Random) -> tuple[int, ...]:
        return tuple(rng.sample(range(self.num_players), self.num_players))

    def known(self, shown: Sequence[Past], partners: Sequence[int]) -> tuple[tuple[bool | None, ...], ...]:
        return super().known(shown if self.told != "nothing" else (), partners)

    def introduction(self) -> str:
        size = self.of.num_players
        told = {
            "nothing": "You are told nothing of what they did before.",
            "moves": f"You are told what those whom you meet did in their last {self.look_back} rounds.",
            "joint": (
                f"You are told what those whom you meet did in their last {self.look_back} rounds, "
                "and what those did whom they had met."
            ),
        }
        return (
            f"{self.num_players} players play the following game again and again, {size} at a time, drawn by lot every time. "
            f"{told[self.told if self.look_back else 'nothing']} The points of all rounds are added up."
        )

    def told_of(self, past: Sequence[Past], player: int, partners: Sequence[int], choices: Sequence[str]) -> str:
        if self.told == "nothing":
            return ""
        heads = (
            ["The player whom you meet"] if len(partners) == 1 else [f"Player {i + 1} whom you meet" for i in range(len(partners))]
        )
        return "\n".join(
            f"{head}, the last round at the end: {'; '.join(self._move(round_, partner, choices) for round_ in past)}."
            for head, partner in zip(heads, partners, strict=True)
        )

    def _move(self, past: Past, partner: int, choices: Sequence[str]) -> str:
        own = answers(past.deeds[partner], choices)
        return own if self.told == "moves" else f"{own} when they did {listed(past, past.partners(partner), choices)}"
