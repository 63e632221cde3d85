"""What a player is: something that answers observations. Scripts, people and models all answer text, so there is one way through
``Game.parse``. Must not import torch."""

from __future__ import annotations

import re
from typing import Protocol

from detente.games.base import Observation
from detente.records import Completion, PolicyRef


class Player(Protocol):
    """Sits on one seat for one episode."""

    @property
    def policy(self) -> PolicyRef: ...

    async def act(self, observation: Observation) -> Completion:
        """Answer. ``observation.text`` holds everything that the player was told since it last answered."""
        ...

    def close(self) -> None:
        """The episode is over."""
        ...


def encodable(text: str) -> str:
    """The text as it can be written down: halves of characters (lone surrogates), which no encoding has, become U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)
