"""The shapes of what measurements of one agent leave in folders: best responses, searches for the worst case, fingerprints.

As in ``stored_shapes``. Must not import torch.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from detente.stored_shapes import Bounds, Count, Estimate, Number, Numbers, Stored, Text


class Step(Stored):
    """A round after one defection."""

    round: Count
    other: Text
    cooperate: Number


class Imitated(Stored):
    """What a learner imitates: so many choices, which have this digest, in one form of preferences."""

    choices: Count
    digest: Text
    form: Text


class Response(Stored):
    """What an agent asks for in one situation."""

    told: Text
    last: Number | None
    asks: Annotated[int, Field(ge=1, lt=2**53)]
    share: Estimate


class Exact(Stored):
    """An exact best response and floor."""

    rounds: Annotated[int, Field(ge=1, lt=2**53)]
    expected_rounds: Number
    value: Bounds
    agent_value: Bounds
    cooperator: Bounds | None = None
    agent_with_cooperator: Bounds | None = None
    gain: Number | None = None
    method: Text
    histories: Count
    play: Text
    earned: Estimate | None
    loss: Number | None = None
    floor: Bounds | None = None
    floor_opponent: Bounds | None = None
    floor_play: Text = ""
    floor_left: Estimate | None = None


class Print(Stored):
    """The fingerprint of an agent."""

    label: Text
    memory_one: Numbers | None = None
    memory_two: Numbers | None = None
    invalid: Number | None = None
    forgiveness: list[Step] | None = None
    responses: list[Response] | None = None
    measures: Numbers | None = None
    exact: Exact | None = None


class Fingerprint(Stored):
    """fingerprint.json."""

    game: Text = ""
    reward_bounds: Bounds | None = None
    agents: Annotated[list[Print], Field(min_length=1)]


class Point(Stored):
    """An iteration of a best response."""

    iteration: Count
    responder: Estimate
    agent: Estimate


class Trained(Stored):
    """What a responder gets, and the agent."""

    reward: Estimate
    agent_reward: Estimate
    measures: Numbers


class Alone(Stored):
    """What an agent gets with itself."""

    reward: Estimate
    agent_reward: Estimate | None = None


class Roles(Stored):
    responder: Text
    agent: Text


class BestResponse(Stored):
    """best_response.json."""

    label: Text
    curve: list[Point]
    responder: Trained
    self_play: Alone | None = None
    roles: Roles | None = None
    exact: Exact | None


class WhileLearning(Stored):
    """What a shaper and the agent get in each episode of a trial."""

    trials: Count
    reward: Annotated[list[Estimate], Field(min_length=1, max_length=1000)]
    agent_reward: Annotated[list[Estimate], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _even(self) -> WhileLearning:
        if len(self.reward) != len(self.agent_reward):
            raise ValueError("it has other numbers of episodes for the shaper and the agent")
        return self


class Adversary(Stored):
    """An adversary against the agent."""

    name: Text
    aim: Text = ""
    start: Text = ""
    seed: int = 0
    reward: Estimate
    agent_reward: Estimate
    margin: Estimate
    gain: Estimate | None = None
    loss: Estimate | None = None
    while_learning: WhileLearning | None = None


class Worst(Stored):
    """The worst adversary by one question."""

    question: Text
    adversary: Text
    by_game_seed: list[Number] = Field([])
    __pydantic_extra__: dict[str, Estimate]

    @model_validator(mode="after")
    def _answered(self) -> Worst:
        if self.question not in (self.model_extra or {}):
            raise ValueError(f"it does not answer {self.question!r}")
        return self


class WorstCase(Stored):
    """worst_case.json."""

    label: Text
    adversaries: Annotated[list[Adversary], Field(min_length=1, max_length=1000)]
    worst: list[Worst]
    roles: Roles | None = None
    exact: Exact | None
    left_out: list[Text] = Field([])
