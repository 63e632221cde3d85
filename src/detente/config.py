"""All options of a run together; presets; and the overrides of the command line.

    preset YAML ── algorithms.NAME (what this algorithm changes) ── key=value ... ──> Config (frozen, complete, checked)

Unknown keys are errors that name the nearest known one. Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from detente import foreign, former, presets
from detente.briefing import unbriefed
from detente.curriculum_options import CurriculumOptions
from detente.engine_options import EngineOptions, spelled_out
from detente.errors import UserError
from detente.executor_options import ExecutorOptions
from detente.files import read_text, reason
from detente.options import (
    ALIGNMENT,
    COUNT,
    AlgorithmName,
    AnswerOptions,
    CreditOptions,
    DecodingOptions,
    EvaluationOptions,
    LearnerConfig,
    LoraOptions,
    LossOptions,
    OpponentOptions,
    OptimizerOptions,
    Options,
    RecordOptions,
    RemoteOptions,
    SocialOptions,
    check_algorithm,
)
from detente.plain_yaml import SIZE, parse
from detente.players.address import elsewhere, loopback
from detente.unused import check_used
from detente.validation import LONGEST, no_whole_groups, sentence
from detente.variation_options import Variation
from detente.visible import visible

DIFFERING = tuple(LearnerConfig.model_fields)  # the options that learners may differ in


class Config(Options):
    """One run, completely."""

    preset: str = Field("", description="the preset that this came from")
    description: str = Field("", description="one sentence about the preset")
    game: dict[str, Any] = Field(description="name and parameters of the game")
    vary: dict[str, Variation] = Field(
        default_factory=dict, description="parameters of the game that vary while it trains; evaluations play the game as it is"
    )
    model: str = Field("pocket", description="base model: pocket, pocket_groups, smollm2-135m, a hub id or a folder")
    dtype: Literal["float32", "bfloat16", "auto"] = Field(
        "float32", description="number format of the base model (auto: bfloat16 where the device multiplies it by itself)"
    )
    device: str = Field("auto", description="cpu, cuda, cuda:1 ... (auto: cuda where there is one)")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads of torch (unset: torch decides)")
    seed: int = Field(0, ge=0, lt=2**63, description="every random number of the run follows from it")
    algorithm: AlgorithmName = Field("reinforce", description="how rewards become credit")
    seats: tuple[str, ...] = Field(
        ("main", "main"), description="per seat: a learner's name, or a frozen policy (script, adapter folder, remote model)"
    )
    learners: dict[str, dict[str, Any]] = Field(default_factory=dict, description=f"options that differ: {', '.join(DIFFERING)}")
    reward: str | None = Field(
        None,
        description="what training uses in place of the points: harm, margin, social, or a function of your own (module:attribute)",
    )
    start_from: str | None = Field(None, description="the run (runs/x@40) or adapter folder with whose weights training starts")
    measures: tuple[str, ...] = Field((), description="measures of your own, each as module:attribute, beside the game's")
    trackers: tuple[str, ...] = Field((), description="where else numbers go, e.g. [wandb]; may change when a run goes on")
    iterations: int = Field(
        100,
        ge=1,
        le=COUNT,
        description="one rollout and one update each; may be raised on an existing run, *_final values then move to the new end",
    )
    episodes: int = Field(64, ge=1, le=100_000, description="episodes per iteration")
    group_size: int = Field(8, ge=1, le=100_000, description="episodes that share a game seed")
    tree: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        (), description="answers to each beginning, step by step: [3,3,3] makes 27 episodes of a group (unset: each for itself)"
    )
    concurrency: int | None = Field(None, ge=1, le=100_000, description="episodes played at the same time (unset: an iteration's)")
    processes: int = Field(
        1,
        ge=1,
        le=1024,
        description="processes of this machine that share the gradients of an update, on GPUs each with one; may be changed on an "
        "existing run (several machines: torchrun)",
    )
    overlap: int = Field(
        0,
        ge=0,
        le=1,
        description="1: the next rollout plays while an update runs, with weights that are one update old, for which importance "
        "ratios correct; an engine of this process then has a copy of the base model for itself",
    )
    shard: bool = Field(
        False, description="spread the base model's layers over processes, where one GPU cannot hold them (FSDP2, engine=vllm)"
    )
    credit: CreditOptions = CreditOptions()
    social: SocialOptions = SocialOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    lora: LoraOptions = LoraOptions()
    opponents: OpponentOptions = OpponentOptions()
    curriculum: CurriculumOptions = CurriculumOptions()
    answer: AnswerOptions = AnswerOptions()
    remote: RemoteOptions = RemoteOptions()
    engine: EngineOptions = EngineOptions()
    executor: ExecutorOptions = ExecutorOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    record: RecordOptions = RecordOptions()

    @field_validator("game", mode="before")
    @classmethod
    def _game(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("vary", mode="before")
    @classmethod
    def _vary(cls, value: Any) -> Any:
        if value is None:
            return {}
        return {key: how for key, how in value.items() if how is not None} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if not isinstance(self.game.get("name"), str):
            raise ValueError("game needs a name, e.g. game.name=ipd")
        for name in {"name", "of"} & self.vary.keys():
            raise ValueError(f"vary.{name}: what varies is a parameter of one game, not the game itself")
        if "/" in self.preset or "\0" in self.preset or self.preset in (".", ".."):  # it names a folder of runs
            raise ValueError(f"preset is the name of a preset and no path, not {self.preset[:LONGEST]!r}")
        if self.episodes % self.group_size:
            raise ValueError(no_whole_groups(self.episodes, self.group_size))
        if (self.episodes if self.credit.baseline == "batch" else self.group_size) < self.credit.fewest(self.algorithm):
            single = self.credit.baseline in ("none", "branches")  # then it is the weight that compares episodes
            changes = ([] if single else ["credit.baseline=none"]) + ["credit.weight_baseline=none"] * (self.algorithm == ALIGNMENT)
            raise ValueError(f"A leave-one-out baseline needs 2 episodes: raise group_size, or set {' and '.join(changes)}")
        others = max(0, sum(seat in self.learner_names for seat in self.seats) - 1)
        if (replaced := self.opponents.replaced) is not None and replaced > others:
            raise ValueError(f"opponents.replaced ({replaced}) is more than there are other seats that learn ({others})")
        for name in self.learners:
            if name not in self.seats:
                raise ValueError(f"learner '{name}' sits on no seat; seats are {list(self.seats)}")
            if not re.fullmatch(r"\w+", name):  # it names folders and PEFT adapters
                raise ValueError(f"A learner's name is made of letters, digits and underscores, not '{name}'")
        return self

    @property
    def learner_names(self) -> tuple[str, ...]:
        """The seats' learners, each once: ``main`` and every name under ``learners``; other seats hold frozen policies."""
        return tuple(dict.fromkeys(seat for seat in self.seats if seat == "main" or seat in self.learners))

    @property
    def algorithms(self) -> str:
        """What the learners train with, in words."""
        return algorithms_in_words({name: self.learner(name).algorithm for name in self.learner_names}) or self.algorithm

    def learner(self, name: str) -> LearnerConfig:
        """The options of one learner: the run's own, with what ``learners.NAME`` changes.

        A learner with another algorithm than the run's does not inherit ``credit.options``.
        """
        own = self.learners.get(name, {})
        shared = {key: getattr(self, key).model_dump() for key in ("lora", "credit", "social", "loss", "optimizer")}
        shared |= {key: getattr(self, key) for key in ("model", "algorithm", "reward", "start_from")}
        shared["answer"] = self.answer.model_dump(include={*DecodingOptions.model_fields})
        if own.get("algorithm", self.algorithm) != self.algorithm:
            shared["credit"]["options"] = {}
        return LearnerConfig(**presets.merged(shared, own))

    @property
    def models(self) -> dict[str, str]:
        """The base model of every learner."""
        return {name: self.learner(name).model for name in self.learner_names}


