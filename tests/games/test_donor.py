"""The donor game: pairings, traces, exact resources, punishment, scripts, measures, and what a report reads."""

from __future__ import annotations

import random
from typing import Any

import pytest

import detente
from detente.errors import UserError
from detente.games import Observation, family_of, make
from detente.games.contract import check_game
from detente.games.donor import DonorView, giver, reciprocal
from detente.games.donor.measures import final_resources
from detente.games.donor.rules import donor
from detente.games.family import measured, strategies_for
from detente.games.summaries import summary
from detente.matches import play_scripts
from detente.records import Episode


def any_gift(told: Observation, rng: random.Random) -> str:
    return str(family_of(make("donor")).strategies["random"](told.view, rng))


def played(name: str, *, seed: int = 0, **parameters: Any) -> Episode:
    """An episode in which everybody plays by that strategy."""
    game = make("donor", **parameters)
    (episode,) = detente.play(game, [name] * game.num_players, seed=seed)
    return episode


def finals(episode: Episode) -> list[float]:
    resources = final_resources(episode)
    assert resources == pytest.approx([10 + sum(episode.rewards(player)) for player in range(episode.num_players)])
    return resources


@pytest.mark.parametrize(
    ("name", "expect"), [("selfish", 10), ("giver_25", 53.49), ("giver_50", 393.9), ("giver_75", 3482.7), ("giver", 30720)]
)
def test_what_all_end_with_when_everybody_gives_the_same(name: str, expect: float) -> None:
    resources = finals(played(name))
    assert sum(resources) / 12 == pytest.approx(expect, abs=0.05)


def test_who_gives_all_ends_with_nothing_or_everything_and_in_two_games_with_swapped_roles_with_the_same() -> None:
    once, again = finals(played("giver")), finals(played("giver", swapped=True))
    assert sorted(once) == [0.0] * 6 + [61440.0] * 6
    assert [(a + b) / 2 for a, b in zip(once, again, strict=True)] == [30720.0] * 12


def test_who_gives_all_in_the_last_round_has_exactly_nothing() -> None:
    episodes = [played("random", seed=seed, players=4, rounds=5, levels=[0, 35, 100]) for seed in range(20)]
    ends = [
        final_resources(episode)[turn.player] for episode in episodes for turn in episode.rounds[-1].turns if turn.action == 100
    ]
    assert ends == [0.0] * len(ends) != []


def test_the_rules_list_the_levels_where_they_are_asked_to() -> None:
    levels: dict[str, Any] = {"levels": [0, 25, 100], "punishment": True}
    silent, told = donor(**levels), donor(named=True, **levels)
    assert told.rules().replace(" It is one of 0, 25, 100.", "").replace(" It is one of 25, 100.", "") == silent.rules()
    assert len(told.rules()) > len(silent.rules())
    assert "named" not in silent.parameters()
    assert donor(named=True).rules() == donor().rules()


