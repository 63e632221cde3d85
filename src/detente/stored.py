"""What commands leave in folders, read and checked: one function per kind of file.

    config.yaml ── options     metrics.jsonl ── metrics, newest_metrics     summary.json ── summary
    arena.json ── arena        fingerprint.json ── fingerprint            best_response.json ── best_response
    worst_case.json ── worst_case

A folder may be foreign, cut short, or damaged. What these return has the shape that their readers rely on; everything else
is a UserError of one sentence that names the file and the first thing wrong with it. Fields that nobody asks for pass. Must not
import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from detente.errors import UserError, counted
from detente.files import LARGEST, read_text, reason
from detente.plain_yaml import SIZE, parse

TAIL = 1 << 18  # bytes at the end of metrics.jsonl that surely hold a line
PRINTS = ("memory_one", "memory_two", "forgiveness", "responses", "measures")
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
SAID = {"model_type": "it is no mapping", "dict_type": "it is no mapping", "list_type": "it is no list", "missing": "it is missing"}


class _Stored(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=())


class _Game(_Stored):
    name: Text


class _Options(_Stored):
    game: _Game
    algorithm: Text = ""
    seed: int = 0
    iterations: Count = 0
    preset: Text = ""
    model: Text = ""
    learners: dict[str, dict[str, Any]] | None = None
    seats: list[Text] | None = None


class _Row(_Stored):
    iteration: Count
    __pydantic_extra__: Numbers


class _Intervals(_Stored):
    self_play: dict[str, Ends] | None = None


class _Scores(_Stored):
    self_play: Numbers | None = None
    partners: Numbers | None = None
    against: dict[Text, Numbers] | None = None
    invalid: Number | None = None
    intervals: _Intervals | None = None

    @model_validator(mode="after")
    def _tables(self) -> _Scores:
        try:
            TypeAdapter(dict[Text, Table]).validate_python(tables(self.model_extra or {}))
        except ValidationError as error:
            raise ValueError(first_fault(error)) from None
        return self


class _Learner(_Scores):
    algorithm: Text = ""
    roles: dict[Text, _Scores] = {}


class _Summary(_Stored):
    learners: Annotated[dict[Text, _Learner], Field(min_length=1)]


class _Estimate(_Stored):
    mean: Number
    low: Number | None = None
    high: Number | None = None


class _Agent(_Stored):
    label: Text
    kind: Text = ""


class _Cell(_Stored):
    row: Count
    column: Count
    role: Text = ""
    reward: _Estimate
    opponent_reward: _Estimate
    measures: Numbers | None = None
    tables: list[list[Count]]


class _Rank(_Stored):
    rank: Count
    role: Text = ""
    agent: Count
    reward: _Estimate
    self_play: Number | None = None
    worst: Number | None = None
    worst_against: Count | None = None


class _Standing(_Stored):
    rank: Count
    agent: Count
    score: Number | None = None
    wins: Number | None = None
    cooperation: Number | None = None


class _Arena(_Stored):
    game: Text | None = None
    preset: Text | None = None
    seed: int | None = None
    episodes: Count | None = None
    unit: Text | None = None
    roles: list[Text] = []
    agents: Annotated[list[_Agent], Field(min_length=1, max_length=1000)]
    cells: Annotated[list[_Cell], Field(min_length=1)]
    ranking: list[_Rank]
    tournament: list[_Standing] | None = None


class _Step(_Stored):
    round: Count
    other: Text
    cooperate: Number


class _Response(_Stored):
    told: Text
    last: Number | None
    asks: Annotated[int, Field(ge=1, lt=2**53)]
    share: _Estimate


class _Exact(_Stored):
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
    earned: _Estimate | None
    loss: Number | None = None
    floor: Bounds | None = None
    floor_opponent: Bounds | None = None
    floor_play: Text = ""
    floor_left: _Estimate | None = None


class _Print(_Stored):
    label: Text
    memory_one: Numbers | None = None
    memory_two: Numbers | None = None
    invalid: Number | None = None
    forgiveness: list[_Step] | None = None
    responses: list[_Response] | None = None
    measures: Numbers | None = None
    exact: _Exact | None = None


class _Fingerprint(_Stored):
    game: Text = ""
    reward_bounds: Bounds | None = None
    agents: Annotated[list[_Print], Field(min_length=1)]


class _Point(_Stored):
    iteration: Count
    responder: _Estimate
    agent: _Estimate


class _Trained(_Stored):
    reward: _Estimate
    agent_reward: _Estimate
    measures: Numbers


class _Alone(_Stored):
    reward: _Estimate
    agent_reward: _Estimate | None = None


class _Roles(_Stored):
    responder: Text
    agent: Text


class _BestResponse(_Stored):
    label: Text
    curve: list[_Point]
    responder: _Trained
    self_play: _Alone | None = None
    roles: _Roles | None = None
    exact: _Exact | None


class _Adversary(_Stored):
    name: Text
    aim: Text = ""
    start: Text = ""
    seed: int = 0
    reward: _Estimate
    agent_reward: _Estimate
    margin: _Estimate
    gain: _Estimate | None = None
    loss: _Estimate | None = None


class _Worst(_Stored):
    question: Text
    adversary: Text
    by_game_seed: list[Number] = []
    __pydantic_extra__: dict[str, _Estimate]

    @model_validator(mode="after")
    def _answered(self) -> _Worst:
        if self.question not in (self.model_extra or {}):
            raise ValueError(f"it does not answer {self.question!r}")
        return self


class _WorstCase(_Stored):
    label: Text
    adversaries: Annotated[list[_Adversary], Field(min_length=1, max_length=1000)]
    worst: list[_Worst]
    roles: _Roles | None = None
    exact: _Exact | None
    left_out: list[Text] = []


def options(path: Path) -> dict[str, Any]:
    """The config.yaml of a run, of this version or another: whatever options it had, among them those that every reader needs."""
    with _readable(path, "a run's options"):
        return _checked(_Options, parse(read_text(path, SIZE)))


def metrics(path: Path) -> tuple[dict[str, Any], ...]:
    """The finished lines of metrics.jsonl; () where there is no file. A run that is being written may end in half a line."""
    if not path.is_file():
        return ()
    with _readable(path, "metrics"):
        finished, _, _ = read_text(path, LARGEST).rpartition("\n")
    return tuple(_row(path, f"line {number} ", line) for number, line in enumerate(finished.split("\n"), 1) if line.strip())


def newest_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The finished lines at the end of metrics.jsonl, the last one first. Reads no more than the end of the file."""
    if not path.is_file():
        return
    with _readable(path, "metrics"), path.open("rb") as file:
        start = max(0, path.stat().st_size - TAIL)
        file.seek(start)
        finished, _, _ = file.read(TAIL).rpartition(b"\n")
    lines = finished.split(b"\n")[1 if start else 0 :]  # the first one may lack its beginning
    for number, line in enumerate(reversed(lines)):
        if line.strip():
            yield _row(path, f"line {number + 1} from its end " if number else "its last line ", line)