def algorithms_in_words(by_learner: Mapping[str, str]) -> str:
    """``reinforce``, or ``alice: reinforce, bob: sum_of_rewards`` where learners have different algorithms."""
    names = set(by_learner.values())
    return names.pop() if len(names) == 1 else ", ".join(f"{learner}: {name}" for learner, name in by_learner.items())


def load(preset: str, overrides: Sequence[str] = (), *, trust: bool = False, without: Collection[str] = ()) -> Config:
    """The options of a preset, a preset file (.yaml) or a run folder, with ``key=value`` overrides; UserError says what is wrong.

    What the preset says of ``without`` does not count. An option of module:attribute runs that code, and a remote model on
    a seat gets the user's key, so a file may name these only with ``trust``; an override may.
    """
    data = presets.read(preset)
    dotted = presets.given(overrides)
    by_algorithm = data.pop("algorithms", None) or {}
    if not isinstance(by_algorithm, dict):
        raise UserError(f"The preset {preset} has algorithms that are no mapping from names to options.")
    chosen = dotted.get("algorithm", usual := data.get("algorithm", "reinforce"))
    for name in (chosen, *by_algorithm):
        if isinstance(name, str):
            check_algorithm(name)
    data = data if chosen == usual else presets.without_own_options(data)
    data = _without_unseated(data, dotted.get("seats"))
    own = [data, presets.mapping(preset, by_algorithm.get(str(chosen)) or {})]
    layers = [*({key: value for key, value in layer.items() if key not in without} for layer in own), dotted]
    merged = presets.merged({"preset": Path(preset).stem}, *layers)
    foreign.check_trusted(preset, merged, dotted, trusted=trust)
    config = build(merged)
    check_used(dotted, {name: config.learner(name) for name in config.learner_names}, config.curriculum)
    if not trust:
        _check_seats_here(preset, config.seats, dotted.get("seats"))
        _check_servers_here(preset, config.engine, dotted.get("engine", {}).get("urls"))
    return config


