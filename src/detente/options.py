"""The groups of options: credit, social reward, loss, optimizer, adapter, opponents, answers, remote models, evaluation, record.

Each field says what it means.

Unknown keys are errors; everything is frozen. Must not import torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from detente.errors import UserError, unknown
from detente.foreign import check_form, is_foreign

COUNT = 10**9  # the most of what only runs longer the more there is of it
LARGE = 1e30  # what is multiplied with float32 numbers stays below, so that the products are such numbers

ALIGNMENT = "advantage_alignment"
SOCIAL = "social"  # the reward that SocialOptions are about
ALGORITHMS: dict[str, str] = {
    "reinforce": "the ordinary learner: every seat maximises its own return",
    "sum_of_rewards": "the cooperative learner: every seat maximises the sum of all returns",
    ALIGNMENT: "own advantage plus the others' advantage weighted by one's own past advantage",
}


def check_algorithm(name: str) -> None:
    """UserError unless this names an algorithm of the package, or one's own; nothing is imported."""
    if is_foreign(name):
        check_form(name, "algorithm")
    elif name not in ALGORITHMS:
        raise unknown("algorithm", name, ALGORITHMS)


def _algorithm(name: str) -> str:
    try:
        check_algorithm(name)
    except UserError as error:
        raise ValueError(str(error).rstrip(".")) from error
    return name


AlgorithmName = Annotated[str, AfterValidator(_algorithm)]


