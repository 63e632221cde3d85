"""Every option of a run, with its meaning; presets; and the overrides of the command line.

    preset YAML ── algorithms.NAME (what this algorithm changes) ── key=value ... ──> Config (frozen, complete, checked)

Unknown keys are errors that name the nearest known one. Must not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from detente.errors import UserError, unknown

ALGORITHMS: dict[str, str] = {
    "reinforce": "the ordinary learner: every seat maximises its own return",
    "sum_of_rewards": "the cooperative learner: every seat maximises the sum of all returns",
    "advantage_alignment": "own advantage plus the others' advantage weighted by one's own past advantage",
}


def _known_algorithm(name: str) -> str:
    if name not in ALGORITHMS:
        raise ValueError(str(unknown("algorithm", name, ALGORITHMS)).rstrip("."))
    return name


WORDS = {  # where pydantic speaks of Python
    "tuple_type": "it is a list, e.g. [a,b]",
    "dict_type": "it has options of its own",
    "model_type": "it has options of its own",
}

Algorithm = Annotated[str, AfterValidator(_known_algorithm)]


class Options(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CreditOptions(Options):
    """How rewards become the credit of each round (SPEC 3; the formulas stand beside the functions in learning/credit.py)."""

    gamma: float = Field(0.9, ge=0, le=1, description="discount of rewards in the return")
    reward_divisor: float = Field(1.0, gt=0, description="rewards are divided by this for training")
    baseline: Literal["group", "batch", "none", "critic"] = Field(
        "group", description="group: leave-one-out over the episodes that share the game seed; batch: over the whole batch"
    )
    beta: float = Field(1.0, description="advantage_alignment: weight of the alignment term")
    beta_final: float | None = Field(None, description="advantage_alignment: beta at the last iteration, reached linearly")
    gamma_shaping: float | None = Field(None, ge=0, le=1, description="gamma_a, the discount of past advantages (unset: gamma)")
    shaping: Literal["returns", "causal"] = Field(
        "returns", description="returns: the paper's form; causal: only the rewards received before the round"
    )
    just_in_time: bool = Field(False, description="shaping returns: past advantages up to and including the present round")
    sign: bool = Field(False, description="use the sign of the shaping weight")
    clip: float | None = Field(None, gt=0, description="clip the shaping weight to [-clip, clip]")
    divide_by_time: bool = Field(False, description="divide the shaping weight at round t (from 0) by t + 1")
    first_round_bonus: float = Field(0.0, description="b in W_t += b * d^t; without it the first move is selfish")
    first_round_decay: float = Field(0.7, ge=0, le=1, description="d in W_t += b * d^t")
    whiten: bool = Field(False, description="shift and scale the credit of the batch to mean 0 and deviation 1")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="baseline critic: lambda of generalized advantage estimation")

    @model_validator(mode="after")
    def _compatible(self) -> CreditOptions:
        if self.just_in_time and self.shaping == "causal":
            raise ValueError("just_in_time belongs to shaping returns; causal uses only what came before the round")
        return self


class LossOptions(Options):
    """The token loss (SPEC 3.5)."""

    kl: float = Field(0.0, ge=0, description="coefficient of the KL divergence to the base model")
    entropy: float = Field(0.0, ge=0, description="coefficient of the entropy bonus")
    entropy_final: float | None = Field(None, ge=0, description="that coefficient at the last iteration, reached linearly")
    importance_cap: float = Field(2.0, gt=0, description="cap of the importance ratio learner / engine")
    critic: float = Field(1.0, ge=0, description="coefficient of the critic's Huber loss")


class OptimizerOptions(Options):
    """Adam, one step per iteration."""

    lr: float = Field(3e-6, gt=0, description="learning rate")
    lr_final: float | None = Field(None, ge=0, description="learning rate at the last iteration, reached linearly")
    max_grad_norm: float = Field(1.0, gt=0, description="gradient norm is clipped to this")
    micro_batch_tokens: int = Field(4096, ge=1, description="tokens, padding included, in one forward and backward pass")
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass to save memory")


class LoraOptions(Options):
    """The adapter that trains."""

    rank: int = Field(32, ge=1, description="rank of the adapter matrices")
    alpha: int = Field(64, gt=0, description="the adapter's output is scaled by alpha / rank")
    targets: str | tuple[str, ...] = Field("all-linear", description="modules that get an adapter, as PEFT names them")


class OpponentOptions(Options):
    """Who sits opposite the learner, apart from its present self."""

    kept: float = Field(0.0, ge=0, le=1, description="share of episodes against kept checkpoints of the learner")
    scripted: float = Field(0.0, ge=0, le=1, description="share of episodes against scripted strategies")
    scripts: tuple[str, ...] = Field((), description="the scripted strategies to draw from")
    keep_every: int = Field(10, ge=1, description="a checkpoint is kept after every so many iterations")
    draw: Literal["episode", "group"] = Field("episode", description="whether a group mixes opponents or shares one")
    max_loaded: int = Field(28, ge=1, description="at most so many kept checkpoints take part in one iteration")
    train_focal_only: bool = Field(False, description="train one seat only, also where the other plays the same weights")

    @model_validator(mode="after")
    def _shares_add_up(self) -> OpponentOptions:
        if self.kept + self.scripted > 1:
            raise ValueError("the shares of kept and scripted opponents add up to more than 1")
        if self.scripted > 0 and not self.scripts:
            raise ValueError("opponents.scripted is above 0 but opponents.scripts names no strategy")
        return self


class AnswerOptions(Options):
    """How a language model answers."""

    policy: Literal["constrained", "retry", "free"] = Field(
        "constrained", description="guided decoding, retries, or one free answer"
    )
    retries: int = Field(3, ge=1, description="policy retry: tries before the default action")
    temperature: float = Field(1.0, gt=0, description="softmax temperature")
    max_tokens: int = Field(400, ge=1, description="new tokens per answer")


class EvaluationOptions(Options):
    """The final evaluation, written to summary.json."""

    episodes: int = Field(64, ge=0, description="episodes in self-play and against each strategy (0: no evaluation)")
    against: tuple[str, ...] | None = Field(None, description="scripted strategies to play against (unset: all that can play)")
    every: int = Field(0, ge=0, description="also evaluate after every so many iterations (0: only at the end)")


class RecordOptions(Options):
    """What a run leaves on disk."""

    episodes_every: int = Field(1, ge=1, description="write the episodes of every so many iterations")
    checkpoint_every: int = Field(1, ge=1, description="save the training state after every so many iterations")
    audit_turns: int = Field(4, ge=0, description="turns per iteration that are scored again to check who was served")


class Config(Options):
    """One run, completely."""

    preset: str = Field("", description="the preset that this came from")
    description: str = Field("", description="one sentence about the preset")
    game: dict[str, Any] = Field(description="name and parameters of the game")
    model: str = Field("pocket", description="base model: pocket, smollm2-135m, a hub id or a folder")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="number format of the base model")
    device: str = Field("auto", description="cpu, cuda, cuda:1 ... (auto: cuda where there is one)")
    threads: int | None = Field(None, ge=1, description="CPU threads of torch (unset: torch decides)")
    seed: int = Field(0, ge=0, lt=2**63, description="every random number of the run follows from it")
    algorithm: Algorithm = Field("reinforce", description="how rewards become credit")
    seats: tuple[str, ...] = Field(
        ("main", "main"), description="per seat: a learner's name, or a frozen policy (script, adapter folder)"
    )
    learners: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="per learner: options that differ (algorithm, credit, loss, optimizer, update_every)"
    )
    iterations: int = Field(100, ge=1, description="one rollout and one update each")
    episodes: int = Field(64, ge=1, description="episodes per iteration")
    group_size: int = Field(8, ge=1, description="episodes that share a game seed")
    concurrency: int | None = Field(None, ge=1, description="episodes played at the same time (unset: all of an iteration)")
    credit: CreditOptions = CreditOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    lora: LoraOptions = LoraOptions()
    opponents: OpponentOptions = OpponentOptions()
    answer: AnswerOptions = AnswerOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    record: RecordOptions = RecordOptions()

    @field_validator("game", mode="before")
    @classmethod
    def _game(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if not isinstance(self.game.get("name"), str):
            raise ValueError("game needs a name, e.g. game.name=ipd")
        if self.episodes % self.group_size:
            raise ValueError(f"episodes ({self.episodes}) must be a multiple of group_size ({self.group_size})")
        compared = self.episodes if self.credit.baseline == "batch" else self.group_size
        if compared < 2 and self.credit.baseline != "none":
            raise ValueError("a leave-one-out baseline compares at least 2 episodes: raise group_size, or set credit.baseline=none")
        for name in self.learners:
            if name not in self.seats:
                raise ValueError(f"learner '{name}' sits on no seat; seats are {list(self.seats)}")
            if not re.fullmatch(r"\w+", name):  # it names folders and PEFT adapters
                raise ValueError(f"a learner's name is made of letters, digits and underscores, not '{name}'")
        return self

    @property
    def learner_names(self) -> tuple[str, ...]:
        """The seats' learners, each once: ``main`` and every name under ``learners``; other seats hold frozen policies."""
        return tuple(dict.fromkeys(seat for seat in self.seats if seat == "main" or seat in self.learners))

    def learner(self, name: str) -> LearnerConfig:
        """The options of one learner: the run's own, with what ``learners.NAME`` changes."""
        shared = {key: getattr(self, key).model_dump() for key in ("credit", "loss", "optimizer")}
        own = OmegaConf.create(self.learners.get(name, {}))
        merged: Any = OmegaConf.to_container(OmegaConf.merge({"algorithm": self.algorithm} | shared, own))
        return LearnerConfig(**merged)


