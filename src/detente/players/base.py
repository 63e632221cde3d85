"""What a player is: something that answers observations with text, which ``Game.parse`` reads. Must not import torch."""

from __future__ import annotations

import re
from typing import Protocol

from detente.games.base import Observation
from detente.records import Completion, PolicyRef


class Player(Protocol):
    """Answers for one seat in one episode."""

    @property
    def policy(self) -> PolicyRef: ...

    async def act(self, observation: Observation) -> Completion:
        """Answer. ``observation.text`` holds everything that the player was told since it last answered."""
        ...

    def recall(self, observation: Observation, completion: Completion) -> None:
        """Go on as if it had answered that: an episode begins with turns that were recorded."""
        ...

    def close(self) -> None:
        """The episode is over."""
        ...


class MemorylessPlayer:
    """What a player is spared that keeps nothing between answers: all that it goes by is in the observation."""

    def recall(self, observation: Observation, completion: Completion) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""


def encodable(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which cannot be encoded."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