class Options(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AlgorithmOptions(Options):
    """What every algorithm is told. The options of an algorithm of your own derive from this class and stand under
    ``credit.options``; of a pair ``x``, ``x_final`` it is told the value between them, linearly over the run."""

    gamma: float = Field(0.9, ge=0, le=1, description="discount of rewards in the return")
    reward_divisor: float = Field(1.0, gt=0, description="rewards are divided by this for training")
    baseline: Literal["group", "batch", "none", "critic", "branches"] = Field(
        "group",
        description="group: leave-one-out over episodes of a game seed; batch: over all; branches: over alternatives to one",
    )
    gae_lambda: float = Field(0.95, ge=0, le=1, description="baseline critic: lambda of generalized advantage estimation")
    whiten: bool = Field(False, description="shift and scale the credit of the batch to mean 0 and deviation 1")


class AlignmentOptions(AlgorithmOptions):
    """The options of ``advantage_alignment``; docs/algorithms.md has the equations."""

    beta: float = Field(1.0, description="advantage_alignment: weight of the alignment term")
    beta_final: float | None = Field(None, description="advantage_alignment: beta at the last iteration, reached linearly")
    gamma_shaping: float | None = Field(None, ge=0, le=1, description="gamma_a, the discount of past advantages (unset: gamma)")
    shaping: Literal["returns", "causal"] = Field(
        "returns", description="returns: the paper's form; causal: only the rewards received before the round"
    )
    just_in_time: bool = Field(False, description="shaping returns: past advantages up to and including the present round")
    sign: bool = Field(False, description="use the sign of the shaping weight")
    clip: float | None = Field(None, gt=0, description="clip the shaping weight to [-clip, clip]")
    weight_baseline: Literal["group", "critic", "none"] | None = Field(
        None,
        description="what own rewards are compared with inside the shaping weight alone; group: with those of the episodes that "
        "baseline compares (unset: as baseline, or group where that is none, and where it is branches with shaping causal)",
    )
    weight_lambda: float = Field(0.0, ge=0, le=1, description="weight_baseline critic: its lambda; 0 takes the future out of W")
    divide_by_time: bool = Field(False, description="divide the shaping weight at round t (from 0) by t + 1")
    first_round_bonus: float = Field(0.0, description="b in W_t += b * d^t; without it the first move is selfish")
    first_round_decay: float = Field(0.7, ge=0, le=1, description="d in W_t += b * d^t")

    @model_validator(mode="after")
    def _compatible(self) -> AlignmentOptions:
        if self.just_in_time and self.shaping == "causal":
            raise ValueError("just_in_time belongs to shaping returns; causal uses only what came before the round")
        return self


class CreditOptions(AlignmentOptions):
    """How rewards become the credit of each round: the options of the package's algorithms, and those of one's own."""

    alternatives: int = Field(4, ge=1, le=1000, description="baseline branches: how many there are to each round of an episode")
    depth: int | None = Field(None, ge=1, le=COUNT, description="baseline branches: rounds of a return (unset: all to the end)")
    options: dict[str, Any] = Field(
        default_factory=dict, description="an algorithm of your own: the options that it brings, e.g. credit.options.envy=2"
    )

    def fewest(self, algorithm: str) -> int:
        """Episodes that a group must have: 2 where the algorithm compares some with others, in the credit or in its weight."""
        alone = self.baseline == "branches" and self.shaping == "returns"
        weighed = self.weight_baseline == "group" or (self.weight_baseline is None and not alone)
        return 2 if self.baseline not in ("none", "branches") or (algorithm == ALIGNMENT and weighed) else 1

    def has_critic(self, algorithm: str) -> bool:
        """Whether a critic learns beside the adapter."""
        return self.baseline == "critic" or (algorithm == ALIGNMENT and self.weight_baseline == "critic")


class SocialOptions(Options):
    """What ``reward=social`` adds to a player's points, from the points of the others; docs/algorithms.md has the equation."""

    altruism: float = Field(0.0, ge=-1000, le=1000, description="reward social: weight of the mean of the others' points")
    envy: float = Field(0.0, ge=-1000, le=1000, description="reward social: weight of what others have more, as a loss")
    guilt: float = Field(0.0, ge=-1000, le=1000, description="reward social: weight of what others have less, as a loss")


class LossOptions(Options):
    """The token loss; docs/algorithms.md has the equation."""

    kl: float = Field(0.0, ge=0, description="coefficient of the KL divergence to the base model")
    entropy: float = Field(0.0, ge=0, description="coefficient of the entropy bonus")
    entropy_final: float | None = Field(None, ge=0, description="that coefficient at the last iteration, reached linearly")
    importance_cap: float = Field(2.0, gt=0, le=LARGE, description="cap of the importance ratio learner / engine")
    clip_ratio: float = Field(
        0.2,
        gt=0,
        le=LARGE,
        description="optimizer.steps above 1: a token's ratio to the policy before the first step is clipped so far from 1",
    )
    critic: float = Field(1.0, ge=0, description="coefficient of the critic's Huber loss")
    observation: float = Field(
        0.0, ge=0, le=LARGE, description="coefficient of the cross-entropy of what a player is told after its first observation"
    )


class OptimizerOptions(Options):
    """Adam."""

    steps: int = Field(1, ge=1, le=COUNT, description="steps per update on the same episodes; the later ones clip ratios")
    lr: float = Field(3e-6, gt=0, le=LARGE, description="learning rate")
    lr_final: float | None = Field(None, ge=0, le=LARGE, description="learning rate at the last iteration, reached linearly")
    max_grad_norm: float = Field(1.0, gt=0, le=LARGE**0.5, description="gradient norm is clipped to this")
    critic_lr: float | None = Field(None, gt=0, le=LARGE, description="the critic's own learning rate (unset: the adapter's)")
    critic_max_grad_norm: float | None = Field(
        None, gt=0, le=LARGE**0.5, description="the critic's gradient norm is clipped to this (unset: together with the adapter's)"
    )
    micro_batch_tokens: int | None = Field(
        None,
        ge=1,
        le=COUNT,
        description="tokens in one forward and backward pass, what chats share counted once (unset: fitting 1.6 GB, on GPUs 8.6)",
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass to save memory")


class LoraOptions(Options):
    """The adapter that trains."""

    rank: int = Field(32, ge=1, le=4096, description="rank of the adapter matrices")
    alpha: int = Field(64, gt=0, le=int(LARGE), description="the adapter's output is scaled by alpha / rank")
    targets: str | tuple[str, ...] = Field("all-linear", description="modules that get an adapter, as PEFT names them")


class OpponentOptions(Options):
    """Who sits opposite the learner, apart from its present self."""

    kept: float = Field(0.0, ge=0, le=1, description="share of episodes against kept checkpoints of the learner")
    scripted: float = Field(0.0, ge=0, le=1, description="share of episodes against scripted strategies")
    scripts: tuple[str, ...] = Field((), description="the scripted strategies to draw from")
    keep_every: int = Field(10, ge=1, le=COUNT, description="a checkpoint is kept after every so many iterations")
    max_kept: int | None = Field(
        None, ge=1, le=COUNT, description="at most so many stay kept per learner, spread over the run (unset: all)"
    )
    draw: Literal["episode", "group"] = Field("episode", description="whether a group mixes opponents or shares one")
    max_loaded: int = Field(28, ge=1, le=10_000, description="at most so many kept checkpoints take part in one iteration")
    replaced: int | None = Field(
        None, ge=1, le=1000, description="how many of the other seats an opponent takes, drawn for each episode (unset: all)"
    )
    rotate: bool = Field(
        False, description="draw for each group who of seats sits where; seats may then name more than the game has"
    )
    train_focal_only: bool = Field(False, description="train one seat only, also where the other plays the same weights")

    @model_validator(mode="after")
    def _shares_add_up(self) -> OpponentOptions:
        if self.kept + self.scripted > 1:
            raise ValueError(f"opponents.kept ({self.kept:g}) and opponents.scripted ({self.scripted:g}) add up to more than 1")
        if self.scripted > 0 and not self.scripts:
            raise ValueError("opponents.scripted is above 0 but opponents.scripts names no strategy")
        return self


class DecodingOptions(Options):
    """How a language model of this process answers."""

    decoding: Literal["constrained", "retry", "free"] = Field(
        "constrained", description="guided decoding, retries, or one free answer"
    )
    retries: int = Field(
        3,
        ge=1,
        le=100,
        description="decoding retry, and remote models unless free: answers tried before the default action",
    )
    temperature: float = Field(1.0, ge=1e-3, description="softmax temperature")
    max_tokens: int = Field(400, ge=1, le=1_000_000, description="new tokens per answer")


class AnswerOptions(DecodingOptions):
    """How every language model answers, here or elsewhere."""

    remote_format: Literal["auto", "structured_outputs", "response_format", "none"] = Field(
        "auto",
        description="decoding constrained, remote models: the field that holds answers to their form (auto: structured_outputs "
        "where the server is vLLM)",
    )
    request: dict[str, Any] = Field(
        default_factory=dict, description="remote models: more fields of each request; null leaves one out, e.g. request.seed=1"
    )


class RemoteOptions(Options):
    """How remote models are asked, and what they may cost. May be changed on an existing run."""

    timeout: float = Field(
        60.0, gt=0, le=86_400, description="seconds that one try may take as a whole, and that an endpoint is waited for"
    )
    retries: int = Field(
        4,
        ge=0,
        le=100,
        description="requests sent again, ever later, where no answer came (for wrong answers: answer.retries)",
    )
    concurrency: int = Field(8, ge=1, le=10_000, description="requests to one model at the same time")
    max_requests: int | None = Field(
        None, ge=1, le=COUNT, description="stop after so many requests, retries included (unset: no limit)"
    )
    max_tokens: int | None = Field(
        None, ge=1, le=10**12, description="stop after so many tokens, as endpoints report them (unset: no limit)"
    )


class EvaluationOptions(Options):
    """The final evaluation, written to summary.json."""

    episodes: int = Field(64, ge=0, le=1_000_000, description="episodes in self-play and against each strategy (0: no evaluation)")
    against: tuple[str, ...] | None = Field(
        None, description="scripted strategies to play against (unset: all that can play, but no attacks through messages)"
    )
    every: int = Field(0, ge=0, le=COUNT, description="also evaluate after every so many iterations (0: only at the end)")


class RecordOptions(Options):
    """What a run leaves on disk."""

    episodes_every: int = Field(
        1, ge=1, le=COUNT, description="write the episodes of every so many iterations, and of the last one"
    )
    checkpoint_every: int = Field(1, ge=1, le=COUNT, description="save the training state after every so many iterations")
    audit_turns: int = Field(4, ge=0, le=100_000, description="turns per iteration that are scored again to check who was served")


class LearnerConfig(Options):
    """What one learner trains with."""

    model: str
    lora: LoraOptions
    answer: DecodingOptions
    algorithm: AlgorithmName
    credit: CreditOptions
    social: SocialOptions = SocialOptions()
    loss: LossOptions
    optimizer: OptimizerOptions
    reward: str | None = None
    start_from: str | None = None
    update_every: int = Field(1, ge=1, le=COUNT, description="an update after every so many iterations")
    collect: Literal["last", "all", "trial"] = Field(
        "last",
        description="an update takes the episodes of the last iteration, of all iterations since the last update, or these as one "
        "long episode of each game (a trial)",
    )
    copies: int = Field(
        1, ge=1, le=1000, description="independent learners of this name, NAME_0 ...; group g is played by NAME_{g % copies}"
    )
    lifetime: int | None = Field(
        None, ge=1, le=COUNT, description="starts anew, adapter and optimizer, after so many iterations (unset: never)"
    )
    briefing: Literal["none", "counts", "last"] = Field(
        "none",
        description="what it is told of the episodes with the same players since its last update: nothing, how often each outcome "
        "came, or the last one",
    )