class LearnerConfig(Options):
    """What one learner trains with."""

    algorithm: Algorithm
    credit: CreditOptions
    loss: LossOptions
    optimizer: OptimizerOptions
    update_every: int = Field(1, ge=1, description="iterations between updates")


def preset_names() -> list[str]:
    """The presets inside the package."""
    return sorted(p.name.removesuffix(".yaml") for p in resources.files("detente.presets").iterdir() if p.name.endswith(".yaml"))


def load(preset: str, overrides: Sequence[str] = ()) -> Config:
    """The preset of that name (or YAML file), with ``key=value`` overrides; raises UserError with one sentence."""
    data = _preset(preset)
    dotted = _overrides(overrides)
    by_algorithm = data.pop("algorithms", {})
    chosen = str(dotted.get("algorithm", data.get("algorithm", "reinforce")))
    for name in (chosen, *by_algorithm):
        if name not in ALGORITHMS:
            raise unknown("algorithm", name, ALGORITHMS)
    try:
        merged = OmegaConf.merge(data, by_algorithm.get(chosen) or {}, dotted)
    except (TypeError, OmegaConfBaseException) as error:
        raise UserError(f"The options do not fit together: {' '.join(str(error).split())}.") from error
    resolved: Any = OmegaConf.to_container(merged)
    return build({"preset": Path(preset).stem} | resolved)


