"""The choices of one agent in recorded episodes, and what each of its actions brings: arrays, for whoever asks what it prefers.

    episodes, agent ── choices_of ──> [Choice] ── gathered ──> Choices ── expected ──> features (S, A, F), counts (S, A)

A situation is a payoff table, a seat and the last joint move. What an action brings in it is a mean over what the others do
after that joint move, as often as they do in these very episodes. Only games that repeat one round, in which all act at once and
the points follow from what they do, can be read so. Must not load torch.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detente.errors import UserError, as_typed
from detente.games import family_of, recorded
from detente.games.sides import carried_out
from detente.games.stage_game import StageGame
from detente.records import UNREADABLE, Episode, PolicyRef

FEATURES = ("own", "others", "ahead", "behind")  # points: own, mean of the others', what others have more, what others have less
SHOWN = 5  # names at either end of a long list
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Moves = tuple[int, ...]  # numbers of actions
Situation = tuple[StageGame, int, Moves]  # the payoffs, the seat, the last joint move with its own first (() in the first round)


@dataclass(frozen=True, slots=True)
class Choice:
    """One valid decision: the number of the action, how likely the agent found each (() unknown) and this one, what the others did
    at the same time, in rising order, and in which round. ``seed``: which source it is from, and the game seed."""

    situation: Situation
    action: int
    others: Moves
    probabilities: tuple[float, ...]
    chance: float
    round: int
    seed: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Choices:
    """N choices as numbers: P payoff tables from a seat, C contexts, S situations, A actions, B joint moves of the others, U game
    seeds, F features."""

    outcomes: Floats  # (P, A, B, F) what each action brings
    places: Indices  # (S,) which of the P
    contexts: Indices  # (S,) which of the C, a seat and a last joint move
    situations: Indices  # (N,) which of the S
    actions: Indices  # (N,) which of the A
    others: Indices  # (N,) which of the B
    seeds: Indices  # (N,) which of the U

    @property
    def number_of_seeds(self) -> int:
        """U."""
        return int(self.seeds.max()) + 1

    def expected(self, times: NDArray[Any] | None = None) -> tuple[Floats, Floats]:
        """What each action brings in the mean in each situation that occurs (S, A, F), and how often it was chosen (S, A).

        Each game seed counts so many ``times`` (U,), by default once.
        """
        weights = np.ones(len(self.seeds)) if times is None else np.asarray(times, float)[self.seeds]
        _, actions, others, _ = self.outcomes.shape
        counts = _summed(weights, self.situations, self.actions, len(self.places), actions)
        beliefs = _summed(weights, self.contexts[self.situations], self.others, int(self.contexts.max()) + 1, others)
        seen = counts.sum(1) > 0
        likely = beliefs[self.contexts[seen]]
        likely /= likely.sum(1, keepdims=True)
        return np.einsum("sabf,sb->saf", self.outcomes[self.places[seen]], likely), counts[seen]


def choices_of(
    sources: Sequence[Sequence[Episode]], agent: str, versions: int = 1, names: Sequence[str] | None = None
) -> list[Choice]:
    """The choices of an agent in the episodes of several sources, which have these ``names`` in sentences.

    ``agent`` is a name as episodes have it, with a version or without; without one, the newest ``versions`` of an adapter that
    played in a source count there. UserError for a source in which it did not play, where it gave no valid answer, and for games
    that cannot be read so, or not together.
    """
    policies = [
        _policies(source, agent, versions, name)
        for source, name in zip(sources, names or ["these episodes"] * len(sources), strict=True)
    ]
    choices = [
        choice
        for number, source in enumerate(sources)
        for episode in source
        for seat, policy in enumerate(episode.policies)
        if policy in policies[number]
        for choice in choices_at(episode, seat, number)
    ]
    if not choices:
        raise UserError(f"{agent} never gave a valid answer in these episodes, so that nothing is known of what it prefers.")
    if len({(stage.actions, stage.players) for stage, _, _ in (choice.situation for choice in choices)}) > 1:
        raise UserError(f"These games have different actions or numbers of players; read what {agent} prefers in each by itself.")
    return choices


def gathered(choices: Sequence[Choice]) -> Choices:
    """The choices as arrays; UserError where all payoffs are the same, which leaves open what an agent prefers."""
    situations = _numbered(choice.situation for choice in choices)
    if len({stage for stage, _, _ in situations}) == 1:
        raise UserError(
            "The payoffs do not vary between these episodes, which leaves open what the agent prefers; let them vary, in training "
            "with vary.payoffs.choices=[TABLE,TABLE], else with several sources, each played with another game.payoffs."
        )
    places = _numbered((stage, seat) for stage, seat, _ in situations)
    contexts = _numbered((seat, last) for _, seat, last in situations)
    others, seeds = _numbered(choice.others for choice in choices), _numbered(choice.seed for choice in choices)
    return Choices(
        np.array(
            [
                [[features(stage, seat, own, moves) for moves in others] for own in range(len(stage.actions))]
                for stage, seat in places
            ]
        ),
        places=np.array([places[stage, seat] for stage, seat, _ in situations]),
        contexts=np.array([contexts[seat, last] for _, seat, last in situations]),
        situations=np.array([situations[choice.situation] for choice in choices]),
        actions=np.array([choice.action for choice in choices]),
        others=np.array([others[choice.others] for choice in choices]),
        seeds=np.array([seeds[choice.seed] for choice in choices]),
    )


def features(stage: StageGame, seat: int, own: int, others: Moves) -> tuple[float, ...]:
    """What a joint move brings the player on a seat, by ``FEATURES``."""
    moves = [*others[:seat], own, *others[seat:]]
    points = stage.points([stage.actions[move] for move in moves])
    gaps = [theirs - points[seat] for player, theirs in enumerate(points) if player != seat]
    ahead, behind = sum(max(gap, 0.0) for gap in gaps) / len(gaps), sum(max(-gap, 0.0) for gap in gaps) / len(gaps)
    return points[seat], points[seat] + ahead - behind, ahead, behind


def stage_game(episode: Episode) -> StageGame:
    """The round that the game of an episode repeats; UserError for games that do something else."""
    name = episode.game.get("name")
    game = recorded(episode.game)
    stage = None if game is None else family_of(game).stage_game(game)
    if stage is None:
        why = "its rules are not in this package" if game is None else "its points do not follow from what all do at the same time"
        can = "they can in matrix games, and in public_goods with institutions=false"
        raise UserError(f"Preferences cannot be read in {name}, for {why}; {can}.")
    return stage


def _summed(weights: Floats, rows: Indices, columns: Indices, height: int, width: int) -> Floats:
    """(height, width) the weights that belong into each cell, added up."""
    cells: Floats = np.bincount(rows * width + columns, weights, height * width).astype(float)
    return cells.reshape(height, width)


def choices_at(episode: Episode, seat: int, source: int = 0) -> list[Choice]:
    """The choices of who sat on a seat; UserError for games that cannot be read so."""
    try:
        return list(_choices(episode, seat, source))
    except UNREADABLE as error:
        which = f"The episode of {episode.game.get('name')} on the game seed {episode.seed}"
        raise UserError(f"{which} is none of that game: some round does not have one move of everybody.") from error


def _choices(episode: Episode, seat: int, source: int) -> Iterator[Choice]:
    stage = stage_game(episode)
    last: Moves = ()
    for number, played in enumerate(episode.rounds):
        decisions = {turn.player: turn for turn in played.turns if turn.phase == "decision"}
        moves = [stage.actions.index(carried_out(played, decisions[player])) for player in range(stage.players)]
        others = tuple(sorted(moves[:seat] + moves[seat + 1 :]))
        if (turn := decisions[seat]).valid:
            chosen, known = stage.actions.index(turn.action), tuple(turn.completion.probabilities)
            chance = known[chosen] if known else math.exp(sum(turn.completion.logprobs))
            yield Choice((stage, seat, last), chosen, others, known, chance, number, (source, episode.seed))
        last = (moves[seat], *others)


def _policies(episodes: Iterable[Episode], agent: str, versions: int, where: str) -> set[PolicyRef]:
    """The policies that a name stands for in a source; UserError where nobody of that name played."""
    if not isinstance(versions, int) or versions < 1:
        raise UserError(f"versions says how many of an agent's newest versions count, 1 or more, and is {as_typed(versions)}.")
    played = {policy for episode in episodes for policy in episode.policies}
    if exact := {policy for policy in played if str(policy) == agent}:
        return exact
    if named := {policy for policy in played if policy.name == agent.rstrip("/")}:
        newest = sorted({policy.version for policy in named})[-versions:]
        return {policy for policy in named if policy.version in newest}
    others = sorted({policy.version for policy in played if policy.kind == "adapter" and policy.name == agent.rpartition("@")[0]})
    known = [f"{agent.rpartition('@')[0]}@{version}" for version in others] or sorted({policy.name for policy in played})
    raise UserError(f"Nobody called '{agent}' played in {where}; there played: {_abridged(known)}.")


def _abridged(names: Sequence[str]) -> str:
    """All of them, or the ends of a long list."""
    shown = names if len(names) <= 2 * SHOWN else [*names[:SHOWN], "...", *names[-SHOWN:]]
    return ", ".join(shown) or "nobody"


def _numbered(values: Iterable[Hashable]) -> dict[Any, int]:
    """Every different value -> its number, in the order of their first occurrence."""
    return {value: number for number, value in enumerate(dict.fromkeys(values))}
