"""From options to combinations: what is swept, what a run is called, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from detente.config import load
from detente.errors import UserError
from detente.sweeps.grid import planned, takes_lists


def test_every_combination_one_seed_after_another() -> None:
    grid = planned("ipd", ["credit.shaping=[causal,returns]", "credit.beta=[.25,1]", "optimizer.lr=3e-4"], seeds=[0, 7])
    made = grid.combinations()
    assert [combination.name for combination in made] == [
        f"credit.beta={beta}-credit.shaping={shaping}-seed{seed}"
        for seed in (0, 7)
        for beta in (0.25, 1)
        for shaping in ("causal", "returns")
    ]
    assert made[-1].values == {"credit.beta": 1, "credit.shaping": "returns", "seed": 7}
    assert made[-1].words == "credit.beta=1, credit.shaping=returns, seed7"
    config = load("ipd", made[-1].overrides)
    assert (config.credit.beta, config.credit.shaping, config.seed, config.optimizer.lr) == (1, "returns", 7, 3e-4)


def test_without_seeds_those_of_the_preset() -> None:
    assert planned("ipd", ["credit.beta=[1,2]"]).seeds == [0]
    assert planned("ipd", ["seed=3"]).seeds == [3]
    assert planned("ipd", ["seed=[3,4]"]).seeds == [3, 4]


@pytest.mark.parametrize(
    ("option", "takes"),
    [
        ("seats", True),
        ("opponents.scripts", True),
        ("evaluation.against", True),
        ("lora.targets", True),
        ("measures", True),
        ("learners.left.lora.targets", True),
        ("credit.beta", False),
        ("learners.left.credit.beta", False),
        ("game.rounds", False),
        ("game.payoffs", True),
        ("game", False),
        ("credit.options.envy", False),
        ("no.such.option", False),
    ],
)
def test_which_options_take_lists_themselves(option: str, takes: bool) -> None:
    assert takes_lists(option, load("ipd")) == takes


def test_an_option_that_is_a_list_is_swept_by_a_list_of_lists() -> None:
    grid = planned("ipd", ["seats=[[main,main],[main,tit_for_tat]]", "opponents.scripts=[random,grim_trigger]"])
    assert grid.swept == {"seats": [["main", "main"], ["main", "tit_for_tat"]]}
    assert grid.fixed == {"opponents.scripts": ["random", "grim_trigger"]}
    seats = [load("ipd", combination.overrides).seats for combination in grid.combinations()]
    assert seats == [("main", "main"), ("main", "tit_for_tat")]


def test_arms_set_several_options_together() -> None:
    arms = {"plain": ["algorithm=reinforce"], "paper's": ["credit.shaping=returns", "credit.beta=.5"]}
    made = planned("ipd", ["iterations=3"], arms=arms, seeds=[1]).combinations()
    assert [combination.name for combination in made] == ["plain-seed1", "paper_s-seed1"]
    configs = [load("ipd", combination.overrides) for combination in made]
    assert [config.algorithm for config in configs] == ["reinforce", "advantage_alignment"]
    assert (configs[1].credit.beta, configs[1].iterations) == (0.5, 3)


@pytest.mark.parametrize(
    ("options", "more", "sentence"),
    [
        (["credit.beta=[]"], {}, "The option credit.beta has no value to sweep over."),
        (["credit.beta=[1,2,1]"], {}, "The sweep names credit.beta=1 twice."),
        ([], {"seeds": [1, 1]}, "The sweep names seed1 twice."),
        ([], {"seeds": []}, "The sweep names no seed."),
        (["seed=1"], {"seeds": [1]}, "The seeds of a sweep are given once, as --seeds or as seed=."),
        (["seed=[0,x]"], {}, "The seeds of a sweep are whole numbers, not 0, x."),
        (["credit.beta=[1,2]"], {"arms": {"a": ["credit.beta=3"]}}, "The arm a sets credit.beta, which the sweep varies itself"),
        ([], {"arms": {"a": ["seed=3"]}}, "The arm a sets seed, which"),
        ([], {"arms": {"a": []}}, "The arm a sets no option"),
        (["episodes=[8,16]"], {"seeds": range(2000)}, "A sweep has at most 2,000 runs, and this one would have 4,000"),
    ],
)
def test_sweeps_that_are_none(options: list[str], more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        planned("ipd", options, **more)
    assert str(caught.value).startswith(sentence)
