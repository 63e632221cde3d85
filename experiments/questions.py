"""The questions of experiments/evidence.py: each a sweep, with the rule by which it answers, written before its runs.

Seeds up to 99 are for choosing settings, those from 100 on are held out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

HELD_OUT = range(100, 112)
BETAS = (0.25, 0.5, 1, 2, 4)
AA, REINFORCE = "algorithm=advantage_alignment", "algorithm=reinforce"
PLAIN_RETURNS = (AA, "credit.shaping=returns", "credit.beta=0.5", "credit.first_round_bonus=0")  # the paper's form and beta in ipd
FORMS = {
    "causal": [AA, "credit.shaping=causal"],
    "returns": [AA, "credit.shaping=returns"],
    "critic, lambda 0": [AA, "credit.shaping=returns", "credit.weight_baseline=critic", "credit.weight_lambda=0"],
    "critic, lambda .95": [AA, "credit.shaping=returns", "credit.weight_baseline=critic", "credit.weight_lambda=0.95"],
}
SAME_AS_PAPER = (0, 42, 1337)
TRUST = ("game.name=trust_game", "model=pocket_groups", "credit.reward_divisor=20", "evaluation.every=0")
LITTLE_ENTROPY = ("loss.entropy=0.02", "loss.entropy_final=0")
TRUST_ON_POCKET = ("game.name=trust_game", "credit.reward_divisor=10", *LITTLE_ENTROPY, "evaluation.every=0")
ENDS = {"advantage_alignment": [AA], "reinforce": [REINFORCE]}


@dataclass(frozen=True)
class Experiment:
    """A sweep with the question that it answers, and the rule by which it does."""

    question: str
    rule: str
    preset: str
    arms: Mapping[str, Sequence[str]]
    options: Sequence[str] = ()
    seeds: Iterable[int] = field(default_factory=lambda: range(5))
    before: str = ""  # a program of this folder that makes what the runs need


EXPERIMENTS = {
    "agents": Experiment(
        "Where do the three algorithms end in the prisoner's dilemma?",
        "reinforce: mutual defection, sum_of_rewards: exploitable, advantage_alignment: reciprocator, each on 4 seeds of 5 or more",
        "ipd",
        ENDS | {"sum_of_rewards": ["algorithm=sum_of_rewards"]},
        ["evaluation.every=0"],
    ),
    "bases": Experiment(
        "Do other base models end in the same place: blind to the last move, reacting the wrong way round, undecided?",
        "advantage_alignment: reciprocator from the wrong way round on 4 seeds of 5 or more; the others are told beside it",
        "ipd",
        {
            f"{base}, {arm}": [*options, f"model=runs/evidence/models/{base}"]
            for base in ("wrong", "blind", "undecided")
            for arm, options in ENDS.items()
        },
        ["evaluation.every=0"],
        before="bases.py",
    ),
    "bases_longer": Experiment(
        "Do those bases need time alone? Three times as many iterations.",
        "advantage_alignment: reciprocator on 4 seeds of 5 or more from each of the three",
        "ipd",
        {base: [AA, f"model=runs/evidence/models/{base}"] for base in ("wrong", "blind", "undecided")},
        ["iterations=240", "evaluation.every=0"],
        range(5, 10),
        before="bases.py",
    ),
    "forms": Experiment(
        "Which form of the shaping weight reciprocates, at which beta? All else as the preset has it.",
        "per form the beta with most seeds that reciprocate, then the most points in self-play, goes on to forms_held_out",
        "ipd",
        FORMS,
        [f"credit.beta={[*BETAS]}", "evaluation.every=0"],
        range(3),
    ),
    "labels": Experiment(
        "Does the rule depend on the labels, or on a known end?",
        "the same verdict in every cell on 4 seeds of 5 or more",
        "ipd",
        ENDS,
        ["game.counterbalance=[false,true]", "game.continuation=[null,.9]", "evaluation.every=0"],
    ),
    "pool": Experiment(
        "What do kept versions as opponents do?",
        "the share of reciprocators with and without them, intervals apart or not",
        "ipd",
        {"causal": FORMS["causal"], "returns, beta .5": PLAIN_RETURNS},
        ["opponents.kept=[0,.25,.5]", "evaluation.every=0"],
    ),
    "pool_talk": Experiment(
        "The same in Trust-and-Split.",
        "efficiency, and points left to greedy",
        "trust_and_split",
        {"causal": FORMS["causal"]},
        ["opponents.kept=[0,.25]"],
        range(3),
    ),
    "baseline": Experiment(
        "What does the baseline within a group bring, where hands differ from game to game?",
        "efficiency at the end, and the iteration at which it passes .9",
        "split_no_comm",
        ENDS,
        ["credit.baseline=[group,batch]"],
    ),
    "weights": Experiment(
        "Do two learners with weights of their own reciprocate, and does a naive learner beside one end cooperating?",
        "both reciprocate on 4 seeds of 5 or more; the naive one cooperates in more than half of the rounds",
        "ipd",
        {
            "two advantage_alignment": [AA, "seats=[left,right]", "learners.left={}", "learners.right={}"],
            "advantage_alignment beside reinforce": [AA, "seats=[main,naive]", f"learners.naive.{REINFORCE}"],
        },
        ["evaluation.every=0"],
    ),
    "decoding": Experiment(
        "Does it matter that answers are constrained to the choices?",
        "the same verdict in every cell on 4 seeds of 5 or more",
        "ipd",
        ENDS,
        ["answer.decoding=[constrained,retry,free]", "evaluation.every=0"],
    ),
    "scaling": Experiment(
        "Do episodes of 4, then 7, then 10 rounds lead where 10 rounds do, in less time?",
        "with stages at least 2.8 points with itself and P(C) after CD at most .2 on each seed; rollouts in at most .8 of the time",
        "ipd_scaling",
        {"stages": [AA], "ten rounds": [AA, "vary.rounds=null"]},
        ["evaluation.every=0"],
        range(3),
    ),
    "smollm2": Experiment(
        "Does a public language model end where pocket does? (Options were chosen on the seeds 42 and 1337.)",
        "reinforce: mutual defection, advantage_alignment: reciprocator, told for each seed; nothing is stopped early or run again",
        "ipd_smollm2",
        ENDS,
        ["game.rounds=5"],
    ),
    "smollm2_six": Experiment(
        "Over six rounds, where a first defection costs something, does it on seeds that chose nothing?",
        "reinforce: mutual defection, advantage_alignment: reciprocator, each on 4 seeds of 5 or more; nothing is run again",
        "ipd_smollm2",
        ENDS,
        ["game.rounds=6"],
        range(5, 10),
    ),
    "smollm2_variants": Experiment(
        "The same over ten rounds, with labels that change, with an open end, and in the paper's form: one seed each.",
        "what comes out is told as one seed; it decides nothing",
        "ipd_smollm2",
        {
            f"{arm}, {name}": [*options, change]
            for name, change in {
                "ten rounds": "game.rounds=10",
                "labels": "game.counterbalance=true",
                "open end": "game.continuation=.9",
            }.items()
            for arm, options in ENDS.items()
        }
        | {"returns, beta .5": PLAIN_RETURNS},
        seeds=range(1),
    ),
    "groups": Experiment(
        "Do three players of public goods go on giving, and what does one free rider among them get?",
        "on every seed reinforce ends giving at most half of what it gave, advantage_alignment gives at least 16 of 20 coins; one "
        "free_rider among its agents then gets at most 23.4 points, 65 % of full cooperation (detente arena public_goods --agents "
        "RUN,free_rider)",
        "public_goods",
        ENDS,
        seeds=SAME_AS_PAPER,
    ),
    **{
        f"groups_{name}": Experiment(
            f"Where do reinforce and advantage_alignment end in {words}?",
            "what comes out is told as one seed; it decides nothing",
            preset,
            ENDS,
            options,
            range(1),
        )
        for name, words, preset, options in (
            ("sanctions", "public goods of seven with institutions and sanctions", "public_goods_sanctions", ()),
            ("commons", "the commons", "commons", ()),
            ("trust", "the trust game", "ipd", TRUST),
            ("trust_on_pocket", "the trust game on pocket, with a smaller entropy bonus", "ipd", TRUST_ON_POCKET),
            ("bargaining", "bargaining over a price", "bargaining", ()),
        )
    },
    "wide_pool": Experiment(
        "Is plain reinforce against a wide pool as robust as advantage_alignment, at the same number of tokens?",
        "self-play, always_defect, exact best response and floor beside those of the experiment agents",
        "ipd_pool",
        {"reinforce": [REINFORCE]},
    ),
}
