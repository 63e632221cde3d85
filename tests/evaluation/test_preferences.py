"""Preferences are recovered from the choices of agents whose preferences are known, and refused where nothing is known of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detente
from detente import cli
from detente.cli.preferences import sentences
from detente.errors import UserError
from detente.evaluation.choices import choices_of, features, gathered, stage_game
from detente.evaluation.preferences import Preferences, fitted, preferences
from detente.evaluation.statistics import resamples
from detente.games import make
from detente.records import Episode, write_episodes
from tests.evaluation.made_choices import ME, THEM, Utility, round_of, softmax_episodes

TABLES = ([[[3, 3], [0, 5]], [[5, 0], [1, 1]]], [[[3, 3], [0, 9]], [[9, 0], [1, 1]]])


def altruist(altruism: float) -> Utility:
    return lambda own, other: own + altruism * other


def explained(episodes: list[Episode], agent: str = "me", **options: str) -> Preferences:
    return preferences(agent, choices_of([episodes], agent), **options)  # type: ignore[arg-type]


def against(agent: str, other: str, episodes: int = 16) -> list[list[Episode]]:
    """What two scripts play in two payoff tables."""
    return [detente.play("ipd", [agent, other], episodes=episodes, overrides=[f"game.payoffs={table}"]) for table in TABLES]


@pytest.mark.parametrize("altruism", [-0.5, 0, 0.5, 1])
def test_altruism_is_recovered(altruism: float) -> None:
    """From 4,000 choices on 1,000 tables, whose standard error is 0.02 to 0.04."""
    recovered = []
    for seed in range(3):
        brought, counts = gathered(choices_of([softmax_episodes(altruist(altruism), 1000, seed, rounds=4)], "me")).expected()
        own, others = fitted(brought[..., :2], counts)
        assert own == pytest.approx(1, abs=0.1)
        recovered.append(others / own)
    assert np.mean(recovered) == pytest.approx(altruism, abs=0.05)
    assert recovered == pytest.approx([altruism] * 3, abs=0.1)


def test_the_interval_covers_the_truth() -> None:
    result = explained(softmax_episodes(altruist(0.5), 400, seed=0, rounds=10))
    ratio = result.ratios["altruism"]
    assert ratio.value is not None
    assert ratio.low is not None
    assert ratio.high is not None
    assert ratio.low < ratio.value < ratio.high
    assert ratio.low < 0.5 < ratio.high
    assert ratio.high - ratio.low < 0.2
    assert (result.choices, result.seeds, result.tables) == (4000, 400, 400)
    assert result.chance == pytest.approx(-np.log(2))
    assert result.chance < result.log_likelihood < 0


def test_envy_and_guilt_are_recovered() -> None:
    averse = softmax_episodes(lambda own, other: own - 0.8 * max(other - own, 0) - 0.3 * max(own - other, 0), 500, seed=2, rounds=4)
    ratios = explained(averse, form="inequity").ratios
    assert list(ratios) == ["envy", "guilt"]
    assert ratios["envy"].value == pytest.approx(0.8, abs=0.15)
    assert ratios["guilt"].value == pytest.approx(0.3, abs=0.15)
    assert all(ratio.low is not None and ratio.low < ratio.value < (ratio.high or 0) for ratio in ratios.values() if ratio.value)


def test_altruism_is_envy_and_guilt_by_another_name() -> None:
    """own + a other is (1 + a) times own + a / (1 + a) (ahead - behind)."""
    ratios = explained(softmax_episodes(altruist(1), 500, seed=0, rounds=4), form="inequity").ratios
    assert ratios["envy"].value == pytest.approx(-0.5, abs=0.1)
    assert ratios["guilt"].value == pytest.approx(0.5, abs=0.1)


def test_whoever_never_wavers_bounds_what_it_prefers() -> None:
    """Against a player of known habits: of the second table, C costs 1.5 to 6 points and brings the other 3 to 8 more."""
    (one, two) = against("always_cooperate", "always_cooperate")
    result = preferences("always_cooperate", choices_of([one, two], "always_cooperate"))
    assert result.separable
    assert result.own is None
    ratio = result.ratios["altruism"]
    assert ratio.value is ratio.high is None
    assert ratio.low == pytest.approx((9 - 3) / (3 - 0))  # what the greater temptation takes, for what it spares the other
    selfish = preferences("always_defect", choices_of(against("always_defect", "random"), "always_defect")).ratios["altruism"]
    assert selfish.low is None
    assert selfish.high is not None
    assert 0 < selfish.high < 1


def test_public_goods_of_three() -> None:
    """A coin costs 1 - m / 3 and brings each other m / 3: who gives at m = 2, not at 1.5, has an altruism between .5 and 1."""
    given = {1.5: 0, 2.0: 12}

    def episode(multiplier: float, seed: int) -> Episode:
        game = make("public_goods", players=3, institutions=False, endowment=12, levels=[0, 12], multiplier=multiplier, rounds=2)
        round = round_of((given[multiplier], 0, 12), (0, 0, 0))
        return Episode(game.parameters(), seed, (ME, THEM, THEM), (round, round))

    ratio = explained([episode(multiplier, seed) for seed, multiplier in enumerate(given)]).ratios["altruism"]
    assert ratio.value is None
    assert (ratio.low, ratio.high) == pytest.approx((0.5, 1))
    stage = stage_game(episode(2.0, 0))
    assert features(stage, 1, 0, (0, 1)) == pytest.approx((20, 14, 0, 6))


def test_what_is_expected_counts_with_the_game_seed() -> None:
    """After the first round, what the other does next is taken from the episodes that count."""
    same, other = (softmax_episodes(altruist(0), 1, seed, rounds=2)[0] for seed in (0, 1))
    first = [replace(same, rounds=(round_of("CC", (0, 0)), round_of("CC", (0, 0)))), replace(other, seed=1)]
    second = replace(first[1], rounds=(round_of("CC", (0, 0)), round_of("CD", (0, 0))))
    arrays = gathered(choices_of([[first[0], second]], "me"))
    both, counts = arrays.expected()
    alone, _ = arrays.expected(np.array([1, 0]))
    assert counts.sum() == 4
    assert len(both) == 4
    assert len(alone) == 2
    payoffs = same.game["payoffs"]
    assert alone[:, 0, 0] == pytest.approx([payoffs[0][0][0]] * 2)
    assert sorted(both[:, 0, 0])[0] <= (payoffs[0][0][0] + payoffs[0][1][0]) / 2


def test_versions_of_a_learner() -> None:
    def at(version: int) -> Episode:
        (episode,) = softmax_episodes(altruist(0), 1, version)
        return replace(episode, seed=version, policies=(replace(ME, kind="adapter", name="main", version=version), THEM))

    def versions(sources: Sequence[Sequence[int]], *named: Any) -> set[int]:
        choices = choices_of([[at(version) for version in source] for source in sources], *named)
        return {choice.seed[1] for choice in choices}

    recorded = [(0, 2, 4, 7, 10)]
    assert [versions(recorded, "main", count) for count in (1, 2, 3, 9)] == [{10}, {7, 10}, {4, 7, 10}, {0, 2, 4, 7, 10}]
    assert versions(recorded, "main@4") == {4}
    assert versions([(1, 3), *recorded], "main") == {3, 10}
    with pytest.raises(UserError, match=r"^Nobody called 'main@99' played in these .*: main@0, main@2, main@4, main@7, main@10\.$"):
        versions(recorded, "main@99")
    with pytest.raises(UserError, match=r": main@0, .*, main@4, \.\.\., main@25, .*, main@29\.$"):
        versions([range(30)], "main@30")
    for wrong in (0, -1, 2.5):
        with pytest.raises(UserError, match=rf"^versions says how many of an agent's newest versions count, 1 or .* is {wrong}\.$"):
            versions(recorded, "main", wrong)


def test_what_is_missing_or_unknown_in_python(tmp_path: Path) -> None:
    write_episodes(file := tmp_path / "me.jsonl", softmax_episodes(altruist(0), 40, 0))
    with pytest.raises(UserError, match=r"^There is no form 'inequty'; there are: altruism, inequity; did you mean 'inequity'\?$"):
        detente.preferences(file, "me", form="inequty")  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=r"^train is about the training of a learner .*; give run, the folder .*, too, or neither\.$"
    ):
        detente.preferences(file, "me", train="ipd")
    with pytest.raises(UserError, match=r"^run is about the training of a learner .*; give train, a preset, too, or neither\.$"):
        detente.preferences(file, "me", run=tmp_path / "run")
    with pytest.raises(
        UserError, match=r"^overrides, iterations=3, are about the training of a learner; give train, a preset, and"
    ):
        detente.preferences(file, "me", overrides=["iterations=3"])


def test_invalid_answers_are_no_choices() -> None:
    one, two = softmax_episodes(altruist(0), 2, 0, rounds=3)
    turns = one.rounds[1].turns
    broken = replace(one.rounds[1], turns=(replace(turns[0], valid=False), turns[1]))
    episodes = [replace(one, rounds=(one.rounds[0], broken, one.rounds[2])), two]
    assert len(choices_of([episodes], "me")) == 5
    assert len(choices_of([episodes], "them")) == 6


def test_what_has_no_interval_says_why() -> None:
    ratios: dict[str, dict[str, float | None]] = {"altruism": {"value": -0.001, "low": -0.002, "high": -0.004}}
    result: dict[str, Any] = {"agent": "me", "ratios": ratios, "own": 1, "separable": False, "log_likelihood": -0.1, "chance": -0.7}
    result |= {"choices": 9, "seeds": 3, "tables": 2}
    assert sentences(result)[:2] == [
        "me: altruism 0.00 [0.00, 0.00]",
        "one point of its own multiplies the odds of an action by 2.72",
    ]
    ratios["altruism"] = {"value": 0.86, "low": None, "high": None}
    first, why, *_ = sentences(result)
    assert first == "me: altruism 0.86 (no interval)"
    assert why == "No interval: in more than 2.5 % of the resamples own points do not count, so that it has no end."
    assert sentences(result | {"seeds": 1})[1].startswith("No interval: it takes several game seeds")


def test_resamples_are_the_same_every_time() -> None:
    counts = resamples(5, lambda times: times)
    assert len(counts) == 500
    assert all(times.sum() == 5 for times in counts)
    assert np.array_equal(counts, resamples(5, lambda times: times))
    assert resamples(1, lambda times: times) == []


def test_what_says_nothing_is_refused() -> None:
    alike = detente.play("ipd", ["tit_for_tat", "random"], episodes=4)
    with pytest.raises(UserError, match=r"^The payoffs do not vary between these episodes, .* vary\.payoffs\.choices"):
        explained(alike, "tit_for_tat")
    with pytest.raises(UserError, match=r"^Nobody called 'me' played in these episodes; there played: random, tit_for_tat\.$"):
        explained(alike)
    twice = [
        detente.play(
            "ipd",
            ["random", "random"],
            episodes=4,
            overrides=[f"game.payoffs={[[[k * x for x in c] for c in r] for r in TABLES[0]]}"],
        )
        for k in (1, 2)
    ]
    assert preferences("random", choices_of(twice, "random")).tables == 2
    other = detente.play("travelers_dilemma", ["random", "random"])
    with pytest.raises(UserError, match=r"^These games have different actions or numbers of players"):
        choices_of([alike, other], "random")
    split = detente.play("trust_and_split", ["welfare", "greedy"])
    with pytest.raises(
        UserError, match=r"^Preferences cannot be read in trust_and_split, for its points do not .*; they can in matrix"
    ):
        explained(split, "welfare")
    with pytest.raises(UserError, match=r"^Preferences cannot be read in mine:Own, for its rules are not in this package"):
        explained([replace(alike[0], game={"name": "mine:Own"})], "random")
    cut = replace(alike[0], rounds=(replace(alike[0].rounds[0], turns=alike[0].rounds[0].turns[:1]),))
    with pytest.raises(UserError, match=r"^The episode of ipd on the game seed 0 is none of that game"):
        explained([cut], "tit_for_tat")


def test_whoever_does_not_want_points_has_no_altruism() -> None:
    with pytest.raises(UserError, match=r"^There is no altruism of me, which is a multiple of the weight of its own points"):
        explained(softmax_episodes(lambda own, other: -own, 400, 0))


def test_payoffs_that_cannot_tell_two_things_apart() -> None:
    """Where both always get the same, nobody knows for whose sake."""
    shared = [[[3, 3], [0, 0]], [[1, 1], [2, 2]]]
    tables = (shared, [[[2 * x for x in cell] for cell in row] for row in shared])
    episodes = [detente.play("matrix", ["random", "random"], overrides=[f"game.payoffs={table}"])[0] for table in tables]
    with pytest.raises(UserError, match=r"^The payoffs of these episodes do not tell its own points and altruism apart"):
        explained(episodes, "random")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / f"{number}.jsonl") for number in range(2)]
    for seed, file in enumerate(files):
        write_episodes(Path(file), softmax_episodes(altruist(0.5), 40, seed, rounds=5))
    assert cli.main(["preferences", *files, "--agent", "me"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("me: altruism 0.")
    assert "400 choices on 80 game seeds in 80 payoff tables" in said
    assert cli.main(["preferences", *files, "--agent", "me", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == detente.preferences(files, "me")
    assert cli.main(["preferences", *files, "--agent", "me", "--csv", "--form", "inequity"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["preference"] for row in rows] == ["envy", "guilt"]
    assert {"own", "separable", "log_likelihood", "choices", "seeds", "tables"} < rows[0].keys()
    assert cli.main(["preferences", *files, "--agent", "me", "--csv", "--json"]) == 2
    assert cli.main(["preferences", files[0], files[0], "--agent", "x"]) == 2
    assert capsys.readouterr().err.endswith(f"{files[0]} is named twice; each source counts once.\n")
    assert cli.main(["preferences", "rounds=3", "--agent", "me", "--train", "ipd"]) == 2
    refused = capsys.readouterr()
    assert refused.err == "No source is named; name at least one run folder, arena folder or file of episodes.\n"
    assert not refused.out
    write_episodes(other := tmp_path / "other.jsonl", detente.play("ipd", ["random", "random"]))
    assert cli.main(["preferences", *files, str(other), "--agent", "me"]) == 2
    assert capsys.readouterr().err == f"Nobody called 'me' played in {other}; there played: random.\n"
