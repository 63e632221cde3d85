"""Episodes with a common beginning: the trees of groups, and the alternatives to an episode.

    tree: [3, 3]           the 9 episodes of a group share 3 first steps, and each of these is followed by 3 others
    baseline: branches     an episode ── from each round on once more, k times ──> alternatives, with which it is compared

The turns before the point where an episode leaves another one are replayed (rollout.py), so nobody is asked for them twice, and
they train once. Alternatives are matches between the same policies on the same game seed, and train nobody. Must not import
torch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import Any, Protocol

from detente.config import Config
from detente.copies import shared_names
from detente.errors import UserError, counted
from detente.games.base import Game
from detente.options import CreditOptions
from detente.records import Episode, Round, Seating, Turn
from detente.room import in_silence

Alternatives = Mapping[tuple[int, int, int], Sequence[Episode]]  # by iteration, index of the episode compared, and turns replayed
Watch = Callable[[Episode], None]


class Play(Protocol):
    """Plays an episode per seating, in the order given, and tells ``watch`` of each."""

    def __call__(self, seatings: Sequence[Seating], *, watch: Watch | None = None) -> Coroutine[Any, Any, list[Episode]]: ...


async def played(config: Config, seatings: Sequence[Seating], play: Play, watch: Watch) -> list[Episode]:
    """An episode per seating, in the order given, and after them the alternatives that learners compare theirs with.

    ``watch`` hears of the episodes, not of their alternatives. Of these, no more are played at once than there are episodes.
    """
    episodes = await _grown(config.tree or (config.group_size,), seatings, play, watch)
    others, most = alternatives(config, seatings, episodes), len(seatings)
    for start in range(0, len(others), most):
        episodes += await play(others[start : start + most])
    return episodes


async def _grown(sizes: Sequence[int], seatings: Sequence[Seating], play: Play, watch: Watch) -> list[Episode]:
    """The episodes of groups that are trees of these sizes, one level after the other.

    A node's answers are asked for in the first of its leaves; the others begin with what that episode has recorded.
    """
    done: dict[int, Episode] = {}
    for level in range(len(sizes)):
        siblings, leaves = prod(sizes[level:]), prod(sizes[level + 1 :])
        wave = [seating for seating in seatings if seating.index not in done and seating.index % leaves == 0]
        first = [done.get(seating.index - seating.index % siblings) for seating in wave]
        begun = [replace(seating, replay=_steps(from_, level)) for seating, from_ in zip(wave, first, strict=True)]
        done |= {episode.index: episode for episode in await play(begun, watch=watch)}
    return [done[seating.index] for seating in seatings]


def _steps(episode: Episode | None, count: int) -> tuple[Turn, ...]:
    """The turns of the first steps of an episode."""
    steps = [step for played in episode.rounds for step in played.by_step()] if episode else []
    return tuple(turn for step in steps[:count] for turn in step)


def alternatives(config: Config, seatings: Sequence[Seating], episodes: Sequence[Episode]) -> list[Seating]:
    """The matches with which learners of ``credit.baseline=branches`` compare these episodes.

    For each round of a seat that trains they begin before the step of its first answer, with other random numbers for all who
    answer from there on: k of them, which end ``depth`` rounds later at the latest. Seats that answer at once share them.
    """
    compared = branching(config)
    made: list[Seating] = []
    for seating, episode in zip(seatings, episodes, strict=True):
        turns, nobody = tuple(episode.turns()), (None,) * episode.num_players
        own = {seat: compared[name] for seat, name in enumerate(episode.learners) if name in compared}
        points = {(start, number): credit for seat, credit in own.items() for number, start in enumerate(starts(episode, seat))}
        for (start, number), credit in sorted(points.items(), key=lambda point: point[0]):
            end = None if credit.depth is None else number + credit.depth
            branch = replace(seating, learners=nobody, replay=turns[:start], rounds=end, alternative_to=seating.index)
            made += [branch] * credit.alternatives
    made.sort(key=lambda seating: len(seating.replay))  # those that are played at the same time are about as long
    return [replace(seating, index=config.episodes + number) for number, seating in enumerate(made)]


def starts(episode: Episode, seat: int) -> list[int]:
    """For each round how many turns of the episode come before the step of the seat's first answer in it, or before the round where
    it does not answer."""
    before = accumulate((len(played.turns) for played in episode.rounds), initial=0)
    return [turns + _turns_before(played, seat) for turns, played in zip(before, episode.rounds, strict=False)]


def _turns_before(played: Round, seat: int) -> int:
    """The turns of a round before the step in which the seat first answers; 0 where it does not answer."""
    steps = played.by_step()
    first = next((number for number, step in enumerate(steps) if seat in [turn.player for turn in step]), 0)
    return sum(map(len, steps[:first]))


def by_place(episodes: Sequence[Episode]) -> Alternatives:
    """The alternatives among these episodes, by the place where they begin."""
    places: dict[tuple[int, int, int], list[Episode]] = defaultdict(list)
    for episode in episodes:
        if episode.alternative_to is not None:
            places[episode.iteration, episode.alternative_to, sum(turn.replayed for turn in episode.turns())].append(episode)
    return places


def branching(config: Config) -> dict[str, CreditOptions]:
    """The learners that compare their episodes with alternatives, copies apart, and how."""
    credit = {learner: config.learner(name).credit for learner, name in shared_names(config).items()}
    return {learner: options for learner, options in credit.items() if options.baseline == "branches"}


def check_branches(config: Config, game: Game) -> None:
    """UserError for trees and alternatives that fit neither the game nor the rest of the options."""
    compared = branching(config)
    if not (config.tree or compared):
        return
    what = "tree" if config.tree else "credit.baseline=branches"
    if config.executor.kind == "ray" and config.executor.workers != 0:
        raise UserError(
            f"{what} plays episodes that begin with others, which workers of executor=ray do not have; leave executor out."
        )
    if len({(options.alternatives, options.depth) for options in compared.values()}) > 1:
        raise UserError("Learners that share alternatives need the same credit.alternatives and credit.depth; give all the same.")
    if name := next((name for name in compared if config.learner(shared_names(config)[name]).collect != "last"), None):
        raise UserError(
            f"credit.baseline=branches has alternatives to episodes of one iteration; set collect=last for the learner '{name}'."
        )
    if config.tree:
        _check_tree(config, game)


def _check_tree(config: Config, game: Game) -> None:
    opponents, sizes = config.opponents, list(config.tree)
    if prod(sizes) != config.group_size:
        raise UserError(
            f"tree={sizes} makes {counted(prod(sizes), 'episode')}, and group_size is {config.group_size}; make them the same."
        )
    if (opponents.kept or opponents.scripted) and opponents.draw != "group":
        raise UserError("Episodes of a tree begin alike, so they need the same opponents; set opponents.draw=group.")
    if name := next((name for name in config.learner_names if config.learner(name).briefing != "none"), None):
        raise UserError(
            f"Episodes of a tree begin alike, and those of the learner '{name}' do not: set briefing=none, or leave out tree."
        )
    steps = min(sum(len(played.by_step()) for played in episode.rounds) for episode in in_silence(game))
    if len(sizes) > steps:
        raise UserError(
            f"tree={sizes} branches at {counted(len(sizes), 'step')}, and an episode of {game.name} may have {steps}; name fewer."
        )
