"""Plays episodes: one, or many at once.

    reset -> (observe -> act -> parse -> step) until done -> Episode          Course: the same, for whoever asks the players itself

Knows games and players only, not whether a player is a model, a script or a person. Must not import torch.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from detente.games.base import Game, Observation
from detente.games.guard import check_length, guarded
from detente.games.own_measures import own_values
from detente.games.roles import roles
from detente.players.base import Player
from detente.records import Completion, Episode, Round, Turn
from detente.together import run, together


@dataclass(frozen=True, slots=True)
class Match:
    """One episode to be played: the game and its seed, the player of each seat, and where the record belongs.

    ``briefing`` is what each seat is told in the beginning, after the game's own first words ("": nothing; () for nobody).
    ``replay`` are recorded turns of the first steps, whole steps, that are taken without asking. The match ends after ``rounds`` at
    the latest. ``alternative_to`` as in ``Episode``.
    """

    game: Game
    seed: int
    players: Sequence[Player]
    learners: tuple[str | None, ...] = ()
    iteration: int = 0
    group: int = 0
    index: int = 0
    briefing: tuple[str, ...] = ()
    replay: tuple[Turn, ...] = ()
    rounds: int | None = None
    alternative_to: int | None = None


class Course:
    """A match under way: ``look`` says what each seat is told, ``take`` plays the answers of ``acting``, until ``done``."""

    def __init__(self, game: Game, seed: int, briefing: Sequence[str] = ()) -> None:
        self._rules, self._game = game, guarded(game)
        self._state = self._game.reset(random.Random(seed))
        self._untold = [""] * game.num_players  # what a waiting player was told and has not answered yet
        self._briefing = tuple(briefing) or ("",) * game.num_players
        self._seen: list[Observation] = []
        self._turns: list[Turn] = []
        self._steps: list[int] = []
        self._taken = 0
        self.acting: tuple[int, ...] = ()
        self.rounds: list[Round] = []
        self.done = False

    def look(self) -> list[Observation]:
        """What each seat is told, with all that it was told since it last answered; once for each step."""
        check_length(self._rules, self._taken + 1)
        self.acting = self._game.to_act(self._state)
        seats = range(self._game.num_players)
        looks = zip(seats, self._briefing, strict=True)
        self._seen = [_told(self._untold[p], self._game.observe(self._state, p), text) for p, text in looks]
        self._briefing = ("",) * self._game.num_players
        self._untold = [observation.text for observation in self._seen]
        return self._seen

    def take(self, completions: Sequence[Completion], *, replayed: bool = False) -> tuple[Turn, ...]:
        """The turns that these answers come to, of the players in ``acting`` and in their order."""
        turns = tuple(self._turn(seat, answer, replayed) for seat, answer in zip(self.acting, completions, strict=True))
        for turn in turns:
            self._untold[turn.player] = ""
        self._turns += turns
        self._steps += [len(turns)] if turns else []
        step = self._game.step(self._state, {turn.player: turn.action for turn in turns})
        self._state, self.done = step.state, step.done
        self._taken += 1
        if step.rewards is not None:
            self.rounds.append(Round(tuple(self._turns), step.rewards, step.info, tuple(self._steps)))
            self._turns, self._steps = [], []
        return turns

    def _turn(self, seat: int, completion: Completion, replayed: bool) -> Turn:
        observation, action = self._seen[seat], self._game.parse(self._state, seat, completion.text)
        valid = action is not None
        taken = action if valid else self._game.default_action(self._state, seat)
        return Turn(seat, observation.text, taken, valid, completion, observation.phase, observation.topic, replayed)


async def play_match(match: Match, on_round: Callable[[Round], None] | None = None) -> Episode:
    """Play one match to its end. Players that act at once answer concurrently and do not see each other's answer."""
    players, replay = match.players, list(match.replay)
    try:
        course = Course(match.game, match.seed, match.briefing)
        while not course.done and (match.rounds is None or len(course.rounds) < match.rounds):
            seen, finished = course.look(), len(course.rounds)
            if replay:
                course.take(_recalled(players, seen, course.acting, replay), replayed=True)
            else:
                course.take(await together([players[p].act(seen[p]) for p in course.acting]))
            if on_round is not None and len(course.rounds) > finished:
                on_round(course.rounds[-1])
    finally:
        for player in players:
            player.close()
    episode = Episode(
        game=guarded(match.game).parameters(),
        seed=match.seed,
        policies=tuple(player.policy for player in players),
        rounds=tuple(course.rounds),
        learners=match.learners or (None,) * match.game.num_players,
        iteration=match.iteration,
        group=match.group,
        index=match.index,
        roles=roles(match.game),
        alternative_to=match.alternative_to,
    )
    return replace(episode, measures=own_values(match.game, episode)) if course.done else episode


def _recalled(
    players: Sequence[Player], seen: Sequence[Observation], acting: Sequence[int], replay: list[Turn]
) -> list[Completion]:
    """The recorded answers of a step, once their players have heard of them; ValueError where others answered than now."""
    turns = replay[: len(acting)]
    answered = tuple(turn.player for turn in turns)
    if answered != tuple(acting):
        raise ValueError(f"Players {answered} answered in the replayed step, and players {tuple(acting)} do now.")
    del replay[: len(acting)]
    for turn in turns:
        players[turn.player].recall(seen[turn.player], turn.completion)
    return [turn.completion for turn in turns]


def _told(before: str, new: Observation, after: str) -> Observation:
    """The observation with what the player was told while it waited, and with its briefing."""
    return replace(new, text="\n".join(filter(None, (before, new.text, after)))) if before or after else new


async def play_all(
    matches: Sequence[Match],
    *,
    concurrency: int | None = None,
    on_episode: Callable[[Episode], None] | None = None,
    on_round: Callable[[Round], None] | None = None,
) -> list[Episode]:
    """Play all matches concurrently (at most ``concurrency`` at a time); returns their episodes in the order given.

    The first match that fails stops the others, and its own exception is raised.
    """
    gate = asyncio.Semaphore(concurrency or max(1, len(matches)))

    async def play(match: Match) -> Episode:
        await gate.acquire()
        episode = await play_match(match, on_round)
        gate.release()  # one that fails keeps its place, so that none begins before all are stopped
        if on_episode is not None:
            on_episode(episode)
        return episode

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(play(match)) for match in matches]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # a UserError must reach the caller as itself, not in a group
    return [task.result() for task in running]


def play_matches(
    matches: Sequence[Match], *, concurrency: int | None = None, on_episode: Callable[[Episode], None] | None = None
) -> list[Episode]:
    """``play_all`` for callers that are not async."""
    return run(play_all(matches, concurrency=concurrency, on_episode=on_episode))
