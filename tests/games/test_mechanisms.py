"""Games around games: the rules of each mechanism, what players are told, scripts, measures, and what is refused."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import detente
from detente.config import load_game
from detente.errors import UserError
from detente.games import Observation, make, names, recorded
from detente.games.contract import check_game
from detente.games.family import measures, strategies_for
from detente.games.mechanisms.strategies import random_player

IPD = {"name": "ipd", "rounds": 1}
GOODS = {"name": "public_goods", "players": 3, "institutions": False, "levels": [0, 20], "rounds": 1}


def any_answer(told: Observation, rng: random.Random) -> str:
    return str(random_player(told.view, rng)) if told.choices or not told.view.fair else told.view.fair


@pytest.mark.parametrize(
    "parameters",
    [
        {"name": "repetition", "of": {"name": "ipd", "rounds": 2, "counterbalance": True, "noise": 0.3}, "continuation": 0.7},
        {"name": "repetition", "of": {"name": "trust_and_split", "rounds": 1}, "rounds": 2},
        {"name": "repetition", "of": {"name": "investor", "rounds": 2}, "rounds": 2, "look_back": 0},
        {"name": "repetition", "of": {"name": "bargaining", "rounds": 1}, "rounds": 3},
        {"name": "reputation", "of": {"name": "trust_game", "rounds": 1}, "players": 6, "told": "joint"},
        {"name": "reputation", "of": {"name": "public_goods", "players": 3, "rounds": 1}, "rounds": 3, "told": "nothing"},
        {"name": "reputation", "of": {"name": "donor", "players": 4, "rounds": 2}, "rounds": 2},
        {"name": "contract", "of": {"name": "ipd", "rounds": 3, "noise": 0.3, "counterbalance": True}},
        {"name": "contract", "of": {"name": "travelers_dilemma", "rounds": 1}, "payments": [0, 1, 2.5]},
        {"name": "contract", "of": GOODS | {"rounds": 2}},
        {"name": "mediation", "of": {"name": "trust_game", "rounds": 2}},
        {"name": "mediation", "of": GOODS | {"noise": 0.3}},
        {"name": "mediation", "of": {"name": "matching_pennies", "rounds": 1}},
        {"name": "repetition", "of": {"name": "contract", "of": IPD}, "rounds": 3},
        {"name": "reputation", "of": {"name": "mediation", "of": IPD}, "rounds": 3},
        {"name": "reputation", "of": {"name": "commons", "players": 2, "rounds": 2, "messages": 1}, "players": 4, "rounds": 2},
    ],
    ids=lambda parameters: f"{parameters['name']}-{parameters['of']['name']}",
)
def test_a_mechanism_around_a_game_is_a_game(parameters: dict[str, Any]) -> None:
    game = make(**parameters)
    check_game(game, episodes=2, sample=any_answer)
    assert recorded(game.parameters()) == game


def test_repetition_tells_the_last_rounds() -> None:
    (played,) = detente.play(make("repetition", of=IPD, rounds=4, look_back=2), ["reciprocal", "always_defect"])
    first, second, _, last = [turn.prompt for turn in played.turns(0)]
    assert first.startswith("The same players play the following game again and again.")
    assert "- You <A>, they <B>: you get 0, they get 5." in first
    assert second.splitlines()[:3] == [
        "Your points in the last round: 0.",
        "What was done, the last round at the end:",
        "- You <A>, they <B>.",
    ]
    assert [line for line in last.splitlines() if line.startswith("- ")] == ["- You <B>, they <B>."] * 2
    assert [turn.action for turn in played.turns(0)] == ["C", "D", "D", "D"]


def test_moves_are_told_under_the_labels_of_now() -> None:
    (played,) = detente.play(
        make("repetition", of=IPD | {"counterbalance": True}, rounds=12), ["always_cooperate", "always_defect"]
    )
    for before, now in zip([*played.turns(0)], [*played.turns(0)][1:], strict=False):
        assert before.action == now.action == "C"
        assert f"You {now.completion.text}, they" in now.prompt  # what cooperation is called in this round


@pytest.mark.parametrize(("told", "line"), [("nothing", ""), ("moves", "<A>"), ("joint", "<A> when they did <B>")])
def test_reputation_tells_of_those_whom_one_meets(told: str, line: str) -> None:
    game = make("reputation", of=IPD, players=4, rounds=2, told=told)
    (played,) = detente.play(game, ["always_cooperate", "always_defect", "always_defect", "always_defect"], seed=3)
    (now,) = [group for group in played.rounds[1].info["groups"] if 0 in group]
    (partner,) = set(now) - {0}
    prompt = [*played.turns(partner)][1].prompt
    assert (f"whom you meet, the last round at the end: {line}." in prompt) == bool(line)
    assert played.rounds[0].rewards[0] == 0


def test_a_reputation_is_worth_something() -> None:
    """A defector earns less among those who look at what it did to others than among those who do not."""
    means = {}
    for told in ("nothing", "moves"):
        game = make("reputation", of=IPD, players=6, rounds=20, told=told)
        episodes = detente.play(game, ["always_defect", *["reciprocal"] * 5], episodes=4)
        means[told] = sum(episode.mean_reward(0) for episode in episodes) / 4
    assert means == {"nothing": 5, "moves": pytest.approx(1.2, abs=0.2)}  # 5 in the first round, then 1


@pytest.mark.parametrize(("discount", "best"), [(0.45, False), (0.55, True)])
def test_cooperation_is_an_equilibrium_of_the_repeated_game_if_the_future_counts(discount: float, best: bool) -> None:
    """Against one who never forgives the best of all plans is to cooperate iff the discount is at least (T - R) / (T - P) = 1/2."""
    rounds = 6
    game = make("repetition", of=IPD, rounds=rounds, look_back=rounds)
    other = strategies(game)["unforgiving"]
    values = {}
    for plan in product("CD", repeat=rounds):
        state, value = game.reset(random.Random(0)), 0.0
        for at, own in enumerate(plan):
            seen = game.observe(state, 1)
            answer = "CD"[other(seen.view, random.Random(0))[1] > 0.5]
            step = game.step(state, {0: own, 1: answer})
            state, value = step.state, value + discount**at * step.rewards[0]  # type: ignore[index]
        values[plan] = value + discount**rounds * (1 if "D" in plan else 3) / (1 - discount)
    assert (max(values, key=values.__getitem__) == ("C",) * rounds) == best


def strategies(game: Any) -> Any:
    return game.family.strategies


def round_under(game: Any, proposal: Any, answers: tuple[Any, ...], accept: bool | None = None) -> tuple[float, ...]:
    """The points of a round in which both propose the same, and answer so."""
    state = game.reset(random.Random(0))
    for actions in ({0: proposal, 1: proposal}, {0: 1, 1: 1}, *([] if accept is None else [{0: accept, 1: accept}])):
        state = game.step(state, actions).state
    rewards: tuple[float, ...] = game.step(state, dict(enumerate(answers))).rewards
    return rewards


def equilibrium(points: Any, choices: tuple[Any, ...], both: Any) -> bool:
    """Whether neither of two players gains by another choice, from the points of each pair of choices."""
    kept = points(both, both)
    return all(points(own, both)[0] <= kept[0] and points(both, own)[1] <= kept[1] for own in choices)


@pytest.mark.parametrize(("payment", "accept", "holds"), [(2, True, True), (1.5, True, False), (2, False, False)])
def test_a_contract_that_takes_what_defecting_gains_sustains_cooperation(payment: float, accept: bool, holds: bool) -> None:
    """Defecting on a cooperator gains 5 - 3 = 2; defecting is an equilibrium too, until it costs more than 1 - 0 = 1."""
    game: Any = make("contract", of=IPD, payments=[0, 1.5, 2])

    def points(row: str, column: str) -> tuple[float, ...]:
        return round_under(game, [0.0, payment], (row, column), accept)

    assert equilibrium(points, ("C", "D"), "C") == holds
    assert equilibrium(points, ("C", "D"), "D") == (not accept)
    assert points("D", "C") == ((5 - payment, payment) if accept else (5, 0))
    assert game.sound((0, payment)) == (payment >= 2)


@pytest.mark.parametrize(("mediator", "holds"), [([1, 0], True), ([0, 0], False), ([1, 1], False), ([0, 1], False)])
def test_a_mediator_that_cooperates_iff_all_delegate_makes_delegating_an_equilibrium(mediator: list[int], holds: bool) -> None:
    """To delegate pays as much as cooperation, and nobody gains by playing itself."""
    game: Any = make("mediation", of=IPD)
    voting = game.step(game.reset(random.Random(0)), {0: mediator, 1: mediator}).state
    delegate = game.parse(game.step(voting, {0: 1, 1: 1}).state, 0, "Delegate")

    def points(row: Any, column: Any) -> tuple[float, ...]:
        return round_under(game, mediator, (row, column))

    together = points(delegate, delegate) == (3, 3)
    assert (together and equilibrium(points, ("C", "D", delegate), delegate)) == holds
    assert game.sound(tuple(mediator)) == holds


@pytest.mark.parametrize(
    ("parameters", "script"),
    [
        ({"name": "contract", "of": IPD}, "signer"),
        ({"name": "contract", "of": GOODS}, "signer"),
        ({"name": "contract", "of": {"name": "trust_game", "rounds": 1}}, "signer"),
        ({"name": "mediation", "of": {"name": "travelers_dilemma", "rounds": 1}}, "delegator"),
        ({"name": "mediation", "of": GOODS}, "delegator"),
    ],
    ids=str,
)
def test_scripts_of_agreements_cooperate_together_and_are_not_exploited(parameters: dict[str, Any], script: str) -> None:
    game = make(**parameters)
    count = game.num_players
    (together,) = detente.play(game, [script] * count)
    (alone,) = detente.play(game, [script, *["always_defect" if count == 2 else "free_rider"] * (count - 1)])
    numbers = measures(game, [(together, 0)])
    assert numbers["inside_cooperation"] == 1
    assert numbers["accepted" if script == "signer" else "delegated"] == 1
    assert measures(game, [(alone, 0)])["inside_cooperation"] == 0
    assert all(turn.valid for turn in (*together.turns(), *alone.turns()))


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        (
            "contract",
            [
                "'Contract: 5, 5': the payments for <A>, <B>, in this order, each of them 0, 2.5 or 5.",
                "Answer in the form 'Vote: 1', with its number from 1 to 2.",
                "Answer 'Accept: yes' or 'Accept: no'.",
            ],
        ),
        (
            "mediation",
            [
                "'Mediator: <B>, <B>': its answers if 1, 2 delegate, in this order, each of them <A> or <B>.",
                "Answer in the form 'Vote: 1', with its number from 1 to 2.",
            ],
        ),
    ],
)
def test_questions_say_what_can_be_answered(name: str, questions: list[str]) -> None:
    game = make(name, of=IPD)
    (played,) = detente.play(game, ["always_cooperate"] * 2)
    for turn, question in zip(played.turns(0), questions, strict=False):
        assert question in turn.prompt
    proposal = game.observe(game.reset(random.Random(0)), 0)
    assert proposal.help.endswith(questions[0].partition(": ")[2].partition("': ")[2])
    assert proposal.listed == "; ".join(proposal.choices)


def test_votes_choose_and_ties_go_by_the_order_of_the_seed() -> None:
    game: Any = make("contract", of=GOODS, payments=[0, 10])
    state = game.reset(random.Random(4))
    state = game.step(state, {0: [0.0, 0.0], 1: [10.0, 0.0], 2: [0.0, 10.0]}).state
    assert state.listed == tuple([(0.0, 0.0), (10.0, 0.0), (0.0, 10.0)][player] for player in state.order)
    second = state.listed[1]
    assert game.step(state, {0: 1, 1: 2, 2: 2}).state.offer == second
    assert game.step(state, {0: 3, 1: 2, 2: 1}).state.offer == state.listed[0]


def test_transfers_go_to_the_others_in_equal_parts() -> None:
    game: Any = make("contract", of=GOODS, payments=[0, 10])
    state = game.reset(random.Random(0))
    for actions in ({seat: [10.0, 0.0] for seat in range(3)}, dict.fromkeys(range(3), 1), dict.fromkeys(range(3), True)):
        state = game.step(state, actions).state
    step = game.step(state, {0: 0, 1: 20, 2: 20})
    assert step.info["transfers"] == [-10, 5, 5]
    assert step.rewards == tuple(points + moved for points, moved in zip(step.info["points"], [-10, 5, 5], strict=True))


def test_measures_are_those_of_the_game_inside_and_of_the_mechanism() -> None:
    game = make("repetition", of=IPD, rounds=4)
    (played,) = detente.play(game, ["reciprocal", "always_defect"])
    numbers = measures(game, [(played, 0)])
    assert (numbers["reward"], numbers["cooperation_rate"], numbers["inside_cooperation"]) == (0.75, 0.25, 0.25)
    assert numbers["inside_cooperation_given/start"] == 1
    assert numbers["inside_cooperation_given/defected"] == 0
    assert numbers["inside_cooperation_given/cooperated"] is None


def test_scripts_are_those_of_the_game_inside_and_those_that_use_the_mechanism() -> None:
    assert {"tit_for_tat", "reciprocal", "unforgiving", "random"} <= {*strategies_for(make("repetition"))}
    assert "reciprocal" not in strategies_for(make("repetition", of="matching_pennies"))  # nobody can say what cooperates


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"of": 3}, "is around a game, such as game.of.name=ipd, not 3"),
        ({"of": None}, "is around a game, such as game.of.name=ipd, not null"),
        ({"of": {"rounds": 1}}, "The game inside the mechanism repetition has no name; give it one, such as game.of.name=ipd"),
        ({"of": "ipdd"}, "no game 'ipdd'; did you mean 'ipd'"),
        ({"of": {"name": "ipd", "round": 1}}, "'game.round'; did you mean 'game.rounds'"),
        ({"look_back": -1}, "The option look_back is a whole number from 0"),
        ({"name": "reputation", "players": 3}, "a multiple of the 2 who play ipd together, at least 4, not 3"),
        ({"name": "reputation", "told": "all"}, "The option told has no value 'all'"),
        (
            {"name": "contract", "of": "commons"},
            r"of 2 to 6 choices, such as ipd, or public_goods with institutions=false and levels=\[0,10,20\]; commons",
        ),
        ({"name": "mediation", "of": "contract"}, "; contract with these parameters is none"),
        ({"name": "contract", "payments": [1, 2]}, "2 to 10 different numbers of points from 0 up, 0 the first, not"),
        ({"name": "contract", "payments": [0, 2.0000001, 2.0000002]}, "Two payments of a contract read alike: 0, 2, 2; players"),
        ({"name": "contract", "payments": "all"}, "2 to 10 different numbers of points"),
        ({"of": {"name": "repetition", "of": {"name": "reputation", "of": "repetition"}}}, "no deeper"),
    ],
    ids=str,
)
def test_one_sentence_for_a_wrong_option(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as raised:
        make(**({"name": "repetition"} | parameters))
    assert "\n" not in str(raised.value)


def test_the_code_of_a_game_inside_is_not_run_for_who_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "somebody.py").write_text(f"open({str(marker)!r}, 'a').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    for of in ("somebody:Game", {"name": "somebody:Game"}, {"name": "repetition", "of": {"name": "somebody:Game"}}):
        assert recorded({"name": "repetition", "of": of}) is None
        assert "somebody:Game" in names({"name": "repetition", "of": of})
    assert not marker.exists()


def test_options_of_the_game_inside_on_the_command_line() -> None:
    config = load_game("reputation", ["game.of.name=stag_hunt", "game.of.rounds=1", "game.rounds=3"])
    assert make(**config.game).parameters()["of"]["name"] == "stag_hunt"