def summary(path: Path) -> dict[str, Any] | None:
    """The final evaluation; None where there is no file, as of a run that is not finished."""
    return _json(path, "a run's evaluation", _Summary) if path.is_file() else None


def tables(learner: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a learner's evaluation: what is a mapping of conditions to numbers, and no part of every evaluation."""
    mappings = {name: value for name, value in learner.items() if name not in _Learner.model_fields and isinstance(value, dict)}
    return {name: cells for name, cells in mappings.items() if all(isinstance(cell, CELL) for cell in cells.values())}


def arena(path: Path) -> dict[str, Any]:
    """The result of an arena; every agent that it speaks of is one of its agents, and no pair has two cells in one role."""
    content = _json(path, "the result of an arena", _Arena)
    with _readable(path, "the result of an arena"):
        count = len(content["agents"])
        sides = [(cell["row"], cell["column"], cell.get("role", "")) for cell in content["cells"]]
        if len(set(sides)) < len(sides):
            raise ValueError("it has two cells for one pair of agents")
        numbers = [number for cell in content["cells"] for table in cell["tables"] for number in table]
        numbers += [number for row, column, _ in sides for number in (row, column)]
        numbers += [line["agent"] for line in (*content["ranking"], *(content.get("tournament") or ()))]
        numbers += [line["worst_against"] for line in content["ranking"] if line.get("worst_against") is not None]
        if max(numbers, default=0) >= count:
            raise ValueError(f"it speaks of agent {max(numbers)} and has {counted(count, 'agent')}")
    return content


def fingerprint(path: Path) -> dict[str, Any]:
    """What agents do after what: all of them in a matrix game, all in a splitting game, or all in one of another family."""
    content = _json(path, "a fingerprint", _Fingerprint)
    with _readable(path, "a fingerprint"):
        kinds = {tuple(key for key in PRINTS if agent.get(key) is not None) for agent in content["agents"]}
        if kinds not in ({PRINTS[:3]}, {PRINTS[3:4]}, {PRINTS[4:]}):
            raise ValueError("its agents do not all have the tables of a matrix game, all responses, or all measures")
        if len({tuple(tuple(agent[key]) for key in PRINTS[:2] if key in agent) for agent in content["agents"]}) > 1:
            raise ValueError("its agents have different tables")
    return content


def best_response(path: Path) -> dict[str, Any]:
    """What is gained against an agent."""
    return _json(path, "a best response", _BestResponse)


def worst_case(path: Path) -> dict[str, Any]:
    """How bad the worst adversary is for an agent."""
    return _json(path, "the worst case of an agent", _WorstCase)


def _row(path: Path, where: str, line: str | bytes) -> dict[str, Any]:
    with _readable(path, "metrics", where):
        return _checked(_Row, orjson.loads(line))


def _json(path: Path, what: str, model: type[_Stored]) -> dict[str, Any]:
    with _readable(path, what):
        return _checked(model, orjson.loads(read_text(path, LARGEST)))


def _checked(model: type[_Stored], content: Any) -> dict[str, Any]:
    """What was found, as it is, if it has the shape of the model."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    return dict(content)


def first_fault(error: ValidationError) -> str:
    """The first fault of a validation in a few words, ``learners.main.self_play: input should be a valid dictionary``."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    message = SAID.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return f"{place + ': ' if place else ''}{message[0].lower()}{message[1:]}"


@contextmanager
def _readable(path: Path, what: str, where: str = "") -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as {what}: {where}{reason(error)}.") from error
