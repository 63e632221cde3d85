"""Plays episodes: one, or many at once.

    reset -> (observe -> act -> parse -> step) until done -> Episode

Knows games and players only, not whether a player is a model, a script or a person. Must not import torch.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from detente.games.base import Game, Observation
from detente.games.guard import check_length, guarded
from detente.games.own_measures import own_values
from detente.games.roles import roles
from detente.players.base import Player
from detente.records import Episode, PolicyRef, Round, Turn
from detente.together import run, together


@dataclass(frozen=True, slots=True)
class Match:
    """One episode to be played: the game and its seed, the player of each seat, and where the record belongs.

    ``briefing`` is what each seat is told in the beginning, after the game's own first words ("": nothing; () for nobody).
    """

    game: Game
    seed: int
    players: Sequence[Player]
    learners: tuple[str | None, ...] = ()
    iteration: int = 0
    group: int = 0
    index: int = 0
    briefing: tuple[str, ...] = ()


async def play_match(match: Match, on_round: Callable[[Round], None] | None = None) -> Episode:
    """Play one match to its end. Players that act at once answer concurrently and do not see each other's answer."""
    game, players = guarded(match.game), match.players
    state, seats = game.reset(random.Random(match.seed)), range(game.num_players)
    untold = [""] * game.num_players  # what a waiting player was told and has not answered yet
    briefing = match.briefing or ("",) * game.num_players
    rounds: list[Round] = []
    turns: list[Turn] = []
    steps: list[int] = []
    taken, done = 0, False
    try:
        while not done:
            check_length(match.game, taken := taken + 1)
            acting = game.to_act(state)
            seen = [_told(untold[p], game.observe(state, p), text) for p, text in zip(seats, briefing, strict=True)]
            briefing = ("",) * game.num_players
            untold = [observation.text for observation in seen]
            turns_now = await together([_turn(game, state, p, players[p], seen[p]) for p in acting])
            for turn in turns_now:
                untold[turn.player] = ""
            turns += turns_now
            if turns_now:
                steps.append(len(turns_now))
            step = game.step(state, {turn.player: turn.action for turn in turns_now})
            state, done = step.state, step.done
            if step.rewards is not None:
                rounds.append(Round(tuple(turns), step.rewards, step.info, tuple(steps)))
                turns, steps = [], []
                if on_round is not None:
                    on_round(rounds[-1])
    finally:
        for player in players:
            player.close()
    policies: tuple[PolicyRef, ...] = tuple(p.policy for p in players)
    learners = match.learners or (None,) * game.num_players
    episode = Episode(
        game=game.parameters(),
        seed=match.seed,
        policies=policies,
        rounds=tuple(rounds),
        learners=learners,
        iteration=match.iteration,
        group=match.group,
        index=match.index,
        roles=roles(match.game),
    )
    return replace(episode, measures=own_values(match.game, episode))


def _told(before: str, new: Observation, after: str) -> Observation:
    """The observation with what the player was told while it waited, and with its briefing."""
    return replace(new, text="\n".join(filter(None, (before, new.text, after)))) if before or after else new


async def _turn(game: Game, state: Any, seat: int, player: Player, observation: Observation) -> Turn:
    completion = await player.act(observation)
    action = game.parse(state, seat, completion.text)
    valid = action is not None
    taken = action if valid else game.default_action(state, seat)
    return Turn(seat, observation.text, taken, valid, completion, observation.phase, observation.topic)


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
        async with gate:
            episode = await play_match(match, on_round)
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
