"""A person at the terminal: reads what the game says and types the answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from detente.errors import UserError
from detente.games.base import Observation
from detente.records import Completion, PolicyRef


@dataclass
class Human:
    """A person on one seat. ``read`` takes one line from them (``input``, or a stand-in in tests)."""

    name: str = "human"
    read: Callable[[str], str] = input
    console: Console = field(default_factory=Console)

    @property
    def policy(self) -> PolicyRef:
        return PolicyRef("human", self.name)

    async def act(self, observation: Observation) -> Completion:
        """Ask until the answer is one that the game takes; ``attempts`` counts the tries.

        Raises UserError where the input ends. Waiting for a line holds up the event loop: a person is asked one thing at a time.
        """
        self.console.print(Panel(Text(observation.text), title="The game says", title_align="left"))
        attempts = 1
        while not re.fullmatch(observation.pattern, answer := self._line()):
            self.console.print(Text(_explanation(answer, observation), style="yellow"))
            attempts += 1
        return Completion(answer, self.policy, attempts=attempts)

    def _line(self) -> str:
        try:
            return self.read("Your answer: ").strip()
        except EOFError:
            raise UserError("The input ended before the game did, so the game was given up.") from None

    def close(self) -> None:
        """The game says no more."""


def _explanation(answer: str, observation: Observation) -> str:
    if observation.choices:
        return f"'{answer}' is not an answer here; type one of: {', '.join(observation.choices)}"
    return f"'{answer}' is not an answer here; it must match the regular expression {observation.pattern}"
