"""Our games as a task of Inspect: ``inspect eval detente/social_dilemmas --model MODEL -T game=ipd -T opponent=tit_for_tat``.

    a sample ── an episode: the model on one seat, scripts, kept agents or endpoints on the others ──> points, our measures

Inspect finds the task by the entry point of the package. Must not import torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from detente import matches
from detente.environments.seat import Table
from detente.errors import UserError
from detente.extras import needing
from detente.games.base import Game, Observation
from detente.games.family import measures
from detente.games.guard import brief
from detente.games.sides import mean as average
from detente.players.thoughts import spoken
from detente.records import Completion, Episode, PolicyRef, Seating
from detente.rollout import Course

with needing("inspect", "A task of Inspect"):
    from inspect_ai import Task, task
    from inspect_ai._util.error import PrerequisiteError
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser
    from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, mean, metric, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver

SILENCE = "(nothing)"  # a message needs text


class NoTaskError(UserError, PrerequisiteError):  # type: ignore[misc, unused-ignore]
    """What makes no task; Inspect's command prints the sentence of such an error alone."""


@task  # type: ignore[untyped-decorator, unused-ignore]
def social_dilemmas(
    game: str = "ipd",
    opponent: str | list[str] = "tit_for_tat",
    episodes: int = 10,
    seed: int = 0,
    seat: int = 0,
    overrides: str | list[str] = (),  # type: ignore[assignment]
) -> Task:
    """Episodes of a game, or of a preset's game, between the model on ``seat`` (from 0 on) and ``opponent`` on all other seats.

    ``opponent`` is a script, a run folder, an adapter or whatever else is named as for ``detente play``; a list names one for each
    of the other seats. ``overrides`` are options such as "game.rounds=5". Episode i has the game seed ``seed + i``.
    """
    if not isinstance(episodes, int) or isinstance(episodes, bool) or episodes < 1:
        raise NoTaskError(f"episodes is a whole number of at least 1, not {brief(episodes)}.")
    options = [option for option in ([overrides] if isinstance(overrides, str) else overrides) if option]
    try:
        table = Table(game, opponent, seat, options)
    except UserError as error:
        raise NoTaskError(str(error)) from error
    return Task(
        dataset=MemoryDataset([_sample(table, seed, index) for index in range(episodes)], name=table.game.name),
        solver=play_episode(table, seed),
        scorer=points(),
        metrics=[mean(), stderr(), measured(table.game, seat)],
        name="social_dilemmas",
    )


@dataclass
class Evaluated:
    """The model that Inspect evaluates, on a seat of one episode. An answer that is not valid is not asked for again."""

    state: TaskState
    generate: Generate
    policy: PolicyRef

    async def act(self, observation: Observation) -> Completion:
        self.state.messages.append(ChatMessageUser(content=observation.text or SILENCE))
        self.state = await self.generate(self.state)
        return Completion(spoken(self.state.output.completion), self.policy)

    def recall(self, observation: Observation, completion: Completion) -> None:
        self.state.messages += [ChatMessageUser(content=observation.text or SILENCE), ChatMessageAssistant(content=completion.text)]

    def close(self) -> None:
        """Nothing is kept."""


@solver  # type: ignore[untyped-decorator, unused-ignore]
def play_episode(table: Table, seed: int) -> Solver:
    """Plays the episode of a sample; its record is in the store as ``episode``."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = PolicyRef("remote", f"inspect:{state.model}")
        sitting = tuple(model if place == table.seat else policy for place, policy in enumerate(table.sitting))
        state.messages = []
        player = Evaluated(state, generate, model)
        index = int(state.sample_id) - 1
        seating = Seating(sitting, group=index, index=index)
        guest = matches.Guest(table.policies, model, lambda: player)
        (episode,) = await matches.play(guest, table.game, [seating], stream=matches.Counted(seed))
        player.state.store.set("episode", orjson.loads(episode.to_line()))
        return player.state

    return solve


@scorer(metrics=[mean(), stderr()])  # type: ignore[untyped-decorator, unused-ignore]
def points() -> Scorer:
    """The model's points per round; the record of the episode is the score's metadata."""

    async def score(state: TaskState, target: Target) -> Score:
        record = state.store.get("episode")
        if record is None:
            return Score.unscored(explanation="The episode was not played to its end.")
        episode, seat = _episode(record), _seat(record)
        others = [episode.mean_reward(place) for place in range(episode.num_players) if place != seat]
        said = f"{episode.mean_reward(seat):g} points per round in {len(episode.rounds)} rounds; the others {average(others):g}."
        return Score(value=episode.mean_reward(seat), explanation=said, metadata={"episode": record})

    return score


@metric  # type: ignore[untyped-decorator, unused-ignore]
def measured(game: Game, seat: int) -> Metric:
    """The measures of the game over all episodes, as a run has them: cooperation by the last joint move, invalid answers ..."""

    def values(scores: list[SampleScore]) -> dict[str, float]:
        sides = [(_episode(score.score.metadata["episode"]), seat) for score in scores if score.score.metadata]
        if not sides:
            return {}
        theirs = [episode.mean_reward(place) for episode, own in sides for place in range(episode.num_players) if place != own]
        known = measures(game, sides) | {"opponent_reward": average(theirs)}
        return {name: float(value) for name, value in known.items() if value is not None}

    return values


def _sample(table: Table, seed: int, index: int) -> Sample:
    """An episode to play; its input is the first thing that the model's seat is told."""
    first = Course(table.game, seed + index).look()[table.seat].text
    return Sample(input=first or SILENCE, id=index + 1, metadata={"game_seed": seed + index})


def _episode(record: Any) -> Episode:
    return Episode.from_json(orjson.dumps(record))


def _seat(record: Any) -> int:
    """Where the evaluated model sat."""
    return next(place for place, policy in enumerate(record["policies"]) if str(policy["name"]).startswith("inspect:"))
