"""One seat of a game for whoever asks from outside, the other seats played by policies of ours.

    begin ──> what the seat is told ── answer ──> (the others answer) ──> what it is told next, None at the end

Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from detente.errors import UserError
from detente.games.base import Game, Observation
from detente.games.guard import brief
from detente.matches import Counted
from detente.playable import options_of
from detente.players.base import Player
from detente.policies import Policies, check_seats
from detente.records import Completion, PolicyRef, Seating
from detente.rollout import Course
from detente.together import together

OUTSIDE = PolicyRef("remote", "outside")  # whoever sits on the seat


class Table:
    """A game, and who plays it on every seat but one: an opponent for all seats or one for each, named as for ``detente play``.

    UserError for names that nobody answers to, and for a seat that the game does not have.
    """

    def __init__(self, game: str, opponent: str | Sequence[str], seat: int = 0, overrides: Sequence[str] = ()) -> None:
        self.policies = Policies.of(options_of(game, list(overrides)))
        self.game: Game = self.policies.game
        players = self.game.num_players
        if not isinstance(seat, int) or isinstance(seat, bool) or not 0 <= seat < players:
            raise UserError(
                f"The game {self.game.name} has the seats 0 to {players - 1}, so seat is one of these, not {brief(seat)}."
            )
        self.seat = seat
        others = [opponent] * (players - 1) if isinstance(opponent, str) else list(opponent)
        names = [*others[:seat], OUTSIDE.name, *others[seat:]]
        check_seats(self.game, names, learners=[OUTSIDE.name])
        self._numbers = count()
        self.sitting = tuple(OUTSIDE if place == seat else self.policies.resolve(name) for place, name in enumerate(names))

    def episode(self, seed: int) -> Seat:
        """An episode on a game seed, not begun; the others draw as in ``detente play --seed``."""
        stream, seating, number = Counted(seed), Seating(self.sitting), next(self._numbers)
        players: dict[int, Player] = {}
        for place, policy in enumerate(self.sitting):
            if place != self.seat:
                drawn = stream.player(seating, place)
                players[place] = self.policies.player(policy, chat=f"{number}/{place}/{seed}", seed=drawn)
        briefings = [self.policies.briefing(policy) for policy in self.sitting]
        return Seat(Course(self.game, seed, briefings), players, self.seat)


class Seat:
    """An episode from one seat. ``points`` of it and of the others so far, ``valid``: whether its last answer was."""

    def __init__(self, course: Course, players: dict[int, Player], seat: int) -> None:
        self._course, self._players, self._seat = course, players, seat
        self._seen: list[Observation] = []
        self.valid: bool | None = None

    @property
    def rewards(self) -> list[tuple[float, ...]]:
        """What the rounds paid so far, one number per seat."""
        return [played.rewards for played in self._course.rounds]

    async def begin(self) -> Observation | None:
        """Play until the seat is asked for the first time; None where it never is."""
        return await self._until_asked()

    async def answer(self, text: str) -> Observation | None:
        """Play an answer and what the others do until the seat is asked again; None at the end of the episode."""
        if not self._seen or self._course.done:
            raise UserError("Nothing is asked; begin an episode first.")
        await self._take(Completion(text, OUTSIDE))
        return await self._until_asked()

    def close(self) -> None:
        """The others leave."""
        for player in self._players.values():
            player.close()

    async def _until_asked(self) -> Observation | None:
        while not self._course.done:
            self._seen = self._course.look()
            if self._seat in self._course.acting:
                return self._seen[self._seat]
            await self._take(None)
        self.close()
        return None

    async def _take(self, own: Completion | None) -> None:
        others = [place for place in self._course.acting if place != self._seat]
        said: dict[int, Any] = dict(zip(others, await together([self._players[p].act(self._seen[p]) for p in others]), strict=True))
        turns = self._course.take([own if place == self._seat else said[place] for place in self._course.acting])  # type: ignore[misc]
        self.valid = next((turn.valid for turn in turns if turn.player == self._seat), self.valid)