@pytest.mark.parametrize("players", [4, 6, 12])
def test_no_ordered_pair_meets_twice_and_nobody_is_met_by_whom_it_just_gave_to(players: int) -> None:
    episode = played("random", players=players, rounds=players)
    pairs = [tuple(pair) for round_ in episode.rounds for pair in round_.info["pairs"]]
    assert len(pairs) == len({*pairs}) == players * players // 2
    assert len({frozenset(pair) for pair in pairs}) == (players // 2) ** 2
    if players > 4:
        for before, after in zip(episode.rounds, episode.rounds[1:], strict=False):
            assert not {tuple(pair) for pair in before.info["pairs"]} & {tuple(pair[::-1]) for pair in after.info["pairs"]}


def test_roles_alternate() -> None:
    donors = [{donor for donor, _ in round_.info["pairs"]} for round_ in played("random").rounds]
    assert donors[0] == donors[2] == donors[10]
    assert donors[0] | donors[1] == {*range(12)}
    assert not donors[0] & donors[1]


def test_a_trace_of_four_rounds_by_hand() -> None:
    """The percentages say round and donor: who gave what to whom is followed back from the recipient."""
    game: Any = make("donor", players=6, rounds=6, trace=3)
    state = game.reset(random.Random(3))
    history: list[dict[int, tuple[int, int]]] = []  # [round][donor] -> recipient, percentage
    for round_ in range(4):
        given = {donor: 10 * round_ + donor for donor in game.to_act(state)}
        history.append({donor: (recipient, given[donor]) for donor, recipient in game.pairs(state).items()})
        state = game.step(state, given).state
    donor, recipient = next(iter(game.pairs(state).items()))
    second, first_percentage = history[3][recipient]
    third, second_percentage = history[2][second]
    _, third_percentage = history[1][third]
    observation = game.observe(state, donor)
    assert observation.view.trace == (first_percentage, second_percentage, third_percentage)
    said = (
        f"In the last round it gave {first_percentage}% to B. In the round before that B gave {second_percentage}% to C. "
        f"In the round before that C gave {third_percentage}% to D. Your gift?"
    )
    assert observation.text.endswith(said)
    shorter: Any = make("donor", players=6, rounds=6, trace=1)
    assert shorter.observe(state, donor).view.trace == (first_percentage,)


def test_a_punishment_costs_x_and_takes_two_x_at_most_all() -> None:
    game: Any = make("donor", players=2, rounds=2, punishment=True)
    state = game.reset(random.Random(0))
    (donor,) = game.to_act(state)
    assert game.parse(state, donor, "Punish: 10%") == -10
    assert game.step(state, {donor: -10}).rewards[donor] == -1
    assert game.step(state, {donor: -10}).rewards[1 - donor] == -2
    assert game.step(state, {donor: -80}).state.resources[1 - donor] == 0
    assert make("donor").parse(state, donor, "Punish: 10%") is None
    news = game.observe(game.step(state, {donor: -10}).state, 1 - donor).text
    assert news.startswith("In the last round you lost 2 units. Round 2: you are a donor. You have 8 units, the other player 9.")


VARIANTS = [
    {},
    {"punishment": True},
    {"levels": [0, 25, 50, 75, 100]},
    {"trace": 0},
    {"players": 2},
    {"swapped": True},
    {"rounds": 9},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_contract(variant: dict[str, Any]) -> None:
    check_game(make("donor", **{"players": 6, "rounds": 5} | variant), episodes=3, sample=any_gift)


def test_who_waits_is_told_nothing_that_it_does_not_know() -> None:
    game: Any = make("donor")
    state = game.reset(random.Random(0))
    waiting = next(player for player in range(12) if player not in game.to_act(state))
    assert game.observe(state, waiting).text.endswith("You are a recipient in the first round.")
    after = game.step(state, dict.fromkeys(game.to_act(state), 50)).state
    assert game.observe(after, game.to_act(state)[0]).text == ""


@pytest.mark.parametrize(
    ("strategy", "trace", "answer"),
    [
        (reciprocal(0.5, 0.5, 1.0), (), "Gift: 50%"),
        (reciprocal(0.5, 0.5, 1.0), (30, 90), "Gift: 30%"),
        (reciprocal(0.2, 0.4, 0.5), (), "Gift: 20%"),
        (reciprocal(0.2, 0.4, 0.5), (100,), "Gift: 65%"),
        (reciprocal(0.2, 0.4, 0.0), (100,), "Gift: 40%"),
        (reciprocal(0.2, 0.4, 2.0), (-50,), "Gift: 0%"),
        (giver(0.354), (), "Gift: 35%"),
    ],
)
def test_scripts(strategy: Any, trace: tuple[int, ...], answer: str) -> None:
    view = DonorView(0, 1, 10.0, 10.0, trace, tuple(range(101)), False)
    assert strategy(view, random.Random(0)) == answer


def test_a_script_names_the_level_next_to_what_it_means() -> None:
    view = DonorView(0, 1, 10.0, 10.0, (), (0, 25, 50, 75, 100), True)
    assert view.gift(0.4) == "Gift: 50%"
    assert view.punish(0.01) == "Punish: 25%"
    assert "avenger" not in strategies_for(make("donor"))
    assert "avenger" in strategies_for(make("donor", punishment=True))


def test_measures() -> None:
    half = played("giver_50")
    scalars, tables = measured(make("donor"), [(half, player) for player in range(12)])
    assert scalars["donation"] == 0.5
    assert scalars["final_resources"] == pytest.approx(393.9, abs=0.05)
    assert tables["donation_given"] == {"start": 0.5, "less": None, "more": 0.5}
    everything, _ = measured(make("donor"), [(played("giver"), 0)])
    assert everything["gini"] == 0.5


@pytest.mark.parametrize("swapped", [False, True])
def test_an_avenger_punishes_who_gave_nothing_before(swapped: bool) -> None:
    game = make("donor", players=2, rounds=2, punishment=True, swapped=swapped)
    (episode,) = detente.play(game, ["selfish", "avenger"])
    first = episode.rounds[0].info["pairs"][0][0] == 1
    scalars, tables = measured(game, [(episode, 1)])
    assert (scalars["donation"], scalars["punishing"]) == ((0.5, 0.0) if first else (0.0, 1.0))
    assert tables["donation_given"] == {"start": 0.5 if first else None, "less": None if first else 0.0, "more": None}


def test_a_briefing_says_what_was_given_and_received() -> None:
    text = summary("counts", make("donor", rounds=2), [played("giver_50", rounds=2)], 0)
    assert "you gave 50%" in text
    assert "you received" in text


def test_the_reading_has_anchors_and_verdicts() -> None:
    game = make("donor")
    known = family_of(game).reading(game, play_scripts)
    assert [anchor.value for anchor in known.plots[1].anchors] == [10, pytest.approx(393.9, abs=0.05)]
    assert known.note.startswith("nobody gives 0.00 (10.00 units in the end), all give half 3")  # anchors are points per round
    results = family_of(game).references(game, play_scripts, ["selfish"])
    assert [known.verdict(result) for result in results[::2]] == ["", "selfish"]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"players": 5}, "needs an even number of players, not 5"),
        ({"rounds": 101}, "option rounds is a whole number from 1 to 100, not 101"),
        ({"levels": [25, 0]}, "levels are percentages in ascending order"),
        ({"levels": [0, 200]}, "levels are percentages in ascending order"),
        ({"levels": "0"}, "levels are percentages in ascending order"),
        ({"multiplier": -1}, "multiplier is a number from 0 to 100, not -1"),
    ],
)
def test_wrong_options(option: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        make("donor", **option)
