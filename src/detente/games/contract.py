"""The contract that every game keeps, as a test to run on your own game: ``check_game(MyGame())``.

The error begins with the name of the rule that was broken:

    parameters   JSON, and make(**game.parameters()) is the game again
    states       compare by value; observe, parse and step leave them alone
    turns        at least one player acts until the game is done, and the game ends
    rewards      one per player, within reward_bounds; the last step pays
    rounds       as many as the seed says, whatever the players do (groups of episodes are compared round by round)
    choices      each matches the pattern and parses; other text parses to None; actions and info are JSON
    default      the default action can be played
    seed         the same seed and answers give the same episode, in whatever order players and episodes take their turns
    symmetric    where ``game.symmetric``: players who trade seats trade rewards
    roles        where seats differ: a name for each, if any
    private      where ``game.resample``: what is hidden from a player changes nothing that it observes
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from detente.errors import UserError
from detente.games import make
from detente.games.base import Action, Game, Observation, State, Step
from detente.games.roles import roles
from detente.seeding import derive, stream

Sample = Callable[[Observation, random.Random], str]
GARBAGE = ("", " ", "\n", "?", "I would rather not say.", "<>", "<<<>>>", "{}", "null", "-1", "1e999", "\x00", "ключ 🗝", "A" * 5000)


def check_game(game: Game, episodes: int = 20, seed: int = 0, *, sample: Sample | None = None, max_steps: int = 10_000) -> None:
    """Play ``episodes`` random episodes and check every rule of the contract on them.

    ``sample(observation, rng)`` draws a valid answer; without it one of ``observation.choices`` is drawn. An episode may take
    at most ``max_steps`` steps. Raises AssertionError with one sentence that begins with the name of the broken rule.
    """
    _check_roles(game)
    _check_parameters(game)
    sample = sample or _any_choice
    seeds = [derive(seed, "contract", index) for index in range(episodes)]
    plays = [_run(_play(game, s, sample, max_steps)) for s in seeds]
    _check_same_again(plays, [_play(game, s, sample, max_steps, backwards=True) for s in seeds])
    for played in plays:
        _check_rounds(played, _run(_play(game, played.seed, None, max_steps)))
        if getattr(game, "symmetric", False):
            _check_symmetry(game, played)
    if hasattr(game, "resample"):
        _check_private(game, plays)


@dataclass
class _Played:
    """What happened in one episode: the states and, for each, the observations, the actions and the step."""

    seed: int
    states: list[State] = field(default_factory=list)
    observations: list[tuple[Observation, ...]] = field(default_factory=list)
    actions: list[dict[int, Action]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    @property
    def rewards(self) -> list[tuple[float, ...]]:
        return [step.rewards for step in self.steps if step.rewards is not None]


def _play(game: Game, seed: int, sample: Sample | None, max_steps: int, backwards: bool = False) -> Iterator[_Played]:
    """One episode, a step at a time (so that several can be interleaved), every state and answer checked on the way.

    Without ``sample`` every player plays its default action. ``backwards`` takes the players in reverse order.
    """
    played = _Played(seed)
    state = game.reset(random.Random(seed))
    done = False
    while not done:
        _require(len(played.steps) < max_steps, "turns", f"an episode (seed {seed}) has not ended after {max_steps} steps")
        before = copy.deepcopy(state)
        _require(before == state, "states", "a copy of a state does not equal it; make the state a frozen dataclass")
        acting = _acting(game, state)
        order = range(game.num_players)[:: -1 if backwards else 1]
        observations = {player: game.observe(state, player) for player in order}
        actions: dict[int, Action] = {}
        for player in (p for p in order if p in acting):
            _check_choices(game, state, player, observations[player])
            if sample is None:
                actions[player] = game.default_action(state, player)
            else:
                rng = stream(seed, "answer", len(played.steps), player)
                actions[player] = _parsed(game, state, player, observations[player], sample(observations[player], rng))
            _json("choices", "the action", actions[player])
        _require(state == before, "states", "observe, parse or default_action changed the state")
        step = _step(game, state, actions, by_default=sample is None)
        _require(state == before, "states", "step changed the state that it was given")
        _check_rewards(game, step)
        played.states.append(state)
        played.observations.append(tuple(observations[player] for player in sorted(observations)))
        played.actions.append(actions)
        played.steps.append(step)
        state, done = step.state, step.done
        yield played


def _check_parameters(game: Game) -> None:
    parameters = _json("parameters", "what parameters() returns", game.parameters())
    _require("name" in parameters, "parameters", "parameters() has no 'name'")
    try:
        again = make(**parameters)
    except UserError as error:
        raise AssertionError(f"parameters: make(**game.parameters()) fails: {error}") from error
    _require(again == game, "parameters", f"make(**game.parameters()) gives {again!r} instead of {game!r}")


def _check_roles(game: Game) -> None:
    try:
        roles(game)
    except UserError as error:
        raise AssertionError(f"roles: {error}") from error


def _check_choices(game: Game, state: State, player: int, observation: Observation) -> None:
    choices = observation.choices
    for choice in choices:
        _parsed(game, state, player, observation, choice)
    _require(len(set(choices)) == len(choices), "choices", f"a choice is listed twice in {choices}")
    for text in (*GARBAGE, *(choice + choice for choice in choices), *(choice[:-1] for choice in choices)):
        if not any(re.fullmatch(observation.pattern, answer) for answer in (text, text.strip())):
            action = _parse(game, state, player, text)
            _require(action is None, "choices", f"{text[:60]!r} does not match the pattern, yet it parses to {action!r}")


def _check_rewards(game: Game, step: Step) -> None:
    _require(step.rewards is not None or not step.done, "rewards", "the last step of an episode pays nothing")
    _json("choices", "the info", step.info)
    if step.rewards is not None:
        low, high = game.reward_bounds
        _require(len(step.rewards) == game.num_players, "rewards", f"{step.rewards} is not one reward per player")
        _require(all(low <= r <= high for r in step.rewards), "rewards", f"{step.rewards} leaves the bounds [{low}, {high}]")


def _check_same_again(plays: Sequence[_Played], again: Sequence[Iterator[_Played]]) -> None:
    """The second time the episodes take turns, one step each, and the players are asked backwards."""
    running = list(again)
    latest: dict[int, _Played] = {}
    while running:
        for episode in list(running):
            played = next(episode, None)
            if played is None:
                running.remove(episode)
            else:
                latest[played.seed] = played
    for first in plays:
        same = first == latest[first.seed]
        _require(same, "seed", f"the seed {first.seed} and the same answers gave two different episodes")


def _check_rounds(played: _Played, by_default: _Played) -> None:
    rounds, default = len(played.rewards), len(by_default.rewards)
    fault = f"with seed {played.seed} there are {rounds} or {default} rounds, depending on the answers"
    _require(rounds == default, "rounds", fault)


def _check_symmetry(game: Game, played: _Played) -> None:
    """Give everyone a new seat and let them do what they did: they must earn what they earned."""
    seats = stream(played.seed, "seats").sample(range(game.num_players), game.num_players)
    state = game.reset(random.Random(played.seed))
    state = game.reseated(state, seats) if hasattr(game, "reseated") else state
    for step, actions in zip(played.steps, played.actions, strict=True):
        moved = {seats[player]: action for player, action in actions.items()}
        _require(set(_acting(game, state)) == set(moved), "symmetric", "who acts depends on the seat")
        again = game.step(state, moved)
        rewards = None if again.rewards is None else tuple(again.rewards[seat] for seat in seats)
        _require(rewards == step.rewards, "symmetric", f"{actions} pays {step.rewards}, but {rewards} with the seats {seats}")
        state = again.state


def _check_private(game: Game, plays: Sequence[_Played]) -> None:
    resample: Callable[[State, int, random.Random], State] = game.resample  # type: ignore[attr-defined]
    changed = False
    for played in plays:
        rng = stream(played.seed, "private")
        for state, observations in zip(played.states, played.observations, strict=True):
            for player, observation in enumerate(observations):
                other = resample(state, player, rng)
                changed = changed or other != state
                same = game.observe(other, player) == observation
                _require(
                    same, "private", f"player {player + 1} is told something that it must not know: {observation.text[:200]!r}"
                )
    _require(changed, "private", "resample never changes a state, so nothing was tested")


def _acting(game: Game, state: State) -> tuple[int, ...]:
    acting = game.to_act(state)
    valid = 0 < len(set(acting)) == len(acting) and set(acting) <= set(range(game.num_players))
    _require(valid, "turns", f"to_act gives {acting} before the game is done")
    return acting


def _parse(game: Game, state: State, player: int, text: str) -> Action | None:
    try:
        return game.parse(state, player, text)
    except Exception as error:
        raise AssertionError(f"choices: parse fails on {text[:60]!r}: {error!r}.") from error


def _parsed(game: Game, state: State, player: int, observation: Observation, text: str) -> Action:
    matches = re.fullmatch(observation.pattern, text) is not None
    _require(matches, "choices", f"the answer {text!r} does not match {observation.pattern!r}")
    action = _parse(game, state, player, text)
    _require(action is not None, "choices", f"the answer {text!r} matches the pattern, yet it does not parse")
    return action


def _step(game: Game, state: State, actions: dict[int, Action], by_default: bool) -> Step:
    try:
        return game.step(state, actions)
    except Exception as error:
        rule = "default" if by_default else "choices"
        raise AssertionError(f"{rule}: step fails on the actions {actions}: {error!r}.") from error


def _json(rule: str, what: str, value: Any) -> Any:
    try:
        again = json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{rule}: {what}, {value!r}, is not a JSON value: {error}.") from error
    _require(again == value, rule, f"{what}, {value!r}, comes back from JSON as {again!r}")
    return again


def _any_choice(observation: Observation, rng: random.Random) -> str:
    if not observation.choices:
        raise UserError("The game lists no choices, so check_game needs sample=..., a function that draws a valid answer.")
    return rng.choice(observation.choices)


def _run(episode: Iterator[_Played]) -> _Played:
    *_, played = episode
    return played


def _require(kept: bool, rule: str, fault: str) -> None:
    if not kept:
        raise AssertionError(f"{rule}: {fault}.")