def _without_unseated(data: dict[str, Any], seats: Any) -> dict[str, Any]:
    """What a preset says, without the learners that the ``seats`` of the command line leave no seat."""
    learners = data.get("learners")
    if not isinstance(seats, list) or not isinstance(learners, dict):
        return data
    return data | {"learners": {name: own for name, own in learners.items() if name in seats}}


def _check_seats_here(preset: str, seats: Sequence[str], named: Any) -> None:
    """UserError where a file seats a remote model on another machine that the command line (``named``) does not."""
    known = named if isinstance(named, list) else []
    away = next((seat for seat in seats if elsewhere(unbriefed(seat)) and seat not in known), None)
    if away is not None:
        raise UserError(
            f"{preset} seats '{away}', which would send requests and your key to another machine; add --trust "
            f"(trust=True in Python) if you trust both, or name the seats yourself: 'seats=[{','.join(seats)}]'."
        )


def _check_servers_here(preset: str, engine: EngineOptions, named: Any) -> None:
    """UserError where a file has servers on another machine answer, and the command line (``named``) does not."""
    away = next((url for url in engine.urls if not loopback(urlsplit(url).hostname or "")), None)
    if away is not None and engine.kind == "vllm" and not named:
        raise UserError(
            f"{preset} has the server {away} answer, which would get every chat and adapter; add --trust (trust=True in Python) if "
            f"you trust both, or name the servers yourself: 'engine.urls=[{','.join(engine.urls)}]'."
        )


def load_game(name: str, overrides: Sequence[str] = ()) -> Config:
    """The options of a game without a preset: its defaults, with ``key=value`` overrides."""
    return build(presets.merged({"game": {"name": name}}, presets.given(overrides)))


def build(data: dict[str, Any]) -> Config:
    """Check a complete mapping; raises UserError with one sentence."""
    try:
        config = Config(**spelled_out(former.renamed(data)))
    except ValidationError as error:
        raise UserError(sentence(error, Config)) from error
    for name in config.learners:
        try:
            config.learner(name)
        except ValidationError as error:
            raise UserError(sentence(error, LearnerConfig, f"learners.{name}.")) from error
    return config


def read(path: Path) -> Config:
    """The config.yaml of a run folder."""
    try:
        data = parse(read_text(path, SIZE))
        if not isinstance(data, dict):
            raise ValueError("it is no mapping of options")
        return build(former.completed(former.renamed(data, notice=False)))
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"{path} cannot be read as a run's options: {reason(error)}.") from error


def to_yaml(config: Config) -> str:
    """The resolved options, as written to config.yaml and printed by --dry-run; what cannot be seen is written as an escape."""
    text, plain = (
        yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=allowed, width=120)
        for allowed in (True, False)
    )
    return text if visible(text) == text else plain
