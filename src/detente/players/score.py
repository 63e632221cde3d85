"""The running score beside a person at the terminal: a line after every round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from detente.games.base import Game
from detente.games.family import family_of
from detente.games.roles import roles
from detente.records import Episode, PolicyRef, Round
from detente.screen import Screen

Watch = Callable[[Episode], None] | None


@dataclass
class Score:
    """The points so far, of the seats on which persons sit; of the others too where the rules tell them (``public``)."""

    persons: Sequence[int]
    names: Sequence[str]  # of all seats
    public: bool
    console: Console = field(default_factory=Screen)
    totals: list[float] = field(default_factory=list)

    def add(self, played: Round) -> None:
        """Count a round, and say how it stands."""
        before = self.totals or [0.0] * len(played.rewards)
        self.totals = [total + reward for total, reward in zip(before, played.rewards, strict=True)]
        self.console.print(Text(self.line(played.rewards), style="cyan"))

    def line(self, rewards: Sequence[float]) -> str:
        """All points, and in brackets those of the round."""
        alone = len(self.persons) == 1
        parts = [
            f"{'you' if alone and seat in self.persons else name} {self.totals[seat]:g} ({rewards[seat]:+g})"
            for seat, name in enumerate(self.names)
            if self.public or seat in self.persons
        ]
        return f"Points so far: {', '.join(parts)}"

    def start(self) -> None:
        """The next episode starts at 0."""
        self.totals = []


def with_score(game: Game, sitting: Sequence[PolicyRef], watch: Watch) -> tuple[Watch, Callable[[Round], None] | None]:
    """What to tell of episodes and of rounds, where a person may sit among these policies and sees the score."""
    persons = [seat for seat, policy in enumerate(sitting) if policy.kind == "human"]
    if not persons:
        return watch, None
    names = roles(game) or [f"player {number}" for number in range(1, game.num_players + 1)]
    score = Score(persons, names, family_of(game).tells_points(game))

    def over(episode: Episode) -> None:
        score.start()
        if watch is not None:
            watch(episode)

    return over, score.add
