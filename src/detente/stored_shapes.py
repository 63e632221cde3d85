"""The shapes of what commands leave in folders, for ``stored`` to check.

One class per kind of content, with the fields that readers rely on; other fields pass. Numbers are finite and small enough to be
drawn. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from detente.faults import first_fault

CELL = (int, float, dict, type(None))  # of a table
BIG = 1e100  # beyond it sums and drawings come to no end or to infinity


def _drawable(value: float) -> float:
    if not abs(value) < BIG:
        raise ValueError(f"its size should be below {BIG:g}")
    return value


Number = Annotated[int | float, AfterValidator(_drawable)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Text = Annotated[str, Field(max_length=10_000)]
Numbers = dict[Text, Number | None]
Table = dict[Text, Numbers | Number | None]
Ends = Annotated[list[Number | None], Field(min_length=2, max_length=2)] | None
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Stored(BaseModel):
    """Content with the fields that are named, and any others."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class Game(Stored):
    name: Text


class Options(Stored):
    game: Game
    algorithm: Text = ""
    seed: int = 0
    iterations: Count = 0
    preset: Text = ""
    model: Text = ""
    learners: dict[str, dict[str, Any]] | None = None
    seats: list[Text] | None = None


class Change(Stored):
    """A learning rate that another value has from an iteration on."""

    iteration: Count
    option: Text
    before: Number | None
    after: Number | None


class Row(Stored):
    """A line of metrics.jsonl."""

    iteration: Count
    __pydantic_extra__: Numbers


class Intervals(Stored):
    """The ends of the intervals of an evaluation."""

    self_play: dict[str, Ends] | None = None


class Scores(Stored):
    """What an evaluation says of a learner, or of one of its roles."""

    self_play: Numbers | None = None
    partners: Numbers | None = None
    against: dict[Text, Numbers] | None = None
    invalid: Number | None = None
    intervals: Intervals | None = None

    @model_validator(mode="after")
    def _has_tables(self) -> Scores:
        try:
            TypeAdapter(dict[Text, Table]).validate_python(tables(self.model_extra or {}))
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        return self


class Learner(Scores):
    """What an evaluation says of a learner."""

    algorithm: Text = ""
    roles: dict[Text, Scores] = {}


class Summary(Stored):
    """summary.json."""

    detente: dict[Text, Text] = {}
    learners: Annotated[dict[Text, Learner], Field(min_length=1)]


class Estimate(Stored):
    mean: Number
    low: Number | None = None
    high: Number | None = None
    n: Count | None = None
    alike: bool = False


class Agent(Stored):
    label: Text
    kind: Text = ""


class Cell(Stored):
    row: Count
    column: Count
    role: Text = ""
    reward: Estimate
    opponent_reward: Estimate
    measures: Numbers | None = None
    tables: list[list[Count]]


class Mean(Stored):
    """What an agent got against another in the mean over its roles."""

    row: Count
    column: Count
    reward: Estimate


class Rank(Stored):
    """A line of a ranking."""

    rank: Count
    role: Text = ""
    agent: Count
    reward: Estimate
    self_play: Number | None = None
    worst: Number | None = None
    worst_against: Count | None = None


class Standing(Stored):
    rank: Count
    agent: Count
    score: Number | None = None
    wins: Number | None = None
    cooperation: Number | None = None


class Member(Stored):
    """A line of the ranking of agents as strategies of a population."""

    rank: Count
    agent: Count
    share: Number | None = None
    mean_share: Number | None = None
    deviation_rating: Number | None = None


class Arena(Stored):
    """arena.json."""

    game: Text | None = None
    preset: Text | None = None
    game_options: dict[Text, Any] | None = None
    seed: int | None = None
    episodes: Count | None = None
    unit: Text | None = None
    roles: list[Text] = []
    agents: Annotated[list[Agent], Field(min_length=1, max_length=1000)]
    cells: Annotated[list[Cell], Field(min_length=1)]
    over_roles: list[Mean] = []
    ranking: list[Rank]
    tournament: list[Standing] | None = None
    population: list[Member] | None = None


def tables(learner: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a learner's evaluation: what is a mapping of conditions to numbers, and no part of every evaluation."""
    mappings = {name: value for name, value in learner.items() if name not in Learner.model_fields and isinstance(value, dict)}
    return {name: cells for name, cells in mappings.items() if all(isinstance(cell, CELL) for cell in cells.values())}
