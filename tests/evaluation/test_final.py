"""The final evaluation with scripts in the learner's place: SPEC 1.7 gives the exact values."""

import pytest

from detente import config
from detente.evaluation.final import evaluate, flat
from detente.games import make
from detente.policies import Policies
from detente.records import PolicyRef


def evaluated(script, *overrides, names=("main",)):
    """The evaluation of a run whose learners have turned into scripts, and what was announced."""
    options = config.load("ipd", ["algorithm=advantage_alignment", "evaluation.episodes=3", *overrides])
    game = make(**options.game)
    present = {seat: PolicyRef("script", script if seat in names else seat) for seat in options.seats}
    announced = []
    return evaluate(options, game, Policies(game, options.answer), present, 7, announced.append), announced


@pytest.mark.parametrize(
    ("script", "alone", "against"),
    [
        ("tit_for_tat", 3, {"tit_for_tat": (3, 3), "always_defect": (0.9, 1.4), "always_cooperate": (3, 3)}),
        ("always_defect", 1, {"tit_for_tat": (1.4, 0.9), "always_defect": (1, 1), "always_cooperate": (5, 0)}),
        ("always_cooperate", 3, {"tit_for_tat": (3, 3), "always_defect": (0, 5), "always_cooperate": (3, 3)}),
    ],
)
def test_the_anchor_payoffs(script, alone, against):
    found, _ = evaluated(script, f"evaluation.against=[{','.join(against)}]")
    learner = found["main"]
    assert learner["self_play"]["reward"] == pytest.approx(alone)
    assert {name: (score["reward"], score["opponent_reward"]) for name, score in learner["against"].items()} == {
        name: pytest.approx(pair) for name, pair in against.items()
    }
    assert learner["invalid"] == 0


def test_tit_for_tat_is_recognised_by_its_answers():
    found, _ = evaluated("tit_for_tat", "evaluation.against=[always_defect,always_cooperate,random]")
    learner = found["main"]
    # it copies: after CD and DD the other defected, after CC and DC it cooperated
    assert learner["cooperate_given"] == {"start": 1, "CC": 1, "CD": 0, "DC": 1, "DD": 0}
    assert learner["self_play"]["cooperation_rate"] == 1
    assert learner["against"]["always_defect"]["cooperation_rate"] == pytest.approx(0.1)  # the first of ten rounds
    assert not any("cooperate_given" in key for key in learner["self_play"])  # the table stands by itself


def test_unset_means_every_strategy_that_can_play():
    assert len(evaluated("tit_for_tat")[0]["main"]["against"]) == 10
    stag_hunt = evaluated("tit_for_tat", "game.name=stag_hunt")[0]["main"]["against"]
    assert "always_defect" in stag_hunt
    assert "extort" not in stag_hunt  # its probabilities come from the payoffs of a dilemma
    pennies = evaluated("random", "game.name=matching_pennies")[0]["main"]
    assert list(pennies["against"]) == ["random"]
    assert "cooperate_given" not in pennies


def test_a_learner_on_the_second_seat_is_measured_there():
    """Row gets 10 more than column whatever happens, so the seat shows in the rewards."""
    table = "game.payoffs=[[[13,3],[10,5]],[[15,0],[11,1]]]"
    found, _ = evaluated("always_defect", table, "seats=[always_cooperate,main]", "evaluation.against=[always_cooperate]")
    assert found["main"]["self_play"]["reward"] == 5
    assert found["main"]["against"]["always_cooperate"] == {
        "reward": 5,
        "opponent_reward": 10,
        "invalid": 0,
        "cooperation_rate": 0,
    }


def test_each_of_two_learners_has_its_own_row():
    overrides = ("seats=[a,b]", "learners.a.algorithm=reinforce", "learners.b.credit.beta=1", "evaluation.against=[tit_for_tat]")
    found, announced = evaluated("always_defect", *overrides, names=("a", "b"))
    assert [(name, one["algorithm"]) for name, one in found.items()] == [("a", "reinforce"), ("b", "advantage_alignment")]
    assert found["a"]["against"] == found["b"]["against"]
    assert announced == ["self-play", "a against tit_for_tat", "b against tit_for_tat"]


def test_the_same_seeds_every_time_and_others_at_another_iteration():
    overrides = ("evaluation.against=[random]", "evaluation.episodes=20")
    assert evaluated("random", *overrides) == evaluated("random", *overrides)
    assert evaluated("random", *overrides)[0] != evaluated("random", *overrides, "seed=1")[0]


def test_without_episodes_nothing_is_measured_or_announced():
    found, announced = evaluated("tit_for_tat", "evaluation.episodes=0")
    assert (found["main"]["self_play"], found["main"]["against"], announced) == ({}, {}, [])


def test_the_evaluation_as_metrics():
    found, _ = evaluated("tit_for_tat", "evaluation.against=[always_defect]")
    assert flat(found) == {
        "eval/main/self_play/reward": 3,
        "eval/main/self_play/invalid": 0,
        "eval/main/self_play/cooperation_rate": 1,
        "eval/main/vs/always_defect/reward": pytest.approx(0.9),
        "eval/main/vs/always_defect/opponent_reward": pytest.approx(1.4),
        "eval/main/vs/always_defect/invalid": 0,
        "eval/main/vs/always_defect/cooperation_rate": pytest.approx(0.1),
        "eval/main/cooperate_given/start": 1,
        "eval/main/cooperate_given/CC": 1,
        "eval/main/cooperate_given/CD": 0,
        "eval/main/cooperate_given/DC": None,
        "eval/main/cooperate_given/DD": 0,
    }
