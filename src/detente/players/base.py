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

    def close(self) -> None:
        """The episode is over."""
        ...


def encodable(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which cannot be encoded."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