def build(data: dict[str, Any]) -> Config:
    """Check a complete mapping; raises UserError with one sentence."""
    try:
        config = Config(**data)
    except ValidationError as error:
        raise UserError(_sentence(error, Config)) from error
    for name in config.learners:
        try:
            config.learner(name)
        except ValidationError as error:
            raise UserError(_sentence(error, LearnerConfig, f"learners.{name}.")) from error
    return config


def read(path: Path) -> Config:
    """The config.yaml of a run folder."""
    try:
        return build(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError, UserError) as error:
        reason = " ".join(str(error).split()).rstrip(".?")
        raise UserError(f"{path} cannot be read as a run's options: {reason}.") from error


def to_yaml(config: Config) -> str:
    """The resolved options, as written to config.yaml and printed by --dry-run."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _preset(name: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml")):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"The preset file {name} cannot be read: {error.strerror}.") from error
    elif name in preset_names():
        text = (resources.files("detente.presets") / f"{name}.yaml").read_text(encoding="utf-8")
    else:
        raise unknown("preset", name, preset_names())
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"The preset {name} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(data, dict):
        raise UserError(f"The preset {name} must be a mapping of options.")
    return data


def _overrides(overrides: Iterable[str]) -> dict[str, Any]:
    for item in overrides:
        if "=" not in item:
            raise UserError(f"'{item}' is not of the form key=value, e.g. optimizer.lr=1e-4.")
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))  # type: ignore[return-value]
    except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise UserError(f"The options cannot be read: {' '.join(str(error).split())}.") from error


def _sentence(error: ValidationError, model: type[Options], prefix: str = "") -> str:
    """The first fault of a validation, as one sentence with the dotted key."""
    fault = error.errors()[0]
    path = [str(part) for part in fault["loc"]]
    key = prefix + ".".join(path)
    if fault["type"] == "extra_forbidden":
        known = _keys_at(model, path[:-1])
        return str(unknown("option", key, (prefix + ".".join([*path[:-1], k]) for k in known)))
    if fault["type"] == "value_error":
        return f"{key + ': ' if key else ''}{fault['ctx']['error']}."
    message = WORDS.get(fault["type"], fault["msg"])
    return f"The option {key} is wrong: {message[0].lower()}{message[1:]}, not {fault.get('input')!r}."


def _keys_at(model: type[Options], path: Sequence[str]) -> list[str]:
    here: Any = model
    for part in path:
        here = here.model_fields[part].annotation
    return list(here.model_fields)
