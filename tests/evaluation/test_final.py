"""The final evaluation with scripts in the learner's place: docs/games.md gives the exact values."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from detente import config
from detente.config import build
from detente.evaluation.final import evaluate, flat, partners
from detente.games import make
from detente.options import EvaluationOptions
from detente.players.scripted import scripted
from detente.policies import Policies
from detente.records import PolicyRef


class BySeat:
    """Policies of which some play one script or another, seat by seat."""

    def __init__(self, game: Any, scripts: Any) -> None:
        self.game, self.scripts = game, scripts

    def player(self, policy: Any, *, chat: Any, seed: Any) -> Any:
        seat = int(chat.split("/")[1])
        return scripted(self.scripts.get(policy.name, (policy.name,) * 2)[seat], seed, self.game)

    def briefing(self, policy: Any) -> str:
        return ""

    def at_once(self, sitting: Any) -> Any:
        return None


TABLE = "game.payoffs=[[[13,3],[10,5]],[[15,0],[11,1]]]"  # row gets 10 more than column, so that the seat shows in the rewards


def evaluated(script: str, *overrides: str, names: Sequence[str] = ("main",), preset: str = "ipd") -> tuple[Any, list[str]]:
    """The evaluation of a run whose learners have turned into scripts, and what was announced."""
    options = config.load(preset, ["algorithm=advantage_alignment", "evaluation.episodes=3", *overrides])
    game = make(**options.game)
    present = {seat: PolicyRef("script", script if seat in names else seat) for seat in options.seats}
    announced: list[str] = []
    return evaluate(options, game, Policies(game, options.answer), present, 7, announced.append), announced


@pytest.mark.parametrize(
    ("script", "alone", "against"),
    [
        ("tit_for_tat", 3, {"tit_for_tat": (3, 3), "always_defect": (0.9, 1.4), "always_cooperate": (3, 3)}),
        ("always_defect", 1, {"tit_for_tat": (1.4, 0.9), "always_defect": (1, 1), "always_cooperate": (5, 0)}),
        ("always_cooperate", 3, {"tit_for_tat": (3, 3), "always_defect": (0, 5), "always_cooperate": (3, 3)}),
    ],
)
def test_the_anchor_payoffs(script: str, alone: int, against: dict[str, Any]) -> None:
    found, _ = evaluated(script, f"evaluation.against=[{','.join(against)}]")
    learner = found["main"]
    assert learner["self_play"]["reward"] == pytest.approx(alone)
    assert {name: (score["reward"], score["opponent_reward"]) for name, score in learner["against"].items()} == {
        name: pytest.approx(pair) for name, pair in against.items()
    }
    assert learner["invalid"] == 0


def test_tit_for_tat_is_recognised_by_its_answers() -> None:
    found, _ = evaluated("tit_for_tat", "evaluation.against=[always_defect,always_cooperate,random]")
    learner = found["main"]
    # it copies: after CD and DD the other defected, after CC and DC it cooperated
    assert learner["cooperate_given"] == {"start": 1, "CC": 1, "CD": 0, "DC": 1, "DD": 0}
    assert learner["self_play"]["cooperation_rate"] == 1
    assert learner["against"]["always_defect"]["cooperation_rate"] == pytest.approx(0.1)  # the first of ten rounds
    assert not any("cooperate_given" in key for key in learner["self_play"])  # the table stands by itself


def test_unset_means_every_strategy_that_can_play() -> None:
    assert len(evaluated("tit_for_tat")[0]["main"]["against"]) == 10
    stag_hunt = evaluated("tit_for_tat", "game.name=stag_hunt")[0]["main"]["against"]
    assert "always_defect" in stag_hunt
    assert "extort" not in stag_hunt  # its probabilities come from the payoffs of a dilemma
    pennies = evaluated("random", "game.name=matching_pennies")[0]["main"]
    assert list(pennies["against"]) == ["random"]
    assert "cooperate_given" not in pennies


def test_a_learner_on_the_second_seat_is_measured_there() -> None:
    found, _ = evaluated("always_defect", TABLE, "seats=[always_cooperate,main]", "evaluation.against=[always_cooperate]")
    assert found["main"]["self_play"]["reward"] == 5
    assert found["main"]["against"]["always_cooperate"] == {
        "reward": 5,
        "opponent_reward": 10,
        "invalid": 0,
        "cooperation_rate": 0,
    }


@pytest.mark.parametrize(
    ("seats", "partners"),
    [
        ("[main,main]", {"main": 6}),  # on both seats in turn
        ("[main,always_cooperate]", {"always_cooperate": 0}),
        ("[always_cooperate,main]", {"always_cooperate": 10}),
        ("[main,other]", {"other": 1}),
    ],
)
def test_the_partners_points_are_their_own(seats: str, partners: dict[str, int]) -> None:
    learners = [name for name in ("main", "other") if name in seats]
    others = ["learners.other.algorithm=reinforce"] if "other" in seats else []
    found, _ = evaluated("always_defect", TABLE, f"seats={seats}", "evaluation.against=[]", *others, names=learners)
    assert found["main"]["partners"] == partners


def test_three_players_have_two_partners() -> None:
    names = ("main", "bob", "main")
    episodes: Any = [
        SimpleNamespace(mean_reward=(1.0, 2.0, 6.0).__getitem__),
        SimpleNamespace(mean_reward=(3.0, 4.0, 0.0).__getitem__),
    ]
    together = [(episode, names) for episode in episodes]
    assert partners(together, "bob") == {"main": 2.5}
    assert partners(together, "main") == {"main": 2.5, "bob": 3.0}
    assert partners([], "main") == {}


ROTATING = ("opponents.rotate=true", "learners.other.algorithm=reinforce", "evaluation.against=[tit_for_tat]")


def test_names_that_rotate_are_evaluated_on_every_seat() -> None:
    names = ("main", "other")
    found, _ = evaluated("always_defect", TABLE, "seats=[main,other]", "evaluation.episodes=4", *ROTATING, names=names)
    for name, partner in (names, reversed(names)):
        assert found[name]["self_play"]["reward"] == 6  # 11 on the first seat, 1 on the second
        assert found[name]["partners"] == {partner: 6}
        roles = found[name]["roles"]
        assert [roles[role]["self_play"]["reward"] for role in ("seat 1", "seat 2")] == [11, 1]
        assert roles["seat 1"]["partners"] == {f"{partner} as seat 2": 1}
        assert {*roles["seat 2"]["against"]} == {"tit_for_tat"}


def test_of_more_names_than_seats_each_sits_out_as_often() -> None:
    names = ("main", "other", "third")
    more = ("seats=[main,other,third]", "evaluation.episodes=6", "learners.third.algorithm=reinforce")
    found, _ = evaluated("always_defect", TABLE, *more, *ROTATING, names=names)
    assert {name: {*found[name]["partners"]} for name in names} == {name: {*names} - {name} for name in names}
    assert found["third"]["self_play"]["reward"] == 6


def test_each_of_two_learners_has_its_own_row() -> None:
    overrides = ("seats=[a,b]", "learners.a.algorithm=reinforce", "learners.b.credit.beta=1", "evaluation.against=[tit_for_tat]")
    found, announced = evaluated("always_defect", *overrides, names=("a", "b"))
    assert [(name, one["algorithm"]) for name, one in found.items()] == [("a", "reinforce"), ("b", "advantage_alignment")]
    assert found["a"]["against"] == found["b"]["against"]
    assert announced == ["with each other", "a against tit_for_tat", "b against tit_for_tat"]


def test_the_same_seeds_every_time_and_others_at_another_iteration() -> None:
    overrides = ("evaluation.against=[random]", "evaluation.episodes=20")
    assert evaluated("random", *overrides) == evaluated("random", *overrides)
    assert evaluated("random", *overrides)[0] != evaluated("random", *overrides, "seed=1")[0]


def test_without_episodes_nothing_is_measured_or_announced() -> None:
    found, announced = evaluated("tit_for_tat", "evaluation.episodes=0")
    assert (found["main"]["self_play"], found["main"]["against"], announced) == ({}, {}, [])


def test_the_evaluation_as_metrics() -> None:
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


# ---- splitting games


def test_a_reciprocator_is_recognised_by_its_asks() -> None:
    against = ["greedy", "welfare"]
    overrides = (f"evaluation.against=[{','.join(against)}]", "evaluation.episodes=40")
    learner = evaluated("reciprocator", *overrides, preset="trust_and_split")[0]["main"]
    itself, reciprocity, told = (learner[key] for key in ("self_play", "reciprocity", "ask_told"))
    # always the truth, and all coins to the upper hand
    assert itself == {
        "reward": pytest.approx(50, abs=3),  # the seats' hands do not even out in 40 episodes
        "invalid": 0,
        "efficiency": 1,
        "ask_higher": 10,
        "ask_lower": 0,
        "inequality": itself["inequality"],
        "truthfulness": 1,
        "believed": 1,
    }
    assert 0 < itself["inequality"] < 1
    # greed meets greed once it has shown; whoever was fair gets the coins with the upper hand
    assert reciprocity["greedy"] == {"ask_higher": 10, "ask_lower": 10}
    assert reciprocity["fair"] == {"ask_higher": 10, "ask_lower": 0}
    assert reciprocity["start"] == {"ask_higher": 10, "ask_lower": 0}
    assert told["upper"] == 10
    assert 0 < told["lower"] < 10  # after greed it is not generous any more
    assert told["nothing"] is None
    assert list(learner["against"]) == against
    assert learner["against"]["greedy"].keys() == itself.keys() | {"opponent_reward"}
    assert learner["against"]["greedy"]["ask_lower"] > 5 > learner["against"]["welfare"]["ask_lower"]


def test_a_splitting_game_as_metrics() -> None:
    found, _ = evaluated("greedy", "evaluation.against=[liar]", preset="trust_and_split")
    flattened = flat(found)
    measured = ("reward", "invalid", "efficiency", "ask_higher", "ask_lower", "inequality", "truthfulness", "believed")
    assert flattened.keys() == {
        *(f"eval/main/self_play/{name}" for name in measured),
        *(f"eval/main/vs/liar/{name}" for name in (*measured, "opponent_reward")),
        *(f"eval/main/{ask}_given/{last}" for ask in ("ask_higher", "ask_lower") for last in ("start", "fair", "greedy")),
        *(f"eval/main/ask_told/{told}" for told in ("upper", "lower", "nothing")),
    }
    assert flattened["eval/main/self_play/efficiency"] == pytest.approx(0.55)
    assert flattened["eval/main/vs/liar/ask_lower"] == flattened["eval/main/ask_lower_given/greedy"] == 10
    assert flattened["eval/main/ask_lower_given/fair"] is None  # the liar asks for everything, too


def test_public_values_have_no_truth() -> None:
    found, _ = evaluated("welfare", "evaluation.against=[greedy]", preset="split_no_comm")
    assert found["main"]["self_play"] == {
        "reward": found["main"]["self_play"]["reward"],
        "invalid": 0,
        "efficiency": 1,
        "ask_higher": 10,
        "ask_lower": 0,
        "inequality": found["main"]["self_play"]["inequality"],
    }
    assert "ask_told" not in found["main"]
    assert found["main"]["reciprocity"]["greedy"] == {"ask_higher": 10, "ask_lower": 0}  # it gives to whoever takes


def test_hands_even_out_over_the_seats() -> None:
    """Each game seed is played from both seats, so greedy against greedy halves the coins exactly."""
    found, _ = evaluated("greedy", "evaluation.against=[greedy]", "evaluation.episodes=6", preset="trust_and_split")
    score = found["main"]["against"]["greedy"]
    assert (score["reward"], score["opponent_reward"]) == (pytest.approx(27.5), pytest.approx(27.5))


def test_intervals_of_the_rewards() -> None:
    """Nothing is random between these two, which a few game seeds cannot know; what the random player asks for is."""
    found, _ = evaluated("tit_for_tat", "evaluation.against=[always_defect]")

    def left_open(value: float, units: int, most: float = 5) -> Any:
        seen = 0.05 ** (1 / units)
        return pytest.approx((value * seen, most - (most - value) * seen))

    against = {"always_defect": {"reward": left_open(0.9, 2), "opponent_reward": left_open(1.4, 2)}}
    assert found["main"]["intervals"] == {"self_play": {"reward": left_open(3, 3)}, "against": against}
    split, _ = evaluated("greedy", "evaluation.against=[welfare,random]", "evaluation.episodes=64", preset="trust_and_split")
    against, intervals = (split["main"][key] for key in ("against", "intervals"))
    assert intervals["against"]["welfare"]["reward"] == left_open(52.5, 32, 100)  # every game seed is played from both seats
    low, high = intervals["against"]["random"]["reward"]
    assert low < against["random"]["reward"] < high
    none, _ = evaluated("tit_for_tat", "evaluation.episodes=0")
    assert none["main"]["intervals"] == {"self_play": {"reward": None}, "against": {}}


# ---- roles


def trust(seats: Any, against: Any, **present: Any) -> Any:
    """The evaluation of a run of the trust game whose learners have turned into scripts: ``main="kind"``."""
    options = build({"game": {"name": "example_games:Trust"}, "seats": seats, "learners": {name: {} for name in present}})
    options = options.model_copy(update={"evaluation": EvaluationOptions(episodes=4, against=against)})
    game = make(**options.game)
    policies = {seat: PolicyRef("script", present.get(seat, seat)) for seat in seats}
    return evaluate(options, game, Policies(game, options.answer), policies, 7, lambda name: None)


def test_a_learner_in_two_roles_has_a_row_for_each() -> None:
    """It sends and takes: with itself the investor gets 0 and the trustee 6."""
    sends_and_takes = PolicyRef("script", "both")
    options = build({"game": {"name": "example_games:Trust"}, "evaluation": {"episodes": 4, "against": ["kind", "sharer"]}})
    game = make(**options.game)
    table = BySeat(game, {"both": ("sender", "taker")})
    found = evaluate(options, game, table, {"main": sends_and_takes}, 7, lambda name: None)["main"]  # type: ignore[arg-type]
    assert found["self_play"]["reward"] == 3
    investor, trustee = (found["roles"][role] for role in ("investor", "trustee"))
    assert (investor["self_play"]["reward"], investor["partners"]) == (0, {"main as trustee": 6})
    assert (trustee["self_play"]["reward"], trustee["partners"]) == (6, {"main as investor": 0})
    assert (investor["self_play"]["kindness"], trustee["self_play"]["kindness"]) == (1, 0)
    assert {name: (row["reward"], row["opponent_reward"]) for name, row in investor["against"].items()} == {
        "kind": (3, 3),
        "sharer": (3, 3),
    }
    assert {name: (row["reward"], row["opponent_reward"]) for name, row in trustee["against"].items()} == {"kind": (6, 0)}
    assert found["against"]["kind"]["reward"] == 4.5  # half of the episodes in either role
    assert trustee["intervals"]["self_play"]["reward"] == (pytest.approx(6 * 4 / (4 + 1.959964**2)), 6)  # Wilson's of 4 of 4


def test_two_learners_each_have_their_own_role() -> None:
    found = trust(["a", "b"], ["taker", "keeper"], a="sender", b="sharer")
    assert list(found["a"]["roles"]) == ["investor"]
    assert list(found["b"]["roles"]) == ["trustee"]
    assert found["a"]["roles"]["investor"]["partners"] == {"b as trustee": 3}
    assert (list(found["a"]["against"]), list(found["b"]["against"])) == (["taker"], ["keeper"])
    assert found["a"]["against"]["taker"]["opponent_reward"] == 6
    metrics = flat(found)
    assert metrics["role/investor/eval/a/vs/taker/opponent_reward"] == metrics["eval/a/vs/taker/opponent_reward"] == 6
    assert metrics["role/trustee/eval/b/self_play/kindness"] == 1


def test_where_seats_do_not_differ_there_are_no_roles() -> None:
    found, _ = evaluated("tit_for_tat", "evaluation.against=[]")
    assert "roles" not in found["main"]
    assert not any(key.startswith("role/") for key in flat(found))
