"""What a script sees in a mechanism: the game inside as one of its players sees it, and what the mechanism adds.

Must not import anything above games.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from detente.games.base import Game, Observation

TOPICS = ("contract", "mediator", "vote", "acceptance")  # of the questions that mechanisms ask


@dataclass(frozen=True, slots=True)
class MechanismView:
    """``game`` is the game inside and ``seat`` the player's seat in it.

    ``topic`` is "" while the game inside asks: then ``inside`` is what it tells. Else the mechanism asks, and ``ignoring`` is the
    answer of a player who wants nothing of it. ``choices``: the list to choose from, () where there is none. ``partners``: of
    each of the others whether it cooperated in the rounds that are told, oldest first; None where nobody can say. ``fair``: the
    proposal of who wants cooperation, while proposals are asked for. ``sound``: of each proposal to vote on, or of the one that is
    put or holds, whether under it the cooperation of all is an equilibrium.
    """

    game: Game
    seat: int
    topic: str
    inside: Observation
    choices: tuple[str, ...]
    partners: tuple[tuple[bool | None, ...], ...] = ()
    ignoring: str = ""
    fair: str = ""
    sound: tuple[bool, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """What the numbers of an answer count: for a contract the choices, else as in the game inside."""
        return self.inside.choices if self.topic == "contract" else getattr(self.inside.view, "items", ())


def choice(choices: tuple[str, ...], text: str, topic: str, help: str) -> Observation:
    """A question with a list of answers; the view is still to come."""
    return Observation(text, None, "|".join(map(re.escape, choices)), choices, topic=topic, help=help)


def either(values: Sequence[str]) -> str:
    """``0, 2.5 or 5``."""
    return " or ".join([", ".join(values[:-1]), values[-1]])
